"""Which papers name an identifier that nobody has registered: once a party claims it, they are judged anew.

The registry appends every claimed identifier to a log. Its claims are taken in order, in bounded steps; a paper that
names only registered identifiers stands in no list, because a claim is never taken back.

State, on the consortium chain, in the credit contract's namespace:
    ("named", identifier, page) -> [[chain, kind, issuer, number]]; ("named_pages", identifier)
    ("naming", chain, kind, issuer, number) -> sorted identifiers under which the paper stands
    ("claims_seen",) -> [claims taken in, pages of the next one taken in]
and in the registry's: ("claim", n) -> identifier; ("claim_count",)
"""

from __future__ import annotations

from typing import Final

from contracts.access import CONSORTIUM
from contracts.context import Context
from contracts.documents import Document
from contracts.evidence import Reader
from contracts.trades import Place, place_of

PAGE: Final = 16


def enter(ctx: Context, reader: Reader, doc: Document) -> None:
    """Note a paper under each unregistered identifier it names."""
    record = doc.record
    named = {record.issuer, record.enterprise, record.counterparty, *(issuer for _, issuer, _ in record.links)}
    open_ones = {identifier for identifier in named if identifier and reader.party_of(identifier) is None}
    if not open_ones:
        return
    place = place_of(doc)
    known: list[str] = ctx.get("naming", *place) or []
    fresh = sorted(open_ones - set(known))
    for identifier in fresh:
        _append(ctx, identifier, place)
    if fresh:
        ctx.put("naming", *place, value=sorted([*known, *fresh]))


def claimed(ctx: Context, most: int) -> tuple[list[Place], bool]:
    """Papers that name identifiers claimed since, about `most` at a time; and whether those were all."""
    count: int = ctx.read(CONSORTIUM, "registry", "claim_count") or 0
    seen, page = before = ctx.get("claims_seen") or [0, 0]
    found: list[Place] = []
    steps = most
    while seen < count and steps > 0:
        identifier = ctx.read(CONSORTIUM, "registry", "claim", seen)
        pages: int = ctx.get("named_pages", identifier) or 0
        while page < pages and steps > 0:
            rows = ctx.get("named", identifier, page)
            ctx.delete("named", identifier, page)
            found += [(row[0], row[1], row[2], row[3]) for row in rows]
            page += 1
            steps -= len(rows)
        if page == pages:
            if pages:
                ctx.delete("named_pages", identifier)
            seen, page = seen + 1, 0
            steps -= 1
    if [seen, page] != before:
        ctx.put("claims_seen", value=[seen, page])
    return found, seen == count


def _append(ctx: Context, identifier: str, place: Place) -> None:
    pages: int = ctx.get("named_pages", identifier) or 0
    rows = ctx.get("named", identifier, pages - 1) if pages else []
    if pages == 0 or len(rows) >= PAGE:
        ctx.put("named", identifier, pages, value=[list(place)])
        ctx.put("named_pages", identifier, value=pages + 1)
    else:
        ctx.put("named", identifier, pages - 1, value=[*rows, list(place)])
