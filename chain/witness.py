"""Witnesses: many values of another chain's state at once, each provable under a root that one already trusts.

Who re-executes a business chain without the consortium's state gets the consortium values that its transactions
read, with the opened part of the state tree: every branch and bucket on the way to the keys once, digests for the
rest. An *opening* is a list of those nodes in preorder:

=======  ======================================================================================
branch   ``[child, child, child, child]``: a child's digest, or nil where the child itself follows
bucket   its entries (see ``chain/state.py``)
=======  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, TypeAlias

from chain.codec import load
from chain.state import BUCKET_CAPACITY, ENTRY_SIZE, MAX_LEVELS, ProofError, StateTree, bucket_digest

_HASH: Final = 32
_Node: TypeAlias = "list[Any] | bytes"
"""A branch as its four children (digest, or node), or a bucket's entries; told apart by type and length."""


def open_keys(tree: StateTree, keys: Iterable[bytes]) -> list[Any]:
    """The opening of a tree that shows the value, or absence, of every key. Raises StateError (a damaged store)."""
    top: _Node = b""
    for number, key in enumerate(keys):
        key_hash = sha256(key).digest()
        bucket, siblings = tree.prove(key)
        if not number:
            top = _way(key_hash, bucket, siblings, 0)
            continue
        node, level = top, 0
        while isinstance(node, list):
            slot = _slot(key_hash, level)
            if isinstance(node[slot], bytes) and len(node[slot]) == _HASH:
                node[slot] = _way(key_hash, bucket, siblings, level + 1)
                break
            node, level = node[slot], level + 1
    return list(_preorder(top))


class Opening:
    """A checked opening: what stands at its keys."""

    def __init__(self, root: bytes, nodes: Any) -> None:
        """Check an opening against a state root. Raises ProofError."""
        if type(nodes) is not list or not nodes:
            raise ProofError("the witness is no list of tree nodes")
        found = iter(nodes)
        self._top, digest = _read(found, 0)
        if next(found, None) is not None:
            raise ProofError("the witness holds more nodes than its branches open")
        if digest != root:
            raise ProofError("the witness leads to another state root")

    def value_hash(self, key: bytes) -> bytes | None:
        """SHA-256 of the value bytes at a key, None where it is absent. Raises ProofError where it is not opened."""
        key_hash = sha256(key).digest()
        node, level = self._top, 0
        while isinstance(node, list):
            node, level = node[_slot(key_hash, level)], level + 1
        if len(node) == _HASH:
            raise ProofError("the witness does not open a key that was asked for")
        for at in range(0, len(node), ENTRY_SIZE):
            if node.startswith(key_hash, at):
                return node[at + _HASH : at + ENTRY_SIZE]
        return None

    def check(self, key: bytes, value: bytes | None) -> None:
        """Raise ProofError unless ``value`` (None: nothing) stands at the key."""
        wanted = self.value_hash(key)
        if wanted != (None if value is None else sha256(value).digest()):
            raise ProofError("the witness's value is not the one under the state root")


class WitnessReader:
    """``chain.execution.StateReader`` over witnesses: the consortium's state at one height, as far as it is here.

    What is not proven at this height is guessed, from ``known``, the values last seen at any height, or as absent: so
    that a run finds out all that it reads, and one question can ask for exactly that. Nothing counts before
    ``unproven`` is empty and the run after the last ``changed`` was the same.
    """

    def __init__(self, root: bytes, known: Mapping[bytes, bytes | None]) -> None:
        self._root = root
        self._known = known
        self._guessed: dict[bytes, bytes | None] = {}
        """What runs had where nothing was proven: ``known`` goes on meanwhile, with other chains' proofs."""
        self._shared: dict[bytes, Any] = {}
        self.proven: dict[bytes, bytes | None] = {}
        self.read: dict[bytes, None] = {}
        """Keys read so far, in order."""
        self.changed = False
        """Whether a proof showed another value than the guess."""

    def get(self, key: bytes) -> bytes | None:
        """Encoded value: proven, or guessed."""
        self.read[key] = None
        if key in self.proven:
            return self.proven[key]
        if key not in self._guessed:
            self._guessed[key] = self._known.get(key)
        return self._guessed[key]

    def shared(self, key: bytes) -> Any:
        """Decoded value, the same object each time."""
        if key not in self._shared:
            raw = self.get(key)
            self._shared[key] = None if raw is None else load(raw)
        return self._shared[key]

    def unproven(self) -> list[bytes]:
        """What was read and is not proven at this height, in the order of reading."""
        return [key for key in self.read if key not in self.proven]

    def prove(
        self,
        keys: Iterable[bytes],
        opening: Any,
        values: Iterable[bytes | None],
        sent: Mapping[bytes, bytes | None],
    ) -> None:
        """Take values of keys in, each checked; one given as nil is absent, or as in ``sent``. Raises ProofError."""
        opened = Opening(self._root, opening)
        for key, given in zip(keys, values, strict=True):
            value = sent.get(key) if given is None and opened.value_hash(key) is not None else given
            opened.check(key, value)
            self.changed |= key in self._guessed and self._guessed[key] != value
            self.proven[key] = value
            self._shared.pop(key, None)


def _slot(key_hash: bytes, level: int) -> int:
    """Which of four children a key takes below ``level``."""
    return key_hash[level >> 2] >> (6 - 2 * (level & 3)) & 3


def _way(key_hash: bytes, bucket: bytes, siblings: list[list[bytes]], start: int) -> _Node:
    """The nodes from ``start`` down to a key's bucket."""
    node: _Node = bucket
    for level in range(len(siblings) - 1, start - 1, -1):
        slot = _slot(key_hash, level)
        others: list[Any] = siblings[level]
        node = [*others[:slot], node, *others[slot:]]
    return node


def _preorder(node: _Node) -> Iterable[Any]:
    if isinstance(node, bytes):
        yield node
        return
    yield [child if isinstance(child, bytes) and len(child) == _HASH else None for child in node]
    for child in node:
        if not isinstance(child, bytes) or len(child) != _HASH:
            yield from _preorder(child)


def _read(nodes: Any, level: int) -> tuple[_Node, bytes]:
    """The next node with all that it opens, and its digest."""
    row = next(nodes, None)
    if type(row) is bytes:
        if len(row) % ENTRY_SIZE or len(row) > BUCKET_CAPACITY * ENTRY_SIZE:
            raise ProofError("a bucket of the witness has no whole number of entries, or too many")
        return row, bucket_digest(row)
    if type(row) is not list or len(row) != 4 or level >= MAX_LEVELS:
        raise ProofError("a node of the witness is malformed")
    children: list[Any] = []
    digests: list[bytes] = []
    for child in row:
        if child is None:
            opened, digest = _read(nodes, level + 1)
            children.append(opened)
            digests.append(digest)
        elif type(child) is bytes and len(child) == _HASH:
            children.append(child)
            digests.append(child)
        else:
            raise ProofError("a node of the witness is malformed")
    return children, sha256(b"\x01" + b"".join(digests)).digest()
