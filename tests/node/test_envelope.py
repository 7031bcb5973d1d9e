"""The envelope by its rules: known answers computed without it, each altered byte noticed, no copy like another."""

from __future__ import annotations

import hmac
import random
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.public import PrivateKey, SealedBox
from nacl.secret import SecretBox
from nacl.signing import SigningKey as NaclKey

from chain import merkle
from chain.codec import decode, encode
from chain.crypto import SigningKey
from chain.sealed import seal
from contracts import custody_proofs
from node import envelope
from node.envelope import (
    CHUNK,
    DepositSecret,
    Entry,
    EnvelopeError,
    KeyList,
    Manifest,
    Recipient,
    RootHasher,
    check_document,
    copy_root,
    make_copy,
    make_key_list,
    object_key,
    open_copy,
)

M, NETWORK = bytes(range(32)), b"n" * 32
SECRET = DepositSecret(M, ("despatch", "invoice"))
OWNER, READER, COURT, OTHER = (SigningKey(bytes([number]) * 32) for number in range(1, 5))
SIGNER = SigningKey(b"s" * 32)


def name_of(data: bytes) -> bytes:
    return sha256(data).digest()


def manifest(*documents: bytes, holder: str = "lender") -> Manifest:
    rows = []
    for data in documents:
        copy = make_copy(object_key(M, name_of(data)), holder, data)
        rows.append(Entry(name_of(data), len(copy), copy_root(copy)))
    return Manifest("erp", 7, holder, tuple(rows))


def key_list(**changes: Any) -> KeyList:
    given: dict[str, Any] = {
        "network_id": NETWORK, "chain": "erp", "number": 7, "version": 40, "secret": SECRET, "signer": SIGNER,
        "readers": [Recipient("member", "erp", OWNER.public), Recipient("party", "buyer", READER.public)],
        "objects": [(name_of(b"a"), Recipient("member", "court", COURT.public))],
    }  # fmt: skip
    return make_key_list(**{**given, **changes})


# -- copies -------------------------------------------------------------------------------------------------


def test_a_copy_is_what_the_rules_say() -> None:
    """From the bytes of the rules, with PyNaCl's own classes."""
    data = b"an invoice"
    name = name_of(data)
    key = hmac.digest(M, encode(["tally/object_key", 1, name]), "sha256")
    sealing = hmac.digest(key, encode(["tally/copy_key", 1, "lender"]), "sha256")
    expected = SecretBox(sealing).encrypt(data, bytes(24)).ciphertext
    assert object_key(M, name) == key
    assert make_copy(key, "lender", data) == expected
    assert open_copy(key, "lender", expected) == data
    assert envelope.copy_size(len(data)) == len(expected)


def test_a_copy_never_changes_between_versions() -> None:
    """Pinned bytes: custodians and chains hold roots over them."""
    copy = make_copy(object_key(M, name_of(b"an invoice")), "lender", b"an invoice")
    assert copy.hex() == "26f9af0d6299c84b42df517d4ac4513d4264226602b4b2da68e5"


@given(st.binary(max_size=3 * CHUNK))
@settings(max_examples=30)
def test_any_document_comes_back_and_no_two_holders_have_the_same_bytes(data: bytes) -> None:
    key = object_key(M, name_of(data))
    copies = {holder: make_copy(key, holder, data) for holder in ("erp", "lender", "guarantor")}
    assert len(set(copies.values())) == 3
    assert len({copy_root(copy) for copy in copies.values()}) == 3
    for holder, copy in copies.items():
        assert open_copy(key, holder, copy) == data
        for other in copies.keys() - {holder}:
            with pytest.raises(EnvelopeError, match="take another holder's"):
                open_copy(key, other, copy)


def test_a_copy_with_any_byte_altered_does_not_open() -> None:
    key = object_key(M, name_of(b"x" * 40))
    copy = make_copy(key, "lender", b"x" * 40)
    for place in range(len(copy)):
        altered = bytearray(copy)
        altered[place] ^= 1
        with pytest.raises(EnvelopeError) as raised:
            open_copy(key, "lender", bytes(altered))
        assert raised.value.code == "DAMAGED_COPY"
    for cut in (b"", copy[:15], copy[:-1], copy + b"\0"):
        with pytest.raises(EnvelopeError, match="take another holder's"):
            open_copy(key, "lender", cut)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, 7 * CHUNK + 3, 16 * CHUNK, 100_016])
def test_the_root_of_a_copy_is_rfc_6962_over_its_chunks_however_it_comes_in(size: int) -> None:
    copy = random.Random(size).randbytes(size)
    expected = merkle.root([copy[at : at + CHUNK] for at in range(0, size, CHUNK)])
    assert copy_root(copy) == expected
    for step in (1_000, CHUNK, 4_097, 192 * 1024):
        hasher = RootHasher()
        for at in range(0, size, step):
            hasher.update(copy[at : at + step])
        assert hasher.root() == expected


def test_a_document_is_named_by_its_hash_or_its_sealed_root() -> None:
    body = seal({"account": "GB1"}, ("invoice", "erp", "1"), b"s" * 32)
    check_document(name_of(b"raw"), b"raw")
    check_document(body.root, body.encode())
    for name, data in (
        (name_of(b"raw"), b"row"),
        (body.root, body.encode().replace(b"GB1", b"GB2")),
        (bytes(32), b""),
    ):
        with pytest.raises(EnvelopeError) as raised:
            check_document(name, data)
        assert raised.value.code == "WRONG_HASH"


# -- manifests ----------------------------------------------------------------------------------------------


def test_the_deposit_root_is_over_the_leaves_that_the_contract_checks() -> None:
    found = manifest(b"a", b"b" * 5_000, b"c")
    leaves = [encode(["tally/custody_object", 1, name, size, root]) for name, size, root in found.entries]
    assert [entry.leaf for entry in found.entries] == leaves
    assert found.root == merkle.root(leaves)
    assert found.size == 1 + 5_000 + 1 + 3 * 16


def test_a_proof_shows_one_chunk_under_the_deposit_root() -> None:
    documents = (b"a", b"b" * 10_000, b"c")
    found = manifest(*documents)
    copy = make_copy(object_key(M, name_of(documents[1])), "lender", documents[1])
    for chunk in range(3):
        proof = found.prove(1, copy, chunk)
        assert merkle.verify(found.root, proof.leaf, 1, 3, proof.path)
        assert merkle.verify(found.entries[1].root, proof.chunk, chunk, 3, proof.chunk_path)
        assert proof.chunk == copy[chunk * CHUNK : (chunk + 1) * CHUNK]
    with pytest.raises(IndexError):
        found.prove(1, copy, 3)


def test_a_manifest_comes_back_from_its_bytes_only() -> None:
    found = manifest(b"a", b"b")
    data = found.encode()
    assert Manifest.decode(data) == found
    fields: list[Any] = list(decode(data))
    name, size, root = fields[5][0]
    wrong = [
        ["tally/custody_manifest", 2, *fields[2:]], fields[:-1], [*fields, 1], [*fields[:5], []],
        [*fields[:2], "../escape", *fields[3:]], [*fields[:4], "lender/../../x", fields[5]],
        [*fields[:4], 3, fields[5]],
        [*fields[:3], -1, *fields[4:]], [*fields[:3], True, *fields[4:]],
        [*fields[:5], [[name, 15, root]]], [*fields[:5], [[name[:31], size, root]]],
        [*fields[:5], [[name, size, b""]]],
        [*fields[:5], [[name, size]]], [*fields[:5], [[name, size, root]] * 513], [*fields[:5], 5],
    ]  # fmt: skip
    for value in wrong:
        with pytest.raises(EnvelopeError) as raised:
            Manifest.decode(encode(value))
        assert raised.value.code == "MALFORMED_MANIFEST"
        assert "\n" not in str(raised.value)
    for cut in range(0, len(data), 7):
        with pytest.raises(EnvelopeError, match="ask another holder"):
            Manifest.decode(data[:cut])


# -- key lists ----------------------------------------------------------------------------------------------


def test_each_reader_opens_what_it_was_given_and_nobody_else_anything() -> None:
    found = key_list()
    for key in (OWNER, READER):
        assert found.secret([key]) == SECRET
        assert found.object_key(name_of(b"z"), [key]) == object_key(M, name_of(b"z"))
    assert found.secret([COURT]) is None
    assert found.object_key(name_of(b"a"), [OTHER, COURT]) == object_key(M, name_of(b"a"))
    assert found.object_key(name_of(b"b"), [COURT]) is None
    assert found.secret([OTHER]) is None
    assert found.object_key(name_of(b"a"), [OTHER]) is None
    assert found.reads("party", "buyer")
    assert not found.reads("member", "buyer")
    assert found.reads("member", "court", name_of(b"a"))
    assert not found.reads("member", "court", name_of(b"b"))
    assert not found.reads("member", "court")


def test_boxes_are_sealed_boxes_of_the_registered_key_in_its_x25519_form() -> None:
    private = NaclKey(READER.seed).to_curve25519_private_key()
    assert isinstance(private, PrivateKey)
    plain = SealedBox(private).decrypt(key_list().rows[1].box)
    assert plain == encode(["tally/deposit_secret", 1, M, ["despatch", "invoice"]])
    alone = NaclKey(COURT.seed).to_curve25519_private_key()
    assert SealedBox(alone).decrypt(key_list().objects[0].box) == object_key(M, name_of(b"a"))


def test_the_owner_signs_network_chain_deposit_version_and_every_row() -> None:
    found = key_list()
    rows, objects = [list(row) for row in found.rows], [list(row) for row in found.objects]
    signed = encode(["tally/custody_keys", 1, NETWORK, "erp", 7, 40, rows, objects])
    assert found.signed_bytes(NETWORK) == signed
    assert found.signature == SIGNER.sign(signed)
    found.check(NETWORK, [OTHER.public, SIGNER.public])
    for network, signers in ((bytes(32), [SIGNER.public]), (NETWORK, [OTHER.public]), (NETWORK, [])):
        with pytest.raises(EnvelopeError) as raised:
            found.check(network, signers)
        assert raised.value.code == "WRONG_SIGNATURE"


def test_a_key_list_with_any_byte_altered_is_refused() -> None:
    found = key_list()
    data = found.encode()
    assert KeyList.decode(data) == found
    for place in range(len(data)):
        altered = bytearray(data)
        altered[place] ^= 1
        with pytest.raises(EnvelopeError) as raised:
            KeyList.decode(bytes(altered)).check(NETWORK, [SIGNER.public])
        assert raised.value.code in ("MALFORMED_KEY_LIST", "WRONG_SIGNATURE")


def test_what_is_no_key_list_is_refused() -> None:
    fields: list[Any] = list(decode(key_list().encode()))
    row, single = fields[5][0], fields[6][0]
    wrong = [
        ["tally/custody_keys", *fields[1:]], fields[:-1], [*fields[:2], "Erp", *fields[3:]],
        [*fields[:3], "7", *fields[4:]], [*fields[:4], -1, *fields[5:]], [*fields[:5], [row[:3]], *fields[6:]],
        [*fields[:5], [["court", *row[1:]]], *fields[6:]], [*fields[:5], [[*row[:2], b"k", row[3]]], *fields[6:]],
        [*fields[:5], [[*row[:3], "box"]], *fields[6:]], [*fields[:6], [[b"n", *single[1:]]], *fields[7:]],
        [*fields[:6], [single[1:]], *fields[7:]], [*fields[:7], None, fields[8]], [*fields[:8], None], 5,
    ]  # fmt: skip
    for value in wrong:
        with pytest.raises(EnvelopeError) as raised:
            KeyList.decode(encode(value))
        assert raised.value.code == "MALFORMED_KEY_LIST"


def test_a_box_that_holds_something_else_is_damage_not_a_key() -> None:
    row = key_list().rows[0]
    for box in (row.box[:-1], b"", envelope.seal_to(OWNER.public, b"x"), envelope.seal_to(OTHER.public, M)):
        found = KeyList("erp", 7, 40, (row._replace(box=box),), (), SIGNER.public, b"")
        with pytest.raises(EnvelopeError) as raised:
            found.secret([OWNER])
        assert raised.value.code == "DAMAGED_BOX"


@pytest.mark.parametrize("key", [b"\xff" * 32, b"short", b""])
def test_what_is_no_key_cannot_be_sealed_to(key: bytes) -> None:
    with pytest.raises(EnvelopeError) as raised:
        key_list(readers=[Recipient("member", "erp", key)])
    assert raised.value.code == "NO_ENCRYPTION_KEY"


def test_rewrapping_changes_no_copy() -> None:
    before, after = key_list(), key_list(version=41, readers=[Recipient("member", "erp", OWNER.public)])
    assert before.secret([OWNER]) == after.secret([OWNER])
    assert after.secret([READER]) is None
    assert manifest(b"a").root == manifest(b"a").root


def test_the_contract_counts_chunks_as_copies_are_cut() -> None:
    for size in (1, CHUNK, CHUNK + 1, 100_016):
        assert len(envelope.chunks(bytes(size))) == custody_proofs.chunk_count(size)
