"""Bitcoin headers offline: work, links, trusted hashes, and trial chains told from the main chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.bitcoin import (
    HEADER_SIZE,
    LEAST_DIFFICULTY,
    MAIN_GENESIS,
    TIME_SLACK,
    BitcoinError,
    Header,
    double_sha256,
    establish,
    merkle_path,
    merkle_root,
    of_shown,
    shown,
)
from chain.evm import UnanchoredError
from contracts import anchor_kinds
from tests.bitcoin_chain import GENESIS, GENESIS_HASH, SPACING, START, BitcoinChain

MAIN_GENESIS_HEADER = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3"
    "888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
BLOCK_125552 = bytes.fromhex(
    "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d750423db8b1eb942ae710e951e"
    "d797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695"
)
"""Of the main chain, as Bitcoin's developers' documentation gives it."""


@pytest.fixture(scope="module")
def chain() -> BitcoinChain:
    made = BitcoinChain()
    made.mine(count=12)
    return made


def headers(chain: BitcoinChain, first: int, count: int) -> list[bytes]:
    return chain.headers[first : first + count]


def test_known_headers_are_read_as_everybody_reads_them() -> None:
    genesis = Header.decode(MAIN_GENESIS_HEADER)
    assert genesis.hash == MAIN_GENESIS
    assert shown(genesis.hash) == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert (genesis.time, genesis.bits) == (1231006505, 0x1D00FFFF)
    block = Header.decode(BLOCK_125552)
    assert shown(block.hash) == "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"
    assert shown(block.merkle_root) == "2b12fcf1b09288fcaff797d71e950e71ae42b91e8bdb2304758dfcffc2b620e3"
    assert shown(Header.decode(GENESIS).hash) == GENESIS_HASH


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x1D00FFFF, 0xFFFF << 208),
        (0x207FFFFF, 0x7FFFFF << 232),
        (0x05009234, 0x92340000),
        (0x02008000, 0x80),
        (0x01003456, 0),
        (0x04923456, 0),  # negative
        (0xFF123456, 0),  # beyond 256 bits
    ],
)
def test_the_compact_form_of_a_target(bits: int, target: int) -> None:
    assert Header(b"", b"", b"", 0, bits).target == target


def test_a_header_without_its_work_is_refused() -> None:
    changed = bytearray(BLOCK_125552)
    changed[68] ^= 1
    with pytest.raises(BitcoinError, match="BITCOIN_WORK"):
        Header.decode(bytes(changed))
    with pytest.raises(BitcoinError, match="BITCOIN_HEADER_SIZE"):
        Header.decode(BLOCK_125552[:-1])


def test_blocks_too_easy_for_the_main_chain_are_marked(chain: BitcoinChain) -> None:
    assert Header.decode(chain.headers[3]).development
    assert Header.decode(MAIN_GENESIS_HEADER).development  # an early block could be made anew today
    assert Header(b"", b"", b"", 0, 0x1D00FFFF).development
    recent = Header(b"", b"", b"", 0, 0x17034219)  # block 840,000, April 2024
    assert not recent.development
    edge = (0xFFFF << 208) // LEAST_DIFFICULTY
    assert not Header(b"", b"", b"", 0, _bits(edge)).development
    assert Header(b"", b"", b"", 0, _bits(edge * 2)).development


def test_the_contract_tells_trial_chains_by_the_same_work() -> None:
    """It sees no header: only the zeros that the least work of a real block leaves in its hash."""
    highest = (0xFFFF << 208) // LEAST_DIFFICULTY
    assert not any(highest.to_bytes(32, "little")[-anchor_kinds.WORK_BYTES :])


def _bits(target: int) -> int:
    size = -(-target.bit_length() // 8)
    mantissa = target >> 8 * (size - 3)
    return (size + 1) << 24 | mantissa >> 8 if mantissa & 0x800000 else size << 24 | mantissa


def test_a_block_is_established_by_its_own_hash_or_a_later_one(chain: BitcoinChain) -> None:
    own = establish(5, headers(chain, 5, 1), {5: chain.hash(5)})
    later = establish(5, headers(chain, 5, 4), {8: chain.hash(8), 99: bytes(32)})
    assert (own.height, own.pinned, later.pinned) == (5, 5, 8)
    assert own.header == later.header == Header.decode(chain.headers[5])
    assert own.no_later_than == START + 5 * SPACING + TIME_SLACK
    assert own.development


def test_without_a_trusted_hash_nothing_is_shown(chain: BitcoinChain) -> None:
    for trusted in ({}, {4: chain.hash(4)}, {9: chain.hash(9)}):
        with pytest.raises(UnanchoredError, match="UNANCHORED"):
            establish(5, headers(chain, 5, 3), trusted)


def test_a_header_of_ones_own_making_does_not_have_the_trusted_hash(chain: BitcoinChain) -> None:
    forged = BitcoinChain(1)
    forged.mine(count=8)
    with pytest.raises(BitcoinError, match="BITCOIN_WRONG_HASH"):
        establish(5, headers(forged, 5, 1), {5: chain.hash(5)})
    with pytest.raises(BitcoinError, match="BITCOIN_WRONG_HASH"):
        establish(5, headers(chain, 5, 2), {5: chain.hash(5), 6: forged.hash(6)})


def test_headers_must_follow_each_other(chain: BitcoinChain) -> None:
    forged = BitcoinChain(1)
    forged.mine(count=5, time=START)
    for broken in (
        [forged.headers[5], *headers(chain, 6, 3)],
        [*headers(chain, 5, 1), *headers(chain, 7, 2)],
        [chain.headers[6], chain.headers[5]],
    ):
        with pytest.raises(BitcoinError, match="BITCOIN_CHAIN_BROKEN"):
            establish(5, broken, {8: chain.hash(8), 6: chain.hash(6)})
    with pytest.raises(BitcoinError, match="BITCOIN_NO_HEADER"):
        establish(5, [], {5: chain.hash(5)})


def test_a_header_at_another_height_is_refused(chain: BitcoinChain) -> None:
    """Re-dating: the block of height 5 passed off as an earlier one."""
    with pytest.raises(BitcoinError, match="BITCOIN_WRONG_HASH"):
        establish(3, headers(chain, 5, 1), {3: chain.hash(3)})


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33, " " + "00" * 32, "00" * 32 + "\n"])
def test_what_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(BitcoinError, match="BITCOIN_HASH"):
        of_shown(text)


def test_hashes_are_shown_in_reverse() -> None:
    assert of_shown(shown(bytes(range(32)))) == bytes(range(32))


@pytest.mark.parametrize("count", range(1, 10))
def test_every_merkle_path_leads_to_the_root(count: int) -> None:
    leaves = [double_sha256(b"%d" % place) for place in range(count)]
    for index, leaf in enumerate(leaves):
        node = leaf
        for left, sibling in merkle_path(leaves, index):
            node = double_sha256(sibling + node if left else node + sibling)
        assert node == merkle_root(leaves)
    with pytest.raises(IndexError):
        merkle_path(leaves, count)


def test_the_merkle_root_of_a_real_block() -> None:
    """Block 100,000 of the main chain: four transactions."""
    ids = [
        "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
        "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
        "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
        "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
    ]
    root = merkle_root([of_shown(text) for text in ids])
    assert shown(root) == "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766"


def test_a_decoded_header_is_its_bytes(chain: BitcoinChain) -> None:
    header = Header.decode(chain.headers[7])
    assert len(header.raw) == HEADER_SIZE
    assert header.previous == chain.hash(6)
    assert replace(header, raw=chain.headers[7]) == header
