"""What became of every bill, as it is stored, and the running sums over it (DOMAIN 3, Truth).

The sums always equal a recomputation over the stored verdicts: a verdict that changes takes out exactly what the one
before it had put in. They are kept by the enterprise identifier that the bill names, so that nothing moves when a
party registers further identifiers: whoever asks adds up a party's identifiers.

State, on the consortium chain, in the credit contract's namespace:
    ("verdict", chain, kind, issuer, number) -> the verdict, see `entry_of`
    ("truth", enterprise identifier, currency) -> {all, matched: decimal text, counts: {status: bills}}
    ("false", enterprise identifier, page), ("doubtful", enterprise identifier, page): ordered maps (ordered.py) of
        sealing height and hash of the place -> the place, packed
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from contracts import disputes
from contracts.access import PARTY
from contracts.context import Context
from contracts.decimal_text import NOTHING, Scaled, add, render, reread, subtract
from contracts.documents import Document, PartyOf, party_key
from contracts.evidence import Enterprise
from contracts.ordered import OrderedMap
from contracts.record import NaturalKey
from contracts.trades import Place, place_of
from contracts.truth import INELIGIBLE, MATCHED, STATUSES, Verdict

FINDINGS_KEPT: Final = 4
REFERENCES_KEPT: Final = 8
FALSE_SHOWN: Final = 32
DOUBTFUL_SHOWN: Final = 8


class Truth(NamedTuple):
    """Bills of an enterprise in one currency: their amounts, those matched, and how many have which status."""

    all: Scaled
    matched: Scaled
    counts: dict[str, int]


def truth_of(ctx: Context, enterprise: Enterprise, currency: str) -> Truth:
    """The running totals of an enterprise's bills in a currency ("" for those that name none)."""
    everything = matched = NOTHING
    counts = dict.fromkeys(STATUSES, 0)
    for identifier in enterprise.identifiers:
        entry = ctx.get("truth", identifier, currency)
        if entry is not None:
            everything = add(everything, reread(entry["all"]))
            matched = add(matched, reread(entry["matched"]))
            for status, count in entry["counts"].items():
                counts[status] += count
    return Truth(everything, matched, counts)


def verdict_of(ctx: Context, chain: str, key: NaturalKey) -> dict[str, Any] | None:
    """What became of a bill (see `entry_of`), None for one that is not judged."""
    found: dict[str, Any] | None = ctx.get("verdict", chain, *key)
    return found


def false_bills(ctx: Context, enterprise: Enterprise) -> tuple[Place, ...]:
    """Contradicted and duplicate bills, newest first, at most FALSE_SHOWN."""
    return _listed(ctx, "false", enterprise, FALSE_SHOWN)


def doubtful_bills(ctx: Context, enterprise: Enterprise) -> tuple[Place, ...]:
    """Unmatched and partial bills, newest first, at most DOUBTFUL_SHOWN."""
    return _listed(ctx, "doubtful", enterprise, DOUBTFUL_SHOWN)


def entry_of(
    ctx: Context, verdict: Verdict, contract: list[str], still_open: Scaled, party_of: PartyOf
) -> dict[str, Any]:
    """A verdict as it is stored.

    id: record id of the version judged. amount: decimal text, "" where the bill names none. open: of it neither paid
    nor credited, "0" for what is not matched. enterprise: identifier as
    the bill names it. findings: at most FINDINGS_KEPT, what contradicts first, of finding_count. orders, despatches,
    receipts: places. contract: [kind, issuer, number] as the order's link names it (progress.py: "" for an issuer the
    link does not name), [] without an order. period, height: of the version's sealing. confirmed: the counterparty's
    own key stands for the bill.
    """
    bill, trade = verdict.bill, verdict.trade
    return {
        "id": bill.id,
        "status": verdict.status,
        "amount": "" if verdict.amount is None else render(verdict.amount),
        "open": render(still_open),
        "currency": bill.text("currency"),
        "enterprise": bill.record.enterprise,
        "findings": [finding.entry() for finding in verdict.findings[:FINDINGS_KEPT]],
        "finding_count": len(verdict.findings),
        "orders": _references(trade.orders),
        "despatches": _references(trade.despatches),
        "receipts": _references(trade.receipts),
        "contract": contract,
        "period": bill.period,
        "confirmed": is_confirmed(ctx, bill, party_of),
        "height": bill.height,
    }


def store(ctx: Context, place: Place, entry: dict[str, Any] | None) -> None:
    """Write a bill's verdict, or None to take it away, and bring sums and lists along."""
    before = ctx.get("verdict", *place)
    if before == entry:
        return
    if before is not None:
        _count(ctx, before, -1)
    if entry is not None:
        _count(ctx, entry, 1)
        ctx.put("verdict", *place, value=entry)
    else:
        ctx.delete("verdict", *place)
    _list(ctx, place, before, entry)


def is_confirmed(ctx: Context, bill: Document, party_of: PartyOf) -> bool:
    """Whether the bill's counterparty has confirmed this version, or its total, with its own key."""
    buyer = party_of(bill.record.counterparty)
    if buyer is None or buyer == party_of(bill.record.enterprise):
        return False
    confirmations = ctx.get("confirmation", bill.id) or []
    return any(
        (entry["owner"], entry["id"]) == (PARTY, buyer) and (not entry["fields"] or "total" in entry["fields"])
        for entry in confirmations
    )


def is_upheld(ctx: Context, bill: Document, party_of: PartyOf) -> bool:
    """Whether a dispute over the bill was upheld."""
    issuer = party_key(bill.record.issuer, party_of)
    return disputes.status_of(ctx, bill.kind, issuer, bill.number) == disputes.UPHELD


def added(left: str, right: Scaled) -> str:
    """A stored sum and one more summand."""
    return render(add(reread(left), right))


def _references(docs: tuple[Document, ...]) -> list[list[str]]:
    return [list(place_of(doc)) for doc in docs[:REFERENCES_KEPT]]


def _count(ctx: Context, entry: dict[str, Any], sign: int) -> None:
    key = ("truth", entry["enterprise"], entry["currency"])
    known = ctx.get(*key) or {"all": "0", "matched": "0", "counts": {}}
    amount = reread(entry["amount"]) if entry["amount"] else NOTHING
    change = amount if sign > 0 else subtract(NOTHING, amount)
    counts = {**known["counts"]}
    counts[entry["status"]] = counts.get(entry["status"], 0) + sign
    counts = {status: count for status, count in counts.items() if count}
    if not counts:
        ctx.delete(*key)
        return
    matched = added(known["matched"], change) if entry["status"] == MATCHED else known["matched"]
    ctx.put(*key, value={"all": added(known["all"], change), "matched": matched, "counts": counts})


def _list(ctx: Context, place: Place, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    old, new = _row(ctx, place, before), _row(ctx, place, after)
    if old == new:
        return
    if old is not None:
        opened = OrderedMap(ctx, *old[0])
        opened.remove(old[1])
        opened.write()
    if new is not None:
        opened = OrderedMap(ctx, *new[0])
        opened.insert(new[1], packed(place))
        opened.write()


def _row(ctx: Context, place: Place, entry: dict[str, Any] | None) -> tuple[tuple[str, str], bytes] | None:
    """Which list an entry stands in and under what key, by sealing height; None for a matched bill."""
    if entry is None or entry["status"] == MATCHED:
        return None
    name = "false" if entry["status"] in INELIGIBLE else "doubtful"
    return (name, entry["enterprise"]), entry["height"].to_bytes(8, "big") + ctx.hash(list(place))


def _listed(ctx: Context, name: str, enterprise: Enterprise, shown: int) -> tuple[Place, ...]:
    rows: list[tuple[bytes, str]] = []
    for identifier in enterprise.identifiers:
        rows += islice(_descending(ctx, (name, identifier), 0), shown)
    return tuple(unpacked(text) for _, text in sorted(rows, reverse=True)[:shown])


def _descending(ctx: Context, prefix: tuple[str, str], number: int) -> Iterator[tuple[bytes, str]]:
    """The entries of an ordered map's page (contracts/ordered.py) and those below it, last first."""
    page = ctx.get(*prefix, number)
    if page is None:
        return
    level, keys, items = page[:3]
    for key, item in zip(reversed(keys), reversed(items), strict=True):
        if level:
            yield from _descending(ctx, prefix, item)
        else:
            yield key, item


def packed(place: Place) -> str:
    """A place as one text: the lengths of its first parts, then all of them."""
    chain, kind, issuer, number = place
    return f"{len(chain)} {len(kind)} {len(issuer)} {chain}{kind}{issuer}{number}"


def unpacked(text: str) -> Place:
    """The place that `packed` wrote."""
    one, two, three, rest = text.split(" ", 3)
    end_of_kind = int(one) + int(two)
    end_of_issuer = end_of_kind + int(three)
    return rest[: int(one)], rest[int(one) : end_of_kind], rest[end_of_kind:end_of_issuer], rest[end_of_issuer:]
