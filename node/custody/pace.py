"""How fast documents move: never so fast that votes wait.

A node's loop that is late is a node that votes late. So the loop's lateness is measured, and while it is late the
next pieces are asked for later: moving documents takes what agreement leaves, within a limit of bytes a second.
"""

from __future__ import annotations

from typing import Final

import trio

TICK_S: Final = 0.02
CALM_S: Final = 0.01
"""Lateness up to here is nothing to wait for."""
PATIENCE: Final = 4.0
"""While the loop is late by d, a piece waits this many times d."""
LONGEST_S: Final = 0.25
SMOOTH: Final = 0.25


class Pace:
    """Called before each piece; ``run`` measures. bytes_per_s: at most, 0 for no limit."""

    def __init__(self, bytes_per_s: int = 0) -> None:
        self._bytes_per_s = bytes_per_s
        self._next = 0.0
        self.late_s = 0.0
        """How late the loop is now, smoothed."""

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + TICK_S
            await trio.sleep_until(due)
            late = trio.current_time() - due
            self.late_s += (late - self.late_s) * SMOOTH

    async def __call__(self, size: int) -> None:
        """Return when ``size`` more bytes may be moved."""
        if self.late_s > CALM_S:
            await trio.sleep(min(LONGEST_S, PATIENCE * self.late_s))
        if self._bytes_per_s:
            now = trio.current_time()
            self._next = max(now, self._next) + size / self._bytes_per_s
            await trio.sleep_until(self._next)
        await trio.lowlevel.checkpoint()
