"""RFC 6962 trees: published vectors, every size to 70, and the ways a tree is usually forged."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import merkle

# The inputs, tree heads and audit paths of the certificate-transparency reference tests.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
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
PATHS = {
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


def tree_head(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 § 2.1, word for word: split at the largest power of two below n."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + tree_head(leaves[:split]) + tree_head(leaves[split:])).digest()


def leaves_of(count: int) -> list[bytes]:
    return [b"leaf %d" % index for index in range(count)]


def test_published_heads() -> None:
    assert [merkle.root(LEAVES[:count]).hex() for count in range(9)] == ROOTS
    assert merkle.root([]) == merkle.EMPTY_ROOT


@pytest.mark.parametrize(("index", "count"), PATHS)
def test_published_audit_paths(index: int, count: int) -> None:
    path = merkle.prove(LEAVES[:count], index)
    assert [node.hex() for node in path] == PATHS[index, count]
    assert merkle.verify(bytes.fromhex(ROOTS[count]), LEAVES[index], index, count, path)


@pytest.mark.parametrize("count", range(71))
def test_every_leaf_of_every_size(count: int) -> None:
    leaves = leaves_of(count)
    root = merkle.root(leaves)
    assert root == tree_head(leaves)
    for index, leaf in enumerate(leaves):
        path = merkle.prove(leaves, index)
        assert merkle.verify(root, leaf, index, count, path)
        assert not merkle.verify(root, leaf + b"x", index, count, path)
        for other in (index - 1, index + 1):
            assert not merkle.verify(root, leaf, other, count, path)
        assert not merkle.verify(root, leaf, index, count, [*path, bytes(32)])
        if path:
            assert not merkle.verify(root, leaf, index, count, path[:-1])
            assert not merkle.verify(root, leaf, index, count, path[1:])


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 64, 65])
def test_one_bit_of_a_path_or_root_ends_a_proof(count: int) -> None:
    leaves = leaves_of(count)
    root = merkle.root(leaves)
    index = count // 2
    path = merkle.prove(leaves, index)
    assert not merkle.verify(bytes([root[0] ^ 1]) + root[1:], leaves[index], index, count, path)
    for place, node in enumerate(path):
        changed = [*path[:place], bytes([node[0] ^ 1]) + node[1:], *path[place + 1 :]]
        assert not merkle.verify(root, leaves[index], index, count, changed)
        assert not merkle.verify(root, leaves[index], index, count, [*path[:place], b"", *path[place + 1 :]])


def test_a_count_is_that_of_the_root() -> None:
    """A path alone does not fix how many leaves there are, so the count stands in the header beside the root.

    Where another count gives the same shape of path, it is the header's that is right; of another shape, refused.
    """
    leaves = leaves_of(7)
    root, path = merkle.root(leaves), merkle.prove(leaves, 6)
    assert [count for count in range(12) if merkle.verify(root, leaves[6], 6, count, path)] == [7]
    path = merkle.prove(leaves, 0)
    assert {count for count in range(20) if merkle.verify(root, leaves[0], 0, count, path)} == {5, 6, 7, 8}
    for count in (0, -1, -7):
        assert not merkle.verify(root, leaves[0], 0, count, path)


@pytest.mark.parametrize(
    ("index", "count"), [(True, 2), (1, True), (0, True), (False, 2), (1.0, 2), (None, 2), ("1", 2)]
)
def test_index_and_count_are_integers(index: int, count: int) -> None:
    """They come out of proof files: ``True`` is another byte than 1."""
    leaves = leaves_of(2)
    for leaf in leaves:
        path = merkle.prove(leaves, leaves.index(leaf))
        assert not merkle.verify(merkle.root(leaves), leaf, index, count, path)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_path_is_a_list_of_exactly_the_hashes_that_are_used(count: int) -> None:
    leaves = leaves_of(count)
    root, path = merkle.root(leaves), merkle.prove(leaves, 0)
    assert merkle.verify(root, leaves[0], 0, count, path)
    wrongs: list[Any] = [[*path, None], [*path, b""], [*path, path], {}, None, "", b"", b"".join(path), iter(path)]
    if path:
        wrongs += [
            [path[0] + b"\x00", *path[1:]],
            [list(path[0]), *path[1:]],
            [path[0].hex(), *path[1:]],
            [None, *path[1:]],
        ]
    for wrong in wrongs:
        assert not merkle.verify(root, leaves[0], 0, count, wrong)
    for leaf in (None, "leaf 0", 0, [leaves[0]]):
        other: Any = leaf
        assert not merkle.verify(root, other, 0, count, path)


def test_an_inner_node_is_no_leaf() -> None:
    """Second preimage: the two hashes below the root, taken as a leaf, must not give the same root."""
    leaves = leaves_of(4)
    left, right = merkle.root(leaves[:2]), merkle.root(leaves[2:])
    root = merkle.root(leaves)
    assert merkle.root([left, right]) != root
    assert merkle.root([left + right]) != root
    assert not merkle.verify(root, left + right, 0, 1, [])
    assert not merkle.verify(root, left, 0, 2, [right])


def test_the_last_leaf_is_never_doubled() -> None:
    """CVE-2012-2459: a tree that doubles its odd leaf gives two lists one root."""
    for count in range(1, 20):
        leaves = leaves_of(count)
        for tail in range(1, count + 1):
            assert merkle.root([*leaves, *leaves[-tail:]]) != merkle.root(leaves)


@given(st.lists(st.binary(max_size=6), max_size=12), st.lists(st.binary(max_size=6), max_size=12))
def test_two_lists_have_two_roots(one: list[bytes], other: list[bytes]) -> None:
    assert (merkle.root(one) == merkle.root(other)) is (one == other)


@pytest.mark.parametrize(("count", "index"), [(0, 0), (3, 3), (3, -1)])
def test_there_is_no_path_of_a_leaf_that_is_not_there(count: int, index: int) -> None:
    with pytest.raises(IndexError):
        merkle.prove(leaves_of(count), index)
    assert not merkle.verify(merkle.root(leaves_of(count)), b"leaf 0", index, count, [])
