"""The book: what became of every bill, kept as papers come in; nothing here reads a history (DOMAIN 3, Truth).

begin_block takes in what the members' logs of records have new (contracts/records.py), enters the papers into the
indexes, and judges every trade that something touched: a new or corrected paper, a confirmation, a dispute, an
identifier that a party has claimed, a day that has come. A verdict depends on the papers taken in and on nothing
else, so it is the same however the blocks were cut. Everything is bounded by block; what does not fit waits, oldest
first, an enterprise's papers after another's.

    trades.py       which papers hang together          truth.py, goods.py   the judgement of one trade
    pending.py      what is still to be judged          verdicts.py          verdicts and their running sums
    naming.py       identifiers claimed later           progress.py          a contract's stages
    suspicions.py, flows.py, alerts.py                  what is told

State, on the consortium chain, in the credit contract's namespace (and that of the files above):
    ("log_seen", chain) -> [page, row] of the log that comes next
    ("settled",) -> identifiers whose trades transactions have judged since the last block
"""

from __future__ import annotations

from typing import Final

from contracts import alerts, flows, naming, progress, suspicions, trades, verdicts
from contracts.alerts import Alarm
from contracts.context import Context
from contracts.decimal_text import NOTHING, Scaled
from contracts.documents import Document, lines
from contracts.errors import ContractError
from contracts.evidence import Enterprise, Reader
from contracts.matching import Book, Trade, is_paper
from contracts.pending import Pending
from contracts.record import NaturalKey
from contracts.records import FOLLOWED, IMPLAUSIBLE
from contracts.trades import Closure, Place, Touched, place_of
from contracts.truth import Verdict, judge_trade, too_large
from contracts.verdicts import Truth, doubtful_bills, false_bills, truth_of, verdict_of

__all__ = ["Truth", "doubtful_bills", "false_bills", "is_behind", "run", "settle", "touch", "truth_of", "verdict_of"]

PAPERS_PER_BLOCK: Final = 512  # taken in
READS_PER_BLOCK: Final = 2_048  # papers read to judge trades, a paper of many lines counting several times
ALERTS_PER_BLOCK: Final = 256  # a receipt holds 1,024 events, others' among them
CLAIMED_PER_BLOCK: Final = 256  # papers judged anew because of a claimed identifier

PAPERS_PER_CALL: Final = 256
READS_PER_CALL: Final = 1_024
ALERTS_PER_CALL: Final = 64

LINES_PER_READ: Final = 8
TOPICS_PER_READ: Final = 8


def run(ctx: Context, reader: Reader) -> tuple[str, ...]:
    """In begin_block: take in new papers and judge the trades they touch, within bounds.

    Gives the ids (party, else identifier) of the enterprises of which something was judged since the last block, or a
    contract was sealed or corrected.
    """
    work = _Work(ctx, reader, READS_PER_BLOCK, ALERTS_PER_BLOCK)
    if work.judge_pending():
        work.take_log(PAPERS_PER_BLOCK)
        # Now that the block's own papers are here: whoever was to show one by today may just have done so.
        work.take_claims(CLAIMED_PER_BLOCK)
        for place in suspicions.fall_due(ctx):
            work.pending.add(trades.touched_by(ctx, reader, place))
        work.judge_pending()
    work.pending.save()
    settled: list[str] = ctx.get("settled") or []
    if settled:
        ctx.delete("settled")
    return tuple(sorted({reader.universe(identifier).id for identifier in (*work.judged, *settled)}))


def is_behind(ctx: Context) -> bool:
    """Whether papers are still to be taken in or judged: what one block's bounds left over."""
    return bool(ctx.get("pending")) or not all(_is_taken(ctx, chain) for chain in ctx.chains())


def touch(ctx: Context, chain: str, key: NaturalKey) -> None:
    """Something about a paper changed that no record shows (a confirmation, a dispute): judge its trade again."""
    pending = Pending(ctx)
    pending.add(trades.touched_by(ctx, Reader(ctx), (chain, *key)))
    pending.save()


def settle(ctx: Context, reader: Reader, enterprise: Enterprise) -> None:
    """Bring an enterprise's verdicts up to this very transaction.

    Raises ContractError NOT_SETTLED when what is pending exceeds the bound of one transaction.
    """
    work = _Work(ctx, reader, READS_PER_CALL, ALERTS_PER_CALL)
    complete = work.take_claims(PAPERS_PER_CALL) and work.take_log(PAPERS_PER_CALL)
    complete = complete and work.judge_pending(enterprise.identifiers)
    if not complete:
        raise ContractError(
            "NOT_SETTLED", f"papers of {enterprise.id} are still being judged: call again after the next block"
        )
    work.pending.save()
    settled: list[str] = ctx.get("settled") or []
    added = [identifier for identifier in work.judged if identifier not in settled]
    if added:
        ctx.put("settled", value=[*settled, *added])


class _Work:
    """The work of one hook or transaction, and what is left of its bounds."""

    def __init__(self, ctx: Context, reader: Reader, reads: int, most_alerts: int) -> None:
        self._ctx = ctx
        self._reader = reader
        self._reads = reads
        self._work = reads * TOPICS_PER_READ  # places of the index that new papers may touch
        self._alarm = Alarm(ctx, reader, most_alerts)
        self.pending = Pending(ctx)
        self.judged: dict[str, None] = {}

    def take_claims(self, most: int) -> bool:
        """Papers that name identifiers claimed since; False when more are left."""
        places, complete = naming.claimed(self._ctx, most)
        for place in places:
            self.pending.add(trades.touched_by(self._ctx, self._reader, place))
        return complete

    def take_log(self, most: int) -> bool:
        """Take in new papers, each chain its share first; False when more are left."""
        chains = self._ctx.chains()
        if not chains:
            return True
        first = self._ctx.height % len(chains)
        turn = (*chains[first:], *chains[:first])
        left = most
        for chain in turn:
            left -= self._take_chain(chain, max(1, most // len(chains)))
        for chain in turn:
            left -= self._take_chain(chain, max(0, left))
        return all(_is_taken(self._ctx, chain) for chain in chains)

    def judge_pending(self, identifiers: tuple[str, ...] | None = None) -> bool:
        """Judge what is pending, of all or of these identifiers; False when the bound came first.

        Of all: stops too when alerts find no room. Of some: judges on, and leaves those papers pending for their
        alerts.
        """
        if identifiers is None:
            return self._judge_turns(None)
        return all(self._judge_turns((identifier,)) for identifier in identifiers)

    def _judge_turns(self, identifiers: tuple[str, ...] | None) -> bool:
        put_off: set[Touched] = set()
        while (touched := self.pending.next(identifiers)) is not None:
            if touched in put_off:
                return True
            if self._reads <= 0 or (self._alarm.is_full and identifiers is None):
                return False
            self._alarm.missed = False
            self._judge(*touched)
            if self._alarm.missed:
                put_off.add(touched)
                self.pending.add([touched])
        return True

    def _take_chain(self, chain: str, most: int) -> int:
        """Take in rows of one chain's log; gives how many."""
        pages: int = self._ctx.read(chain, "records", "log_count") or 0
        page, row = before = self._ctx.get("log_seen", chain) or [0, 0]
        taken = 0
        while page < pages and taken < most:
            rows = self._ctx.read(chain, "records", "log", page)
            while row < len(rows) and taken < most and self._work > 0 and not self._alarm.is_full:
                kind, issuer, number, flags = rows[row]
                self._take_in(chain, (kind, issuer, number), flags)
                row, taken = row + 1, taken + 1
            if row < len(rows):
                break
            page, row = page + 1, 0
        if [page, row] != before:
            self._ctx.put("log_seen", chain, value=[page, row])
        return taken

    def _take_in(self, chain: str, key: NaturalKey, flags: int) -> None:
        doc = self._reader.document(chain, key)
        if doc is None:
            return
        if flags & IMPLAUSIBLE:
            alerts.implausible(self._alarm, doc)
        if not flags & FOLLOWED:
            return
        if not is_paper(doc):
            self.judged[doc.record.enterprise] = None  # a contract: lines look at what it says now
            return
        self._work -= trades.work_of(self._ctx, self._reader, doc)
        known = self._ctx.get("paper", *place_of(doc)) is not None
        self.pending.add(trades.enter(self._ctx, self._reader, doc))
        naming.enter(self._ctx, self._reader, doc)
        if doc.category == "bill":
            suspicions.enter(self._ctx, self._reader, self._alarm, doc, known=known)
            flows.enter(self._ctx, self._reader, self._alarm, doc)

    def _judge(self, identifier: str, place: Place) -> None:
        """Judge the trade of a paper in one enterprise's book, with all that hangs together with it."""
        ctx, reader = self._ctx, self._reader
        universe = reader.universe(identifier)
        found = trades.closure(ctx, reader, universe.identifiers, place)
        self._reads -= _cost(found, universe)
        own = {at: doc for at, doc in found.documents.items() if doc.record.enterprise in universe.identifiers}
        if found.large:
            self._leave_unjudged(own)
            self.pending.add(trades.unmet(ctx, universe.identifiers, found))
        else:
            trades.forget_large(ctx, universe.identifiers, found.topics)
            self._judge_book(Book(found.documents.values(), reader.party_of), own, universe)
        self.pending.done(universe.identifiers, found.documents)
        self.judged[identifier] = None

    def _leave_unjudged(self, own: dict[Place, Document]) -> None:
        for place, doc in own.items():
            if doc.kind == "order":
                progress.store(self._ctx, place, None)
            if doc.category == "bill":
                self._store(too_large(doc, trades.MAX_PAPERS), NOTHING)

    def _judge_book(self, book: Book, own: dict[Place, Document], universe: Enterprise) -> None:
        ctx, party_of = self._ctx, self._reader.party_of
        documents = {doc.id: doc for doc in own.values()}
        leads: dict[Place, progress.Share | None] = {place: None for place, doc in own.items() if doc.kind == "order"}
        for trade in book.trades():
            found = judge_trade(trade, book, lambda bill: verdicts.is_upheld(ctx, bill, party_of))
            confirmed = frozenset(v.bill.id for v in found if verdicts.is_confirmed(ctx, v.bill, party_of))
            if trade.orders:
                leads[place_of(trade.orders[0])] = progress.share_of(trade, book, found, confirmed)
            for verdict in found:
                if place_of(verdict.bill) in own:
                    self._store(verdict, progress.open_of(verdict, found, book))
                    alerts.of_verdict(self._alarm, verdict, documents)
                    suspicions.look(ctx, self._reader, self._alarm, verdict, book, universe)
        for place, share in leads.items():
            progress.store(ctx, place, share)

    def _store(self, verdict: Verdict, still_open: Scaled) -> None:
        contract = _contract_of(verdict.trade)
        entry = verdicts.entry_of(self._ctx, verdict, contract, still_open, self._reader.party_of)
        verdicts.store(self._ctx, place_of(verdict.bill), entry)


def _contract_of(trade: Trade) -> list[str]:
    row = progress.row_of(trade)
    return [] if row is None else [row.kind, row.issuer, row.number]


def _cost(found: Closure, universe: Enterprise) -> int:
    """What a closure counts against the bound of reads."""
    rows = sum(len(lines(doc)) for doc in found.documents.values())
    looked_up = len(found.topics) * len(universe.identifiers)
    return 1 + len(found.documents) + rows // LINES_PER_READ + looked_up // TOPICS_PER_READ


def _is_taken(ctx: Context, chain: str) -> bool:
    """Whether a chain's whole log has been taken in."""
    page, _ = ctx.get("log_seen", chain) or (0, 0)
    return bool(page == (ctx.read(chain, "records", "log_count") or 0))
