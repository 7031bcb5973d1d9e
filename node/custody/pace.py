"""How fast documents move: never so fast that votes wait.

Documents take what agreement leaves. Whether it leaves anything is seen where it counts: where everything fits, a
transaction is in the block after the one that is being agreed on as it comes. So the newest one is marked, its blocks
are counted, and when it is through the next one is. While they wait for more than that, a piece is asked for only now
and then; else after a moment for a loop that is late. Waiting is the asker's: what a node serves is bounded by what
the others ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import trio

from node.custody.messages import MAX_PIECE

LOOK_S: Final = 0.05
SLOW_BLOCKS: Final = 3
"""A transaction that is in none of so many blocks: agreement has more to do than it can."""
SLOW_S: Final = 5.0
"""Likewise, in seconds, where no block comes at all."""
PAUSE_S: Final = 0.15
"""Then each piece waits so long: about 2.4 MB/s a custodian, a tenth of a two-core machine with four nodes."""
MOST_PAUSES: Final = 64
"""Before one request's documents are taken in, so that nobody gives up waiting: 10 s."""
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
    height: int


class Pace:
    """Called before each piece; ``run`` measures."""

    def __init__(self, newest: Newest, waits: Waits, height: Callable[[], int]) -> None:
        self._newest = newest
        self._waits = waits
        self._height = height
        self._mark: _Mark | None = None
        self._slow = False
        """Whether the transaction marked before waited too long."""
        self.late_s = 0.0
        """How late the loop is now, smoothed."""

    @property
    def slow(self) -> bool:
        """Whether transactions wait too long now."""
        return self._slow or self._waited(self._mark)

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

    async def take_in(self, size: int) -> None:
        """Return when ``size`` bytes may be taken in: while transactions wait too long, as slowly as they
        would be handed on."""
        pauses = min(MOST_PAUSES, -(-size // MAX_PIECE))
        while pauses > 0 and self.slow:
            await trio.sleep(PAUSE_S)
            pauses -= 1

    def _look(self) -> None:
        mark = self._mark
        if mark is not None and self._waits(mark.tx_id):
            return
        self._slow = self._waited(mark, through=True)
        newest = self._newest()
        self._mark = None if newest is None else _Mark(newest, trio.current_time(), self._height())

    def _waited(self, mark: _Mark | None, *, through: bool = False) -> bool:
        """Whether a transaction waits too long, or, now that it is through, has waited too long."""
        if mark is None:
            return False
        blocks = self._height() - mark.height - through
        return blocks >= SLOW_BLOCKS or trio.current_time() - mark.since > SLOW_S
