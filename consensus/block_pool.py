"""The block bodies of one undecided height: who gave them, whether they execute, which are missing.

A digest binds the header, but only execution binds the body to the header. So a failure is charged to the peer that
gave the body and the body is dropped: a liar that attaches a wrong body to a right digest can neither poison the
digest nor make a node believe that its own state diverged. Successes are cached by digest (R3, re-proposals).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from consensus.messages import BlockView

MAX_BODIES: Final = 16
"""Bodies kept besides those agreement still needs (R10)."""


class BlockPool:
    """Bodies by digest, with their source and state of execution."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, tuple[BlockView, str]] = {}
        self._executed: set[bytes] = set()
        self._executing: set[bytes] = set()
        self._failed: dict[bytes, set[str]] = {}
        self._wanted: dict[bytes, int] = {}

    def get(self, digest: bytes) -> BlockView | None:
        """The body of ``digest``, if it is here."""
        entry = self._bodies.get(digest)
        return None if entry is None else entry[0]

    def offer(self, block: BlockView, source: str, needed: Collection[bytes], *, executed: bool = False) -> None:
        """Take a body from ``source`` unless one is here or this source's copy failed; forget the oldest unneeded."""
        digest = block.digest
        if digest in self._bodies or source in self._failed.get(digest, ()):
            return
        self._bodies[digest] = (block, source)
        self._wanted.pop(digest, None)
        if executed:
            self._executed.add(digest)
        # One that executes stays: its result must not be taken for that of another body.
        kept = self._executing.union(needed, [digest])
        unneeded = [stale for stale in self._bodies if stale not in kept]
        for stale in unneeded[: max(0, len(unneeded) - MAX_BODIES)]:
            del self._bodies[stale]
            self._executed.discard(stale)
        while len(self._failed) > MAX_BODIES:
            del self._failed[next(iter(self._failed))]

    def is_executed(self, digest: bytes) -> bool:
        """Whether the body executed and its roots agreed."""
        return digest in self._executed

    def start(self, digest: bytes) -> BlockView | None:
        """The body to execute, once: None while it runs, when it is missing or when it is done."""
        if digest in self._executing or digest in self._executed or digest not in self._bodies:
            return None
        self._executing.add(digest)
        return self._bodies[digest][0]

    def finish(self, digest: bytes, ok: bool) -> bool:
        """Take the result of an execution; False where it is stale."""
        if digest not in self._executing:
            return False
        self._executing.discard(digest)
        if ok:
            self._executed.add(digest)
        else:
            _, source = self._bodies.pop(digest)
            self._failed.setdefault(digest, set()).add(source)
        return True

    def failures(self, digest: bytes, validators: Collection[str]) -> int:
        """How many validators gave a body that failed; more than f means that an honest one's failed too.

        Other peers (observers) are not counted: nothing bounds how many of them lie.
        """
        return sum(source in validators for source in self._failed.get(digest, ()))

    def want(self, digest: bytes) -> bool:
        """Note that ``digest`` is missing; True the first time."""
        if digest in self._bodies or digest in self._wanted:
            return False
        self._wanted[digest] = 0
        return True

    @property
    def wanted(self) -> list[bytes]:
        """Missing digests, oldest first."""
        return list(self._wanted)

    def forget_wanted(self, needed: Collection[bytes]) -> None:
        """Stop asking for what agreement no longer needs."""
        for digest in [digest for digest in self._wanted if digest not in needed]:
            del self._wanted[digest]

    def next_source(self, digest: bytes, candidates: Sequence[str]) -> str | None:
        """Whom to ask for ``digest`` now: another one at each attempt, none whose copy failed (R9)."""
        failed = self._failed.get(digest, set())
        usable = [peer for peer in candidates if peer not in failed]
        if not usable:
            return None
        attempt = self._wanted.get(digest, 0)
        self._wanted[digest] = attempt + 1
        return usable[attempt % len(usable)]
