"""Anchoring: at every interval one validator puts the log's checkpoint outside, at each place it is set up for.

The runner ties together the log (``chain.checkpoint``), one line of jobs for each backend (``node.anchor_line``), and
the re-check of the others' confirmations (``node.anchor_check``). It runs beside agreement and never in its way, and
its backends run beside each other: an outage queues, and shows as the anchor's age.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from chain.checkpoint import Log, leaf
from node.anchor_backend import Backend, Check
from node.anchor_check import Watch, check
from node.anchor_key import AnchorKeyError
from node.anchor_line import Consortium, Line, Pace

LOG_BATCH: Final = 256
"""Blocks read from the ledger between two chances for other tasks to run."""

_log = structlog.get_logger("anchoring")


class Anchorer:
    """The runner. ``run`` is its one task; ``status``, ``request``, ``check`` may be called beside it.

    log: shared with the backends that prove from it, filled here; directory: for journals and final anchors;
    now: ms since 1970.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        directory: Path,
        network_id: bytes,
        consortium: Consortium,
        *,
        log: Log | None = None,
        pace: Pace | None = None,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Raises AnchorJournalError for a damaged journal, ValueError without a backend."""
        if not backends:
            raise ValueError("anchoring needs at least one backend")
        self._backends = backends
        self._directory = directory
        self._network_id = network_id
        self._consortium = consortium
        self._log = Log() if log is None else log
        self._pace = Pace() if pace is None else pace
        self._now = now
        self._watch = Watch(consortium.claims, self.check, directory / "checked")
        believed = self._watch.believed
        self._lines = [
            Line(backend, consortium, self._log, network_id, directory, self._pace, now, believed)
            for backend in backends
        ]

    async def run(self) -> None:
        """Anchor until cancelled. Raises AnchorKeyError where another process writes with the same account."""
        with ExitStack() as locks:
            for backend in self._backends:
                locks.enter_context(backend.locked())
            try:
                async with trio.open_nursery() as nursery:
                    for line in self._lines:
                        nursery.start_soon(self._go_on, line)
                    nursery.start_soon(self._look_on)
            finally:
                await self.close()

    async def close(self) -> None:
        """Give the connections up; nothing can be asked outside afterwards."""
        with trio.CancelScope(shield=True):
            for backend in self._backends:
                await backend.close()

    async def step(self) -> None:
        """One round of every line, beside each other, then of the re-check."""
        await self._extend_log()
        async with trio.open_nursery() as nursery:
            for line in self._lines:
                nursery.start_soon(line.step)
        await self._watch.step()

    def request(self) -> bool:
        """Anchor what there is at the next round, whosever turn it is (``tally anchor now``).

        False where every block is anchored or on its way everywhere. Raises AnchorKeyError where this node writes
        nowhere.
        """
        if not any(backend.writes for backend in self._backends):
            raise AnchorKeyError("this node anchors nowhere, it only re-checks: ask a validator that does")
        size = len(self._log)  # one checkpoint, the same at every place
        asked = [line.request(size) for line in self._lines]
        return any(asked)

    def prove(self, height: int, size: int) -> list[bytes]:
        """The inclusion path of consortium block ``height`` in the checkpoint of ``size``.

        Raises IndexError where the log does not reach so far (yet).
        """
        return self._log.inclusion(height - 1, size)

    async def check(self, claim: Mapping[str, Any]) -> Check:
        """Re-check a confirmation against this node's own log and backends (``node.anchor_check``)."""
        await self._extend_log()
        return await check(claim, self._log, self._network_id, self._backends)

    def status(self) -> dict[str, Any]:
        """What ``tally anchor status`` shows. age_seconds: since what the policy counts as anchored last grew (from
        genesis before); classes: the same for each class that the policy needs, None before its first; problem and
        queue: of all backends, whose own are in backends."""
        view = self._consortium.standing()
        progress = self._watch.progress
        notes = [line["note"] for line in (each.status() for each in self._lines) if line.get("note")]
        return {
            "backends": [line.status() for line in self._lines],
            "note": notes[0] if notes else "",
            "problem": next((f"{line.backend.name}: {line.problem}" for line in self._lines if line.problem), None),
            "queue": [job for line in self._lines for job in line.queue()],
            "alarms": list(self._watch.alarms),
            "mismatches": self._watch.mismatches,
            "checked": progress.number - len(progress.open),
            "unchecked": len(progress.open),
            "log_size": len(self._log),
            "anchored": view.anchored,
            "age_seconds": age(self._now(), view.anchored_at),
            "classes": {
                group: {"anchored": reached.size, "age_seconds": age(self._now(), reached.time)}
                for group, reached in view.classes.items()
            },
        }

    async def _go_on(self, line: Line) -> None:
        """One line's rounds. A defect in one backend is told and holds no other, nor the node."""

        async def one_round() -> None:
            await self._extend_log()
            try:
                await line.step()
            except Exception as error:
                _log.exception("anchoring failed", backend=line.backend.name)
                line.tell(f"{type(error).__name__}: {error}: report this with the log")

        await self._repeat(one_round)

    async def _look_on(self) -> None:
        """The re-check's rounds, with the same care."""

        async def one_round() -> None:
            try:
                await self._watch.step()
            except Exception:
                _log.exception("re-checking anchors failed")

        await self._repeat(one_round)

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await step()
            await trio.sleep(self._pace.poll_seconds)

    async def _extend_log(self) -> None:
        """Take in the blocks that became known. Gives way to other tasks between batches."""
        while blocks := self._consortium.source(len(self._log) + 1, LOG_BATCH):
            for height, block_hash, certificate_hash in blocks:
                if height != len(self._log) + 1:
                    raise AssertionError(f"the ledger gave block {height} where {len(self._log) + 1} follows")
                self._log.append(leaf(self._network_id, height, block_hash, certificate_hash))
            await trio.lowlevel.checkpoint()


def age(now: int, since: int) -> int | None:
    """Seconds between two times in ms, None where there is no first one."""
    return max(0, now - since) // 1000 if since else None
