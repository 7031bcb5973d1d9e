"""When a block is valid: for each rule a block that breaks exactly that one, made from a sound one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from chain.block import CONSORTIUM, Block, Header
from chain.certificate import Certificate
from chain.codec import decode, encode
from chain.crypto import ZERO_HASH
from chain.ledger import Ledger
from chain.store import MemoryStore
from chain.transaction import MAX_WIRE_SIZE, Transaction, parse
from chain.validity import InvalidBlockError, includable
from tests.chain.chain_builder import Consortium, commit, document_of, key_of, record, transactions_of, vote_in

OWN_CODES = {
    "network_id": "WRONG_NETWORK",
    "height": "WRONG_HEIGHT",
    "parent_hash": "WRONG_PARENT",
    "proposer": "WRONG_PROPOSER",
    "epoch": "WRONG_EPOCH",
    "parent_certificate_hash": "PARENT_CERTIFICATE",
}
"""Fields that are checked before anything is executed; ``time`` is one too, where it is not after the parent's."""


@pytest.fixture
def consortium() -> Consortium:
    """At height 2, so that the next block has a parent with a certificate."""
    made = Consortium()
    made.seal(made.party("p1"))
    made.seal(made.submit("erp", record("D-1")))
    return made


def sound(consortium: Consortium) -> Block:
    """A block that stands, with transactions on two chains and on the consortium's."""
    block, _ = consortium.build(
        consortium.submit("erp", record("D-2"), record("D-3")),
        consortium.submit("erp", record("D-4")),
        consortium.submit("lender", record("L-1")),
        consortium.party("p2"),
        consortium.party("p3"),
    )
    consortium.ledger.execute(block)
    return block


def refused(consortium: Consortium, block: Block, code: str) -> str:
    """Check that the block is refused with this code, on the ledger and from its bytes, and nothing is disturbed."""
    before = consortium.ledger.head
    with pytest.raises(InvalidBlockError) as refusal:
        consortium.ledger.execute(block)
    assert refusal.value.code == code, refusal.value
    assert str(refusal.value).startswith(code)
    assert "\n" not in str(refusal.value)
    with pytest.raises(InvalidBlockError) as again:
        consortium.ledger.execute(Block.decode(block.encoded))
    assert str(again.value) == str(refusal.value)
    assert consortium.ledger.head == before
    consortium.ledger.execute(sound(consortium))
    return str(refusal.value)


def with_header(block: Block, **changes: Any) -> Block:
    return replace(block, header=replace(block.header, **changes))


# -- the header -------------------------------------------------------------------------------------------

OTHER: dict[str, Any] = {
    "network_id": bytes(32),
    "height": 4,
    "parent_hash": bytes(32),
    "parent_certificate_hash": bytes(32),
    "proposer": "office",
    "epoch": 1,
    "validators_hash": bytes(32),
    "next_validators_hash": bytes(32),
    "chain_count": 6,
    "heads_root": bytes(32),
    "tx_count": 3,
    "tx_root": bytes(32),
    "receipt_root": bytes(32),
    "state_root": bytes(32),
}


def test_every_field_is_tried() -> None:
    assert {*OTHER, "time"} == {field.name for field in fields(Header)}


@pytest.mark.parametrize("name", OTHER)
def test_each_field_of_the_header_is_checked(consortium: Consortium, name: str) -> None:
    text = refused(
        consortium, with_header(sound(consortium), **{name: OTHER[name]}), OWN_CODES.get(name, "ROOT_MISMATCH")
    )
    if name not in OWN_CODES:
        assert text == f"ROOT_MISMATCH: re-execution differs in {name}"


@pytest.mark.parametrize("height", [0, 2, 4, 99])
def test_the_height_is_the_next(consortium: Consortium, height: int) -> None:
    refused(consortium, with_header(sound(consortium), height=height), "WRONG_HEIGHT")


@pytest.mark.parametrize("late", [0, -1, -1_000])
def test_time_is_after_the_parents(consortium: Consortium, late: int) -> None:
    time = consortium.ledger.head.time + late
    block, _ = consortium.build(time=time)
    refused(consortium, block, "TIME_NOT_AFTER_PARENT")
    just_after, _ = consortium.build(time=consortium.ledger.head.time + 1)
    consortium.ledger.execute(just_after)


def test_a_block_far_ahead_is_for_the_clock_to_judge(consortium: Consortium) -> None:
    """R15: a re-proposal and catch-up are never judged by the clock, so this file knows none."""
    block, _ = consortium.build(time=consortium.ledger.head.time + 10 * 365 * 86_400_000)
    consortium.ledger.execute(block)


@pytest.mark.parametrize("proposer", ["office", "nobody", "", CONSORTIUM])
def test_the_proposer_is_a_validator(consortium: Consortium, proposer: str) -> None:
    """``office`` is a member without a vote."""
    block, _ = consortium.build(proposer=proposer)
    refused(consortium, block, "WRONG_PROPOSER")


def test_a_block_of_another_network_does_not_stand_here(consortium: Consortium) -> None:
    stranger = Consortium("other")
    stranger.seal()
    stranger.seal()
    refused(consortium, stranger.build()[0], "WRONG_NETWORK")


# -- the parent's certificate -----------------------------------------------------------------------------


def with_certificate(block: Block, certificate: Certificate | None) -> Block:
    committed = ZERO_HASH if certificate is None else certificate.hash
    return replace(with_header(block, parent_certificate_hash=committed), parent_certificate=certificate)


def certificates(consortium: Consortium) -> dict[str, Certificate | None]:
    """Certificates that a header may commit to and that do not stand for the parent."""
    parent, grandparent = consortium.ledger.block(2), consortium.ledger.block(1)
    good = consortium.certify(parent)
    moved = [("guarantor" if member == "erp" else member, signature) for member, signature in good.signatures[:2]]
    doubled = (good.signatures[0], good.signatures[0], good.signatures[1])
    return {
        "none": None,
        "of the grandparent": consortium.certify(grandparent),
        "too few signers": consortium.certify(parent, signers=["erp", "lender"]),
        "no signers": replace(good, signatures=()),
        "one signer thrice": replace(good, signatures=doubled),
        "a signature under another name": replace(good, signatures=(*moved, *good.signatures[2:])),
        "a signature that is not one": replace(good, signatures=(*good.signatures[:3], ("procurement", bytes(64)))),
        "another round than was signed": replace(good, round=1),
        "another epoch": replace(good, epoch=1),
        "another height": replace(good, height=1),
        "another digest": replace(good, digest=bytes(32)),
    }


@pytest.mark.parametrize("name", [
    "none", "of the grandparent", "too few signers", "no signers", "one signer thrice",
    "a signature under another name", "a signature that is not one", "another round than was signed",
    "another epoch", "another height", "another digest",
])  # fmt: skip
def test_a_parent_certificate_that_does_not_stand(consortium: Consortium, name: str) -> None:
    block = with_certificate(sound(consortium), certificates(consortium)[name])
    refused(consortium, block, "PARENT_CERTIFICATE")


def test_any_certificate_that_stands_may_be_the_canonical_one(consortium: Consortium) -> None:
    other = consortium.certify(consortium.ledger.block(2), signers=["erp", "guarantor", "lender"], round_number=5)
    consortium.ledger.execute(with_certificate(sound(consortium), other))


def test_the_certificate_is_the_one_the_header_commits_to(consortium: Consortium) -> None:
    block = sound(consortium)
    other = consortium.certify(consortium.ledger.block(2), signers=["guarantor", "lender", "procurement"])
    refused(consortium, replace(block, parent_certificate=other), "PARENT_CERTIFICATE")
    refused(consortium, replace(block, parent_certificate=None), "PARENT_CERTIFICATE")


def test_the_first_block_has_no_certificate() -> None:
    fresh, other = Consortium(), Consortium()
    other.seal()
    first, _ = fresh.build()
    refused(fresh, with_certificate(first, other.ledger.certificate(1)), "PARENT_CERTIFICATE")
    refused(fresh, with_header(first, parent_certificate_hash=bytes([1]) * 32), "PARENT_CERTIFICATE")
    refused(fresh, replace(first, parent_certificate=other.ledger.certificate(1)), "PARENT_CERTIFICATE")


def test_the_parent_is_certified_by_the_set_of_its_own_height(consortium: Consortium) -> None:
    """After a change of validators the first block of the new set carries the old set's certificate (R11)."""
    replica = Ledger.create(MemoryStore(), consortium.document)
    members = ["erp", "guarantor", "lender"]
    rows = [[member, key_of("test", member, "validator").public] for member in members]
    old = consortium.ledger.validators()
    vote_in(consortium, {"kind": "validators", "set": rows})
    consortium.seal()
    parent = consortium.ledger.block(consortium.ledger.height)
    assert consortium.ledger.validators() != old
    block, _ = consortium.build()
    by_new_set = consortium.certify(parent)
    refused(consortium, with_certificate(block, by_new_set), "PARENT_CERTIFICATE")
    consortium.seal()
    consortium.seal()
    for height in range(1, consortium.ledger.height + 1):
        certificate = consortium.ledger.certificate(height)
        assert certificate is not None
        commit(replica, consortium.ledger.block(height), certificate)
    assert replica.head == consortium.ledger.head


# -- size -------------------------------------------------------------------------------------------------


def test_bytes_and_transactions_are_within_the_parameters() -> None:
    document = document_of()
    document["parameters"].update(max_block_bytes=65_536, max_block_txs=3)
    consortium = Consortium(document=document)
    parties = [consortium.party(f"p{index}") for index in range(4)]
    consortium.ledger.execute(consortium.build(*parties[:3])[0])
    assert "4 transactions where 3" in refused_small(consortium, consortium.build(*parties)[0])
    spread = [*parties[:2], consortium.submit("erp", record("D-1")), consortium.submit("lender", record("L-1"))]
    assert "4 transactions where 3" in refused_small(consortium, consortium.build(*spread)[0])
    large = consortium.submit("erp", *(record(f"D-{index}", item="x" * 2_000) for index in range(35)))
    assert "bytes where 65536" in refused_small(consortium, consortium.build(large)[0])


def refused_small(consortium: Consortium, block: Block) -> str:
    with pytest.raises(InvalidBlockError) as refusal:
        consortium.ledger.execute(block)
    assert refusal.value.code == "TOO_LARGE"
    return str(refusal.value)


# -- transactions -----------------------------------------------------------------------------------------


def with_transaction(consortium: Consortium, transaction: Transaction) -> Block:
    """A block whose roots are right for everything in it, this transaction too."""
    return consortium.build(consortium.party("p2"), transaction, consortium.submit("erp", record("D-9")))[0]


def forged(transaction: Transaction) -> Transaction:
    wire = decode(transaction.wire)
    wire[3][0][1] = bytes(64)
    return parse(encode(wire))


DEFECTS: dict[str, tuple[str, Callable[[Consortium], Transaction]]] = {
    "another network's": (
        "WRONG_NETWORK",
        lambda c: c.make(CONSORTIUM, "gov.vote", {}, [c.signer("erp")], network_id=bytes(32)),
    ),
    "expired": (
        "EXPIRED",
        lambda c: c.make(CONSORTIUM, "gov.vote", {}, [c.signer("erp")], valid_until=c.now + 1_000),
    ),
    "expired long ago": (
        "EXPIRED",
        lambda c: c.make("erp", "records.submit", {}, [c.signer("erp")], valid_until=1),
    ),
    "valid too long": (
        "VALID_TOO_LONG",
        lambda c: c.make(CONSORTIUM, "gov.vote", {}, [c.signer("erp")], valid_until=c.now + 1_000 + 3_600_001),
    ),
    "in block 1 already": ("REPEATED", lambda c: transactions_of(c.ledger.block(1))[0]),
    "in block 2 already": ("REPEATED", lambda c: transactions_of(c.ledger.block(2))[0]),
    "badly signed": ("BAD_SIGNATURE", lambda c: forged(c.party("p7"))),
    "badly signed on a business chain": ("BAD_SIGNATURE", lambda c: forged(c.submit("lender", record("L-7")))),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_one_bad_transaction_makes_the_block_invalid(consortium: Consortium, name: str) -> None:
    code, make = DEFECTS[name]
    refused(consortium, with_transaction(consortium, make(consortium)), code)


def test_the_edges_of_the_validity_window(consortium: Consortium) -> None:
    time = consortium.now + 1_000
    for valid_until, code in (
        (time, "EXPIRED"),
        (time + 1, None),
        (time + 3_600_000, None),
        (time + 3_600_001, "VALID_TOO_LONG"),
    ):
        edge = consortium.make(CONSORTIUM, "gov.vote", {}, [consortium.signer("erp")], valid_until=valid_until)
        assert includable(consortium.ledger.parent, time, edge) == code
        if code is None:
            consortium.ledger.execute(with_transaction(consortium, edge))


def test_a_refusal_by_a_contract_is_a_receipt_in_a_valid_block(consortium: Consortium) -> None:
    block = with_transaction(consortium, consortium.party("p1"))
    outcome = consortium.ledger.execute(block)
    assert [receipt.status for receipt in outcome.receipts(CONSORTIUM)] == [0, 0, 1]


def test_a_transaction_stands_once_in_a_block(consortium: Consortium) -> None:
    for transaction in (consortium.party("p2"), consortium.submit("erp", record("D-2"))):
        refused(consortium, consortium.build(transaction, transaction)[0], "REPEATED")


def test_the_same_body_with_other_signature_bytes_is_the_same_transaction(consortium: Consortium) -> None:
    """The id is of what is signed: a second signature over it, good or not, cannot run it twice."""
    first = transactions_of(consortium.ledger.block(1))[0]
    key = consortium.signer("procurement")
    assert first.signers == (key.public,)
    refused(consortium, consortium.build(first, consortium.party("p2"))[0], "REPEATED")
    refused(consortium, consortium.build(forged(first))[0], "BAD_SIGNATURE")


def test_a_transaction_stands_under_its_own_chain(consortium: Consortium) -> None:
    block = sound(consortium)
    erp, lender = block.member_txs
    stray = consortium.submit("guarantor", record("G-1"))
    own = consortium.party("p8")
    moved = [
        replace(block, member_txs=(("erp", (*erp[1], stray.wire)), lender)),
        replace(block, member_txs=(("erp", erp[1]), ("guarantor", lender[1]))),
        replace(block, member_txs=(("erp", (own.wire,)), lender)),
        replace(block, consortium_txs=(*block.consortium_txs, stray.wire)),
    ]
    for wrong in moved:
        refused(consortium, wrong, "WRONG_CHAIN")


@pytest.mark.parametrize("chain", ["nobody", CONSORTIUM, "", "ERP"])
def test_there_is_a_business_chain_for_each_member_and_no_other(consortium: Consortium, chain: str) -> None:
    block = sound(consortium)
    stray = consortium.make(chain or "x", "records.submit", {}, [consortium.signer("erp")])
    groups = dict([*block.member_txs, (chain, (stray.wire,))])
    wrong = replace(block, member_txs=tuple(sorted(groups.items())))
    refused(consortium, wrong, "UNKNOWN_CHAIN")


@pytest.mark.parametrize(
    ("code", "wire"),
    [
        ("NOT_CANONICAL", b""),
        ("NOT_CANONICAL", b"\xc1"),
        ("MALFORMED", encode(["tally/wire_tx", 2, b"", [], []])),
        ("TOO_LARGE", bytes(MAX_WIRE_SIZE + 1)),
    ],
)
def test_bytes_that_are_no_transaction(consortium: Consortium, code: str, wire: bytes) -> None:
    block = sound(consortium)
    refused(consortium, replace(block, consortium_txs=(*block.consortium_txs, wire)), code)
    refused(consortium, replace(block, member_txs=(("erp", (wire,)),)), code)


def test_records_that_are_not_those_signed(consortium: Consortium) -> None:
    block = sound(consortium)
    wire = decode(block.member_txs[1][1][0])
    wire[4] = [record("L-2")]
    refused(consortium, replace(block, member_txs=(block.member_txs[0], ("lender", (encode(wire),)))), "RECORDS_ROOT")


def test_the_body_is_what_the_header_commits_to(consortium: Consortium) -> None:
    block = sound(consortium)
    erp, lender = block.member_txs
    extra, more = consortium.party("p9"), consortium.submit("erp", record("D-9"))
    others = [
        replace(block, consortium_txs=()),
        replace(block, consortium_txs=block.consortium_txs[:1]),
        replace(block, consortium_txs=block.consortium_txs[::-1]),
        replace(block, consortium_txs=(*block.consortium_txs, extra.wire)),
        replace(block, member_txs=()),
        replace(block, member_txs=(erp,)),
        replace(block, member_txs=(("erp", erp[1][::-1]), lender)),
        replace(block, member_txs=(("erp", (*erp[1], more.wire)), lender)),
    ]
    for wrong in others:
        assert wrong.digest == block.digest
        refused(consortium, wrong, "ROOT_MISMATCH")


def test_what_was_checked_before_is_not_checked_again_but_for_its_place(consortium: Consortium) -> None:
    """A look-up spares parsing, signatures and the search for repeats: what the pool holds is in no block."""
    block = sound(consortium)
    known = {transaction.wire: transaction for transaction in transactions_of(block)}
    asked: list[bytes] = []

    def lookup(wire: bytes) -> Transaction | None:
        asked.append(wire)
        return known.get(wire)

    consortium.ledger.execute(block, lookup)
    assert asked == block.wires
    first = transactions_of(consortium.ledger.block(1))[0]
    assert first.wire not in known
    with pytest.raises(InvalidBlockError) as refusal:
        consortium.ledger.execute(consortium.build(first)[0], lookup)
    assert refusal.value.code == "REPEATED"
    twice = next(iter(known.values()))
    with pytest.raises(InvalidBlockError) as again:
        consortium.ledger.execute(consortium.build(twice, twice)[0], lookup)
    assert again.value.code == "REPEATED"
