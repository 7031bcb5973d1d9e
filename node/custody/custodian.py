"""What a node does for others' documents: takes their copies, says so on the chain, and heals what is lost.

Nothing is remembered but what the store and the chain say, so that a custodian that was killed at any moment goes on
where they stand. For each deposit one question is asked again and again (`next_step`) until there is nothing to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import trio

from node.custody.book import Book, DepositRow
from node.custody.calls import CallError, RefusedError, WrongAnswerError
from node.custody.puller import Puller, Wanted, wanted_of
from node.custody.server import InThread
from node.custody.shelf import Shelf
from node.custody.submissions import MAX_BATCH, Submissions
from node.documents import DocumentError
from node.driver import Log
from node.vault import Copies

LANES: Final = 2
"""Deposits of one chain that are pulled at the same time: each chain has lanes of its own, so that a member whose
node answers slowly or not at all keeps nobody else's documents waiting."""
MOST_LANES: Final = 8
"""With so many at work, a further chain gets but one."""
DUE_LOOKED_AT: Final = 64
"""Jobs of a chain that are looked at for one that is due; those that failed stand at the end."""
LOOK_S: Final = 0.25
LOOKED_AT: Final = 256
"""Deposits looked at in one pass, so that no pass takes long."""
PATIENCE_S: Final = 20.0
"""After so long without the owner, another custodian's copy will do."""
RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 8.0
PAUSE_S: Final = 5.0
"""How long nothing is taken once the store is full."""
RESCAN_S: Final = 300.0

Place: TypeAlias = tuple[str, int]
"""(chain, deposit number)."""
Verb: TypeAlias = Literal["nothing", "hold", "lost", "pull", "wait", "delete"]


class Step(NamedTuple):
    """What is to be done about a deposit, and whose copy it is about."""

    verb: Verb
    holder: str = ""


def next_step(row: DepositRow, member: str, have: Set[str], custodians: tuple[str, ...]) -> Step:
    """What a member does next about a deposit of another's chain. have: whose copies of it lie whole in its store."""
    here = sorted(have & row.roots.keys(), key=lambda holder: (holder != member, holder))
    best = here[0] if here else None
    says = row.held_as(member)
    if member not in custodians:
        if best is None or all(other in row.held for other in custodians):
            # Others keep it now: say that it is gone, then let it go.
            return Step("lost") if says is not None else Step("delete" if have else "nothing")
        return Step("wait")
    if best is None:
        return Step("lost") if says is not None else Step("pull", member)
    if says is not None and says != best and best != member:
        return Step("lost")  # what is held is exchanged for one's own copy only
    if says != best:
        return Step("hold", best)
    if best != member:
        return Step("pull", member) if member in row.roots else Step("wait")
    return Step("nothing") if have == {member} else Step("delete")


@dataclass
class _Job:
    """A deposit to be pulled."""

    tries: int = 0
    next_at: float = 0.0
    failing_since: float | None = None
    bytes_in: int = 0
    """That its attempts have brought."""

    def count(self, taken: int) -> None:
        """Bytes arrived."""
        self.bytes_in += taken


class Custodian:
    """One node's custodian duty. ``run`` is its task; the rest is for its owner, ``node.custody.service``."""

    def __init__(
        self,
        member: str,
        book: Book,
        copies: Copies,
        shelf: Shelf,
        puller: Puller,
        submissions: Submissions,
        in_thread: InThread,
        connected: Callable[[], set[str]],
        log: Log,
    ) -> None:
        self._member = member
        self._book = book
        self._copies = copies
        self._shelf = shelf
        self._puller = puller
        self._submissions = submissions
        self._in_thread = in_thread
        self._connected = connected
        self._log = log
        self._have: dict[Place, set[str]] = {}
        self._open: dict[Place, None] = {}
        """Deposits with something left to do, in the order in which they are looked at."""
        self._jobs: dict[str, dict[int, _Job]] = {}
        """By chain and deposit, in the order in which they are tried."""
        self._running: set[Place] = set()
        self._lanes: Counter[str] = Counter()
        self._nursery: trio.Nursery | None = None
        self._scanned: dict[str, int] = {}
        self._custodians: dict[str, tuple[str, ...]] = {}
        self._paused_until = 0.0
        self.paused = ""
        """Why nothing is taken now: the store is full or fails; "" otherwise."""
        self.problem = ""
        """Why the newest pull failed, "" after a success."""
        self.healed = 0
        self.changed = trio.Event()
        """Set and replaced when there may be something new to do."""

    async def run(self) -> None:
        """Do the duty until cancelled."""
        await self.load()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._rescan)
            while True:
                await self.survey()
                await self._until_changed()

    async def load(self) -> None:
        """See what lies in the store."""
        for chain, number, holder in await self._in_thread(lambda: list(self._copies.list())):
            if chain != self._member:
                self._have.setdefault((chain, number), set()).add(holder)
                self._open[chain, number] = None

    def wake(self) -> None:
        """A block was committed, or a link came up."""
        self.changed.set()
        self.changed = trio.Event()

    # -- what is to be done -----------------------------------------------------------------------------

    async def survey(self) -> None:
        """Look at new deposits and at those with something left to do; submit, delete, and list what to pull."""
        self._submissions.settle()
        for chain in self._book.members():
            if chain != self._member:
                self._extend(chain)
        holds: dict[tuple[str, str], list[int]] = {}
        losses: dict[str, list[int]] = {}
        for place in list(islice(self._open, LOOKED_AT)):
            del self._open[place]
            step = self._step(place)
            chain, number = place
            if step.verb == "pull":
                self._jobs.setdefault(chain, {}).setdefault(number, _Job())
            else:
                self._drop_job(place)
            if step.verb == "hold" and self._submissions.free(("hold", chain, number)):
                holds.setdefault((chain, step.holder), []).append(number)
            elif step.verb == "lost" and self._submissions.free(("lost", chain, number)):
                losses.setdefault(chain, []).append(number)
            elif step.verb == "delete":
                await self._tidy(place)
            if step.verb not in ("nothing", "delete"):
                self._open[place] = None
        if not self._jobs:
            self.paused = self.problem = ""
        self._open_lanes()
        for (chain, holder), numbers in holds.items():
            self._submit("hold", chain, numbers, {"of": holder})
        for chain, numbers in losses.items():
            self._submit("lost", chain, numbers, {})

    def _extend(self, chain: str) -> None:
        """New deposits of a chain; all of them again when its custodians changed."""
        custodians = self._book.custodians(chain)
        if self._custodians.get(chain) != custodians:
            self._custodians[chain] = custodians
            self._scanned[chain] = 0
        count, scanned = self._book.count(chain), self._scanned[chain]
        for number in range(scanned, min(count, scanned + LOOKED_AT)):
            self._open.setdefault((chain, number), None)
            self._scanned[chain] = number + 1

    def _step(self, place: Place) -> Step:
        row = self._book.deposit(*place)
        if row is None:  # copies of a deposit that this chain does not know yet: the node is catching up
            return Step("wait")
        return next_step(row, self._member, self._have.get(place, set()), self._custodians[place[0]])

    def _submit(self, method: str, chain: str, numbers: list[int], more: dict[str, Any]) -> None:
        for start in range(0, len(numbers), MAX_BATCH):
            batch = numbers[start : start + MAX_BATCH]
            arguments = {"chain": chain, "deposits": batch, **more}
            self._submissions.send(method, arguments, [(method, chain, number) for number in batch])

    async def _tidy(self, place: Place) -> None:
        """Delete the copies that are of no use any more: all but the own one where that is held."""
        row = self._book.deposit(*place)
        keep = {self._member} if row is not None and row.held_as(self._member) == self._member else set()
        for holder in sorted(self._have.get(place, set()) - keep):
            await self._delete(place, holder)

    async def _delete(self, place: Place, holder: str) -> None:
        try:
            await self._in_thread(self._copies.delete, *place, holder)
        except DocumentError as error:
            self._log.warning("copies not deleted", chain=place[0], deposit=place[1], reason=str(error))
        self._have.get(place, set()).discard(holder)
        self._shelf.forget(*place)

    def held(self) -> list[tuple[str, int, str]]:
        """(chain, deposit, holder) of all copies that lie here whole, sorted."""
        return sorted((*place, holder) for place, have in self._have.items() for holder in have)

    def holds(self, place: Place, holder: str) -> bool:
        """Whether these copies lie here whole."""
        return holder in self._have.get(place, ())

    async def drop(self, place: Place, holder: str, reason: str) -> None:
        """Copies turned out damaged or missing: say so on the chain, and take them again."""
        self._log.warning("copies lost", chain=place[0], deposit=place[1], holder=holder, reason=reason)
        await self._delete(place, holder)
        self._open[place] = None
        self.wake()

    # -- pulling ----------------------------------------------------------------------------------------

    def _open_lanes(self) -> None:
        """Each chain with something to pull has its lanes."""
        for chain, jobs in self._jobs.items():
            wanted = min(len(jobs), LANES if self._lanes.total() < MOST_LANES else 1)
            if self._nursery is not None and self._lanes[chain] < wanted:
                self._lanes[chain] += 1
                self._nursery.start_soon(self._lane, chain)

    async def _lane(self, chain: str) -> None:
        """Pull a chain's deposits until none is left to pull."""
        try:
            while chain in self._jobs:
                number = self._due(chain)
                if number is None:
                    await self._until_changed()
                    continue
                self._running.add((chain, number))
                try:
                    await self._attempt((chain, number), self._jobs[chain][number])
                finally:
                    self._running.discard((chain, number))
        finally:
            self._lanes[chain] -= 1

    def _due(self, chain: str) -> int | None:
        """The deposit whose job may be tried now and has waited longest."""
        now = trio.current_time()
        if now < self._paused_until:
            return None
        for number, job in islice(self._jobs[chain].items(), DUE_LOOKED_AT):
            if job.next_at <= now and (chain, number) not in self._running:
                return number
        return None

    def _drop_job(self, place: Place) -> None:
        jobs = self._jobs.get(place[0], {})
        jobs.pop(place[1], None)
        if not jobs:
            self._jobs.pop(place[0], None)

    async def _attempt(self, place: Place, job: _Job) -> None:
        """Try the sources in turn; what has come stays, whichever of them breaks off."""
        before = job.bytes_in
        for source, copies in list(self._sources(place, job)):
            try:
                await self._puller.pull(source, copies, job.count)
            except CallError as error:
                self._failed(place, job, error)
            except DocumentError as error:
                self._pause(place, error)
                return
            else:
                self._taken(place, copies.holder)
                return
        now = trio.current_time()
        if job.failing_since is None or job.bytes_in > before:
            job.failing_since = now
        job.next_at = now + min(LONGEST_RETRY_S, RETRY_S * 2**job.tries)
        job.tries = 0 if job.bytes_in > before else job.tries + 1
        jobs = self._jobs.get(place[0], {})
        if jobs.pop(place[1], None) is not None:  # behind the others; gone where it is wanted no more
            jobs[place[1]] = job

    def _sources(self, place: Place, job: _Job) -> Iterator[tuple[str, Wanted]]:
        """Whom to ask for which copies: the owner for the own ones; after a while, other custodians for theirs."""
        chain, number = place
        row = self._book.deposit(chain, number)
        if row is None:
            return
        connected = self._connected()
        if self._member in row.roots and chain in connected:
            yield chain, wanted_of(chain, row, self._member)
        waited = job.failing_since is not None and trio.current_time() - job.failing_since >= PATIENCE_S
        if not waited or self._have.get(place):
            return
        others = sorted(custodian for custodian in row.held if custodian in connected and custodian != self._member)
        turn = job.tries % len(others) if others else 0
        for custodian in others[turn:] + others[:turn]:
            holder = row.held_as(custodian)
            if holder is not None:
                yield custodian, wanted_of(chain, row, holder)

    def _taken(self, place: Place, holder: str) -> None:
        self._have.setdefault(place, set()).add(holder)
        self._drop_job(place)
        self._open[place] = None
        self._shelf.forget(*place)
        self.paused = self.problem = ""
        self.wake()

    def _failed(self, place: Place, job: _Job, error: CallError) -> None:
        self.problem = f"deposit {place[1]} of {place[0]}: {error.code} {error}"
        if isinstance(error, WrongAnswerError):
            self._log.warning(
                "wrong copies offered", chain=place[0], deposit=place[1], member=error.member, reason=str(error)
            )
            job.failing_since = trio.current_time() - PATIENCE_S  # a liar is not waited for
        elif isinstance(error, RefusedError) and error.code == "UNKNOWN_DEPOSIT":
            job.tries = 0  # it comes with its next block

    def _pause(self, place: Place, error: DocumentError) -> None:
        """The store is full or fails: nothing is taken for a while, and what has come stays."""
        if not self.paused:
            self._log.warning("custody paused", chain=place[0], deposit=place[1], code=error.code, reason=str(error))
        self.paused = f"{error.code} {error}"
        self._paused_until = trio.current_time() + PAUSE_S

    # -- looking again ----------------------------------------------------------------------------------

    async def _rescan(self) -> None:
        """From time to time look at everything again, whatever was believed of it."""
        while True:
            await trio.sleep(RESCAN_S)
            self._custodians.clear()
            await self._abandon()

    async def _abandon(self) -> None:
        """Forget what had begun to come of deposits that are not to be pulled any more."""
        for manifest in await self._in_thread(self._copies.unfinished):
            chain, number = manifest.chain, manifest.number
            wanted = number in self._jobs.get(chain, ()) or (chain, number) in self._open
            if chain != self._member and not wanted and (chain, number) not in self._running:
                await self._in_thread(self._copies.abandon, manifest)

    async def _until_changed(self) -> None:
        with trio.move_on_after(LOOK_S):
            await self.changed.wait()
        await trio.lowlevel.checkpoint()

    # -- what it says of itself -------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What it holds and still takes, chain by chain, and what keeps it from it."""
        member = self._member
        here: Counter[str] = Counter()
        substitutes: Counter[str] = Counter()
        for (chain, _), have in self._have.items():
            here[chain] += bool(have)
            substitutes[chain] += bool(have) and member not in have
        chains = here.keys() | {
            chain for chain in self._book.members() if chain != member and member in self._book.custodians(chain)
        }
        return {
            "paused": self.paused,
            "problem": self.problem or self._submissions.problem,
            "chains": {chain: self._chain_status(chain, here[chain], substitutes[chain]) for chain in sorted(chains)},
        }

    def _chain_status(self, chain: str, here: int, substitutes: int) -> dict[str, Any]:
        record = self._book.record(chain, self._member)
        return {
            "deposits": self._book.count(chain),
            "here": here,
            "substitutes": substitutes,
            "to_pull": len(self._jobs.get(chain, ())),
            "said_on_chain": self._book.held_count(chain, self._member),
            "challenges": None if record is None else record._asdict(),
        }
