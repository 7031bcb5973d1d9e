"""RFC 6962 Merkle trees: root, audit path, and its check.

A leaf is hashed with 0x00, an inner node with 0x01, and an odd last node is promoted, never duplicated
(CVE-2012-2459). Whoever publishes a root publishes the leaf count beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf), RFC 6962 § 2.1."""
    return sha256(b"\x00" + leaf).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree head of the leaves in order; 32 bytes; that of no leaves is SHA-256 of nothing."""
    if not leaves:
        return EMPTY_ROOT
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def prove(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf ``index`` (RFC 6962 § 2.1.1), nearest sibling first."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} among {len(leaves)}")
    level = [leaf_hash(leaf) for leaf in leaves]
    path: list[bytes] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _parents(level)
        index >>= 1
    return path


def verify(expected_root: bytes, leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bool:
    """Whether ``leaf`` is number ``index`` of the ``count`` leaves under ``expected_root``.

    All but the root may come out of a file: of a wrong type it does not verify (``True`` is not 1), and a path has
    exactly the hashes that are used.
    """
    if type(index) is not int or type(count) is not int or not 0 <= index < count:
        return False
    if type(leaf) is not bytes or not isinstance(path, list | tuple):
        return False
    node, used = leaf_hash(leaf), 0
    position, last = index, count - 1
    while last > 0:
        if position & 1 or position < last:
            if used == len(path):
                return False
            sibling, used = path[used], used + 1
            if type(sibling) is not bytes or len(sibling) != HASH_SIZE:
                return False
            pair = sibling + node if position & 1 else node + sibling
            node = sha256(b"\x01" + pair).digest()
        position >>= 1
        last >>= 1
    return used == len(path) and node == expected_root


def _parents(level: list[bytes]) -> list[bytes]:
    nodes = iter(level)
    above = [sha256(b"\x01" + left + right).digest() for left, right in zip(nodes, nodes, strict=False)]
    if len(level) & 1:
        above.append(level[-1])
    return above
