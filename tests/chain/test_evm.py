"""The offline verifier of public-chain proofs: published vectors, independent libraries, and tampering."""

from __future__ import annotations

from dataclasses import replace

import pytest
import rlp as reference_rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from chain import rlp
from chain.anchor import Anchor, Trusted
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.evm import (
    DEVELOPMENT_NOTE,
    EvmProof,
    UnanchoredError,
    VerificationError,
    decode_header,
    decode_transaction,
    keccak256,
    read_trie,
    verify,
)
from chain.rlp import RlpError
from node.anchor_key import eth_accounts
from node.devchain import call
from node.devchain_blocks import CHAIN_ID, DevChain
from node.evm_block import Trie, build_proof

# The example key and transaction of EIP-155.
EIP155_RAW = bytes.fromhex(
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc"
    "2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a"
    "3b6d83"
)
EIP155_SENDER = "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"
Account = eth_accounts()
KEY = bytes.fromhex("46" * 32)
SENDER = bytes.fromhex(EIP155_SENDER)
CHECKPOINT = Checkpoint(bytes(range(32)), 7, b"\x03" * 32)
PAYLOAD = CHECKPOINT.payload
MOST_PROOF = 4_000
OTHER = "0x3535353535353535353535353535353535353535"

ITEMS = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (b"", "80"),
        (b"\x00", "00"),
        (b"\x7f", "7f"),
        (b"\x80", "8180"),
        (b"dog", "83646f67"),
        ([], "c0"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (rlp.from_int(0), "80"),
        (rlp.from_int(15), "0f"),
        (rlp.from_int(1024), "820400"),
        (b"x" * 55, "b7" + "78" * 55),
        (b"x" * 56, "b838" + "78" * 56),
        ([b"x" * 55], "f838b7" + "78" * 55),
    ],
)
def test_rlp_of_the_known_vectors(item: rlp.Item, encoded: str) -> None:
    assert rlp.encode(item).hex() == encoded
    assert rlp.decode(bytes.fromhex(encoded)) == item


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "8100",
        "817f",
        "83646f",
        "83646f6767",
        "b800",
        "b83700",
        "b837" + "00" * 55,
        "b90038" + "00" * 56,
        "bfffffffffffffffff",
        "c2",
        "c283646f67",
        "f800",
        "f801c0",
        "f837" + "00" * 55,
        "c0c0",
        "ffffffffffffffffffff",
    ],
)
def test_other_forms_of_rlp_are_refused(encoded: str) -> None:
    with pytest.raises(RlpError):
        rlp.decode(bytes.fromhex(encoded))


def test_a_depth_bomb_is_refused() -> None:
    bomb: rlp.Item = []
    for _ in range(rlp.MAX_DEPTH - 1):
        bomb = [bomb]
    assert rlp.decode(rlp.encode(bomb)) == bomb
    for data in (rlp.encode([bomb]), rlp.encode([bomb] * 1000), b"\xc1" * 100_000):
        with pytest.raises(RlpError):
            rlp.decode(data)


@given(ITEMS)
def test_rlp_agrees_with_the_reference_library(item: rlp.Item) -> None:
    encoded = rlp.encode(item)
    assert encoded == reference_rlp.encode(item)
    assert rlp.decode(encoded) == item


@given(st.binary(max_size=80))
@settings(max_examples=500)
def test_what_rlp_accepts_it_gives_back_byte_for_byte(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except RlpError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    ("pairs", "root"),
    [
        ({}, "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
        (
            {"doe": "reindeer", "dog": "puppy", "dogglesworth": "cat"},
            "8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3",
        ),
        (
            {"do": "verb", "horse": "stallion", "doge": "coin", "dog": "puppy"},
            "5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
        ),
        ({"foo": "bar", "food": "bass"}, "17beaa1648bafa633cda809c90c04af50fc8aed3cb40d16efbddee6fdf63c4c3"),
    ],
)
def test_trie_roots_of_the_ethereum_tests(pairs: dict[str, str], root: str) -> None:
    raw = {key.encode(): value.encode() for key, value in pairs.items()}
    trie = Trie(raw)
    assert trie.root.hex() == root
    for key, value in raw.items():
        assert read_trie(trie.root, key, trie.prove(key)) == value


@given(
    st.dictionaries(st.binary(min_size=1, max_size=4), st.binary(min_size=1, max_size=40), min_size=1, max_size=30)
)
def test_tries_agree_with_the_reference_library(pairs: dict[bytes, bytes]) -> None:
    reference = HexaryTrie({})
    for key, value in pairs.items():
        reference[key] = value
    trie = Trie(pairs)
    assert trie.root == reference.root_hash
    for key, value in pairs.items():
        assert read_trie(trie.root, key, trie.prove(key)) == value
    absent = b"\xff" * 5
    with pytest.raises(VerificationError):
        read_trie(trie.root, absent, trie.prove(absent))


def test_the_header_of_the_first_ethereum_block() -> None:
    empty = keccak256(rlp.encode(b""))
    header: list[rlp.Item] = [
        bytes(32),
        keccak256(rlp.encode([])),
        bytes(20),
        bytes.fromhex("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
        empty,
        empty,
        bytes(256),
        rlp.from_int(0x400000000),
        b"",
        rlp.from_int(5000),
        b"",
        b"",
        bytes.fromhex("11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa"),
        bytes(32),
        bytes.fromhex("0000000000000042"),
    ]
    found = decode_header(rlp.encode(header))
    assert found.hash.hex() == "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
    assert (found.number, found.time, found.transactions_root) == (0, 0, empty)


def test_the_example_transaction_of_eip_155() -> None:
    found = decode_transaction(EIP155_RAW)
    assert (found.sender.hex(), found.chain_id, found.nonce, found.payload) == (EIP155_SENDER, 1, 9, b"")


def signed(kind: int, nonce: int, payload: bytes = PAYLOAD, chain_id: int = CHAIN_ID) -> bytes:
    """A transaction of the EIP-155 key, made by eth-account."""
    fields: dict[str, object] = {
        "nonce": nonce,
        "to": OTHER,
        "value": 0,
        "data": payload,
        "gas": 40_000,
        "chainId": chain_id,
    }
    if kind < 2:
        fields |= {"gasPrice": 2 * 10**9}
    else:
        fields |= {"maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 10**9}
    if kind:
        fields |= {"type": kind, "accessList": [{"address": OTHER, "storageKeys": ["0x" + "01" * 32]}]}
    if kind == 3:
        fields |= {"maxFeePerBlobGas": 1, "blobVersionedHashes": ["0x01" + "02" * 31]}
    if kind == 4:
        authority = Account.from_key(KEY)
        fields |= {"authorizationList": [authority.sign_authorization({"chainId": 1, "address": OTHER, "nonce": 0})]}
    return bytes(Account.sign_transaction(fields, KEY).raw_transaction)


@pytest.mark.parametrize("kind", range(5))
def test_every_type_is_read_and_its_sender_recovered(kind: int) -> None:
    raw = signed(kind, 3)
    found = decode_transaction(raw)
    assert found.sender == SENDER == bytes.fromhex(Account.recover_transaction(raw)[2:])
    assert (found.chain_id, found.nonce, found.payload, found.hash) == (CHAIN_ID, 3, PAYLOAD, keccak256(raw))


def test_impossible_signatures_are_refused() -> None:
    fields = rlp.to_list(rlp.decode(EIP155_RAW))
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = rlp.to_int(fields[8])
    for index, value in ((6, 38 + 2), (6, 26), (7, 0), (7, order), (8, 0), (8, order - s)):
        changed = [*fields[:index], rlp.from_int(value), *fields[index + 1 :]]
        try:
            assert decode_transaction(rlp.encode(changed)).sender != SENDER
        except VerificationError:
            continue
        assert (index, value) == (6, 40)  # another chain id: a valid form, another sender
    for raw in (b"", b"\x05\xc0", b"\x02\xc0", b"\xc0", b"\x02", EIP155_RAW[:-1]):
        with pytest.raises((VerificationError, RlpError)):
            decode_transaction(raw)


def block_with(count: int) -> tuple[DevChain, EvmProof, int]:
    """A devchain block of ``count`` transactions; ours is the last."""
    chain = DevChain(lambda: 1_700_000_000)
    for nonce in range(count - 1):
        chain.submit(signed(nonce % 3, nonce, b"filler"))
    chain.submit(signed(2, count - 1))
    chain.mine()
    block = call(chain, "eth_getBlockByNumber", ["latest", True])
    return chain, build_proof(CHAIN_ID, block, count - 1), count - 1


@pytest.mark.parametrize("count", [1, 2, 17, 128, 129, 200])
def test_a_proof_verifies_wherever_the_transaction_stands(count: int) -> None:
    chain, proof, index = block_with(count)
    found = verify(proof, PAYLOAD, trusted_block_hash=chain.head.hash, senders={SENDER})
    assert (found.block_number, found.block_hash, found.time) == (1, chain.head.hash, 1_700_000_001)
    assert (found.sender, found.note, proof.index) == (SENDER, DEVELOPMENT_NOTE, index)
    assert EvmProof.decode(proof.encode()) == proof
    assert len(proof.encode()) <= MOST_PROOF


def test_a_proof_stays_small_in_the_fullest_block() -> None:
    """Every place in a block of 1,500 transactions, more than a public block of 36 million gas has by far."""
    _, proof, _ = block_with(1)
    fields = len(proof.encode()) - sum(map(len, proof.nodes))  # header and the rest
    raw = signed(2, 0)
    trie = Trie.of_list([raw] * 1_500)
    paths = (trie.prove(rlp.encode(rlp.from_int(index))) for index in range(1_500))
    assert fields + max(sum(len(node) + 3 for node in nodes) for nodes in paths) <= MOST_PROOF


def test_without_a_trusted_hash_nothing_passes() -> None:
    _, proof, _ = block_with(2)
    with pytest.raises(UnanchoredError, match="UNANCHORED: give the hash of block 1 of chain 31338"):
        verify(proof, PAYLOAD, trusted_block_hash=None, senders={SENDER})


def test_what_was_altered_is_refused_by_name() -> None:
    chain, proof, index = block_with(40)
    trusted = chain.head.hash
    top, *below = proof.nodes
    cases = [
        (proof, PAYLOAD[:-1] + b"\x00", trusted, {SENDER}, "another payload"),
        (proof, PAYLOAD, bytes(32), {SENDER}, "not the trusted one"),
        (proof, PAYLOAD, trusted, {bytes(20)}, "not among the trusted senders"),
        (proof, PAYLOAD, trusted, set(), "not among the trusted senders"),
        (replace(proof, index=index - 1), PAYLOAD, trusted, {SENDER}, "proof|position"),
        (replace(proof, index=index + 1), PAYLOAD, trusted, {SENDER}, "proof|position"),
        (replace(proof, chain_id=1), PAYLOAD, trusted, {SENDER}, "for chain 31338, not 1"),
        (replace(proof, nodes=()), PAYLOAD, trusted, {SENDER}, "ends before"),
        (replace(proof, nodes=proof.nodes[:-1]), PAYLOAD, trusted, {SENDER}, "ends before"),
        (replace(proof, nodes=(*proof.nodes, top)), PAYLOAD, trusted, {SENDER}, "lead nowhere"),
        (replace(proof, nodes=(top[:-1] + b"\x01", *below)), PAYLOAD, trusted, {SENDER}, "does not match"),
        (replace(proof, header=proof.header[:-1] + b"\x00"), PAYLOAD, trusted, {SENDER}, "not the trusted"),
        (replace(proof, header=proof.header[:-1]), PAYLOAD, trusted, {SENDER}, "not a public block header"),
        (replace(proof, header=b""), PAYLOAD, trusted, {SENDER}, "not a public block header"),
    ]
    for altered, payload, hash_, senders, reason in cases:
        with pytest.raises(VerificationError, match=reason):
            verify(altered, payload, trusted_block_hash=hash_, senders=senders)


def test_no_flipped_byte_of_a_proof_passes() -> None:
    chain, proof, _ = block_with(3)
    encoded = proof.encode()
    for position in range(len(encoded)):
        flipped = encoded[:position] + bytes([encoded[position] ^ 0x01]) + encoded[position + 1 :]
        with pytest.raises(VerificationError):
            verify(EvmProof.decode(flipped), PAYLOAD, trusted_block_hash=chain.head.hash, senders={SENDER})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        encode(["tally/evm_proof", 2, 1, b"", 0, []]),
        encode(["tally/evm_proof", 1, 0, b"", 0, []]),
        encode(["tally/evm_proof", 1, 1, b"", -1, []]),
        encode(["tally/evm_proof", 1, 1, "", 0, []]),
        encode(["tally/evm_proof", 1, 1, b"", 0, [0]]),
        encode(["tally/evm_proof", 1, 1, b"", 0, [b""] * 65]),
        encode(["tally/evm_proof", True, 1, b"", 0, []]),
        encode(["tally/evm_proof", 1, 1, bytes(2**20), 0, []]),
    ],
)
def test_what_is_no_proof_is_refused(data: bytes) -> None:
    with pytest.raises(VerificationError, match="not an anchor proof"):
        EvmProof.decode(data)


@given(st.lists(st.binary(max_size=60), max_size=4), st.binary(max_size=3))
def test_arbitrary_trie_nodes_never_escape_the_two_errors(nodes: list[bytes], key: bytes) -> None:
    root = keccak256(nodes[0]) if nodes else bytes(32)
    with pytest.raises((VerificationError, RlpError)):
        read_trie(root, key, nodes)


def test_the_anchor_document_goes_there_and_back() -> None:
    chain, proof, _ = block_with(2)
    anchor = Anchor(CHECKPOINT, "evm", proof.encode(), DEVELOPMENT_NOTE)
    document = anchor.to_json()
    assert Anchor.from_json(document) == anchor
    trusted = Trusted({31338: {1: chain.head.hash}}, frozenset({SENDER}), development=True)
    found = anchor.verify(CHECKPOINT.network_id, trusted)
    assert (found.kind, found.where, found.block, found.development) == ("evm", "evm:31338", 1, True)
    assert found.note == DEVELOPMENT_NOTE
    assert Anchor(CHECKPOINT, "evm", proof.encode()).verify(CHECKPOINT.network_id, trusted) == found
    with pytest.raises(VerificationError, match="another network"):
        anchor.verify(bytes(32), trusted)
    with pytest.raises(VerificationError, match="DEVELOPMENT_CHAIN"):
        anchor.verify(CHECKPOINT.network_id, replace(trusted, development=False))
    with pytest.raises(UnanchoredError):
        anchor.verify(CHECKPOINT.network_id, replace(trusted, evm_blocks={}))
    with pytest.raises(VerificationError, match="unknown kind"):
        replace(anchor, kind="stone").verify(CHECKPOINT.network_id, trusted)
    for name, value in (
        ("note", "public"),
        ("note", None),
        ("kind", "stone"),
        ("kind", 7),
        ("checkpoint", "x"),
        ("checkpoint", 7),
        ("proof", "zz"),
        ("proof", "00 "),
        ("proof", None),
        ("more", 1),
        ("format", "tally/anchor/2"),
    ):
        with pytest.raises(VerificationError):
            Anchor.from_json({**document, name: value})
    wrongs: list[object] = [[], None, {}, {"format": "tally/anchor/1"}]
    for wrong in wrongs:
        with pytest.raises(VerificationError):
            Anchor.from_json(wrong)
