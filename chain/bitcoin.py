"""Bitcoin block headers: what of them an offline reader of a time stamp needs, on the standard library alone.

A header is 80 bytes. It names the block before it and the Merkle root of the block's transactions, and its own
double SHA-256 lies below the target it states: making it cost that work. What is believed is not the work, though,
but a block hash the *reader* brings: a stamp's header has that hash, or is followed without a gap by headers of
which one has. The work says one thing more: headers of trial chains (regtest, testnets, signet) were too easy to
make, which shows in the header itself and cannot be taken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final

from chain.evm import UnanchoredError, VerificationError

HEADER_SIZE: Final = 80
HASH_SIZE: Final = 32

MAIN_GENESIS: Final = bytes.fromhex("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")[::-1]
"""The main chain's first block, of January 2009."""
_MERKLE_ROOT: Final = slice(36, 68)
_MAX_TARGET: Final = 0xFFFF << 208
"""Of difficulty 1 (bits 0x1d00ffff)."""
LEAST_DIFFICULTY: Final = 2**35
"""No block of the main chain has been easier since October 2014 (about 2^67 hashes each)."""
TIME_SLACK: Final = 7200
"""Seconds. A block's time is its miner's word: other nodes take it up to two hours ahead of their clocks."""


class BitcoinError(VerificationError):
    """A header or a chain of headers that does not hold.

    code: UPPER_SNAKE. message: one line that names what is wrong and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def double_sha256(data: bytes) -> bytes:
    """SHA-256 of the SHA-256: what Bitcoin names blocks and transactions by; 32 bytes, in internal order."""
    return sha256(sha256(data).digest()).digest()


def shown(block_hash: bytes) -> str:
    """A hash as people and nodes write it: hex of the bytes in reverse."""
    return block_hash[::-1].hex()


def of_shown(text: str) -> bytes:
    """The hash that people write so, in internal order. Raises BitcoinError."""
    try:
        block_hash = bytes.fromhex(text)[::-1]
    except ValueError:
        block_hash = b""
    if len(block_hash) != HASH_SIZE or text != text.strip():
        raise BitcoinError("BITCOIN_HASH", "a Bitcoin block hash is 64 hex digits: copy it whole")
    return block_hash


@dataclass(frozen=True)
class Header:
    """One block header. previous, merkle_root: 32 bytes in internal order; time: seconds since 1970, the miner's."""

    raw: bytes
    previous: bytes
    merkle_root: bytes
    time: int
    bits: int

    @classmethod
    def decode(cls, raw: bytes) -> Header:
        """The header of its 80 bytes. Raises BitcoinError, also where its work is missing."""
        if len(raw) != HEADER_SIZE:
            raise BitcoinError("BITCOIN_HEADER_SIZE", f"a Bitcoin header has {HEADER_SIZE} bytes, not {len(raw)}")
        time, bits = int.from_bytes(raw[68:72], "little"), int.from_bytes(raw[72:76], "little")
        header = cls(raw, raw[4:36], raw[_MERKLE_ROOT], time, bits)
        if int.from_bytes(header.hash, "little") > header.target:
            raise BitcoinError(
                "BITCOIN_WORK", f"header {shown(header.hash)} lacks the work it states: it is of no Bitcoin block"
            )
        return header

    @property
    def hash(self) -> bytes:
        """The block's hash, internal order."""
        return double_sha256(self.raw)

    @property
    def target(self) -> int:
        """The number its hash must not exceed; 0, which no hash meets, for bits outside the compact form."""
        exponent, mantissa = self.bits >> 24, self.bits & 0xFFFFFF
        if mantissa & 0x800000 or exponent > HASH_SIZE:
            return 0
        return mantissa << 8 * (exponent - 3) if exponent >= 3 else mantissa >> 8 * (3 - exponent)

    @property
    def development(self) -> bool:
        """Whether it was too easy to make for a block of the main chain."""
        return self.target * LEAST_DIFFICULTY > _MAX_TARGET


@dataclass(frozen=True)
class Established:
    """A block whose place on the chain the reader's own hash shows.

    pinned: the height of the hash that shows it, this block's or a later one's.
    """

    height: int
    header: Header
    pinned: int

    @property
    def development(self) -> bool:
        """Whether the block is one of a trial chain: of no evidential value."""
        return self.header.development

    @property
    def no_later_than(self) -> int:
        """Seconds since 1970: what the block commits to existed by then, the miner's clock allowed for."""
        return self.header.time + TIME_SLACK


def establish(height: int, headers: Sequence[bytes], trusted: Mapping[int, bytes]) -> Established:
    """The block at ``height``, whose header is the first of ``headers``; the others follow it without a gap.

    trusted: block hashes by height, internal order, from a source the reader chose. At least one must lie at or
    above ``height`` within ``headers``, and every one that lies there must agree.

    Raises BitcoinError where they contradict, UnanchoredError where no trusted hash is among these heights.
    """
    if not headers or height < 0:
        raise BitcoinError("BITCOIN_NO_HEADER", "the proof carries no block header: export it again")
    chain = [Header.decode(raw) for raw in headers]
    for below, above in pairwise(chain):
        if above.previous != below.hash:
            raise BitcoinError(
                "BITCOIN_CHAIN_BROKEN", f"header {shown(above.hash)} does not follow {shown(below.hash)}: refuse it"
            )
    pins = [place for place in range(height, height + len(chain)) if place in trusted]
    if not pins:
        raise UnanchoredError(
            f"UNANCHORED: no trusted hash of Bitcoin block {height}: take it from a node you trust, "
            "and pass it to the verifier"
        )
    for place in pins:
        found = chain[place - height].hash
        if found != trusted[place]:
            raise BitcoinError(
                "BITCOIN_WRONG_HASH",
                f"Bitcoin block {place} is {shown(found)} in the proof, {shown(trusted[place])} by your source",
            )
    return Established(height, chain[0], pins[0])


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Bitcoin's Merkle root of transaction ids in order (at least one); an odd last one is paired with itself."""
    level = list(hashes)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [double_sha256(level[place] + level[place + 1]) for place in range(0, len(level), 2)]
    return level[0]


def merkle_path(hashes: Sequence[bytes], index: int) -> list[tuple[bool, bytes]]:
    """What leads from transaction ``index`` to the root, nearest first: (the sibling stands left, sibling)."""
    if not 0 <= index < len(hashes):
        raise IndexError(f"no transaction {index} among {len(hashes)}")
    path: list[tuple[bool, bytes]] = []
    level = list(hashes)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        path.append((bool(index & 1), level[index ^ 1]))
        level = [double_sha256(level[place] + level[place + 1]) for place in range(0, len(level), 2)]
        index >>= 1
    return path
