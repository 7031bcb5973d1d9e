"""The append-only log of consortium blocks, its checkpoints, and what of them goes onto a public chain.

Leaf number ``h - 1`` stands for consortium block ``h``; so the log of height ``h`` is the same bytes on every
node, and whoever anchors it first changes nothing for the others. The certificate hash is the one block
``h + 1`` carries in its header: nodes may hold different quorums of one block, only that one is agreed.

A checkpoint is the C2SP text (c2sp.org/tlog-checkpoint): origin, size, root. The anchored payload binds it to
the network in 69 bytes. Consistency proofs (RFC 6962 § 2.1.2) show that a later checkpoint only grew from an
earlier one, which separate roots of separate batches could not.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain.codec import encode
from chain.crypto import HASH_SIZE, sha256
from chain.merkle import EMPTY_ROOT, leaf_hash

LEAF_TAG: Final = "tally/anchor_leaf"
LEAF_VERSION: Final = 1
CHAIN: Final = "consortium"
ORIGIN_PREFIX: Final = "tally/"

PAYLOAD_MAGIC: Final = b"TLY1"
PAYLOAD_VERSION: Final = 1
PAYLOAD_SIZE: Final = len(PAYLOAD_MAGIC) + 1 + HASH_SIZE + HASH_SIZE


class CheckpointError(ValueError):
    """A checkpoint text or payload that is not one; the message says why, in one line."""


def leaf(network_id: bytes, height: int, block_hash: bytes, certificate_hash: bytes) -> bytes:
    """The log's leaf for one consortium block: canonical bytes, hashed by the log under RFC 6962."""
    return encode([LEAF_TAG, LEAF_VERSION, network_id, CHAIN, height, block_hash, certificate_hash])


@dataclass(frozen=True)
class Checkpoint:
    """The state of the log at one size.

    network_id: 32 bytes; size: leaves, which is the consortium height; root: RFC 6962 tree head, 32 bytes.
    """

    network_id: bytes
    size: int
    root: bytes

    @property
    def body(self) -> bytes:
        """The C2SP checkpoint text: ``tally/<network id>``, size, base64 root, a line each."""
        origin = f"{ORIGIN_PREFIX}{self.network_id.hex()}"
        return f"{origin}\n{self.size}\n{b64encode(self.root).decode()}\n".encode()

    @property
    def payload(self) -> bytes:
        """What is anchored, 69 bytes: ``TLY1`` | version 1 | network id (32) | SHA-256 of the body (32)."""
        return PAYLOAD_MAGIC + bytes([PAYLOAD_VERSION]) + self.network_id + sha256(self.body)

    @classmethod
    def parse(cls, body: bytes) -> Checkpoint:
        """The checkpoint of a body; only the exact text ``body`` produces is accepted.

        Raises CheckpointError.
        """
        try:
            origin, size, root, rest = body.decode("ascii").split("\n")
            checkpoint = cls(
                bytes.fromhex(origin.removeprefix(ORIGIN_PREFIX)), int(size), b64decode(root, validate=True)
            )
        except (ValueError, Base64Error):
            raise CheckpointError("not a checkpoint: origin, size and base64 root, a line each") from None
        if len(checkpoint.network_id) != HASH_SIZE or len(checkpoint.root) != HASH_SIZE:
            raise CheckpointError(f"a checkpoint's network id and root have {HASH_SIZE} bytes each")
        if rest or checkpoint.size < 0 or checkpoint.body != body:
            raise CheckpointError("a checkpoint is not in its one canonical form")
        return checkpoint


class Log:
    """The log in memory: the hash of every complete subtree, level by level; 64 bytes a leaf.

    Appending costs one hash a leaf on average; a root or a proof costs a logarithm. Any earlier size can
    still be asked for, because complete subtrees never change.
    """

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH_SIZE

    def append(self, leaf_bytes: bytes) -> None:
        """Add one leaf."""
        node = leaf_hash(leaf_bytes)
        for level in range(len(self._levels) + 1):
            if level == len(self._levels):
                self._levels.append(bytearray())
            nodes = self._levels[level]
            nodes += node
            if len(nodes) // HASH_SIZE % 2:
                return
            node = _parent(bytes(nodes[-2 * HASH_SIZE : -HASH_SIZE]), node)

    def root(self, size: int) -> bytes:
        """The tree head over the first ``size`` leaves. Raises IndexError beyond the log."""
        self._bound(size)
        return self._head(0, size) if size else EMPTY_ROOT

    def checkpoint(self, network_id: bytes, size: int) -> Checkpoint:
        """The checkpoint of the first ``size`` leaves."""
        return Checkpoint(network_id, size, self.root(size))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """RFC 6962 § 2.1.1: the audit path of leaf ``index`` in the tree of ``size``.

        Nearest sibling first; ``chain.merkle.verify`` checks it.
        """
        self._bound(size)
        if not 0 <= index < size:
            raise IndexError(f"no leaf {index} among {size}")
        path: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._head(middle, high))
                high = middle
            else:
                path.append(self._head(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, old: int, new: int) -> list[bytes]:
        """RFC 6962 § 2.1.2: the proof that the first ``old`` of ``new`` leaves are unchanged."""
        self._bound(new)
        if not 0 < old <= new:
            raise IndexError(f"no consistency from {old} to {new} leaves")
        path: list[bytes] = []
        low, high, whole = 0, new, True
        while old != high:
            middle = low + _split(high - low)
            if old <= middle:
                path.append(self._head(middle, high))
                high = middle
            else:
                path.append(self._head(low, middle))
                low, whole = middle, False
        if not whole:
            path.append(self._head(low, high))
        return path[::-1]

    def _head(self, low: int, high: int) -> bytes:
        """MTH(D[low:high]), where ``low`` is a multiple of the power of two at or above ``high - low``."""
        width = high - low
        level = width.bit_length() - 1
        if width == 1 << level:
            offset = (low >> level) * HASH_SIZE
            return bytes(self._levels[level][offset : offset + HASH_SIZE])
        middle = low + (1 << level)
        return _parent(self._head(low, middle), self._head(middle, high))

    def _bound(self, size: int) -> None:
        if not 0 <= size <= len(self):
            raise IndexError(f"the log has {len(self)} leaves, not {size}")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the log of ``new`` leaves only grew from that of ``old`` (RFC 9162 § 2.1.4.2)."""
    if not 0 < old <= new or any(len(node) != HASH_SIZE for node in path):
        return False
    if old == new:
        return not path and old_root == new_root
    nodes = list(path)
    if old & (old - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        return False
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    old_head = new_head = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            old_head, new_head = _parent(node, old_head), _parent(node, new_head)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            new_head = _parent(new_head, node)
        first, last = first >> 1, last >> 1
    return last == 0 and old_head == old_root and new_head == new_root


def _split(width: int) -> int:
    """The largest power of two below ``width`` (≥ 2)."""
    return 1 << ((width - 1).bit_length() - 1)


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)
