"""What stands behind a credit line as it is now: its guarantees and the receivables pledged to it (DOMAIN 8).

Reads the state for base.py. Whatever was corrected since it was taken counts by what it says now, and never for more
than it was taken for.

State, on the consortium chain, in the credit contract's namespace:
    ("guarantee_used", kind, issuer party, number) -> the approved application that a guarantee backs
    ("pledges", application)   -> [[kind, issuer party, number]] of the receivables pledged to the line
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from contracts import book, disputes, progress, standing
from contracts.base import Receivable
from contracts.context import Context
from contracts.decimal_text import NOTHING, floor_at_scale, reread
from contracts.documents import Document, party_key, seal_order
from contracts.errors import ContractError
from contracts.evidence import Reader, keys_of
from contracts.model import Model
from contracts.record import NaturalKey, moment
from contracts.statistics import B
from contracts.truth import MATCHED

MS: Final = 1_000
MAX_CARRIED: Final = 2**60  # minor units that all guarantees of a line carry at most


def guarantees_behind(reader: Reader, asked: dict[str, Any], assessed: dict[str, Any]) -> list[Document]:
    """The guarantees that an assessment counted. Raises ContractError ASSESSMENT_STALE if one was corrected since."""
    found = reader.standing(reader.enterprise(asked["enterprise"]))
    by_id = {doc.id: doc for doc in reversed(found) if doc.category == "guarantee"}
    if any(cited not in by_id for cited in assessed["guarantees"]):
        raise ContractError("ASSESSMENT_STALE", "a guarantee behind the limit has been corrected: assess again")
    return [by_id[cited] for cited in assessed["guarantees"]]


def backed_by(ctx: Context, reader: Reader, guarantee: NaturalKey) -> bytes | None:
    """The approved application that a guarantee backs, in whatever version and under any identifier of its issuer."""
    kind, issuer, number = guarantee
    found = (ctx.get("guarantee_used", kind, key, number) for key in keys_of(reader, issuer))
    return next((application for application in found if application is not None), None)


def take(ctx: Context, reader: Reader, guarantee: NaturalKey, application: bytes) -> None:
    """From now on a guarantee backs this application."""
    kind, issuer, number = guarantee
    ctx.put("guarantee_used", kind, party_key(issuer, reader.party_of), number, value=application)


def free(ctx: Context, reader: Reader, guarantee: NaturalKey) -> None:
    """A guarantee may back another application now."""
    kind, issuer, number = guarantee
    for key in keys_of(reader, issuer):
        ctx.delete("guarantee_used", kind, key, number)


def guarantees_of(
    reader: Reader, asked: dict[str, Any], assessed: dict[str, Any], model: Model
) -> list[tuple[Document, list[int]]]:
    """The guarantees of an assessment: each with [value after its haircut, end in ms, 0 without one]."""
    docs = guarantees_behind(reader, asked, assessed)
    return [(doc, list(_worth(doc, model, assessed["currency"], assessed["scale"]))) for doc in docs]


def _worth(guarantee: Document, model: Model, currency: str, scale: int) -> tuple[int, int]:
    """(value after its haircut, minor units; end in ms, 0 without one) of a guarantee as it stands."""
    amount, haircut = guarantee.decimal("amount"), model.haircuts.get(guarantee.text("grade"))
    if amount is None or haircut is None or guarantee.text("currency") != currency:
        return 0, 0
    worth = min(max(0, floor_at_scale(amount, scale)), standing.MAX_MONEY)
    end = _end_of(guarantee, "expiry_date")
    if end is None and guarantee.text("expiry_date"):
        return 0, 0
    return worth * haircut // B, end or 0


def guaranteed(ctx: Context, reader: Reader, line: dict[str, Any], model: Model) -> int:
    """What the line's guarantees carry now: as at the approval, or less where one was corrected since."""
    total = 0
    for _, value, end, chain, kind, issuer, number in line["guarantees"]:
        doc = reader.document(chain, (kind, issuer, number))
        now, until = (0, 0) if doc is None else _worth(doc, model, line["currency"], line["scale"])
        if all(last == 0 or ctx.time < last for last in (end, until)):
            total += min(value, now)
    return min(total, MAX_CARRIED)


def due_of(bill: Document) -> tuple[str, int]:
    """The day a bill is due and the end of it, UTC ms; a bill that names none is due on the day it was issued."""
    end = _end_of(bill, "due_date")
    return (bill.record.occurred_at, bill.occurred.last * MS) if end is None else (bill.text("due_date"), end)


def _end_of(doc: Document, field: str) -> int | None:
    """The end of the day in a field, UTC ms; None for what is no date: a hook stops at no paper."""
    try:
        return moment(doc.text(field), doc.template["time_zone_minutes"]).last * MS
    except ContractError:
        return None


def receivables(
    ctx: Context,
    reader: Reader,
    line: dict[str, Any],
    contract: Document,
    stages: Mapping[str, int],
    open_by_contract: dict[str, int],
) -> Iterable[Receivable]:
    """The line's pledged bills as they stand now; fills in what each of their contracts has open.

    contract, stages: the line's own, with its progress. A bill corrected since carries what it says now, and never
    more or longer than it was pledged for.
    """
    named: dict[tuple[str, ...], str] = {}  # how verdicts name contracts -> the contract it is
    for kind, issuer, number in ctx.get("pledges", line["application"]) or []:
        pledge = ctx.get("pledge", kind, issuer, number)
        key = (pledge["bill"][0], pledge["bill"][1], pledge["bill"][2])
        verdict = book.verdict_of(ctx, pledge["chain"], key) or {}
        bill = reader.document(pledge["chain"], key)
        says = reread(verdict["open"]) if verdict else NOTHING
        matched = bool(verdict) and verdict["status"] == MATCHED and verdict["currency"] == line["currency"]
        matched = matched and reader.party_of(pledge["counterparty"]) != line["enterprise"]
        amount, due_ms, of = pledge["amount"], pledge["due_ms"], ""
        if matched and bill is not None:
            amount = min(amount, floor_at_scale(says, line["scale"]))
            due_ms = min(due_ms, due_of(bill)[1])
            said = (*verdict["contract"], bill.record.counterparty)
            if said not in named:
                if verdict["contract"] == line["contract"] or progress.belongs(
                    reader, verdict["contract"], bill, contract
                ):
                    found = _name_of(reader, contract), stages["invoiced"] - stages["paid"]
                else:
                    found = _open_on(ctx, reader, line["currency"], bill, verdict["contract"])
                named[said], open_by_contract[found[0]] = found
            of = named[said]
        issuer_now = party_key(pledge["bill"][1], reader.party_of)
        yield Receivable(
            debtor=party_key(pledge["counterparty"], reader.party_of),
            contract=of,
            amount=amount,
            due_ms=due_ms,
            matched=matched,
            disputed=disputes.status_of(ctx, kind, issuer_now, number) in (disputes.OPEN, disputes.UPHELD),
            confirmed=bool(verdict.get("confirmed")) or pledge["acknowledged"] is not None,
        )


def _open_on(ctx: Context, reader: Reader, currency: str, bill: Document, said: list[str]) -> tuple[str, int]:
    """Another contract that a bill's verdict names, one text however it is named, and what is open on it.

    That is billed less credit notes and payments, minor units; 0 where the contract is not sealed.
    """
    kind, issuer, number = said or ["", "", ""]
    issuers = [issuer] if issuer else reader.identifiers_of(bill.record.counterparty)
    copies = [doc for other in issuers for doc in reader.find((kind, other, number))]
    if not copies:
        return "\n".join(("unknown", *said)), 0
    contract = min(copies, key=seal_order)
    reached = progress.of_contract(ctx, reader, contract)
    is_ours = reached.currency == currency
    return _name_of(reader, contract), reached.stages["invoiced"] - reached.stages["paid"] if is_ours else 0


def _name_of(reader: Reader, contract: Document) -> str:
    return "\n".join((contract.kind, party_key(contract.record.issuer, reader.party_of), contract.number))
