"""The anchored log: RFC 6962 vectors, proofs against plain recomputation, and the frozen formats."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import merkle
from chain.checkpoint import (
    PAYLOAD_SIZE,
    Checkpoint,
    CheckpointError,
    Log,
    leaf,
    verify_consistency,
)
from chain.codec import decode

NETWORK = bytes(range(32))

# The eight inputs and their tree heads that Certificate Transparency implementations share.
VECTOR_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
VECTOR_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
VECTOR_CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
VECTOR_INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def log_of(leaves: list[bytes]) -> Log:
    log = Log()
    for data in leaves:
        log.append(data)
    return log


@pytest.mark.parametrize("size", range(9))
def test_tree_heads_of_the_known_vectors(size: int) -> None:
    assert log_of(VECTOR_LEAVES).root(size).hex() == VECTOR_ROOTS[size]
    assert merkle.root(VECTOR_LEAVES[:size]).hex() == VECTOR_ROOTS[size]


@pytest.mark.parametrize("sizes", VECTOR_CONSISTENCY)
def test_consistency_proofs_of_the_known_vectors(sizes: tuple[int, int]) -> None:
    old, new = sizes
    path = log_of(VECTOR_LEAVES).consistency(old, new)
    assert [node.hex() for node in path] == VECTOR_CONSISTENCY[sizes]
    roots = [bytes.fromhex(root) for root in VECTOR_ROOTS]
    assert verify_consistency(old, roots[old], new, roots[new], path)


@pytest.mark.parametrize("position", VECTOR_INCLUSION)
def test_inclusion_proofs_of_the_known_vectors(position: tuple[int, int]) -> None:
    index, size = position
    path = log_of(VECTOR_LEAVES).inclusion(index, size)
    assert [node.hex() for node in path] == VECTOR_INCLUSION[position]
    assert merkle.verify(bytes.fromhex(VECTOR_ROOTS[size]), VECTOR_LEAVES[index], index, size, path)


def test_every_proof_up_to_33_leaves_and_no_other_pair_passes() -> None:
    leaves = [bytes([n]) for n in range(33)]
    log = log_of(leaves)
    for size in range(1, 34):
        root = merkle.root(leaves[:size])
        assert log.root(size) == root
        for index in range(size):
            assert log.inclusion(index, size) == merkle.prove(leaves[:size], index)
        for old in range(1, size + 1):
            path = log.consistency(old, size)
            assert verify_consistency(old, log.root(old), size, root, path)
            assert not verify_consistency(old, bytes(32), size, root, path)
            assert not verify_consistency(old, log.root(old), size, bytes(32), path)
            assert not verify_consistency(old, log.root(old), size, root, [*path, bytes(32)])
            if path:
                assert not verify_consistency(old, log.root(old), size, root, path[:-1])


@given(st.integers(1, 200), st.integers(0, 199), st.data())
def test_a_rewritten_leaf_breaks_consistency(size: int, changed: int, data: st.DataObject) -> None:
    changed %= size
    leaves = [bytes([n]) for n in range(size)]
    forged = list(leaves)
    forged[changed] = b"forged"
    old = data.draw(st.integers(changed + 1, size))
    honest, rewritten = log_of(leaves), log_of(forged)
    path = rewritten.consistency(old, size)
    assert not verify_consistency(old, honest.root(old), size, rewritten.root(size), path)


def test_the_log_refuses_positions_it_has_not() -> None:
    log = log_of(VECTOR_LEAVES)
    for call in (
        lambda: log.root(9),
        lambda: log.inclusion(8, 8),
        lambda: log.inclusion(-1, 8),
        lambda: log.consistency(0, 8),
        lambda: log.consistency(5, 4),
    ):
        with pytest.raises(IndexError):
            call()
    assert not verify_consistency(0, log.root(0), 8, log.root(8), [])
    assert not verify_consistency(8, log.root(8), 8, log.root(7), [])


def test_the_leaf_the_body_and_the_payload_are_as_frozen() -> None:
    data = leaf(NETWORK, 7, b"\x01" * 32, b"\x02" * 32)
    assert decode(data) == ["tally/anchor_leaf", 1, NETWORK, "consortium", 7, b"\x01" * 32, b"\x02" * 32]
    checkpoint = Checkpoint(NETWORK, 7, b"\x03" * 32)
    body = f"tally/{NETWORK.hex()}\n7\nAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n".encode()
    assert checkpoint.body == body
    assert checkpoint.payload == b"TLY1\x01" + NETWORK + hashlib.sha256(body).digest()
    assert len(checkpoint.payload) == PAYLOAD_SIZE == 69
    assert Checkpoint.parse(body) == checkpoint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n7\n", "\n07\n"),
        ("\n7\n", "\n-7\n"),
        ("\n7\n", "\n 7\n"),
        ("\n7\n", "\n٧\n"),
        ("tally/", "other/"),
        ("tally/00", "tally/"),
        ("00010203", "00 010203"),
        ("0a0b", "0A0B"),
        ("AwM=\n", "AwM=\n\n"),
        ("AwM=\n", "AwM="),
        ("AwM=\n", "AwN=\n"),
        ("AwM=\n", "AwMD\n"),
        ("AwM=\n", "Aw!=\n"),
    ],
)
def test_only_the_exact_checkpoint_text_is_parsed(old: str, new: str) -> None:
    body = Checkpoint(NETWORK, 7, b"\x03" * 32).body.decode()
    assert old in body
    with pytest.raises(CheckpointError):
        Checkpoint.parse(body.replace(old, new).encode())
