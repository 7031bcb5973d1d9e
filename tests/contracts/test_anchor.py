"""Head signatures at each interval, confirmations of public anchors, duty and alarms."""

from __future__ import annotations

from typing import Any

import pytest

from chain.anchor import KINDS
from chain.evm import DEVELOPMENT_CHAINS
from contracts import anchor_kinds
from contracts.anchor import MAX_PLACES, duty
from contracts.context import Args
from tests.contracts.memory_context import CONSORTIUM, Ledger, Receipt, key
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


EVM: Args = {
    "backend": "evm",
    "size": 4,
    "root": b"r" * 32,
    "public_time": 1_767_225_600,
    "proof": b"p",
    "chain_id": 1,
    "block_number": 7,
    "block_hash": b"b" * 32,
    "tx_hash": b"t" * 32,
    "sender": b"s" * 20,
}
COMMON: Args = {name: EVM[name] for name in ("size", "root", "public_time", "proof")}
OTS: Args = {**COMMON, "backend": "ots", "block_number": 900_000, "block_hash": b"b" * 22 + bytes(10)}
TSA: Args = {**COMMON, "backend": "rfc3161", "authority": b"a" * 32, "development": False}
WITNESS: Args = {**COMMON, "backend": "witness", "witness": b"w" * 32, "development": False}


def confirm(ledger: Ledger, signer: str = "erp", base: Args = EVM, **changes: Any) -> Receipt:
    return ledger.call(CONSORTIUM, "anchor.confirm", {**base, **changes}, [key(signer)])


def policy(ledger: Ledger, **values: int) -> None:
    parameters = ledger.read(CONSORTIUM, "gov", "parameters")
    ledger.seed(CONSORTIUM, "gov", "parameters", value={**parameters, **values})


def anchored(ledger: Ledger) -> int:
    return int(ledger.read(CONSORTIUM, "anchor", "anchored"))


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


def test_kinds_and_development_chains_are_those_of_the_verifier() -> None:
    assert tuple(anchor_kinds.KINDS) == KINDS
    assert set(anchor_kinds.DEVELOPMENT_CHAINS) == DEVELOPMENT_CHAINS


@pytest.mark.parametrize(
    ("base", "place"),
    [
        (EVM, "evm:1"),
        (OTS, "ots:bitcoin"),
        ({**OTS, "block_hash": b"b" * 31 + bytes(1)}, "ots:bitcoin:development"),
        (TSA, f"rfc3161:{(b'a' * 32).hex()}"),
        ({**TSA, "development": True}, f"rfc3161:{(b'a' * 32).hex()}:development"),
        (WITNESS, f"witness:{(b'w' * 32).hex()}"),
    ],
)
def test_a_confirmation_is_kept_with_what_it_covers(ledger: Ledger, base: Args, place: str) -> None:
    assert confirm(ledger, base=base).result == {"number": 0, "known": False}
    entry = ledger.read(CONSORTIUM, "anchor", "anchor", 0)
    assert (entry["from"], entry["to"], entry["by"], entry["height"]) == (1, 4, "erp", ledger.height)
    assert entry["place"] == place
    assert {name: entry[name] for name in base} == base
    assert ledger.read(CONSORTIUM, "anchor", "reached") == {place: [4, entry["time"]]}
    assert anchored(ledger) == (4 if place in ("evm:1", "ots:bitcoin") else 0)


def test_a_confirmation_again_is_known_and_a_later_one_continues(ledger: Ledger) -> None:
    assert confirm(ledger).ok
    assert confirm(ledger, "lender").result == {"number": 0, "known": True}
    to_interval_end(ledger)
    assert confirm(ledger, size=8, proof=b"q").result == {"number": 1, "known": False}
    entry = ledger.read(CONSORTIUM, "anchor", "anchor", 1)
    assert (entry["from"], entry["to"]) == (5, 8)
    assert confirm(ledger, size=2, proof=b"r").ok  # an older checkpoint, come late, does no harm
    assert anchored(ledger) == 8
    assert ledger.read(CONSORTIUM, "anchor", "reached")["evm:1"][0] == 8


def test_what_is_anchored_is_what_every_class_of_the_policy_has(ledger: Ledger) -> None:
    policy(ledger, anchor_chains=2, anchor_authorities=1)
    to_interval_end(ledger)
    assert confirm(ledger, size=8).ok
    assert confirm(ledger, size=7, proof=b"another transaction of the same chain").ok
    assert confirm(ledger, base=TSA, size=6).ok
    assert anchored(ledger) == 0  # one chain, however often
    assert confirm(ledger, base=OTS, size=5).ok
    assert anchored(ledger) == 5
    assert confirm(ledger, chain_id=10, size=7).ok
    assert anchored(ledger) == 6
    assert confirm(ledger, base=WITNESS, size=9).ok  # none is needed, so it changes nothing
    assert anchored(ledger) == 6


def test_members_without_gas_money_have_enough_with_ots_and_an_authority(ledger: Ledger) -> None:
    policy(ledger, anchor_authorities=1)
    assert confirm(ledger, base=OTS).ok
    assert anchored(ledger) == 0
    assert confirm(ledger, base=TSA).ok
    assert anchored(ledger) == 4


def test_a_development_chain_counts_only_where_the_parameters_say_so(ledger: Ledger) -> None:
    policy(ledger, anchor_development=0, anchor_authorities=1)
    assert confirm(ledger, base=TSA).ok
    assert confirm(ledger, chain_id=31_337).ok
    assert confirm(ledger, base=OTS, block_hash=b"b" * 32).ok
    assert anchored(ledger) == 0
    assert confirm(ledger).ok
    assert anchored(ledger) == 4
    to_interval_end(ledger)
    assert confirm(ledger, size=7, proof=b"real").ok
    assert confirm(ledger, base=TSA, development=True, size=7, proof=b"trial").ok
    assert anchored(ledger) == 4
    policy(ledger, anchor_development=1)
    assert confirm(ledger, chain_id=31_337, size=5, proof=b"q").ok
    assert anchored(ledger) == 7


def test_without_a_policy_the_furthest_place_counts(ledger: Ledger) -> None:
    policy(ledger, anchor_chains=0)
    assert confirm(ledger, base=WITNESS).ok
    assert anchored(ledger) == 4
    for _ in range(3):
        to_interval_end(ledger)
    assert [kind for kind, _ in alarms(ledger) if kind == "anchor_overdue"] == []


def test_what_is_anchored_never_falls(ledger: Ledger) -> None:
    assert confirm(ledger).ok
    policy(ledger, anchor_witnesses=1)
    to_interval_end(ledger)
    assert confirm(ledger, base=WITNESS, size=2).ok
    assert anchored(ledger) == 4


def test_a_validator_that_makes_places_up_takes_no_room_from_the_others(ledger: Ledger) -> None:
    for number in range(MAX_PLACES):
        assert confirm(ledger, chain_id=number, proof=b"%d" % number).ok
    assert confirm(ledger, base=OTS).code == "TOO_MANY_PLACES"
    assert confirm(ledger, chain_id=3, size=1).ok
    assert confirm(ledger, "procurement", base=OTS).ok
    assert confirm(ledger, base=OTS, size=2, proof=b"another").ok


@pytest.mark.parametrize(
    ("base", "changes", "code"),
    [
        (EVM, {"backend": "ethereum"}, "UNKNOWN_BACKEND"),
        (EVM, {"backend": 7}, "UNKNOWN_BACKEND"),
        (EVM, {"backend": "ots"}, "UNKNOWN_ARGUMENT"),
        (OTS, {"backend": "evm"}, "MISSING_ARGUMENT"),
        (EVM, {"size": INTERVAL}, "NOT_SEALED_YET"),
        (EVM, {"size": 0}, "WRONG_ARGUMENT"),
        (EVM, {"root": b"short"}, "WRONG_ARGUMENT"),
        (EVM, {"tx_hash": "0xabc"}, "WRONG_ARGUMENT"),
        (EVM, {"block_number": -1}, "WRONG_ARGUMENT"),
        (EVM, {"chain_id": True}, "WRONG_ARGUMENT"),
        (EVM, {"public_time": "now"}, "WRONG_ARGUMENT"),
        (EVM, {"proof": bytes(70_000)}, "WRONG_ARGUMENT"),
        (EVM, {"proof": b""}, "WRONG_ARGUMENT"),
        (EVM, {"sender": bytes(32)}, "WRONG_ARGUMENT"),
        (EVM, {"note": "x"}, "UNKNOWN_ARGUMENT"),
        (OTS, {"block_hash": bytes(31)}, "WRONG_ARGUMENT"),
        (TSA, {"authority": "DigiCert"}, "WRONG_ARGUMENT"),
        (WITNESS, {"witness": bytes(33)}, "WRONG_ARGUMENT"),
        (WITNESS, {"development": 0}, "WRONG_ARGUMENT"),
    ],
)
def test_confirmations_that_do_not_stand(ledger: Ledger, base: Args, changes: dict[str, Any], code: str) -> None:
    assert confirm(ledger, base=base, **changes).code == code


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
    late = ledger.read(CONSORTIUM, "anchor", "alarm", 0)
    assert (late["due"], late["class"], late["anchored"]) == (INTERVAL, "chain", 0)
    sign_head(ledger, "erp")
    assert confirm(ledger, size=3 * INTERVAL - 1).ok
    to_interval_end(ledger)
    assert len(alarms(ledger)) == 1


def test_each_class_that_is_late_is_named(ledger: Ledger) -> None:
    policy(ledger, anchor_authorities=1, anchor_witnesses=1)
    to_interval_end(ledger)
    assert confirm(ledger, size=9).ok
    assert confirm(ledger, base=WITNESS, size=3).ok
    to_interval_end(ledger)
    count = ledger.read(CONSORTIUM, "anchor", "alarm_count")
    found = [ledger.read(CONSORTIUM, "anchor", "alarm", n) for n in range(count)]
    late = [(row["class"], row["anchored"]) for row in found if row["kind"] == "anchor_overdue"]
    assert late == [("authority", 0), ("witness", 3)]
