"""Custody: who keeps and who reads, deposits and their copies, what a custodian says of them, and its answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import merkle
from chain.codec import encode
from contracts import custody, custody_rules
from contracts.custody_proofs import CHUNK, MAX_OBJECTS, SAMPLES, chunk_count, entry
from node import envelope
from tests.contracts.custody_desk import Copy, Desk
from tests.contracts.memory_context import CONSORTIUM, Receipt, key

ROOT = bytes(32)
KEEPERS = ["guarantor", "lender", "office"]  # of erp: the next three in the circle of ids


@pytest.fixture
def desk() -> Desk:
    return Desk()


def notices(receipt: Receipt) -> list[tuple[str, Any]]:
    return [(name, data["to"]) for name, data in receipt.events if "to" in data]


def registry(desk: Desk, signer: str, method: str, **args: Any) -> Receipt:
    return desk.ledger.call(CONSORTIUM, f"registry.{method}", args, [key(signer)])


# -- who keeps --------------------------------------------------------------------------------------------


def test_by_default_the_next_members_in_the_circle_keep(desk: Desk) -> None:
    assert desk.custodians("erp") == KEEPERS
    assert desk.custodians("office") == ["erp", "guarantor", "procurement"]
    assert desk.custodians("procurement") == ["erp", "guarantor", "lender"]


@pytest.mark.parametrize("copies", range(1, 9))
def test_the_parameter_says_how_many_keep(copies: int) -> None:
    found = Desk(custody_copies=copies).custodians("lender")
    assert found == sorted(["office", "procurement", "erp", "guarantor"][:copies])


def test_by_default_nobody_keeps_that_observes_or_cannot_be_reached(desk: Desk) -> None:
    assert registry(desk, "lender", "revoke_key", key=key("lender network")).ok
    assert desk.custodians("erp") == KEEPERS, "the key is valid in this block still"
    desk.ledger.next_block()
    assert desk.custodians("erp") == ["guarantor", "office", "procurement"]
    entry = desk.ledger.read(CONSORTIUM, "registry", "member", "office")
    desk.ledger.seed(CONSORTIUM, "registry", "member", "office", value={**entry, "role": "observer"})
    assert desk.custodians("erp") == ["guarantor", "procurement"]


def test_a_member_appoints_for_its_own_chain_and_takes_it_back(desk: Desk) -> None:
    done = desk.call("erp", "appoint", custodians=["procurement", "office"])
    assert done.result == {"custodians": ["office", "procurement"]}
    assert notices(done) == [("custodians_appointed", ["erp", "office", "procurement"])]
    assert desk.custodians("erp") == ["office", "procurement"]
    assert desk.custodians("lender") == ["erp", "office", "procurement"], "nobody else's"
    assert desk.call("erp", "appoint", custodians=[]).result == {"custodians": KEEPERS}
    assert desk.custodians("erp") == KEEPERS


def test_an_observer_keeps_where_it_is_appointed(desk: Desk) -> None:
    entry = desk.ledger.read(CONSORTIUM, "registry", "member", "office")
    desk.ledger.seed(CONSORTIUM, "registry", "member", "office", value={**entry, "role": "observer"})
    assert desk.call("erp", "appoint", custodians=["office"]).ok
    number = desk.deposit("erp")
    assert desk.hold("office", "erp", number).ok
    assert desk.call("office", "appoint", custodians=["erp"]).code == "ROLE_NOT_ALLOWED"


def test_who_has_left_keeps_nothing_any_more(desk: Desk) -> None:
    assert desk.call("erp", "appoint", custodians=["office", "lender"]).ok
    members = ["erp", "guarantor", "lender", "procurement"]
    desk.ledger.seed(CONSORTIUM, "registry", "members", value=members)
    assert desk.custodians("erp") == ["lender"]


@pytest.mark.parametrize(
    ("named", "code"),
    [
        (["erp"], "WRONG_CUSTODIANS"),
        (["stranger"], "UNKNOWN_MEMBER"),
        (["acme"], "UNKNOWN_MEMBER"),
        (["lender", "lender"], "WRONG_ARGUMENT"),
        (["Lender"], "WRONG_ARGUMENT"),
        ([5], "WRONG_ARGUMENT"),
        ("lender", "WRONG_ARGUMENT"),
        ([f"m{number}" for number in range(custody.MAX_CUSTODIANS + 1)], "WRONG_ARGUMENT"),
    ],
)
def test_appointments_that_do_not_stand(desk: Desk, named: Any, code: str) -> None:
    assert desk.call("erp", "appoint", custodians=named).code == code
    assert desk.custodians("erp") == KEEPERS


def test_nobody_is_appointed_that_cannot_be_reached(desk: Desk) -> None:
    assert registry(desk, "lender", "revoke_key", key=key("lender network")).ok
    desk.ledger.next_block()
    assert desk.call("erp", "appoint", custodians=["lender"]).code == "NO_NETWORK_KEY"


# -- who reads --------------------------------------------------------------------------------------------


def test_readers_are_named_by_kind_and_every_version_counts(desk: Desk) -> None:
    assert desk.read("readers", "erp") is None
    first = desk.call("erp", "name_readers", rules={"*": ["lender"], "invoice": ["procurement", "acme"]})
    assert first.result == {"version": 1}
    assert notices(first) == [("readers_named", ["acme", "erp", "lender", "procurement"])]
    rules = {"*": ["lender"], "invoice": ["acme", "procurement"]}
    assert desk.read("readers", "erp") == {"version": 1, "height": 1, "rules": rules}
    desk.ledger.next_block()
    second = desk.call("erp", "name_readers", rules={})
    assert notices(second) == [("readers_named", ["acme", "erp", "lender", "procurement"])], "they are told"
    assert desk.read("readers", "erp") == {"version": 2, "height": 2, "rules": {}}


def test_an_object_of_several_kinds_is_for_whom_each_of_them_names() -> None:
    rules = {"*": ["a", "b"], "invoice": ["b", "c"], "contract": []}
    assert custody_rules.readers_of(rules, ["despatch"]) == ["a", "b"]
    assert custody_rules.readers_of(rules, ["invoice"]) == ["b", "c"], (
        "a kind's own rule stands instead of that of all"
    )
    assert custody_rules.readers_of(rules, ["invoice", "despatch"]) == ["b"]
    assert custody_rules.readers_of(rules, ["invoice", "contract"]) == []
    assert custody_rules.readers_of(rules, ["*"]) == ["a", "b"]
    assert custody_rules.readers_of(rules, []) == []
    assert custody_rules.readers_of({}, ["invoice"]) == []


def test_a_reader_without_a_key_is_refused_until_it_has_one(desk: Desk) -> None:
    rules = {"*": ["office"]}
    assert desk.call("erp", "name_readers", rules=rules).code == "NO_ENCRYPTION_KEY"
    assert registry(desk, "office", "add_key", key=key("office encryption"), purpose="encryption").ok
    assert desk.call("erp", "name_readers", rules=rules).code == "NO_ENCRYPTION_KEY", "valid from the next block on"
    desk.ledger.next_block()
    assert desk.call("erp", "name_readers", rules=rules).ok
    assert registry(desk, "office", "revoke_key", key=key("office encryption")).ok
    desk.ledger.next_block()
    assert desk.call("erp", "name_readers", rules={"invoice": ["office"]}).code == "NO_ENCRYPTION_KEY"


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ({"*": ["stranger"]}, "UNKNOWN_READER"),
        ({"invoice": ["lender", "stranger"]}, "UNKNOWN_READER"),
        ({"*": ["lender", "lender"]}, "WRONG_ARGUMENT"),
        ({"*": "lender"}, "WRONG_ARGUMENT"),
        ({"*": [5]}, "WRONG_ARGUMENT"),
        ({"": ["lender"]}, "WRONG_ARGUMENT"),
        ({f"kind {n}": [] for n in range(custody.MAX_KINDS + 1)}, "WRONG_ARGUMENT"),
        ({"*": [f"reader {n}" for n in range(custody.MAX_READERS + 1)]}, "WRONG_ARGUMENT"),
        (["lender"], "WRONG_ARGUMENT"),
    ],
)
def test_rules_that_do_not_stand(desk: Desk, rules: Any, code: str) -> None:
    assert desk.call("erp", "name_readers", rules=rules).code == code
    assert desk.read("readers", "erp") is None


# -- deposits ---------------------------------------------------------------------------------------------


def roots(*members: str) -> dict[str, bytes]:
    return {member: key(f"root {member}") for member in members}


def test_a_deposit_is_numbered_by_chain_and_holds_what_was_said(desk: Desk) -> None:
    done = desk.call("erp", "deposit", objects=3, bytes=700, roots=roots(*KEEPERS))
    assert done.result == {"deposit": 0, "known": False}
    assert done.names() == ["custody_deposited"]
    entry = desk.read("deposit", "erp", 0)
    assert (entry["objects"], entry["bytes"], entry["roots"]) == (3, 700, roots(*KEEPERS))
    assert (entry["held"], entry["of"], entry["lost"]) == ({}, {}, {})
    assert (entry["height"], entry["time"], len(entry["by"])) == (1, desk.ledger.time, 32)
    assert desk.call("erp", "deposit", objects=4, bytes=700, roots=roots(*KEEPERS)).result["deposit"] == 1
    other = desk.call("lender", "deposit", objects=3, bytes=700, roots=roots("erp", "office", "procurement"))
    assert other.result == {"deposit": 0, "known": False}
    assert (desk.read("deposits", "erp"), desk.read("deposits", "lender")) == (2, 1)


def test_the_same_deposit_twice_is_one(desk: Desk) -> None:
    first = desk.call("erp", "deposit", objects=3, bytes=700, roots=roots(*KEEPERS))
    assert desk.call("erp", "appoint", custodians=["lender"]).ok
    again = desk.call("erp", "deposit", objects=3, bytes=700, roots=roots(*KEEPERS))
    assert (first.result, again.result) == ({"deposit": 0, "known": False}, {"deposit": 0, "known": True})
    assert again.events == []
    assert desk.read("deposits", "erp") == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"roots": roots("guarantor", "lender")}, "WRONG_CUSTODIANS"),
        ({"roots": roots(*KEEPERS, "procurement")}, "WRONG_CUSTODIANS"),
        ({"roots": roots("guarantor", "lender", "procurement")}, "WRONG_CUSTODIANS"),
        ({"roots": roots("guarantor", "lender", "erp")}, "WRONG_CUSTODIANS"),
        ({"roots": {}}, "WRONG_CUSTODIANS"),
        ({"roots": {**roots("guarantor", "lender"), "office": b"short"}}, "WRONG_ARGUMENT"),
        ({"roots": {f"m{n}": ROOT for n in range(custody.MAX_COPIES + 1)}}, "WRONG_ARGUMENT"),
        ({"roots": [ROOT]}, "WRONG_ARGUMENT"),
        ({"objects": 0}, "WRONG_ARGUMENT"),
        ({"objects": 513}, "WRONG_ARGUMENT"),
        ({"objects": True}, "WRONG_ARGUMENT"),
        ({"bytes": 0}, "WRONG_ARGUMENT"),
        ({"chain": "lender"}, "UNKNOWN_ARGUMENT"),
    ],
)
def test_deposits_that_do_not_stand(desk: Desk, change: dict[str, Any], code: str) -> None:
    args = {"objects": 1, "bytes": 1, "roots": roots(*KEEPERS), **change}
    assert desk.call("erp", "deposit", **args).code == code
    assert desk.read("deposits", "erp") is None


def test_a_deposit_has_at_most_as_many_objects_as_a_custodian_takes() -> None:
    assert MAX_OBJECTS == envelope.MAX_OBJECTS


def test_nodes_make_what_the_contract_checks() -> None:
    assert CHUNK == envelope.CHUNK
    name, root = key("name"), key("root")
    assert envelope.Entry(name, 4_097, root).leaf == encode(entry(name, 4_097, root))
    for size in (1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK):
        assert len(envelope.chunks(bytes(size))) == chunk_count(size)


def test_without_custodians_there_is_no_deposit(desk: Desk) -> None:
    desk.ledger.seed(CONSORTIUM, "registry", "members", value=["erp"])
    assert desk.call("erp", "deposit", objects=1, bytes=1, roots={}).code == "NO_CUSTODIANS"


def test_only_members_with_data_deposit(desk: Desk) -> None:
    assert desk.call("acme", "deposit", objects=1, bytes=1, roots=roots(*KEEPERS)).code == "ROLE_NOT_ALLOWED"
    assert desk.call("nobody", "deposit", objects=1, bytes=1, roots=roots(*KEEPERS)).code == "UNKNOWN_SIGNER"


def test_later_custodians_get_copies_of_older_deposits(desk: Desk) -> None:
    numbers = [desk.deposit("erp"), desk.deposit("erp")]
    assert desk.call("erp", "appoint", custodians=["lender", "procurement"]).ok
    made = [[number, roots("procurement")] for number in numbers]
    done = desk.call("erp", "add_copies", copies=made)
    assert done.result == {"added": 2}
    assert done.events == [("custody_copies_added", {"chain": "erp", "deposits": numbers})]
    assert sorted(desk.read("deposit", "erp", 1)["roots"]) == [*KEEPERS, "procurement"]
    assert desk.hold("procurement", "erp", *numbers).ok


@pytest.mark.parametrize(
    ("copies", "code"),
    [
        ([[0, roots("lender")]], "COPY_EXISTS"),
        ([[0, roots("procurement")], [0, roots("procurement")]], "COPY_EXISTS"),
        ([[0, roots("guarantor")]], "WRONG_CUSTODIANS"),
        ([[0, roots("erp")]], "WRONG_CUSTODIANS"),
        ([[1, roots("procurement")]], "UNKNOWN_DEPOSIT"),
        ([[-1, roots("procurement")]], "WRONG_ARGUMENT"),
        ([[0, roots("procurement"), 1]], "WRONG_ARGUMENT"),
        ([[0, {"procurement": b"short"}]], "WRONG_ARGUMENT"),
        ([], "WRONG_ARGUMENT"),
    ],
)
def test_copies_that_cannot_be_added(desk: Desk, copies: Any, code: str) -> None:
    desk.deposit("erp")
    assert desk.call("erp", "appoint", custodians=["lender", "procurement"]).ok
    before = desk.read("deposit", "erp", 0)
    assert desk.call("erp", "add_copies", copies=copies).code == code
    assert desk.read("deposit", "erp", 0) == before


def test_a_deposit_has_only_so_many_copies(desk: Desk) -> None:
    number = desk.deposit("erp")
    entry = desk.read("deposit", "erp", number)
    full = {f"m{n}": ROOT for n in range(custody.MAX_COPIES)}
    desk.ledger.seed(CONSORTIUM, "custody", "deposit", "erp", number, value={**entry, "roots": full})
    assert desk.call("erp", "add_copies", copies=[[number, roots("lender")]]).code == "TOO_MANY_COPIES"


# -- holding and losing -----------------------------------------------------------------------------------


def listed(desk: Desk, chain: str, custodian: str) -> list[int]:
    """The deposits that challenges draw from, checked against what the deposits say and against their places."""
    found = [desk.read("held", chain, custodian, m) for m in range(desk.read("held_count", chain, custodian) or 0)]
    assert None not in found
    assert desk.read("held", chain, custodian, len(found)) is None
    said = [
        n for n in range(desk.read("deposits", chain) or 0) if custodian in desk.read("deposit", chain, n)["held"]
    ]
    assert sorted(found) == said
    for place, number in enumerate(found):
        assert desk.read("place", chain, custodian, number) == place
    for number in range(desk.read("deposits", chain) or 0):
        if number not in found:
            assert desk.read("place", chain, custodian, number) is None
    assert (custodian in (desk.read("holders", chain) or [])) == bool(found)
    return found


def test_custody_is_complete_when_all_custodians_hold(desk: Desk) -> None:
    numbers = [desk.deposit("erp"), desk.deposit("erp")]
    for custodian in ("office", "guarantor"):
        done = desk.hold(custodian, "erp", *numbers)
        assert (done.result, done.events) == ({"held": 2}, [])
    done = desk.hold("lender", "erp", 0)
    assert done.events == [("custody_complete", {"chain": "erp", "deposits": [0], "to": ["erp"]})]
    assert desk.hold("lender", "erp", 1).events == [
        ("custody_complete", {"chain": "erp", "deposits": [1], "to": ["erp"]})
    ]
    assert desk.read("deposit", "erp", 0)["held"] == dict.fromkeys(KEEPERS, 1)
    assert desk.read("holders", "erp") == KEEPERS


def test_a_substitute_is_another_custodians_copy_and_is_exchanged_later(desk: Desk) -> None:
    number = desk.deposit("erp")
    assert desk.hold("lender", "erp", number, of="office").ok
    assert desk.read("deposit", "erp", number)["of"] == {"lender": "office"}
    assert desk.hold("lender", "erp", number, of="office").code == "ALREADY_HELD"
    assert desk.hold("lender", "erp", number, of="guarantor").code == "NOT_LOST"
    assert desk.read("deposit", "erp", number)["of"] == {"lender": "office"}
    done = desk.hold("lender", "erp", number)
    assert (done.result, done.events) == ({"held": 1}, [])
    assert desk.read("deposit", "erp", number)["of"] == {}
    assert desk.hold("lender", "erp", number, of="lender").code == "ALREADY_HELD"
    assert listed(desk, "erp", "lender") == [number]


def test_a_substitute_that_is_lost_is_nobodys_copy_any_more(desk: Desk) -> None:
    number = desk.deposit("erp")
    assert desk.hold("lender", "erp", number, of="office").ok
    assert desk.call("lender", "lost", chain="erp", deposits=[number]).ok
    assert desk.read("deposit", "erp", number)["of"] == {}


def test_a_custodian_that_came_later_holds_anothers_copy_until_it_has_its_own(desk: Desk) -> None:
    number = desk.deposit("erp")
    assert desk.hold("procurement", "erp", number, of="office").code == "NOT_A_CUSTODIAN"
    assert desk.call("erp", "appoint", custodians=["procurement"]).ok
    assert desk.hold("procurement", "erp", number).code == "NO_SUCH_COPY"
    assert desk.hold("procurement", "erp", number, of="office").names() == ["custody_complete"]
    assert desk.hold("guarantor", "erp", number).ok, "a former custodian may still help"


@pytest.mark.parametrize(
    ("custodian", "args", "code"),
    [
        ("procurement", {}, "NOT_A_CUSTODIAN"),
        ("erp", {}, "NOT_A_CUSTODIAN"),
        ("acme", {}, "ROLE_NOT_ALLOWED"),
        ("lender", {"deposits": [2]}, "UNKNOWN_DEPOSIT"),
        ("lender", {"deposits": [0, 2]}, "UNKNOWN_DEPOSIT"),
        ("lender", {"chain": "nobody"}, "UNKNOWN_CHAIN"),
        ("lender", {"chain": "consortium"}, "UNKNOWN_CHAIN"),
        ("lender", {"chain": "office"}, "UNKNOWN_DEPOSIT"),
        ("lender", {"of": "procurement"}, "NO_SUCH_COPY"),
        ("lender", {"of": "erp"}, "NO_SUCH_COPY"),
        ("lender", {"of": 5}, "WRONG_ARGUMENT"),
        ("lender", {"deposits": []}, "WRONG_ARGUMENT"),
        ("lender", {"deposits": [0, 0]}, "WRONG_ARGUMENT"),
        ("lender", {"deposits": [-1]}, "WRONG_ARGUMENT"),
        ("lender", {"deposits": [True]}, "WRONG_ARGUMENT"),
        ("lender", {"deposits": list(range(custody.MAX_BATCH + 1))}, "WRONG_ARGUMENT"),
    ],
)
def test_holds_that_do_not_stand(desk: Desk, custodian: str, args: dict[str, Any], code: str) -> None:
    desk.deposit("erp")
    desk.deposit("erp")
    assert desk.call(custodian, "hold", **{"chain": "erp", "deposits": [0], **args}).code == code
    assert listed(desk, "erp", "lender") == []


def test_the_same_hold_twice_is_refused_whole(desk: Desk) -> None:
    numbers = [desk.deposit("erp"), desk.deposit("erp")]
    assert desk.hold("lender", "erp", numbers[0]).ok
    assert desk.hold("lender", "erp", numbers[1], numbers[0]).code == "ALREADY_HELD"
    assert listed(desk, "erp", "lender") == [numbers[0]]


def test_what_is_lost_is_told_recorded_and_healed(desk: Desk) -> None:
    numbers = desk.held("erp", 3)
    desk.ledger.next_block()
    done = desk.call("lender", "lost", chain="erp", deposits=[0, 2])
    assert done.result == {"held": 1}
    facts = {"chain": "erp", "custodian": "lender", "deposits": [0, 2], "to": ["erp", "lender"]}
    assert done.events == [("custody_lost", facts)]
    entry = desk.read("deposit", "erp", 0)
    assert (sorted(entry["held"]), entry["lost"]) == (["guarantor", "office"], {"lender": 2})
    assert desk.read("record", "erp", "lender")["lost"] == 2
    assert listed(desk, "erp", "lender") == [1]
    desk.ledger.next_block()
    done = desk.hold("lender", "erp", *numbers[:1])
    assert [name for name, _ in done.events] == ["custody_healed", "custody_complete"]
    assert notices(done)[0] == ("custody_healed", ["erp", "lender"])
    entry = desk.read("deposit", "erp", 0)
    assert (entry["held"]["lender"], entry["lost"]) == (3, {})


@pytest.mark.parametrize(
    ("deposits", "code"),
    [
        ([1], "NOT_HELD"),
        ([0, 1], "NOT_HELD"),
        ([2], "UNKNOWN_DEPOSIT"),
        ([0, 0], "WRONG_ARGUMENT"),
        ([], "WRONG_ARGUMENT"),
    ],
)
def test_losses_that_do_not_stand(desk: Desk, deposits: list[int], code: str) -> None:
    desk.deposit("erp")
    desk.deposit("erp")
    assert desk.hold("lender", "erp", 0).ok
    assert desk.call("lender", "lost", chain="erp", deposits=deposits).code == code
    assert listed(desk, "erp", "lender") == [0]
    assert desk.read("record", "erp", "lender") is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("hold", "lost")), st.sets(st.integers(0, 5), min_size=1)), max_size=12))
def test_the_list_of_what_is_held_is_always_what_the_deposits_say(steps: list[tuple[str, set[int]]]) -> None:
    desk = Desk()
    for _ in range(6):
        desk.deposit("erp", sizes=(1,))
    expected: set[int] = set()
    for method, numbers in steps:
        done = desk.call("lender", method, chain="erp", deposits=sorted(numbers))
        allowed = not numbers & expected if method == "hold" else numbers <= expected
        assert done.ok == allowed, done
        if allowed:
            expected = expected | numbers if method == "hold" else expected - numbers
        assert set(listed(desk, "erp", "lender")) == expected


# -- answers ----------------------------------------------------------------------------------------------


def test_a_right_answer_is_taken_and_recorded(desk: Desk) -> None:
    desk.held("erp", 2)
    desk.round()
    desk.ledger.next_block()
    done = desk.answer("erp", "lender")
    assert done.result == {"round": 1, "shown": SAMPLES}, done
    assert desk.challenge("erp", "lender")["answered"]
    assert not desk.challenge("erp", "office")["answered"]
    record = {"rounds": 1, "failed": 0, "lost": 0, "last_ok": desk.ledger.time, "failing": False}
    assert desk.read("record", "erp", "lender") == record
    assert desk.answer("erp", "lender").code == "ALREADY_ANSWERED"


def test_anothers_copy_is_found_out(desk: Desk) -> None:
    desk.held("erp", 2)
    desk.round()
    for other in ("guarantor", "office"):
        done = desk.answer("erp", "lender", desk.proofs("erp", "lender", other))
        assert done.code == "ANOTHERS_COPY"
        assert other in done.message
    one_of_four = [*desk.proofs("erp", "lender")[:3], desk.proofs("erp", "lender", "office")[3]]
    assert desk.answer("erp", "lender", one_of_four).code == "ANOTHERS_COPY"
    assert desk.answer("erp", "lender").ok, "a right answer is still taken"


def test_a_substitute_is_proved_from_the_copy_it_is(desk: Desk) -> None:
    number = desk.deposit("erp")
    assert desk.hold("lender", "erp", number, of="office").ok
    desk.round()
    assert desk.answer("erp", "lender", desk.proofs("erp", "lender", "guarantor")).code == "ANOTHERS_COPY"
    assert desk.answer("erp", "lender").code == "ANOTHERS_COPY", "its own copy is not the one it says to hold"
    assert desk.answer("erp", "lender", desk.proofs("erp", "lender", "office")).ok


def test_who_keeps_nothing_cannot_take_anothers_copy_for_the_time_of_a_challenge(desk: Desk) -> None:
    """Unless it says that it has lost what it was to have, which its owner is told and its record counts."""
    number = desk.deposit("erp")
    assert desk.hold("lender", "erp", number).ok
    desk.round()
    assert desk.hold("lender", "erp", number, of="office").code == "NOT_LOST"
    assert desk.answer("erp", "lender", desk.proofs("erp", "lender", "office")).code == "ANOTHERS_COPY"
    assert desk.call("lender", "lost", chain="erp", deposits=[number]).names() == ["custody_lost"]
    assert desk.hold("lender", "erp", number, of="office").ok
    assert desk.answer("erp", "lender", desk.proofs("erp", "lender", "office")).ok
    assert desk.read("record", "erp", "lender")["lost"] == 1


def wrong_proofs(desk: Desk) -> dict[str, list[Any]]:
    """Answers of erp's custodian lender with one thing wrong each."""
    right = desk.proofs("erp", "lender")
    asked = desk.challenge("erp", "lender")
    copy = desk.copies["erp", asked["deposits"][0], "lender"]
    leaf, path, chunk, chunk_path = right[0]
    index = copy.leaves.index(leaf)
    elsewhere = (index + 1) % len(copy.leaves)
    foreign = Copy("not on the chain", "lender").chunk(index, 0)

    def first(*proof: Any) -> list[Any]:
        return [list(proof), *right[1:]]

    found = {
        "another object of the same copy": first(*copy.chunk(elsewhere, 0)),
        "an entry of no deposit": first(foreign[0], path, *foreign[2:]),
        "all of it of no deposit": first(*foreign),
        "a byte of the chunk": first(leaf, path, bytes([chunk[0] ^ 1]) + chunk[1:], chunk_path),
        "a chunk cut short": first(leaf, path, chunk[:-1], chunk_path),
        "no chunk": first(leaf, path, b"", chunk_path),
        "a path too short": first(leaf, path[:-1], chunk, chunk_path),
        "a path too long": first(leaf, [*path, ROOT], chunk, chunk_path),
        "a hash of the path": first(leaf, [ROOT, *path[1:]], chunk, chunk_path),
        "a hash that is none": first(leaf, ["", *path[1:]], chunk, chunk_path),
        "a chunk path too long": first(leaf, path, chunk, [*chunk_path, ROOT]),
        "proofs in another order": right[::-1],
    }
    pieces = desk.copies["erp", asked["deposits"][0], "lender"].copies[index]
    if len(pieces) > CHUNK:
        number = next(n for n in range(len(pieces) // CHUNK) if copy.chunk(index, n) != right[0])
        found["another chunk of the object"] = first(*copy.chunk(index, number))
    return found


def test_wrong_answers_are_refused_and_change_nothing() -> None:
    """Rounds until every kind of wrong answer, and every edge of a chunk, has come up."""
    desk = Desk()
    desk.held("erp", 3)
    tried: set[str] = set()
    for _ in range(8):
        desk.round()
        before = desk.ledger.items(CONSORTIUM, "custody")
        for name, proofs in wrong_proofs(desk).items():
            done = desk.answer("erp", "lender", proofs)
            if proofs != desk.proofs("erp", "lender"):
                assert done.code == "WRONG_PROOF", name
                tried.add(name)
        assert desk.ledger.items(CONSORTIUM, "custody") == before
        assert desk.answer("erp", "lender").ok
        desk.settle()
    assert len(tried) == 13, tried


def test_malformed_answers(desk: Desk) -> None:
    desk.held("erp")
    desk.round()
    right = desk.proofs("erp", "lender")
    leaf, path, chunk, chunk_path = right[0]
    wrong: list[Any] = [
        right[:3],
        [*right, right[0]],
        [None, *right[1:]],
        [right[0][:3], *right[1:]],
        [[leaf, None, chunk, chunk_path], *right[1:]],
        [[leaf, path, "text", chunk_path], *right[1:]],
        [[leaf, path, bytes(CHUNK + 1), chunk_path], *right[1:]],
        [[bytes(257), path, chunk, chunk_path], *right[1:]],
        [[leaf, [ROOT] * 65, chunk, chunk_path], *right[1:]],
        {},
    ]
    for bad in wrong:
        assert desk.call("lender", "answer", chain="erp", round=1, proofs=bad).code == "WRONG_ARGUMENT", bad


def test_answers_nobody_asked_for(desk: Desk) -> None:
    desk.held("erp")
    args: dict[str, Any] = {"chain": "erp", "proofs": [None] * SAMPLES}
    assert desk.call("lender", "answer", round=1, **args).code == "NO_CHALLENGE"
    desk.round()
    assert desk.call("lender", "answer", round=2, **args).code == "NO_CHALLENGE"
    assert desk.call("procurement", "answer", round=1, **args).code == "NO_CHALLENGE"
    assert desk.call("lender", "answer", round=1, **{**args, "chain": "office"}).code == "NO_CHALLENGE"
    assert desk.call("lender", "answer", round=1, **{**args, "chain": "nobody"}).code == "UNKNOWN_CHAIN"
    assert desk.call("lender", "answer", round=0, **args).code == "WRONG_ARGUMENT"
    assert desk.call("acme", "answer", round=1, **args).code == "ROLE_NOT_ALLOWED"


def test_what_was_reported_lost_need_not_be_shown(desk: Desk) -> None:
    desk.held("erp", 2)
    desk.round()
    asked = desk.challenge("erp", "lender")
    gone = asked["deposits"][0]
    right = desk.proofs("erp", "lender")
    proofs = [None if number == gone else proof for number, proof in zip(asked["deposits"], right, strict=True)]
    assert desk.answer("erp", "lender", proofs).code == "WRONG_ARGUMENT"
    assert desk.call("lender", "lost", chain="erp", deposits=[gone]).ok
    shown = sum(number != gone for number in asked["deposits"])
    assert desk.answer("erp", "lender", proofs).result == {"round": 1, "shown": shown}


def test_who_has_lost_all_shows_nothing_and_is_not_thought_well_of(desk: Desk) -> None:
    desk.held("erp", 2)
    desk.round()
    assert desk.settle() != []
    desk.round()
    assert desk.call("lender", "lost", chain="erp", deposits=[0, 1]).ok
    done = desk.answer("erp", "lender", [None] * SAMPLES)
    assert (done.result, done.events) == ({"round": 2, "shown": 0}, [])
    record = desk.read("record", "erp", "lender")
    assert record == {"rounds": 2, "failed": 1, "lost": 2, "last_ok": None, "failing": True}


def test_what_is_held_again_must_be_shown_after_all(desk: Desk) -> None:
    desk.held("erp", 1)
    desk.round()
    assert desk.call("lender", "lost", chain="erp", deposits=[0]).ok
    assert desk.hold("lender", "erp", 0).ok
    assert desk.answer("erp", "lender", [None] * SAMPLES).code == "WRONG_ARGUMENT"
    assert desk.answer("erp", "lender").result["shown"] == SAMPLES


def test_a_leaf_that_is_no_entry_proves_nothing() -> None:
    """An owner could put one there; a custodian that held such a deposit has not looked."""
    for leaf, code in (
        (encode(["tally/custody_object", 1, bytes(32), 0, merkle.root([b""])]), "WRONG_PROOF"),
        (encode(["tally/custody_object", 1, bytes(32), 2, merkle.root([b"x"])]), "WRONG_PROOF"),
        (encode(["tally/custody_object", 2, bytes(32), 1, merkle.root([b"x"])]), "WRONG_PROOF"),
        (encode(["tally/custody_object", 1, bytes(32), 1, "root"]), "WRONG_PROOF"),
        (encode(["tally/custody_object", 1, bytes(32), 1, ROOT, 0]), "WRONG_PROOF"),
        (encode({}), "WRONG_PROOF"),
        (b"\xc1", "NOT_CANONICAL"),
    ):
        fresh = Desk()
        bad = dict.fromkeys(KEEPERS, merkle.root([leaf]))
        assert fresh.call("erp", "deposit", objects=1, bytes=1, roots=bad).ok
        assert fresh.hold("lender", "erp", 0).ok
        fresh.round()
        assert fresh.answer("erp", "lender", [[leaf, [], b"x", []]] * SAMPLES).code == code


def test_the_work_of_checking_is_charged(desk: Desk) -> None:
    desk.held("erp")
    desk.round()
    right = desk.proofs("erp", "lender")
    done = desk.answer("erp", "lender", right)
    hashes = sum(4 + len(path) + len(other) + (len(leaf) + len(chunk)) // 64 for leaf, path, chunk, other in right)
    assert done.charged >= hashes - 8
