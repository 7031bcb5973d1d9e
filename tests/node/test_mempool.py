"""The pool of waiting transactions: every refusal by code, the bounds, and what a block takes out."""

from __future__ import annotations

import pytest

from chain.crypto import SigningKey
from chain.transaction import MAX_WIRE_SIZE, Transaction, TransactionError, parse
from node.mempool import Mempool, PoolLimits
from tests.chain.chain_builder import Consortium, record

NOW_AHEAD = 1_000


@pytest.fixture
def consortium() -> Consortium:
    return Consortium("pool")


def pool_of(consortium: Consortium, limits: PoolLimits | None = None, *, known: bool = True) -> Mempool:
    return Mempool(consortium.ledger, limits or PoolLimits(), lambda _key: known)


def refusal(pool: Mempool, transaction: Transaction, now: int) -> str:
    answer = pool.submit(transaction.wire, now)
    assert answer.state == "rejected"
    assert answer.message
    assert "\n" not in answer.message
    assert len(pool) == 0
    return answer.code


def test_a_good_transaction_is_kept_once_and_found_by_id_and_by_bytes(consortium: Consortium) -> None:
    pool = pool_of(consortium)
    transaction = consortium.party("p1")
    assert pool.submit(transaction.wire, consortium.now).state == "accepted"
    assert pool.submit(transaction.wire, consortium.now).state == "known"
    assert len(pool) == 1
    assert pool.size == len(transaction.wire)
    assert pool.get(transaction.id) == pool.lookup(transaction.wire) == transaction


def test_bytes_that_are_no_transaction_are_refused(consortium: Consortium) -> None:
    pool = pool_of(consortium)
    wire = consortium.party("p1").wire
    for damaged in (b"", wire[:-1], wire + b"\x00", b"\xc1" * 40):
        answer = pool.submit(damaged, consortium.now)
        assert (answer.state, answer.code) == ("rejected", "NOT_CANONICAL")


def test_a_signature_that_does_not_verify_is_refused(consortium: Consortium) -> None:
    good = consortium.party("p1")
    at = good.wire.index(good.signatures[0])
    forged = good.wire[:at] + bytes([good.wire[at] ^ 1]) + good.wire[at + 1 :]
    answer = pool_of(consortium).submit(forged, consortium.now)
    assert (answer.state, answer.code) == ("rejected", "BAD_SIGNATURE")


def test_the_wrong_network_chain_and_time_are_refused(consortium: Consortium) -> None:
    keys = [consortium.signer("erp")]
    now = consortium.now
    pool = pool_of(consortium)
    other = consortium.make("consortium", "notary.preserve", {}, keys, network_id=bytes(32))
    assert refusal(pool, other, now) == "WRONG_NETWORK"
    assert refusal(pool, consortium.make("nowhere", "records.submit", {}, keys), now) == "UNKNOWN_CHAIN"
    late = consortium.make("consortium", "notary.preserve", {}, keys, valid_until=now + NOW_AHEAD)
    assert refusal(pool, late, now + NOW_AHEAD) == "EXPIRED"
    far = consortium.make("consortium", "notary.preserve", {}, keys, valid_until=now + 3_600_001)
    assert refusal(pool, far, now) == "VALID_TOO_LONG"


def test_a_key_nobody_registered_is_refused(consortium: Consortium) -> None:
    stranger = SigningKey.generate()
    transaction = consortium.make("consortium", "notary.preserve", {}, [stranger])
    assert refusal(pool_of(consortium, known=False), transaction, consortium.now) == "UNKNOWN_SIGNER"


def test_the_pool_is_bounded_in_count_and_bytes(consortium: Consortium) -> None:
    first, second = consortium.party("p1"), consortium.party("p2")
    for limits in (PoolLimits(transactions=1), PoolLimits(bytes=len(first.wire) + 1)):
        pool = pool_of(consortium, limits)
        assert pool.submit(first.wire, consortium.now).state == "accepted"
        assert pool.submit(second.wire, consortium.now).code == "POOL_FULL"


def test_one_sender_cannot_take_the_others_room(consortium: Consortium) -> None:
    for limits in (PoolLimits(sender_transactions=1), PoolLimits(sender_bytes=300)):
        pool = pool_of(consortium, limits)
        assert pool.submit(consortium.party("p1").wire, consortium.now).state == "accepted"
        assert pool.submit(consortium.party("p2").wire, consortium.now).code == "QUOTA"
        assert pool.submit(consortium.party("p3", member="erp").wire, consortium.now).state == "accepted"


def test_what_a_block_holds_leaves_and_is_known_for_ever(consortium: Consortium) -> None:
    pool = pool_of(consortium, PoolLimits(sender_transactions=1))
    transaction = consortium.submit("erp", record("D1"))
    pool.submit(transaction.wire, consortium.now)
    consortium.seal(transaction)
    pool.remove([transaction])
    assert (len(pool), pool.size) == (0, 0)
    assert pool.submit(transaction.wire, consortium.now).state == "known"
    assert pool.submit(consortium.party("p1", member="erp").wire, consortium.now).state == "accepted"  # quota is free


def test_what_no_later_block_may_hold_expires(consortium: Consortium) -> None:
    pool = pool_of(consortium)
    transaction = consortium.party("p1")
    pool.submit(transaction.wire, consortium.now)
    assert pool.expire(transaction.valid_until - 1) == []
    assert pool.expire(transaction.valid_until) == [transaction]
    assert len(pool) == 0


def test_candidates_come_oldest_first(consortium: Consortium) -> None:
    pool = pool_of(consortium)
    sent = [consortium.party(f"p{number}") for number in range(5)]
    for transaction in sent:
        pool.submit(transaction.wire, consortium.now)
    assert list(pool.candidates()) == sent


def test_an_oversized_transaction_is_refused_by_its_size() -> None:
    with pytest.raises(TransactionError) as caught:
        parse(bytes(MAX_WIRE_SIZE + 1))
    assert caught.value.code == "TOO_LARGE"
