"""Head signatures at each interval, confirmations of public anchors, duty and alarms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.checkpoint import Checkpoint
from contracts.anchor import checkpoint_payload, duty
from contracts.context import Args
from tests.contracts.memory_context import CONSORTIUM, NETWORK_ID, Ledger, Receipt, key
from tests.contracts.small_consortium import DAY, consortium, record, submit

INTERVAL = 5  # blocks, in the test document


@pytest.fixture
def ledger() -> Ledger:
    """At the end of interval 1; only the ERP's chain has a block."""
    ledger = consortium()
    assert submit(ledger, [record("invoice", "A1", {"issue_date": "2025-12-31"})]).ok
    to_interval_end(ledger)
    return ledger


def to_interval_end(ledger: Ledger) -> list[tuple[str, dict[str, Any]]]:
    while True:
        events = ledger.next_block()
        if any(name == "interval_closed" for name, _ in events):
            return events


def interval(ledger: Ledger) -> dict[str, Any]:
    found: dict[str, Any] = ledger.read(CONSORTIUM, "anchor", "interval")
    return found


def alarms(ledger: Ledger) -> list[tuple[str, Any]]:
    count = ledger.read(CONSORTIUM, "anchor", "alarm_count")
    found = [ledger.read(CONSORTIUM, "anchor", "alarm", index) for index in range(count)]
    return [(alarm["kind"], alarm.get("member")) for alarm in found]


def sign_head(ledger: Ledger, signer: str, **changes: Any) -> Receipt:
    head = ledger.head(signer)
    args: Args = {"interval": interval(ledger)["index"], "height": head[0], "hash": head[1], **changes}
    return ledger.call(CONSORTIUM, "anchor.sign_head", args, [key(signer)])


def confirm(ledger: Ledger, signer: str = "erp", **changes: Any) -> Receipt:
    args: Args = {
        "backend": "evm",
        "chain_id": 31_337,
        "tx_hash": b"t" * 32,
        "block_number": 7,
        "block_hash": b"b" * 32,
        "size": 4,
        "root": b"r" * 32,
        **changes,
    }
    return ledger.call(CONSORTIUM, "anchor.confirm", args, [key(signer)])


# heads -----------------------------------------------------------------------------------------------------------


def test_an_interval_writes_down_every_head(ledger: Ledger) -> None:
    entry = interval(ledger)
    assert (entry["index"], entry["height"], entry["previous"]) == (1, INTERVAL, 0)
    assert [row[0] for row in entry["heads"]] == ["erp", "guarantor", "lender", "office", "procurement"]
    assert entry["heads"][0] == ["erp", *ledger.head("erp")]


def test_an_interval_also_closes_by_time() -> None:
    ledger = consortium()
    ledger.next_block(after_ms=DAY - 2_000)
    assert interval(ledger)["index"] == 0
    ledger.next_block()
    assert interval(ledger)["index"] == 1


def test_the_interval_obeys_changed_parameters(ledger: Ledger) -> None:
    parameters = ledger.read(CONSORTIUM, "gov", "parameters")
    ledger.seed(CONSORTIUM, "gov", "parameters", value={**parameters, "anchor_interval_blocks": 1})
    ledger.next_block()
    assert interval(ledger)["index"] == 2


def test_a_member_signs_its_own_head_once(ledger: Ledger) -> None:
    receipt = sign_head(ledger, "erp")
    assert receipt.result == {"agrees": True}
    assert receipt.names() == ["head_signed"]
    assert sign_head(ledger, "erp").result == {"agrees": True}
    assert sign_head(ledger, "erp", height=9).code == "SIGNED_ALREADY"
    statement = ledger.read(CONSORTIUM, "anchor", "signed", 1, "erp")
    assert (statement["hash"], statement["signers"]) == (ledger.head("erp")[1], [key("erp")])
    to_interval_end(ledger)
    assert alarms(ledger) == []


def test_the_head_of_the_intervals_end_is_meant_not_a_later_one(ledger: Ledger) -> None:
    agreed = ledger.head("erp")
    assert submit(ledger, [record("invoice", "A2", {"issue_date": "2025-12-31"})]).ok
    assert sign_head(ledger, "erp", height=agreed[0], hash=agreed[1]).result == {"agrees": True}


@pytest.mark.parametrize("change", [{"hash": bytes(32)}, {"height": 99}])
def test_a_differing_head_is_kept_and_raises_the_alarm(ledger: Ledger, change: dict[str, Any]) -> None:
    receipt = sign_head(ledger, "erp", **change)
    assert receipt.ok
    assert receipt.result == {"agrees": False}
    assert receipt.names() == ["head_signed", "alarm"]
    assert alarms(ledger) == [("head_differs", "erp")]


def test_a_missing_signature_raises_the_alarm_at_the_next_end(ledger: Ledger) -> None:
    events = to_interval_end(ledger)
    assert alarms(ledger) == [("head_missing", "erp")]  # the other chains have no block yet
    assert [data["member"] for name, data in events if name == "alarm"] == ["erp"]
    assert sign_head(ledger, "erp", interval=1).code == "WRONG_INTERVAL"


def test_heads_are_signed_by_members_for_the_last_interval(ledger: Ledger) -> None:
    head: Args = {"interval": 1, "height": 0, "hash": bytes(32)}
    assert ledger.call(CONSORTIUM, "anchor.sign_head", head, [key("acme")]).code == "ROLE_NOT_ALLOWED"
    assert sign_head(ledger, "erp", interval=2).code == "WRONG_INTERVAL"
    assert sign_head(ledger, "erp", hash=b"short").code == "WRONG_ARGUMENT"
    assert sign_head(ledger, "erp", extra=1).code == "UNKNOWN_ARGUMENT"


# public anchors --------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**53), st.binary(min_size=32, max_size=32))
def test_the_payload_is_the_chains_own(network_id: bytes, size: int, root: bytes) -> None:
    assert checkpoint_payload(network_id, size, root) == Checkpoint(network_id, size, root).payload


def test_a_confirmation_is_kept_with_what_it_covers(ledger: Ledger) -> None:
    payload = checkpoint_payload(NETWORK_ID, 4, b"r" * 32)
    receipt = confirm(ledger, payload=payload, proof=b"p" * 100, sender=b"s" * 20, block_time=1_767_225_600)
    assert receipt.result == {"number": 0, "known": False}
    entry = ledger.read(CONSORTIUM, "anchor", "anchor", 0)
    assert (entry["from"], entry["to"], entry["by"], entry["height"]) == (1, 4, "erp", ledger.height)
    assert (entry["payload"], entry["proof"], entry["block_number"]) == (payload, b"p" * 100, 7)
    assert ledger.read(CONSORTIUM, "anchor", "anchored") == 4


def test_a_confirmation_again_is_known_and_a_later_one_continues(ledger: Ledger) -> None:
    assert confirm(ledger).ok
    assert confirm(ledger, "lender", block_number=8).result == {"number": 0, "known": True}
    to_interval_end(ledger)
    assert confirm(ledger, size=8, tx_hash=b"u" * 32).result == {"number": 1, "known": False}
    entry = ledger.read(CONSORTIUM, "anchor", "anchor", 1)
    assert (entry["from"], entry["to"]) == (5, 8)
    assert confirm(ledger, size=2, tx_hash=b"v" * 32).ok  # an older checkpoint on another chain does no harm
    assert ledger.read(CONSORTIUM, "anchor", "anchored") == 8


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"size": INTERVAL}, "NOT_SEALED_YET"),
        ({"size": 0}, "WRONG_ARGUMENT"),
        ({"payload": bytes(69)}, "WRONG_PAYLOAD"),
        ({"root": b"short"}, "WRONG_ARGUMENT"),
        ({"tx_hash": "0xabc"}, "WRONG_ARGUMENT"),
        ({"block_number": -1}, "WRONG_ARGUMENT"),
        ({"proof": bytes(70_000)}, "WRONG_ARGUMENT"),
        ({"sender": bytes(32)}, "WRONG_ARGUMENT"),
        ({"note": "x"}, "UNKNOWN_ARGUMENT"),
    ],
)
def test_confirmations_that_do_not_stand(ledger: Ledger, changes: dict[str, Any], code: str) -> None:
    assert confirm(ledger, **changes).code == code


def test_only_validators_confirm(ledger: Ledger) -> None:
    assert confirm(ledger, "office").code == "NO_VOTE"
    assert confirm(ledger, "acme").code == "ROLE_NOT_ALLOWED"


def test_duty_rotates_and_the_next_one_takes_over() -> None:
    validators = ["a", "b", "c"]
    assert [duty(validators, index) for index in range(4)] == ["a", "b", "c", "a"]
    assert [duty(validators, 1, late) for late in range(3)] == ["b", "c", "a"]


def test_an_overdue_anchor_raises_the_alarm_until_it_comes(ledger: Ledger) -> None:
    sign_head(ledger, "erp")
    to_interval_end(ledger)  # interval 2: the blocks of 1 have had an interval to be anchored in only now
    assert alarms(ledger) == []
    sign_head(ledger, "erp")
    to_interval_end(ledger)
    assert alarms(ledger) == [("anchor_overdue", None)]
    assert ledger.read(CONSORTIUM, "anchor", "alarm", 0)["due"] == INTERVAL
    sign_head(ledger, "erp")
    assert confirm(ledger, size=3 * INTERVAL - 1).ok
    to_interval_end(ledger)
    assert len(alarms(ledger)) == 1
