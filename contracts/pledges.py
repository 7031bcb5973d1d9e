"""Pledges of single receivables: a bill backs one loan, across all lenders (DOMAIN 8, pledges).

A lender pledges a matched, undisputed bill of a line's enterprise to that line; it then counts in the borrowing base
as long as it stays eligible (base.py). The key is the paper, whoever asks and under whatever amount: kind, issuer's
party, number. A second pledge is a transaction that succeeds with {pledged: false, held_by_other: true}, because a
failed one could leave no alert; it raises DOUBLE_PLEDGE to both lenders.

The assignment notice (its day, the hash of its text or its number in the public register) is stored with the pledge;
the debtor acknowledges it with its own key.

State, on the consortium chain, in the credit contract's namespace (and the list in collateral.py):
    ("pledge", kind, issuer party, number) -> {application, lender, enterprise, chain, bill, bill_id, amount,
        currency, scale, due, due_ms, counterparty, registration, notice, acknowledged, height, time}; absent once
        released
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contracts import access, alerts, arguments, book, collateral, credit_line, disputes, notices
from contracts.access import PARTY
from contracts.applications import application, natural_key, require_lender
from contracts.context import Args, Context, Method, Value
from contracts.credit_line import MAX_PLEDGES
from contracts.decimal_text import NOTHING, floor_at_scale, parse_or_none
from contracts.documents import Document, name, party_key, seal_order
from contracts.errors import ContractError
from contracts.evidence import Reader, keys_of
from contracts.record import NaturalKey
from contracts.repayments import MAX_MONEY, date
from contracts.truth import INELIGIBLE, MATCHED

MS: Final = 1_000
NOT_PLEDGED: Final = ("credit_note",)  # bills that nobody owes to their issuer


class Held(NamedTuple):
    """A pledge in force and the key it is stored under."""

    place: tuple[str, str, str]  # kind, issuer party, number
    pledge: dict[str, Any]


def held(ctx: Context, reader: Reader, key: NaturalKey) -> Held | None:
    """The pledge of a bill, by its natural key under any identifier of its issuer; None when there is none."""
    kind, issuer, number = key
    for issuer_key in keys_of(reader, issuer):
        found = ctx.get("pledge", kind, issuer_key, number)
        if found is not None:
            return Held((kind, issuer_key, number), found)
    return None


def pledge(ctx: Context, args: Args) -> Value:
    """Pledge a bill to a line: {application, kind, issuer, number, registration (optional)}.

    By the line's lender. Gives {pledged, known, held_by_other, amount}: pledged false and held_by_other true when it
    backs another loan already; the amount is that of the book's verdict, minor units, rounded down.
    """
    arguments.expect(args, "application", "kind", "issuer", "number", optional=("registration",))
    actor = access.authorise(ctx, "credit.pledge")
    asked = application(ctx, args["application"])
    require_lender(actor, asked)
    line = credit_line.load(ctx, asked["id"])
    key = natural_key([args["kind"], args["issuer"], args["number"]])
    registration = arguments.text(args["registration"], "registration") if "registration" in args else ""
    reader = Reader(ctx)
    copies = _copies(reader, key)
    _require_own_receivable(reader, line, copies[0])
    known = held(ctx, reader, key)
    if known is not None and known.pledge["application"] == asked["id"]:
        return {"pledged": True, "known": True, "held_by_other": False, "amount": known.pledge["amount"]}
    if known is not None:
        _tell_double(ctx, line, known.pledge, copies)
        return {"pledged": False, "known": False, "held_by_other": True, "amount": 0}
    if line["state"] == credit_line.CLOSED:
        raise ContractError("WRONG_STATE", "the line is closed: pledge to an open one")
    bill, amount = _pledgeable(ctx, reader, line, key, copies)
    pledges: list[list[str]] = ctx.get("pledges", asked["id"]) or []
    if len(pledges) >= MAX_PLEDGES:
        raise ContractError("TOO_MANY_PLEDGES", f"{len(pledges)} bills are pledged to this line: release paid ones")
    place = [key[0], party_key(key[1], reader.party_of), key[2]]
    due, due_ms = collateral.due_of(bill)
    entry = {
        "application": asked["id"],
        "lender": actor.id,
        "enterprise": line["enterprise"],
        "chain": bill.chain,
        "bill": list(key),
        "bill_id": bill.id,
        "amount": amount,
        "currency": line["currency"],
        "scale": line["scale"],
        "due": due,
        "due_ms": due_ms,
        "counterparty": bill.record.counterparty,
        "registration": registration,
        "notice": None,
        "acknowledged": None,
        "height": ctx.height,
        "time": ctx.time,
    }
    ctx.put("pledge", *place, value=entry)
    ctx.put("pledges", asked["id"], value=[*pledges, place])
    to = {*line["concerned"], *(doc.chain for doc in copies), _debtor(reader, entry)}
    notices.notify(ctx, "pledged", to, {**_shown(entry), "amount": amount, "registration": registration})
    return {"pledged": True, "known": False, "held_by_other": False, "amount": amount}


def release(ctx: Context, args: Args) -> Value:
    """Give a pledged bill back: {kind, issuer, number}. By the lender that holds it. Gives {released}."""
    arguments.expect(args, "kind", "issuer", "number")
    actor = access.authorise(ctx, "credit.release")
    reader = Reader(ctx)
    found = _own(ctx, reader, actor.id, args)
    ctx.delete("pledge", *found.place)
    application_id = found.pledge["application"]
    pledges: list[list[str]] = ctx.get("pledges", application_id)
    left = [place for place in pledges if place != list(found.place)]
    if left:
        ctx.put("pledges", application_id, value=left)
    else:
        ctx.delete("pledges", application_id)
    notices.notify(ctx, "released", _concerned(ctx, reader, found.pledge), _shown(found.pledge))
    return {"released": True}


def notify_assignment(ctx: Context, args: Args) -> Value:
    """The debtor was told of the assignment: {kind, issuer, number, date, text_hash, registration}.

    date: the day it was told, YYYY-MM-DD. text_hash: sha256 of the notice; registration: its number in the public
    register; at least one of them. A later notice takes the place of one not acknowledged. Gives {debtor}.
    """
    arguments.expect(args, "kind", "issuer", "number", "date", optional=("text_hash", "registration"))
    actor = access.authorise(ctx, "credit.notify_assignment")
    reader = Reader(ctx)
    found = _own(ctx, reader, actor.id, args)
    if "text_hash" not in args and "registration" not in args:
        raise ContractError("MISSING_ARGUMENT", "give text_hash or registration: a notice is one or the other")
    line = credit_line.load(ctx, found.pledge["application"])
    if date(args["date"], "date", line["zone"]).first * MS > ctx.time:
        raise ContractError("DATE_IN_FUTURE", f"the notice is dated {args['date']}, which is to come")
    if found.pledge["acknowledged"] is not None:
        raise ContractError("ACKNOWLEDGED", "the debtor has acknowledged the assignment already")
    notice: dict[str, Value] = {"date": args["date"], "height": ctx.height, "time": ctx.time}
    notice["text_hash"] = arguments.binary(args["text_hash"], "text_hash") if "text_hash" in args else b""
    registration = found.pledge["registration"]
    if "registration" in args:
        registration = arguments.text(args["registration"], "registration")
    entry = {**found.pledge, "notice": notice, "registration": registration}
    ctx.put("pledge", *found.place, value=entry)
    said = {"date": args["date"], "text_hash": notice["text_hash"], "registration": registration}
    notices.notify(ctx, "assignment_notified", _concerned(ctx, reader, entry), {**_shown(entry), **said})
    return {"debtor": _debtor(reader, entry)}


def acknowledge(ctx: Context, args: Args) -> Value:
    """The debtor takes note that it pays the lender: {kind, issuer, number}. With the debtor's own key only.

    Follows the assignment notice; not while the bill is disputed. The receivable then counts as confirmed.
    Gives {known}.
    """
    arguments.expect(args, "kind", "issuer", "number")
    actor = access.authorise(ctx, "credit.acknowledge")
    reader = Reader(ctx)
    key = natural_key([args["kind"], args["issuer"], args["number"]])
    found = held(ctx, reader, key)
    if found is None:
        raise ContractError(
            "NOT_PLEDGED", f"{key[0]} {key[2]!r} of {key[1]!r} is not pledged: nothing to acknowledge"
        )
    said = f"{key[0]} {key[2]}"
    is_debtor = actor.owner == PARTY and _debtor(reader, found.pledge) == actor.id
    if not is_debtor or actor.id == found.pledge["enterprise"]:
        owed_by = found.pledge["counterparty"] or "nobody by name"
        raise ContractError("NOT_THE_DEBTOR", f"{said} is owed by {owed_by}, not by {actor.id}")
    if found.pledge["notice"] is None:
        raise ContractError("NOT_NOTIFIED", f"the assignment of {said} has not been notified yet")
    if _disputed(ctx, reader, key):
        raise ContractError("BILL_DISPUTED", f"{said} is disputed: resolve that first (credit.resolve)")
    if found.pledge["acknowledged"] is not None:
        return {"known": True}
    entry = {**found.pledge, "acknowledged": {"by": actor.id, "height": ctx.height, "time": ctx.time}}
    ctx.put("pledge", *found.place, value=entry)
    notices.notify(ctx, "acknowledged", _concerned(ctx, reader, entry), {**_shown(entry), "by": actor.id})
    return {"known": False}


def _require_own_receivable(reader: Reader, line: dict[str, Any], bill: Document) -> None:
    if bill.category != "bill" or bill.kind in NOT_PLEDGED:
        raise ContractError("NOT_A_RECEIVABLE", f"{name(bill)} is no bill that its issuer is owed: pledge an invoice")
    if reader.party_of(bill.record.enterprise) != line["enterprise"]:
        raise ContractError(
            "FOREIGN_BILL", f"{name(bill)} is of {bill.record.enterprise}, the line of {line['enterprise']}"
        )
    if reader.party_of(bill.record.counterparty) == line["enterprise"]:
        raise ContractError("NOT_A_RECEIVABLE", f"{name(bill)} is owed by its own issuer: pledge what others owe")


def _pledgeable(
    ctx: Context, reader: Reader, line: dict[str, Any], key: NaturalKey, copies: tuple[Document, ...]
) -> tuple[Document, int]:
    """The copy of a bill that is matched, and its amount in minor units. Raises ContractError saying what hinders."""
    first = copies[0]
    if _disputed(ctx, reader, key):
        raise ContractError("BILL_DISPUTED", f"{name(first)} is disputed: it backs no loan until that is resolved")
    book.settle(ctx, reader, reader.enterprise(line["enterprise"]))
    judged = [(doc, book.verdict_of(ctx, doc.chain, key)) for doc in copies]
    verdicts = [(doc, verdict) for doc, verdict in judged if verdict is not None]
    matched = next(((doc, verdict) for doc, verdict in verdicts if verdict["status"] == MATCHED), None)
    false = next((verdict for _, verdict in verdicts if verdict["status"] in INELIGIBLE[:1]), None)
    if false is not None or matched is None:
        status = false["status"] if false is not None else verdicts[0][1]["status"] if verdicts else "not judged yet"
        raise ContractError(
            "BILL_NOT_MATCHED", f"{name(first)} is {status}: only a bill matched to its order and delivery is pledged"
        )
    bill, verdict = matched
    if verdict["currency"] != line["currency"]:
        raise ContractError(
            "CURRENCY_DIFFERS", f"{name(bill)} is in {verdict['currency']}, the line in {line['currency']}"
        )
    amount = floor_at_scale(parse_or_none(verdict["amount"]) or NOTHING, line["scale"])
    if not 0 < amount <= MAX_MONEY:
        raise ContractError("NOT_A_RECEIVABLE", f"{name(bill)} asks for no amount above 0 that can be used")
    return bill, amount


def _copies(reader: Reader, key: NaturalKey) -> tuple[Document, ...]:
    """A bill on every chain that has it, the first sealed first. Raises ContractError UNKNOWN_BILL."""
    copies = tuple(sorted(reader.find(key), key=seal_order))
    if not copies:
        raise ContractError("UNKNOWN_BILL", f"no chain has {key[0]} {key[2]!r} of {key[1]!r}: check kind and issuer")
    return copies


def _disputed(ctx: Context, reader: Reader, key: NaturalKey) -> bool:
    kind, issuer, number = key
    status = disputes.status_of(ctx, kind, party_key(issuer, reader.party_of), number)
    return status in (disputes.OPEN, disputes.UPHELD)


def _own(ctx: Context, reader: Reader, lender: str, args: Args) -> Held:
    """The pledge that a lender speaks of. Raises ContractError NOT_PLEDGED or NOT_YOUR_PLEDGE."""
    key = natural_key([args["kind"], args["issuer"], args["number"]])
    found = held(ctx, reader, key)
    if found is None:
        raise ContractError(
            "NOT_PLEDGED", f"{key[0]} {key[2]!r} of {key[1]!r} is not pledged: credit.pledge does that"
        )
    if found.pledge["lender"] != lender:
        raise ContractError("NOT_YOUR_PLEDGE", f"{key[0]} {key[2]!r} is not pledged to {lender}")
    return found


def _tell_double(ctx: Context, line: dict[str, Any], other: dict[str, Any], copies: tuple[Document, ...]) -> None:
    bill = copies[0]
    alerts.raise_alert(
        ctx,
        rule="DOUBLE_PLEDGE",
        text=f"{name(bill)} backs another loan already: {line['lender']} tried to take it as well",
        enterprise=line["enterprise"],
        to={line["lender"], other["lender"], line["enterprise"], other["enterprise"], *(doc.chain for doc in copies)},
        evidence=[bill.id],
        bill=bill,
        ours=line["lender"],
        theirs=other["lender"],
        mark=[*bill.key, line["application"], other["application"]],
    )


def _concerned(ctx: Context, reader: Reader, entry: dict[str, Any]) -> set[str]:
    line = credit_line.load(ctx, entry["application"])
    return {*line["concerned"], entry["chain"], _debtor(reader, entry)}


def _debtor(reader: Reader, entry: dict[str, Any]) -> str:
    """Party id of who owes a pledged bill, "" when it is not registered."""
    return reader.party_of(entry["counterparty"]) or ""


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    names = ("application", "lender", "enterprise", "bill", "currency", "scale", "due")
    return {part: entry[part] for part in names}


METHODS: Final[dict[str, Method]] = {
    "pledge": pledge,
    "release": release,
    "notify_assignment": notify_assignment,
    "acknowledge": acknowledge,
}
