"""What a challenge asks for and what a proof of it is: pure, the same for the contract and for the node that answers.

A deposit is a number of objects. Each custodian's copy of an object has bytes of its own, in chunks of 4096; the
copy's root is the RFC 6962 root over these chunks, and the custodian's root of the deposit the one over an entry for
each object: name, size and root of the copy. A sample is one chunk of one object of one deposit, and its proof the
chunk, its path to the copy's root, and the entry's path to the deposit's root: who has thrown a share of its
copies away is found out by the next challenge with about that probability for each of the samples.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from contracts import arguments
from contracts.context import Context, Value
from contracts.errors import ContractError

CHUNK: Final = 4096
"""Bytes of a chunk; the last one of a copy may be shorter."""
SAMPLES: Final = 4
"""Chunks that one challenge asks for."""
MAX_OBJECTS: Final = 512
"""Objects of one deposit: as many as a custodian takes a list of (node/envelope.py)."""
MAX_PATH: Final = 64
MAX_LEAF: Final = 256

_DEPOSIT, _OBJECT, _CHUNK = 0, 1, 2


class Proof(NamedTuple):
    """One sample's proof; as an argument it is the list of these."""

    leaf: bytes  # of the object: the encoded `entry`
    path: list[bytes]  # of the leaf in the custodian's root of the deposit
    chunk: bytes
    chunk_path: list[bytes]  # of the chunk in the copy's root


def entry(name: bytes, size: int, root: bytes) -> list[Value]:
    """What is encoded as the leaf of an object. name: 32 bytes; size: of the copy, at least 1 byte; root: its own."""
    return ["tally/custody_object", 1, name, size, root]


def chunk_count(size: int) -> int:
    """Chunks of a copy of so many bytes, at least 1."""
    return -(-size // CHUNK)


def sampled_places(seed: bytes, held: int) -> list[int]:
    """Where in a custodian's list of held deposits the samples of a challenge lie; held: the list's length, >= 1."""
    return [_pick(seed, sample, _DEPOSIT, held) for sample in range(SAMPLES)]


def sampled_object(seed: bytes, sample: int, objects: int) -> int:
    """Which object of its deposit a sample (0 to SAMPLES - 1) asks for; objects: how many the deposit has."""
    return _pick(seed, sample, _OBJECT, objects)


def sampled_chunk(seed: bytes, sample: int, size: int) -> int:
    """Which chunk of its object a sample asks for; size: bytes of the copy."""
    return _pick(seed, sample, _CHUNK, chunk_count(size))


def proof_of(value: Value) -> Proof:
    """A proof as it came in an argument. Raises ContractError WRONG_ARGUMENT."""
    proof = Proof(*arguments.sequence(value, "a proof", 4, 4))
    for hashes in (proof.path, proof.chunk_path):
        arguments.sequence(hashes, "a path of a proof", 0, MAX_PATH)
    for data, most in ((proof.leaf, MAX_LEAF), (proof.chunk, CHUNK)):
        if type(data) is not bytes or len(data) > most:
            raise ContractError(
                "WRONG_ARGUMENT", f"leaf and chunk of a proof are at most {MAX_LEAF} and {CHUNK} bytes"
            )
    return proof


def check(
    ctx: Context, proof: Proof, seed: bytes, sample: int, objects: int, roots: dict[str, bytes], holder: str
) -> None:
    """A proof must stand under the root of the holder whose copy it is: ContractError ANOTHERS_COPY or WRONG_PROOF.

    roots: of every custodian's copy of the deposit; objects: how many it has.
    """
    index = sampled_object(seed, sample, objects)
    if not _stands(ctx, roots[holder], proof.leaf, index, objects, proof.path):
        for other in sorted(roots):
            if other != holder and _stands(ctx, roots[other], proof.leaf, index, objects, proof.path):
                raise ContractError(
                    "ANOTHERS_COPY", f"sample {sample} is of {other}'s copy: answer from the one that {holder} has"
                )
        raise ContractError(
            "WRONG_PROOF",
            f"sample {sample}: no entry {index} under {holder}'s root: check the copy, or report it lost",
        )
    size, root = _size_and_root(ctx, proof.leaf)
    number, count = sampled_chunk(seed, sample, size), chunk_count(size)
    whole = len(proof.chunk) == min(CHUNK, size - number * CHUNK)
    if not whole or not _stands(ctx, root, proof.chunk, number, count, proof.chunk_path):
        raise ContractError(
            "WRONG_PROOF", f"sample {sample}: not chunk {number} of its copy: check the copy, or report it lost"
        )


def _size_and_root(ctx: Context, leaf: bytes) -> tuple[int, bytes]:
    """What an entry says of its copy. A leaf that is none comes from the owner; custodians hold no such deposit."""
    value = ctx.decode(leaf)
    if type(value) is list and len(value) == 5:
        name, size, root = value[2:]
        if value == entry(name, size, root) and type(size) is int and size >= 1 and type(root) is bytes:
            return size, root
    raise ContractError("WRONG_PROOF", "the deposit's leaf is no entry of an object: report the deposit as lost")


def _stands(ctx: Context, root: bytes, leaf: bytes, index: int, count: int, path: list[bytes]) -> bool:
    ctx.charge(2 + len(path) + len(leaf) // 64)
    return ctx.verify_path(root, leaf, index, count, path)


def _pick(seed: bytes, sample: int, what: int, bound: int) -> int:
    """A number below bound, the same for the same seed; 256 bits, so that no remainder is favoured noticeably."""
    return int.from_bytes(hashlib.sha256(seed + bytes((sample, what))).digest()) % bound
