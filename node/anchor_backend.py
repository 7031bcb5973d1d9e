"""What every anchoring backend is to the runner: one interface, one job, one diagram of states.

A backend puts a checkpoint of the consortium's log somewhere outside: a public chain (``evm``, ``ots``), a
time-stamp authority (``rfc3161``), a witness (``witness``). The runner (``node.anchoring``) decides when, keeps
the jobs on disk between any two steps, and reports what is final; a backend only takes a job and returns it in
its next state. It writes nothing itself.

    QUEUED ──prepare──► PREPARED ──submit──► SENT ◄──poll──► MINED ──finalize──► FINAL ──► export, confirmation
       ▲                                      │
       └────────────── press ─────────────────┘  what was prepared can no longer come true (a nonce spent elsewhere)

Whatever must outlive a crash (signed bytes, a nonce, a calendar's answer) is in ``Job.data``: canonical values
only. The runner syncs it to disk before the next step relies on it, so ``prepare`` makes what ``submit`` sends,
and ``submit`` may be called again with the same job at any time: after a restart, or to send it once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from chain.checkpoint import Checkpoint
from chain.codec import Value


class State(StrEnum):
    """Where an anchor stands. Only FINAL is exported and confirmed."""

    QUEUED = "QUEUED"
    PREPARED = "PREPARED"
    SENT = "SENT"
    MINED = "MINED"
    """It stands outside (in a block, in a token), and may still be taken back or prove wrong."""
    FINAL = "FINAL"


TRANSITIONS: Final = frozenset(
    {
        (State.QUEUED, State.PREPARED),
        (State.PREPARED, State.SENT),
        (State.SENT, State.SENT),
        (State.SENT, State.MINED),
        (State.SENT, State.QUEUED),
        (State.MINED, State.SENT),
        (State.MINED, State.MINED),
        (State.MINED, State.FINAL),
    }
)


class BackendError(Exception):
    """What keeps a backend from going on now (outage, refusal, an answer that contradicts itself); one line.

    The runner shows it, leaves the job where it is, and tries again at the next round.
    """


@dataclass(frozen=True)
class Job:
    """One anchor: a checkpoint (size, root) on its way to one backend.

    backend: the backend's name; prepared_at: ms since 1970 of the newest thing prepared; data: canonical values
    of the backend's own; proof: at FINAL, the bytes ``chain.anchor.verify_anchor`` checks.
    """

    backend: str
    size: int
    root: bytes
    state: State = State.QUEUED
    prepared_at: int = 0
    data: Mapping[str, Value] = field(default_factory=dict)
    proof: bytes | None = None

    def move(self, state: State, **changes: Any) -> Job:
        """The job in its next state. A move that the diagram does not show is a defect."""
        if (self.state, state) not in TRANSITIONS:
            raise AssertionError(f"an anchor never goes from {self.state} to {state}")
        return replace(self, state=state, **changes)

    def renewed(self) -> Job:
        """The job from the beginning."""
        return Job(self.backend, self.size, self.root)

    def checkpoint(self, network_id: bytes) -> Checkpoint:
        """What is anchored."""
        return Checkpoint(network_id, self.size, self.root)


class Verdict(StrEnum):
    """What this node's own view of the outside says of a confirmation."""

    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    """The confirmation is wrong, or this node's log or endpoint shows another history: an alarm."""
    LATER = "LATER"
    """Not to be decided now: endpoint away, block not final there, or own log behind. Ask again."""
    CANNOT = "CANNOT"
    """Not to be decided here: a public chain, authority or witness that this node does not know."""


class Check(NamedTuple):
    """A verdict with its reason, one line."""

    verdict: Verdict
    reason: str


Memory = Mapping[str, Value]
"""What a backend remembers of the outside itself between two starts (canonical values), beside its jobs."""


class Backend(Protocol):
    """One way outside. Subclass it: what has a body here is right for most backends.

    ``prepare`` … ``finalize`` are given one job of this backend and return it; arguments are positional.

    Every method but ``confirmation``, ``export``, ``status`` may talk to the outside; each raises BackendError
    for whatever the outside does. Nothing here may rely on a call before it having been made in this process.
    """

    @property
    def kind(self) -> str:
        """``evm``, ``ots``, ``rfc3161`` or ``witness``: what ``anchor.confirm`` calls backend."""

    @property
    def name(self) -> str:
        """Unique at this node, ``[a-z0-9-]+``: the jobs on disk are found by it, so a name keeps its meaning."""

    @property
    def place(self) -> str | None:
        """Under what the contract counts it (``contracts.anchor_kinds.place`` without ``DEVELOPMENT``), None before
        it is known."""

    @property
    def writes(self) -> bool:
        """Whether this node anchors here; else it only re-checks the others' confirmations."""

    def locked(self) -> AbstractContextManager[None]:
        """Held while the runner runs; where only one process may write (an account's nonces)."""
        return nullcontext()

    async def begin(self, memory: Memory, jobs: Sequence[Job], /) -> tuple[Memory, Sequence[Job]]:
        """Before each round: see that the outside is still the one that memory and jobs are about."""
        return memory, jobs

    async def prepare(self, job: Job, jobs: Sequence[Job], now: int, /) -> Job:
        """QUEUED → PREPARED: what ``submit`` sends, into ``data``. jobs: all of this backend's; now: ms."""

    async def submit(self, job: Job, /) -> tuple[Job, str | None]:
        """PREPARED or SENT → SENT: hand it over; with the outside's refusal, a text for the operator.

        A refusal decides nothing. An answer that is needed later (a pending time stamp) goes into ``data``.
        """

    async def poll(self, job: Job, /) -> Job:
        """SENT or MINED → where the outside has it now: MINED, or SENT when it does not stand there (any more)."""

    async def press(self, job: Job, _jobs: Sequence[Job], _now: int, /) -> Job:
        """SENT, and the outside does not have it: unchanged, or with other ``data`` (kept, then sent at once: a
        higher fee), or QUEUED again where what was prepared can never come true."""
        return job

    async def finalize(self, job: Job, /) -> Job:
        """MINED → FINAL with the proof, checked as a stranger would check it; unchanged where it is too early."""

    def confirmation(self, job: Job, /) -> dict[str, Value]:
        """FINAL → ``public_time`` (s) and the kind's own fields (``contracts.anchor_kinds``) for ``anchor.confirm``.

        ``backend``, ``size``, ``root`` and ``proof`` are the runner's. Repeats what the proof says, so that
        contracts and queries need not parse it.
        """

    def export(self, _job: Job, /) -> dict[str, bytes]:
        """FINAL → {file name: content} for people with the kind's stock tool, beside ``checkpoint.txt``."""
        return {}

    async def check(self, claim: Mapping[str, Any], checkpoint: Checkpoint, /) -> Check:
        """Re-check a confirmation of this kind with this node's *own* endpoint or pinned roots.

        claim: what the contract keeps, its form checked; checkpoint: of this node's own log, already found to have
        the claim's size and root. Every field of the claim that the proof also tells must agree. Never raises.
        """

    def status(self) -> dict[str, Any]:
        """For ``tally anchor status``: endpoint, note (``DEV-ANCHOR: proves nothing``) and what else helps."""

    async def close(self) -> None:
        """Give connections up."""
