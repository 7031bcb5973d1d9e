"""Committed state of one chain over the store: newest values, superseded ones, and the state tree.

A value row holds the height that wrote it, so a first write costs one row and an update two: the old value
moves to the history rows. Reads at a past height take the newest version at or below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chain.codec import load
from chain.state import NodePath, StateTree
from chain.store import KeyValue, Reading, StoreError, chain_prefix, height_of_inverse, inverse, successor

CACHE_BYTES: Final = 6 << 20
"""Newest rows that somebody has read, kept in memory per chain (a LevelDB read costs about 12 µs)."""
CACHE_ROW_COST: Final = 160
"""Bytes that a row takes beside its own and its key's."""
ABSENT_KEYS: Final = 20_000
CACHE_SHARED: Final = 10_000
FORGET_DEPTH: Final = 5
"""Tree levels that stay in memory when the rest is forgotten: 4^5 branches at most."""

_MISSING: Final = object()
_STAMP: Final = 8


class PastState:
    """The committed values and trees of a chain at any height up to the newest one, from rows alone.

    Over a snapshot it may be read in any thread.
    """

    def __init__(self, store: Reading, chain: str) -> None:
        self._store = store
        self._values = chain_prefix(b"s", chain)
        self._history = chain_prefix(b"v", chain)
        self._nodes = chain_prefix(b"n", chain)

    def get_at(self, key: bytes, height: int) -> bytes | None:
        """Encoded value after a height."""
        row = self._store.get(self._values + key)
        if row is None:
            return None
        if int.from_bytes(row[:_STAMP], "big") <= height:
            return row[_STAMP:] or None
        prefix = self._history + len(key).to_bytes(4, "big") + key
        for _, value in self._store.scan(prefix + inverse(height), successor(prefix)):
            return value or None
        return None

    def versions(self, key: bytes, height: int, oldest: int) -> Iterator[tuple[int, bytes | None]]:
        """(height that wrote it, encoded value or None where deleted), newest first: those up to ``height``, the last
        one the newest at or below ``oldest``."""
        row = self._store.get(self._values + key)
        if row is None:
            return
        written = int.from_bytes(row[:_STAMP], "big")
        if written <= height:
            yield written, row[_STAMP:] or None
            if written <= oldest:
                return
        prefix = self._history + len(key).to_bytes(4, "big") + key
        for name, value in self._store.scan(prefix + inverse(height), successor(prefix)):
            written = height_of_inverse(name[-8:])
            yield written, value or None
            if written <= oldest:
                return

    def tree_at(self, height: int) -> StateTree:
        """The state tree after a height; nodes are read as proofs need them."""
        return StateTree.load(lambda path: self._node_at(path, height))

    def _node_at(self, path: NodePath, height: int) -> bytes | None:
        prefix = self._nodes + path
        for key, row in self._store.scan(prefix + inverse(height), successor(prefix)):
            if len(key) != len(prefix) + 8 or height_of_inverse(key[-8:]) > height:
                raise StoreError("a state node row is damaged: restore a backup or sync from the peers")
            return row
        return None


class ChainState(PastState):
    """Implements ``chain.execution.StateReader`` at the head. One loop owns it."""

    def __init__(self, store: KeyValue, chain: str) -> None:
        super().__init__(store, chain)
        self._deletions = chain_prefix(b"d", chain)
        self._has_deletions = store.get(self._deletions) is not None
        self._cache: dict[bytes, bytes | None] = {}
        self._cache_bytes = 0
        self._absent: set[bytes] = set()
        """Keys found absent since the last block: most are written in the next one."""
        self._shared: dict[bytes, Any] = {}
        self.tree = StateTree.load(self._newest_node)

    def get(self, key: bytes) -> bytes | None:
        """Encoded value at the head."""
        row = self._cache.get(key, _MISSING)
        if row is _MISSING:
            if key in self._absent:
                return None
            if self.tree.is_absent(key):  # a third of what the store takes to find nothing
                if len(self._absent) < ABSENT_KEYS:
                    self._absent.add(key)
                return None
            row = self._row(key)
        return None if row is None else row[_STAMP:] or None  # type: ignore[index]  # the sentinel is gone by here

    def shared(self, key: bytes) -> Any:
        """Decoded value at the head, the same object until it changes: never to be modified."""
        value = self._shared.get(key, _MISSING)
        if value is _MISSING:
            raw = self.get(key)
            value = None if raw is None else load(raw)
            if len(self._shared) >= CACHE_SHARED:
                self._shared.clear()
            self._shared[key] = value
        return value

    def rows(
        self, height: int, tree: StateTree, writes: Mapping[bytes, bytes | None]
    ) -> list[tuple[bytes, bytes | None]]:
        """The rows that make ``writes`` and the changed nodes of ``tree`` durable at a height."""
        stamp = height.to_bytes(8, "big")
        suffix = inverse(height)
        batch: list[tuple[bytes, bytes | None]] = []
        for key, value in writes.items():
            if value is None and not self._has_deletions:
                self._has_deletions = True
                batch.append((self._deletions, b""))
            old = self._newest_row(key)
            if old is not None:
                at = inverse(int.from_bytes(old[:_STAMP], "big"))
                batch.append((self._history + len(key).to_bytes(4, "big") + key + at, old[_STAMP:]))
            # A deleted key keeps its row, empty: what it held before stays readable at its heights.
            batch.append((self._values + key, stamp + (value or b"")))
        for path, row in tree.rows.items():
            batch.append((self._nodes + path + suffix, row))
        return batch

    def advance(self, height: int, tree: StateTree, writes: Mapping[bytes, bytes | None]) -> None:
        """Move to the state after a committed block."""
        stamp = height.to_bytes(_STAMP, "big")
        tree.rows = {}
        self.tree = tree
        self._absent.clear()
        for key, value in writes.items():
            if key in self._cache:  # somebody reads it; what is only written would push that out
                self._drop(key)  # and back at the end: the oldest go first
                self._remember(key, stamp + (value or b""))
            self._shared.pop(key, None)

    @property
    def entries(self) -> int:
        """How many keys the state holds."""
        return self.tree.entries

    def forget(self) -> None:
        """Drop deep tree nodes from memory; they are read again when needed."""
        self.tree = self.tree.forget(FORGET_DEPTH)

    def _newest_row(self, key: bytes) -> bytes | None:
        """As ``_row``, for a key that is being written. Where nothing was ever deleted, absence from the map means
        that there is no row: that saves the store's slowest answer, the one that finds nothing."""
        if key in self._cache:
            return self._cache[key]
        if not self._has_deletions and (key in self._absent or self.tree.is_absent(key)):
            return None
        return self._store.get(self._values + key)

    def _row(self, key: bytes) -> bytes | None:
        """The value row of a key (height stamp, then the value; nothing after a deletion), None if never written."""
        row = self._cache.get(key, _MISSING)
        if row is _MISSING:
            row = self._store.get(self._values + key)
            self._remember(key, row)
        return row  # type: ignore[return-value]  # the sentinel is gone by here

    def _remember(self, key: bytes, row: bytes | None) -> None:
        if self._cache_bytes >= CACHE_BYTES:
            # The oldest tenth goes: dicts keep insertion order, and a hot key comes back with its next write.
            for old in list(self._cache)[: len(self._cache) // 10 + 1]:
                self._drop(old)
        self._cache[key] = row
        self._cache_bytes += CACHE_ROW_COST + len(key) + len(row or b"")

    def _drop(self, key: bytes) -> None:
        row = self._cache.pop(key)
        self._cache_bytes -= CACHE_ROW_COST + len(key) + len(row or b"")

    def _newest_node(self, path: NodePath) -> bytes | None:
        prefix = self._nodes + path
        for key, row in self._store.scan(prefix, successor(prefix)):
            if len(key) == len(prefix) + 8:
                return row
        return None
