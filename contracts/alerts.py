"""Alerts: a contradicted or duplicate bill is told to the members concerned in the block that shows it (DOMAIN 3).

begin_block finds enterprises with new bills by a cursor on each member's list of bills, and with other new papers
by watching the enterprises whose bills it has met. New papers enter the index of trades.py; the trades they touch
are judged once everything new of the enterprise has been taken in, so that no paper is missing from a sum.
Everything is bounded by block; what does not fit stays queued for the next one.

State, on the consortium chain, in the credit contract's namespace (and that of trades.py):
    ("cursor", chain)              -> bills of that chain seen so far
    ("seen", chain, identifier)    -> rows of that enterprise's index taken in so far
    ("touched", enterprise)        -> [[chain, kind, issuer, number]] taken in and not yet judged
    ("queue",)                     -> enterprises with papers to take in, oldest first
    ("watch",)                     -> enterprises to look at for new papers, next to look at first
    ("alert", n), ("alert_count",), ("alerted", hash)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from contracts import notices, trades
from contracts.context import Context, Value
from contracts.documents import Document
from contracts.evidence import Enterprise, Reader
from contracts.findings import Finding
from contracts.matching import Book
from contracts.truth import INELIGIBLE, Verdict, judge

BILLS_PER_BLOCK: Final = 256
PAPERS_PER_BLOCK: Final = 512  # taken in
READS_PER_BLOCK: Final = 2_048  # papers read to judge trades
WATCHED_PER_BLOCK: Final = 64
MAX_QUEUE: Final = 4_096
MAX_WATCH: Final = 1_024
MAX_TOUCHED: Final = 4_096  # a longer backlog is left to assessments
ALERTS_PER_BILL: Final = 4


def begin_block(ctx: Context) -> None:
    """Take in new papers of enterprises that bill, judge the trades they touch, raise what is false."""
    queue: list[str] = ctx.get("queue") or []
    watch: list[str] = ctx.get("watch") or []
    reader = Reader(ctx)
    fresh = _new_bills(ctx)
    looked_at = watch[:WATCHED_PER_BLOCK]
    changed = [identifier for identifier in looked_at if _has_new(ctx, reader.enterprise(identifier), reader)]
    due = list(dict.fromkeys([*queue, *fresh, *changed]))[:MAX_QUEUE]
    work = _Work(ctx, reader)
    left = [identifier for identifier in due if not work.done_with(identifier)]
    turned = watch[WATCHED_PER_BLOCK:] + looked_at if len(watch) > WATCHED_PER_BLOCK else watch
    _put(ctx, "queue", queue, left)
    _put(ctx, "watch", watch, list(dict.fromkeys([*turned, *fresh]))[-MAX_WATCH:])


class _Work:
    """One block's work and what is left of its bounds."""

    def __init__(self, ctx: Context, reader: Reader) -> None:
        self._ctx = ctx
        self._reader = reader
        self._papers = PAPERS_PER_BLOCK
        self._reads = READS_PER_BLOCK

    def done_with(self, identifier: str) -> bool:
        """Take an enterprise's new papers in and judge what they touch; False when the block's bound came first."""
        enterprise = self._reader.enterprise(identifier)
        touched: list[list[str]] = self._ctx.get("touched", enterprise.id) or []
        before = touched
        complete = True
        for chain in self._ctx.chains():
            for name in enterprise.identifiers:
                added, finished = self._take_in(chain, name)
                touched = [*touched, *added]
                complete = complete and finished
        touched = touched[-MAX_TOUCHED:]
        while complete and touched and self._reads > 0:
            touched = self._judge(enterprise, touched)
        if touched != before:
            if touched:
                self._ctx.put("touched", enterprise.id, value=touched)
            else:
                self._ctx.delete("touched", enterprise.id)
        return complete and not touched

    def _take_in(self, chain: str, identifier: str) -> tuple[list[list[str]], bool]:
        """New papers of one index, entered under their topics; and whether that was all."""
        start: int = self._ctx.get("seen", chain, identifier) or 0
        length = self._reader.index_length(chain, identifier)
        end = min(length, start + self._papers)
        added = []
        for key in self._reader.index_rows(chain, identifier, start, end):
            doc = self._reader.document(chain, key)
            if doc is not None and trades.is_paper(doc):
                trades.enter(self._ctx, doc)
                added.append([chain, *key])
        if end > start:
            self._papers -= end - start
            self._ctx.put("seen", chain, identifier, value=end)
        return added, end == length

    def _judge(self, enterprise: Enterprise, touched: list[list[str]]) -> list[list[str]]:
        """Judge the trade of the first touched paper; gives the touched papers that it did not cover."""
        (chain, kind, issuer, number), *rest = touched
        start = self._reader.document(chain, (kind, issuer, number))
        papers = None if start is None else trades.papers_of(self._ctx, self._reader, enterprise, start)
        if papers is None:
            self._reads -= trades.MAX_PAPERS
            return rest
        self._reads -= len(papers)
        verdicts = judge(Book(papers, self._reader.party_of))
        raise_alerts(self._ctx, verdicts, papers, enterprise)
        covered = {(doc.chain, *doc.key) for doc in papers}
        return [place for place in rest if tuple(place) not in covered]


def raise_alerts(
    ctx: Context, verdicts: tuple[Verdict, ...], documents: tuple[Document, ...], enterprise: Enterprise
) -> list[int]:
    """Store and emit an alert for each false bill and rule not alerted before; gives their numbers."""
    chains: dict[bytes, list[str]] = {}
    for doc in documents:
        chains.setdefault(doc.id, []).append(doc.chain)
    raised = []
    for verdict in verdicts:
        if verdict.status in INELIGIBLE:
            false = [finding for finding in verdict.findings if finding.contradicts]
            for finding in false[:ALERTS_PER_BILL]:
                number = _raise(ctx, verdict, finding, chains, enterprise.id)
                if number is not None:
                    raised.append(number)
    return raised


def raise_alert(
    ctx: Context,
    *,
    rule: str,
    text: str,
    enterprise: str,
    to: Iterable[str],
    evidence: Iterable[bytes] = (),
    bill: Document | None = None,
    ours: str = "",
    theirs: str = "",
    mark: Value,
) -> int | None:
    """Store an alert and tell it to those concerned; gives its number, None when raised before under this mark.

    enterprise: party id. to: members and parties by id. bill: what it is about, if about one paper. ours, theirs: the
    two values compared. mark: any value; alerts of equal rule and mark are one.
    """
    mark_hash = ctx.hash(["tally/alert", 1, rule, mark])
    if ctx.get("alerted", mark_hash) is not None:
        return None
    number: int = ctx.get("alert_count") or 0
    alert = {
        "number": number,
        "height": ctx.height,
        "time": ctx.time,
        "enterprise": enterprise,
        "bill": [] if bill is None else list(bill.key),
        "id": b"" if bill is None else bill.id,
        "chain": "" if bill is None else bill.chain,
        "rule": rule,
        "text": text,
        "ours": ours,
        "theirs": theirs,
        "evidence": list(evidence),
    }
    told = sorted({recipient for recipient in to if recipient})
    ctx.put("alerted", mark_hash, value=number)
    ctx.put("alert", number, value={**alert, notices.TO: told})
    ctx.put("alert_count", value=number + 1)
    notices.notify(ctx, "alert", told, alert)
    return number


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


def _has_new(ctx: Context, enterprise: Enterprise, reader: Reader) -> bool:
    return any(
        reader.index_length(chain, identifier) > (ctx.get("seen", chain, identifier) or 0)
        for chain in ctx.chains()
        for identifier in enterprise.identifiers
    )


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
