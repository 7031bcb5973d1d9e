"""How fast documents move: never so fast that votes wait.

Documents take what agreement leaves. Whether it leaves anything is seen where it counts, in how long transactions
wait for their block: the newest one is marked, and the next one when that is in a block. While they wait too long, a
piece is asked for only now and then; else after a moment for a loop that is late. Waiting is the asker's: what a node
serves is bounded by what the others ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import trio

LOOK_S: Final = 0.05
SLOW_S: Final = 1.5
"""Transactions that wait longer than this for their block: agreement has more to do than it can."""
PAUSE_S: Final = 0.25
"""Then each piece waits so long; everything gets there nevertheless."""
CALM_S: Final = 0.01
"""Lateness of the loop up to here is nothing to wait for."""
BREATH_S: Final = 0.02
SMOOTH: Final = 0.25

Newest: TypeAlias = Callable[[], bytes | None]
"""The id of the transaction that came last of those that wait, None where none waits."""
Waits: TypeAlias = Callable[[bytes], bool]
"""Whether the transaction of an id still waits."""


class _Mark(NamedTuple):
    tx_id: bytes
    since: float


class Pace:
    """Called before each piece; ``run`` measures."""

    def __init__(self, newest: Newest, waits: Waits) -> None:
        self._newest = newest
        self._waits = waits
        self._mark: _Mark | None = None
        self._took_s = 0.0
        self.late_s = 0.0
        """How late the loop is now, smoothed."""

    @property
    def slow(self) -> bool:
        """Whether transactions wait too long now."""
        waiting = 0.0 if self._mark is None else trio.current_time() - self._mark.since
        return max(waiting, self._took_s) > SLOW_S

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + LOOK_S
            await trio.sleep_until(due)
            self.late_s += (trio.current_time() - due - self.late_s) * SMOOTH
            self._look()

    async def __call__(self, size: int) -> None:
        """Return when ``size`` more bytes may be moved."""
        if size and self.slow:
            await trio.sleep(PAUSE_S)
        elif self.late_s > CALM_S:
            await trio.sleep(BREATH_S)
        await trio.lowlevel.checkpoint()

    def _look(self) -> None:
        now, mark = trio.current_time(), self._mark
        if mark is not None and self._waits(mark.tx_id):
            return
        self._took_s = 0.0 if mark is None else now - mark.since
        newest = self._newest()
        self._mark = None if newest is None else _Mark(newest, now)
