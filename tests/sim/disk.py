"""A disk for the vote journal that loses, or tears, what was not synced when its node crashes."""

from __future__ import annotations

from random import Random


class SimDisk:
    """Implements ``node.journal.JournalStorage``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._durable: bytes | None = None
        self._pending = b""

    def read(self) -> bytes | None:
        return None if self._durable is None else self._durable + self._pending

    def append(self, data: bytes) -> None:
        self._pending += data

    def sync(self) -> None:
        self._durable = (self._durable or b"") + self._pending
        self._pending = b""

    def replace(self, data: bytes) -> None:
        self._durable, self._pending = data, b""

    def close(self) -> None:
        """Nothing to let go of."""

    def crash(self, random: Random) -> None:
        """Keep a part of the unsynced bytes, most often nothing: a torn write ends anywhere."""
        kept = random.choice((0, 0, random.randrange(len(self._pending) + 1)))
        self._durable = (self._durable or b"") + self._pending[:kept]
        self._pending = b""
