"""One backend's line of anchors: from what is due, over its journal, to what the consortium chain knows.

Each backend has its line, and each line its own journal and its own task: an outage of one holds no other. One queued
checkpoint is enough: the newest covers all before it, because the log only grows. Two anchors of one checkpoint, by
two members, do no harm.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from chain.anchor import Anchor
from chain.checkpoint import Log
from chain.codec import Value
from contracts import anchor_kinds
from node.anchor_backend import Backend, BackendError, Job, State
from node.anchor_duty import Standing, Turn
from node.anchor_journal import AnchorJournal, Book, write_synced

CHECKPOINT_FILE: Final = "checkpoint.txt"

_log = structlog.get_logger("anchoring")


@dataclass(frozen=True)
class Pace:
    """takeover_seconds: how late one validator is before the next takes its turn; poll_seconds: between two rounds;
    resend_seconds: after which what was sent, or reported, and is not there is sent again."""

    takeover_seconds: int = 300
    poll_seconds: float = 5.0
    resend_seconds: int = 60


@dataclass(frozen=True)
class Consortium:
    """The consortium chain, as anchoring sees it.

    source: ``(first height, limit)`` → (height, block hash, certificate hash) in order, at most ``limit``; the
    certificate hash is the one the *next* block's header names, so the newest block is not among them yet. confirm:
    takes the arguments of ``anchor.confirm`` there. standing: see ``node.anchor_duty``. claims: ``(number)`` → the
    confirmations there from that number on, some at least. known: ``(place, proof)`` → whether this one is there.
    """

    source: Callable[[int, int], Sequence[tuple[int, bytes, bytes]]]
    confirm: Callable[[dict[str, Value]], Awaitable[object]]
    standing: Callable[[], Standing]
    claims: Callable[[int], Sequence[Mapping[str, Any]]]
    known: Callable[[str, bytes], bool]


class Line:
    """One backend's line. ``step`` is one round; ``request`` and ``status`` may be called beside it.

    log: the consortium's log, which another task extends; directory: of the journal and of ``final/``; now: ms.
    """

    def __init__(
        self,
        backend: Backend,
        consortium: Consortium,
        log: Log,
        network_id: bytes,
        directory: Path,
        pace: Pace,
        now: Callable[[], int],
        believed: Callable[[str | None, int], int],
    ) -> None:
        """believed: of a place and what the chain says is confirmed there, what this node's own checks leave of it.

        Raises AnchorJournalError for a damaged journal.
        """
        self.backend = backend
        self.problem: str | None = None
        """What keeps it from going on, one line."""
        self._consortium = consortium
        self._log = log
        self._network_id = network_id
        self._directory = directory
        self._pace = pace
        self._now = now
        self._believed = believed
        self._turn = Turn(pace.takeover_seconds)
        self._journal = AnchorJournal(directory / f"{backend.name}.journal")
        self._requested = 0
        self._sent_at: dict[int, int] = {}
        self._reported_at: dict[int, int] = {}
        self._refusals: dict[int, str] = {}
        self._exported: set[int] = set()

    async def step(self) -> None:
        """One round: queue what is due, move every job as far as it goes, report what is final."""
        problem: str | None = None
        try:
            await self._begin()
        except BackendError as error:
            problem = str(error)
        if self.backend.writes:
            await self._enqueue()
            if problem is None:
                problem = await self._advance_all()
        self.tell(problem)
        await self._report()

    def tell(self, problem: str | None) -> None:
        """Note what keeps the line from going on; said once."""
        if problem is not None and problem != self.problem:
            _log.warning("anchoring waits", backend=self.backend.name, reason=problem)
        self.problem = problem

    def request(self, size: int) -> bool:
        """Anchor this checkpoint at the next round, whosever turn it is; False where there is nothing to anchor."""
        asked = self.backend.writes and size > self._covered()
        self._requested = size if asked else 0
        return asked

    def queue(self) -> list[dict[str, Any]]:
        """What is under way: backend, size, state."""
        name = self.backend.name
        return [{"backend": name, "size": job.size, "state": job.state.value} for job in self._jobs]

    def status(self) -> dict[str, Any]:
        """The backend's own status, and: backend, kind, writes, problem, confirmed (blocks), queue."""
        place = self.backend.place
        return {
            "backend": self.backend.name,
            "kind": self.backend.kind,
            "place": place,
            "writes": self.backend.writes,
            "problem": self.problem,
            "confirmed": self._consortium.standing().confirmed(place),
            "queue": self.queue(),
            **self.backend.status(),
        }

    @property
    def _jobs(self) -> tuple[Job, ...]:
        return self._journal.book.jobs

    async def _begin(self) -> None:
        book = self._journal.book
        memory, jobs = await self.backend.begin(book.memory, book.jobs)
        begun = Book(dict(memory), tuple(jobs))
        if begun != replace(book, memory=dict(book.memory)):
            await self._save(begun)

    async def _enqueue(self) -> None:
        """Put the due checkpoint into the journal, in the place of one still queued."""
        book, confirmed = self._journal.book, self._confirmed()
        for job in book.jobs:
            if job.state is State.QUEUED and job.size <= confirmed:  # another member was faster
                book = book.without(job.size)
        size = self._due_size()
        if size is not None:
            self._requested = 0
            for job in book.jobs:
                if job.state is State.QUEUED:
                    book = book.without(job.size)
            book = book.with_job(Job(self.backend.name, size, self._log.root(size)))
            _log.info("anchor queued", backend=self.backend.name, size=size)
        if book != self._journal.book:
            await self._save(book)

    def _due_size(self) -> int | None:
        """The size to anchor now, or None."""
        covered = self._covered()
        if self._requested > covered:
            return self._requested
        return self._turn.due(self._consortium.standing(), len(self._log), covered, self._now())

    def _confirmed(self) -> int:
        place = self.backend.place
        return self._believed(place, self._consortium.standing().confirmed(place))

    def _covered(self) -> int:
        """The largest size that is anchored or on its way from here."""
        return max([self._confirmed(), *(job.size for job in self._jobs)])

    async def _advance_all(self) -> str | None:
        """Move every job, lowest size first; what kept one of them back, or None."""
        problem: str | None = None
        sizes = [job.size for job in self._jobs]
        self._refusals = {size: reason for size, reason in self._refusals.items() if size in sizes}
        for size in sizes:
            try:
                await self._advance(size)
            except BackendError as error:
                problem = f"anchor of {size} blocks: {error}"
        refused = [f"anchor of {size} blocks: {reason}" for size, reason in self._refusals.items()]
        return problem or next(iter(refused), None)

    async def _advance(self, size: int) -> None:
        """Move one job as far as it goes now. Each state is on disk before the next step relies on it."""
        job = self._journal.book.job(size)
        if job is None:
            raise AssertionError("a job is taken out by its own line only, between two rounds")
        if job.state is State.QUEUED:
            job = await self._keep(await self.backend.prepare(job, self._jobs, self._now()))
        if job.state is State.PREPARED:
            job = await self._send(job)
        if job.state in (State.SENT, State.MINED):
            job = await self._keep(await self.backend.poll(job))
        if job.state is not State.SENT:
            self._refusals.pop(size, None)
        if job.state is State.SENT:
            await self._press(job)
        elif job.state is State.MINED:
            await self._keep(await self.backend.finalize(job))

    async def _press(self, job: Job) -> None:
        """A job that does not stand outside yet: prepared anew, or otherwise, or sent again as it is."""
        pressed = await self._keep(await self.backend.press(job, self._jobs, self._now()))
        if pressed.state is State.QUEUED:
            return
        # After a restart nothing is remembered as sent, so that a crash is answered at once.
        late = self._now() - self._sent_at.get(job.size, 0) >= self._pace.resend_seconds * 1000
        if pressed != job or late:
            await self._send(pressed)

    async def _send(self, job: Job) -> Job:
        self._sent_at[job.size] = self._now()
        job, refusal = await self.backend.submit(job)
        if refusal is not None:
            self._refusals[job.size] = refusal
        return await self._keep(job)

    async def _keep(self, job: Job) -> Job:
        """Put a job's new state on disk; returns when it is durable."""
        book = self._journal.book.with_job(job)
        if book != self._journal.book:
            await self._save(book)
            _log.info("anchor", backend=self.backend.name, size=job.size, state=job.state.value)
        return job

    async def _save(self, book: Book) -> None:
        # Shielded: a cancellation must not leave the memory behind what the disk says.
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._journal.save, book)

    async def _report(self) -> None:
        """Export what is final, and take it to the consortium chain until that knows it."""
        view, now = self._consortium.standing(), self._now()
        for job in self._jobs:
            if job.state is not State.FINAL or job.proof is None:
                continue
            if job.size not in self._exported:
                await self._export(job)
            own = self.backend.confirmation(job)
            place = anchor_kinds.place(self.backend.kind, own)
            # Who has no vote (any more) cannot report: what another member reported covers it.
            if self._consortium.known(place, job.proof) or (view.rank is None and job.size <= view.confirmed(place)):
                await self._save(self._journal.book.without(job.size))
                self._sent_at.pop(job.size, None)
                self._reported_at.pop(job.size, None)
            elif now - self._reported_at.get(job.size, 0) >= self._pace.resend_seconds * 1000:
                self._reported_at[job.size] = now
                await self._confirm(job, own)

    async def _confirm(self, job: Job, own: Mapping[str, Value]) -> None:
        common: dict[str, Value] = {"size": job.size, "root": job.root, "proof": job.proof}
        try:
            await self._consortium.confirm({"backend": self.backend.kind, **common, **own})
        except Exception as error:  # whatever keeps the ledger from taking it now, a later round tries again
            name = self.backend.name
            _log.warning("anchor confirmation not taken", backend=name, size=job.size, reason=str(error))

    async def _export(self, job: Job) -> None:
        """Write a final anchor for evidence bundles, ``tally anchor verify``, and the kind's stock tool."""
        folder = self._directory / "final" / f"{job.size:012}"
        checkpoint, name = job.checkpoint(self._network_id), self.backend.name
        note = str(self.backend.status().get("note", ""))
        document = Anchor(checkpoint, self.backend.kind, job.proof or b"", note).to_json()
        files = {
            CHECKPOINT_FILE: checkpoint.body,
            **self.backend.export(job),
            f"{name}.json": json.dumps(document, indent=1).encode() + b"\n",
        }
        for file, content in files.items():
            await trio.to_thread.run_sync(write_synced, folder / file, content)
        self._exported.add(job.size)
