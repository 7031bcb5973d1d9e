"""Alerts: a contradicted or duplicate bill is told to the members concerned in the block that shows it (DOMAIN 3).

begin_block takes what is new on each member's chain by a cursor, queues the enterprises concerned and checks as
many as the block's bound allows; the others keep their place in the queue. An enterprise with bills that are not
yet settled (partial, unmatched) stays on the watch list and is checked again when any chain has new records of it.
Everything is bounded: bills taken, enterprises checked, records read.

State, on the consortium chain, in the credit contract's namespace:
    ("cursor", chain)   -> bills of that chain seen so far
    ("queue",)          -> enterprises to check, oldest first
    ("watch",)          -> [[enterprise, size of its index when last checked]], next to look at first
    ("alert", n), ("alert_count",), ("alerted", hash)
"""

from __future__ import annotations

from typing import Any, Final

from contracts.context import Context
from contracts.documents import Document
from contracts.evidence import Evidence, Reader
from contracts.findings import Finding
from contracts.matching import Book
from contracts.truth import INELIGIBLE, MATCHED, Verdict, judge

BILLS_PER_BLOCK: Final = 256
CHECKS_PER_BLOCK: Final = 4
WATCHED_PER_BLOCK: Final = 16
WINDOW: Final = 256  # process records and bills read per chain and identifier in a check
MAX_QUEUE: Final = 4_096
MAX_WATCH: Final = 256
ALERTS_PER_BILL: Final = 4


def begin_block(ctx: Context) -> None:
    """Look at new bills and at enterprises whose unsettled bills may have been settled or contradicted since."""
    queue: list[str] = ctx.get("queue") or []
    watch: list[list[Any]] = ctx.get("watch") or []
    reader = Reader(ctx)
    fresh = dict.fromkeys([*queue, *_new_bills(ctx), *_changed(reader, watch[:WATCHED_PER_BLOCK])])
    due = list(fresh)[:MAX_QUEUE]
    looked_at = watch[WATCHED_PER_BLOCK:] + watch[:WATCHED_PER_BLOCK]
    for identifier in due[:CHECKS_PER_BLOCK]:
        unsettled = _check(ctx, reader, identifier)
        looked_at = [entry for entry in looked_at if entry[0] != identifier]
        if unsettled is not None:
            looked_at.append([identifier, unsettled])
    _put(ctx, "queue", queue, due[CHECKS_PER_BLOCK:])
    _put(ctx, "watch", watch, looked_at[-MAX_WATCH:])


def raise_alerts(ctx: Context, verdicts: tuple[Verdict, ...], evidence: Evidence) -> list[int]:
    """Store and emit an alert for each false bill and rule not alerted before; gives their numbers."""
    chains: dict[bytes, list[str]] = {}
    for doc in evidence.documents:
        chains.setdefault(doc.id, []).append(doc.chain)
    raised = []
    for verdict in verdicts:
        if verdict.status in INELIGIBLE:
            false = [finding for finding in verdict.findings if finding.contradicts]
            for finding in false[:ALERTS_PER_BILL]:
                number = _raise(ctx, verdict, finding, chains, evidence.enterprise.id)
                if number is not None:
                    raised.append(number)
    return raised


def _new_bills(ctx: Context) -> list[str]:
    """Enterprises of bills sealed since the last block, at most 256 bills in all; moves the cursors."""
    left = BILLS_PER_BLOCK
    found: dict[str, None] = {}
    for chain in ctx.chains():
        start: int = ctx.get("cursor", chain) or 0
        end = min(ctx.read(chain, "records", "bills_count") or 0, start + left)
        for position in range(start, end):
            key = ctx.read(chain, "records", "bills", position)
            found[ctx.read(chain, "records", "record", *key)["record"][5]] = None
        if end > start:
            ctx.put("cursor", chain, value=end)
            left -= end - start
    return list(found)


def _changed(reader: Reader, watched: list[list[Any]]) -> list[str]:
    return [
        identifier for identifier, size in watched if reader.index_size(reader.enterprise(identifier)) != size
    ]


def _check(ctx: Context, reader: Reader, identifier: str) -> int | None:
    """Judge an enterprise's bills; gives the size of its index if some are unsettled, else None."""
    enterprise = reader.enterprise(identifier)
    evidence = reader.gather(enterprise, WINDOW)
    verdicts = judge(Book(evidence.documents, reader.party_of))
    raise_alerts(ctx, verdicts, evidence)
    if all(verdict.status == MATCHED or verdict.status in INELIGIBLE for verdict in verdicts):
        return None
    return reader.index_size(enterprise)


def _raise(
    ctx: Context, verdict: Verdict, finding: Finding, chains: dict[bytes, list[str]], enterprise: str
) -> int | None:
    bill: Document = verdict.bill
    mark = ctx.hash(["tally/alert", 1, bill.chain, bill.id, finding.rule, finding.ours, finding.theirs])
    if ctx.get("alerted", mark) is not None:
        return None
    number: int = ctx.get("alert_count") or 0
    members = sorted({bill.chain, *(chain for record in finding.evidence for chain in chains.get(record, []))})
    alert = {
        "number": number,
        "height": ctx.height,
        "time": ctx.time,
        "enterprise": enterprise,
        "bill": list(bill.key),
        "id": bill.id,
        "chain": bill.chain,
        "status": verdict.status,
        "rule": finding.rule,
        "text": finding.text,
        "ours": finding.ours,
        "theirs": finding.theirs,
        "evidence": list(finding.evidence),
        "members": members,
    }
    ctx.put("alerted", mark, value=number)
    ctx.put("alert", number, value=alert)
    ctx.put("alert_count", value=number + 1)
    ctx.emit("alert", alert)
    return number


def _put(ctx: Context, name: str, before: list[Any], after: list[Any]) -> None:
    """Write only what changed, so that an idle block leaves the state as it is."""
    if before == after:
        return
    if after:
        ctx.put(name, value=after)
    else:
        ctx.delete(name)
