"""The authenticated, versioned state map of one chain: roots, proofs of presence and of absence.

A trie over SHA-256 of the key, two bits a level. A subtree of at most ``BUCKET_CAPACITY`` entries is a
*bucket*, a larger one a *branch* of four; so the root depends on the contents alone, never on their history,
and a ground-out prefix only makes its own path longer (``docs/adr/0004``).

==========  ============================================================================
entry       key hash (32) || value hash (32), SHA-256 of key bytes and of value bytes
bucket      SHA-256(0x00 || entries in ascending order); the empty one too
branch      SHA-256(0x01 || four child digests)
==========  ============================================================================

Trees are immutable: ``updated`` shares what did not change, so that several candidate blocks may stand on
one parent. Nodes are rows ``(path, height)``; the newest row at or below a height is that height's node, so a
past root needs no rebuilding. Nodes not yet read stand as ``None`` and are fetched when a path needs them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final, TypeAlias

BUCKET_CAPACITY: Final = 16
ENTRY_SIZE: Final = 64
MAX_LEVELS: Final = 128
_HASH: Final = 32
_ROW_COUNTS: Final = struct.Struct(">4I")
_BRANCH_ROW: Final = 1 + _ROW_COUNTS.size + 4 * _HASH

_BYTES: Final = [bytes([value]) for value in range(256)]
_MASKS: Final = (0, 0xC0, 0xF0, 0xFC)
"""Bits of a path's last byte that a level of each remainder by four takes."""

NodePath: TypeAlias = bytes
"""Level (1 byte) || the 2·level leading bits of the key hash, left-aligned and zero-padded."""
Fetch: TypeAlias = Callable[[NodePath], bytes | None]
"""Reads the row of a node as of the tree's height."""


class StateError(RuntimeError):
    """A node row is missing or damaged: the store must be restored or synced again."""


class ProofError(ValueError):
    """A state proof that does not prove what it claims; one line."""


class Branch:
    """Four children: digest and entry count of each, and the child itself once read."""

    __slots__ = ("children", "counts", "digest", "digests")

    def __init__(
        self,
        digests: list[bytes],
        counts: list[int],
        children: list[Branch | bytes | None],
        digest: bytes | None = None,
    ) -> None:
        self.digests = digests
        self.counts = counts
        self.children = children
        self.digest = digest or sha256(b"\x01" + b"".join(digests)).digest()

    def row(self) -> bytes:
        """What the store keeps of a branch: per child its digest and entry count."""
        return b"\x01" + _ROW_COUNTS.pack(*self.counts) + b"".join(self.digests)


Node: TypeAlias = "Branch | bytes"
_EMPTY_BUCKET: Final = b""


def bucket_digest(entries: bytes) -> bytes:
    """SHA-256(0x00 || entries)."""
    return sha256(b"\x00" + entries).digest()


EMPTY_ROOT: Final = bucket_digest(_EMPTY_BUCKET)


def _digest(node: Node) -> bytes:
    return bucket_digest(node) if type(node) is bytes else node.digest  # type: ignore[union-attr]
    # (mypy does not narrow an exact type test, which is what the hot path needs)


def _slot(key_hash: bytes, level: int) -> int:
    """Which of four children a key takes below ``level``."""
    return key_hash[level >> 2] >> (6 - 2 * (level & 3)) & 3


def node_path(key_hash: bytes, level: int) -> NodePath:
    """The path of the node at ``level`` on the way to a key."""
    whole, mask = level >> 2, _MASKS[level & 3]
    if not mask:
        return _BYTES[level] + key_hash[:whole]
    return _BYTES[level] + key_hash[:whole] + _BYTES[key_hash[whole] & mask]


class StateTree:
    """One version of the map. ``rows`` are the nodes that changed since the tree it was made from."""

    __slots__ = ("_fetch", "_node", "root", "rows")

    def __init__(self, node: Node, fetch: Fetch, rows: dict[NodePath, bytes] | None = None) -> None:
        self._node = node
        self._fetch = fetch
        self.rows: dict[NodePath, bytes] = {} if rows is None else rows
        self.root = _digest(node)

    @classmethod
    def empty(cls) -> StateTree:
        """The map with no entries."""
        return cls(_EMPTY_BUCKET, lambda _path: None)

    @classmethod
    def load(cls, fetch: Fetch) -> StateTree:
        """The tree whose rows ``fetch`` reads; only its top is read now. Raises StateError on a damaged row."""
        row = fetch(node_path(bytes(_HASH), 0))
        return cls(_EMPTY_BUCKET if row is None else _node_of_row(row), fetch)

    @property
    def entries(self) -> int:
        """How many keys the map holds."""
        return len(self._node) // ENTRY_SIZE if isinstance(self._node, bytes) else sum(self._node.counts)

    def updated(self, changes: Iterable[tuple[bytes, bytes | None]], fetch: Fetch | None = None) -> StateTree:
        """A new tree with ``(key, value bytes or None to delete)`` applied; this one stays as it is."""
        hashed = sorted(
            (sha256(key).digest(), None if value is None else sha256(value).digest()) for key, value in changes
        )
        rows: dict[NodePath, bytes] = {}
        if not hashed:
            return StateTree(self._node, fetch or self._fetch, rows)
        node, _, _ = self._apply(self._node, hashed, 0, rows)
        return StateTree(node, fetch or self._fetch, rows)

    def prove(self, key: bytes) -> list[Any]:
        """A proof of presence or absence of a key: ``[bucket entries, [[3 sibling digests], … root first]]``."""
        key_hash = sha256(key).digest()
        siblings: list[list[bytes]] = []
        node, level = self._node, 0
        while not isinstance(node, bytes):
            slot = _slot(key_hash, level)
            siblings.append([digest for place, digest in enumerate(node.digests) if place != slot])
            node, level = self._child(node, slot, key_hash, level), level + 1
        return [node, siblings]

    def is_absent(self, key: bytes) -> bool:
        """True where the nodes in memory show that the key is not in the map; False where it is, or to know would
        need a read."""
        key_hash = sha256(key).digest()
        node: Any = self._node
        way, shift = int.from_bytes(key_hash, "big"), 8 * _HASH
        while type(node) is Branch:
            shift -= 2
            slot = way >> shift & 3
            if not node.counts[slot]:
                return True
            node = node.children[slot]
        return node is not None and node.find(key_hash) < 0

    def forget(self, depth: int = 0) -> StateTree:
        """The same version with everything below ``depth`` levels unread again: bounds memory."""
        return StateTree(_shallow(self._node, depth), self._fetch)

    def _child(self, branch: Branch, slot: int, key_hash: bytes, level: int) -> Node:
        child = branch.children[slot]
        if child is None:
            if not branch.counts[slot]:
                return _EMPTY_BUCKET
            path = node_path(_with_slot(key_hash, level, slot), level + 1)
            row = self._fetch(path)
            if row is None:
                raise StateError("a state node is missing: restore the store from a backup or sync it again")
            child = _node_of_row(row)
            if _digest(child) != branch.digests[slot]:
                raise StateError("a state node is damaged: restore the store from a backup or sync it again")
            branch.children[slot] = child
        return child

    def _apply(
        self, node: Node, changes: list[tuple[bytes, bytes | None]], level: int, rows: dict[NodePath, bytes]
    ) -> tuple[Node, bytes, int]:
        """The node after the changes (sorted, distinct keys, all below it), its digest and its number of entries;
        fills ``rows`` with new nodes."""
        first = changes[0][0]
        if isinstance(node, bytes):
            return _store(_merge(node, changes), first, level, rows)
        digests, counts, children = node.digests.copy(), node.counts.copy(), node.children.copy()
        for slot, below in _by_slot(changes, level):
            old = children[slot]
            if old is None:
                old = self._child(node, slot, below[0][0], level)
            children[slot], digests[slot], counts[slot] = self._apply(old, below, level + 1, rows)
        total = sum(counts)
        if total <= BUCKET_CAPACITY:
            left = [self._entries(node, children, counts, slot, first, level) for slot in range(4)]
            return _store(b"".join(left), first, level, rows)
        joined = b"".join(digests)
        digest = sha256(b"\x01" + joined).digest()
        rows[node_path(first, level)] = b"\x01" + _ROW_COUNTS.pack(*counts) + joined
        return Branch(digests, counts, children, digest), digest, total

    def _entries(
        self,
        branch: Branch,
        children: list[Branch | bytes | None],
        counts: list[int],
        slot: int,
        key_hash: bytes,
        level: int,
    ) -> bytes:
        """The entries of a child that is about to be merged: at most a bucket's worth, so it is a bucket."""
        child = children[slot]
        if child is None and counts[slot]:
            child = self._child(branch, slot, key_hash, level)
        if child is None:
            return _EMPTY_BUCKET
        if not isinstance(child, bytes):
            raise StateError("a state branch holds fewer entries than a bucket: the store is damaged")
        return child


def _store(entries: bytes, key_hash: bytes, level: int, rows: dict[NodePath, bytes]) -> tuple[Node, bytes, int]:
    """The canonical subtree of ascending entries at a level, its digest and its number of entries."""
    count = len(entries) // ENTRY_SIZE
    if count <= BUCKET_CAPACITY:
        row = b"\x00" + entries
        rows[node_path(key_hash, level)] = row
        return entries, sha256(row).digest(), count
    made = _build(entries, level, rows)
    rows[node_path(key_hash, level)] = made.row()
    return made, made.digest, count


def _shallow(node: Node, depth: int) -> Node:
    if isinstance(node, bytes):
        return node
    if depth == 0:
        return Branch(node.digests, node.counts, [None] * 4)
    children = [None if child is None else _shallow(child, depth - 1) for child in node.children]
    return Branch(node.digests, node.counts, children)


def _with_slot(key_hash: bytes, level: int, slot: int) -> bytes:
    """The key hash with the two bits below ``level`` set to ``slot``: names a sibling's path."""
    shift = 6 - 2 * (level & 3)
    place = level >> 2
    byte = key_hash[place] & ~(3 << shift) & 0xFF | slot << shift
    return key_hash[:place] + bytes([byte]) + key_hash[place + 1 :]


def _by_slot(
    changes: list[tuple[bytes, bytes | None]], level: int
) -> list[tuple[int, list[tuple[bytes, bytes | None]]]]:
    """The changes below each child, in slot order (they are sorted by key hash)."""
    if len(changes) == 1:
        return [(_slot(changes[0][0], level), changes)]
    place, shift = level >> 2, 6 - 2 * (level & 3)
    groups: list[tuple[int, list[tuple[bytes, bytes | None]]]] = []
    current = -1
    for change in changes:
        slot = change[0][place] >> shift & 3
        if slot != current:
            current = slot
            groups.append((slot, []))
        groups[-1][1].append(change)
    return groups


def _merge(entries: bytes, changes: list[tuple[bytes, bytes | None]]) -> bytes:
    """Bucket entries after the changes, ascending."""
    if len(changes) > BUCKET_CAPACITY:
        # Splicing bytes one change at a time would be quadratic here.
        held = {
            entries[at : at + _HASH]: entries[at + _HASH : at + ENTRY_SIZE]
            for at in range(0, len(entries), ENTRY_SIZE)
        }
        held.update({key_hash: value_hash or b"" for key_hash, value_hash in changes})
        return b"".join([key_hash + held[key_hash] for key_hash in sorted(held) if held[key_hash]])
    for key_hash, value_hash in changes:
        at = _place(entries, key_hash)
        present = entries.startswith(key_hash, at)
        after = at + ENTRY_SIZE if present else at
        if value_hash is not None:
            entries = entries[:at] + key_hash + value_hash + entries[after:]
        elif present:
            entries = entries[:at] + entries[after:]
    return entries


def _place(entries: bytes, key_hash: bytes) -> int:
    """Byte offset of the first entry that is not below a key hash."""
    low, high = 0, len(entries) // ENTRY_SIZE
    while low < high:
        middle = (low + high) // 2
        if entries[middle * ENTRY_SIZE : middle * ENTRY_SIZE + _HASH] < key_hash:
            low = middle + 1
        else:
            high = middle
    return low * ENTRY_SIZE


def _build(entries: bytes, level: int, rows: dict[NodePath, bytes]) -> Branch:
    """The branch of more than a bucket's ascending entries; records the rows of the nodes *below* it."""
    place, shift = level >> 2, 6 - 2 * (level & 3)
    bounds = [0]
    for slot in range(1, 4):
        # Entries are ascending and share the bits above this level, so each child is one stretch of them.
        at = bounds[-1]
        while at < len(entries) and entries[at + place] >> shift & 3 < slot:
            at += ENTRY_SIZE
        bounds.append(at)
    bounds.append(len(entries))
    children: list[Branch | bytes | None] = []
    digests, counts = [], []
    for start, stop in pairwise(bounds):
        part = entries[start:stop]
        if part:
            child, digest, count = _store(part, part[:_HASH], level + 1, rows)
        else:
            child, digest, count = _EMPTY_BUCKET, EMPTY_ROOT, 0
        children.append(child)
        digests.append(digest)
        counts.append(count)
    return Branch(digests, counts, children)


def _node_of_row(row: bytes) -> Node:
    if row[:1] == b"\x00" and len(row) % ENTRY_SIZE == 1:
        return row[1:]
    if row[:1] == b"\x01" and len(row) == _BRANCH_ROW:
        counts = list(_ROW_COUNTS.unpack_from(row, 1))
        digests = [row[at : at + _HASH] for at in range(1 + _ROW_COUNTS.size, _BRANCH_ROW, _HASH)]
        return Branch(digests, counts, [None] * 4)
    raise StateError("a state node is damaged: restore the store from a backup or sync it again")


@dataclass(frozen=True, slots=True)
class StateProof:
    """What a checked proof says: the value bytes at a key, or None where the key is absent."""

    key: bytes
    value: bytes | None


def check_proof(root: bytes, key: bytes, value: bytes | None, proof: Any) -> StateProof:
    """Check that ``key`` holds ``value`` (None: nothing) under ``root``. Raises ProofError."""
    match proof:
        case [bytes(entries), list(siblings)] if len(siblings) <= MAX_LEVELS and len(entries) % ENTRY_SIZE == 0:
            pass
        case _:
            raise ProofError("the state proof is malformed")
    if len(entries) > BUCKET_CAPACITY * ENTRY_SIZE:
        raise ProofError("the bucket of the state proof is larger than a bucket can be")
    key_hash = sha256(key).digest()
    rows = [entries[at : at + ENTRY_SIZE] for at in range(0, len(entries), ENTRY_SIZE)]
    found = [row[_HASH:] for row in rows if row.startswith(key_hash)]
    wanted = [] if value is None else [sha256(value).digest()]
    if found != wanted:
        raise ProofError("the state proof is of another value" if found else "the state proof is of absence")
    digest = bucket_digest(entries)
    for level in range(len(siblings) - 1, -1, -1):
        others = siblings[level]
        if (
            type(others) is not list
            or len(others) != 3
            or not all(type(other) is bytes and len(other) == _HASH for other in others)
        ):
            raise ProofError("the state proof is malformed")
        slot = _slot(key_hash, level)
        digest = sha256(b"\x01" + b"".join([*others[:slot], digest, *others[slot:]])).digest()
    if digest != root:
        raise ProofError("the state proof leads to another root")
    return StateProof(key, value)
