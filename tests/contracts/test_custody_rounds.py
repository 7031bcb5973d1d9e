"""Rounds of challenges: when they come, whom they reach, what they ask for, and who has failed."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.crypto import hash_value
from contracts import custody_rounds
from contracts.custody_proofs import CHUNK, SAMPLES, chunk_count, sampled_chunk, sampled_object, sampled_places
from tests.contracts.custody_desk import ANSWER, INTERVAL, Desk
from tests.contracts.memory_context import CONSORTIUM, START, MemoryContext, key

KEEPERS = ["guarantor", "lender", "office"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- what is asked for ------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.integers(1, 10_000), st.integers(1, 512), st.integers(1, 2**53))
def test_samples_lie_within_what_there_is(seed: bytes, held: int, objects: int, size: int) -> None:
    assert len(sampled_places(seed, held)) == SAMPLES
    assert all(0 <= place < held for place in sampled_places(seed, held))
    for sample in range(SAMPLES):
        assert 0 <= sampled_object(seed, sample, objects) < objects
        assert 0 <= sampled_chunk(seed, sample, size) < chunk_count(size)
        assert (chunk_count(size) - 1) * CHUNK < size <= chunk_count(size) * CHUNK


def test_what_a_seed_draws_is_pinned() -> None:
    """Nodes answer from this: another draw for the same seed is another protocol."""
    seed = bytes(range(32))
    assert sampled_places(seed, 1_000) == [905, 442, 146, 588]
    assert [sampled_object(seed, sample, 1_000) for sample in range(SAMPLES)] == [7, 88, 47, 785]
    assert [sampled_chunk(seed, sample, 1_000 * CHUNK) for sample in range(SAMPLES)] == [36, 676, 363, 301]


@pytest.mark.parametrize("bound", [2, 3, 7, 16, 100])
def test_each_place_object_and_chunk_is_drawn_about_as_often(bound: int) -> None:
    """Chi squared of 4,000 draws stays within five standard deviations above its mean."""
    seeds = [hashlib.sha256(str(number).encode()).digest() for number in range(1_000)]
    draws = {
        "place": [place for seed in seeds for place in sampled_places(seed, bound)],
        "object": [sampled_object(seed, sample, bound) for seed in seeds for sample in range(SAMPLES)],
        "chunk": [sampled_chunk(seed, sample, bound * CHUNK) for seed in seeds for sample in range(SAMPLES)],
    }
    for name, found in draws.items():
        expected = len(found) / bound
        counts = Counter(found)
        chi = sum((counts[number] - expected) ** 2 / expected for number in range(bound))
        freedom = bound - 1
        assert chi < freedom + 5 * (2 * freedom) ** 0.5, (name, chi)
    for one, other in (("place", "object"), ("object", "chunk"), ("place", "chunk")):
        same = sum(a == b for a, b in zip(draws[one], draws[other], strict=True))
        assert abs(same / 4_000 - 1 / bound) < 5 * (1 / bound / 4_000) ** 0.5, "one says nothing of another"


def test_the_block_before_decides_what_is_asked_for(desk: Desk) -> None:
    desk.held("erp", 5)
    desk.round()
    asked = desk.challenge("erp", "lender")
    parts = ["tally/challenge", 1, desk.ledger.parent_hash, 1, "erp", "lender"]
    assert asked["seed"] == hash_value(parts)
    held = [desk.read("held", "erp", "lender", place) for place in range(5)]
    assert asked["deposits"] == [held[place] for place in sampled_places(asked["seed"], 5)]
    assert (asked["round"], asked["due"]) == (1, desk.ledger.time + ANSWER)
    assert (asked["answered"], asked["failed"]) == (False, False)
    others = {desk.challenge("erp", custodian)["seed"] for custodian in KEEPERS}
    assert len(others) == 3, "each is asked for something else"
    seeds = {asked["seed"]}
    for _ in range(3):
        desk.settle()
        desk.round()
        seeds.add(desk.challenge("erp", "lender")["seed"])
    assert len(seeds) == 4, "and each time"


@settings(max_examples=15, deadline=None)
@given(st.permutations(["erp", "lender", "procurement", "office"]), st.randoms(use_true_random=False))
def test_a_challenge_does_not_depend_on_the_order_or_on_the_others(chains: list[str], random: Any) -> None:
    """What a custodian is asked for follows from what it holds, whoever held first and whoever else does."""
    reference = Desk()
    reference.held("erp", 3)
    reference.round()
    desk = Desk()
    for chain in chains:
        numbers = [desk.deposit(chain) for _ in range(3)]
        keepers = desk.custodians(chain)
        random.shuffle(keepers)
        for custodian in keepers:
            assert desk.hold(custodian, chain, *numbers).ok
    desk.round()
    for custodian in KEEPERS:
        assert desk.challenge("erp", custodian) == reference.challenge("erp", custodian)
    pairs = [[chain, custodian] for chain in sorted(chains) for custodian in desk.custodians(chain)]
    assert (
        sorted([key[1], key[2]] for key in desk.ledger.items(CONSORTIUM, "custody") if key[0] == "challenge") == pairs
    )


# -- when -------------------------------------------------------------------------------------------------


def test_a_round_comes_once_an_interval(desk: Desk) -> None:
    desk.held("erp")
    assert desk.ledger.next_block(time=START + INTERVAL - 1) == []
    events = desk.ledger.next_block(time=START + INTERVAL)
    pairs = [["erp", custodian] for custodian in KEEPERS]
    assert events == [("custody_challenged", {"round": 1, "pairs": pairs})]
    for custodian in KEEPERS:
        assert desk.answer("erp", custodian).ok
    assert desk.settle() == [], "all have answered"
    assert desk.ledger.next_block(time=START + 2 * INTERVAL - 1) == []
    events = desk.ledger.next_block(time=START + 2 * INTERVAL)
    assert events == [("custody_challenged", {"round": 2, "pairs": pairs})]


def test_a_chain_that_stood_still_makes_up_for_nothing(desk: Desk) -> None:
    desk.held("erp")
    events = desk.ledger.next_block(time=START + 100 * INTERVAL)
    assert [data["round"] for _, data in events] == [1]
    desk.settle()
    assert desk.ledger.next_block() == []
    assert desk.read("round")["wake"] == START + 101 * INTERVAL


def test_nothing_held_nothing_asked(desk: Desk) -> None:
    desk.deposit("erp")
    assert desk.ledger.next_block(time=START + INTERVAL) == []
    assert desk.read("round")["stage"] == custody_rounds.REST
    assert desk.read("round")["wake"] == START + 2 * INTERVAL
    assert desk.hold("lender", "erp", 0).ok
    assert desk.round() == [("custody_challenged", {"round": 2, "pairs": [["erp", "lender"]]})]
    assert desk.call("lender", "lost", chain="erp", deposits=[0]).ok
    desk.settle()
    assert desk.ledger.next_block(time=START + 10 * INTERVAL) == []


def test_between_rounds_a_block_reads_one_key_and_writes_none(desk: Desk) -> None:
    desk.held("erp", 3)
    context = MemoryContext(desk.ledger, CONSORTIUM, "custody")
    reads: list[Any] = []
    real = context.read
    context.read = lambda *parts: reads.append(parts) or real(*parts)  # type: ignore[method-assign,func-returns-value]
    # (counts what is read)
    custody_rounds.begin_block(context)
    assert len(reads) == 1
    assert context.writes == {}
    assert context.events == []


def test_the_parameters_of_the_day_count(desk: Desk) -> None:
    desk.held("erp")
    rules = desk.ledger.read(CONSORTIUM, "gov", "parameters")
    changed = {**rules, "custody_challenge_ms": 5_000, "custody_answer_ms": 2_000}
    desk.ledger.seed(CONSORTIUM, "gov", "parameters", value=changed)
    desk.round()
    began = desk.ledger.time
    assert desk.challenge("erp", "lender")["due"] == began + 2_000
    desk.settle()
    assert desk.ledger.time == began + 2_001
    assert desk.read("round")["wake"] == began + 5_000


def test_a_round_waits_until_the_one_before_is_settled() -> None:
    """With more time to answer than between rounds, nobody's open challenge is replaced."""
    desk = Desk(custody_challenge_ms=1_000, custody_answer_ms=10_000)
    desk.held("erp")
    desk.round()
    first = desk.challenge("erp", "lender")
    for _ in range(5):
        assert desk.ledger.next_block(after_ms=1_000) == []
        assert desk.challenge("erp", "lender") == first
    assert desk.answer("erp", "lender").ok
    assert {name for name, _ in desk.ledger.next_block(after_ms=5_001)} == {"custody_failed"}
    assert [data["round"] for _, data in desk.ledger.next_block()] == [first["round"] + 1]


# -- bounded ----------------------------------------------------------------------------------------------


def many(desk: Desk, chains: int, custodians: int) -> list[list[str]]:
    """State as of many chains whose custodians all hold one deposit."""
    ids = [f"m{number:02}" for number in range(chains)]
    members = sorted([*ids, *desk.ledger.read(CONSORTIUM, "registry", "members")])
    desk.ledger.seed(CONSORTIUM, "registry", "members", value=members)
    pairs = []
    for position, chain in enumerate(ids):
        desk.ledger.state[chain] = {}
        holders = sorted(ids[(position + step) % chains] for step in range(1, custodians + 1))
        desk.ledger.seed(CONSORTIUM, "custody", "holders", chain, value=holders)
        for holder in holders:
            desk.ledger.seed(CONSORTIUM, "custody", "held_count", chain, holder, value=1)
            desk.ledger.seed(CONSORTIUM, "custody", "held", chain, holder, 0, value=0)
            pairs.append([chain, holder])
    return pairs


def test_a_large_round_goes_over_several_blocks_and_reaches_everybody_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custody_rounds, "PAIRS_A_BLOCK", 7)
    pairs = many(desk, 10, 4)
    asked: list[list[str]] = []
    desk.ledger.next_block(time=START + INTERVAL - 1)
    while len(asked) < len(pairs):
        events = desk.ledger.next_block()
        assert [name for name, _ in events] == ["custody_challenged"]
        assert len(events[0][1]["pairs"]) <= 7
        asked += events[0][1]["pairs"]
    assert asked == pairs
    events = desk.settle()
    failed: list[list[str]] = []
    while events:
        assert len(events) <= 7
        failed += [[data["chain"], data["custodian"]] for _, data in events]
        events = desk.ledger.next_block()
    assert failed == pairs
    assert desk.read("round")["stage"] == custody_rounds.REST


@pytest.mark.parametrize("count", [6, 7, 8, 14])
def test_a_round_of_exactly_full_blocks_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(custody_rounds, "PAIRS_A_BLOCK", 7)
    many(desk, count, 1)
    desk.ledger.next_block(time=START + INTERVAL)
    for _ in range(4):
        desk.ledger.next_block(after_ms=1)
    assert desk.read("round")["stage"] == custody_rounds.SETTLE
    assert len([key for key in desk.ledger.items(CONSORTIUM, "custody") if key[0] == "challenge"]) == count
    desk.ledger.next_block(time=desk.read("round")["wake"])
    for _ in range(4):
        desk.ledger.next_block(after_ms=1)
    assert desk.read("round")["stage"] == custody_rounds.REST
    assert desk.read("round")["wake"] == START + 2 * INTERVAL


def test_who_comes_or_goes_during_a_round_upsets_nobody_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custody_rounds, "PAIRS_A_BLOCK", 3)
    number = desk.deposit("procurement")
    pairs = many(desk, 4, 2)
    asked = [pair for _, data in desk.ledger.next_block(time=START + INTERVAL) for pair in data["pairs"]]
    assert asked == pairs[:3]
    chain = asked[-1][0]  # where the round stands: everybody stops holding it
    desk.ledger.seed(CONSORTIUM, "custody", "holders", chain, value=[])
    assert desk.hold("lender", "procurement", number).ok
    for _ in range(4):
        asked += [pair for _, data in desk.ledger.next_block() for pair in data["pairs"]]
    left = [pair for pair in pairs[3:] if pair[0] != chain]
    assert asked == [*pairs[:3], *left, ["procurement", "lender"]]


# -- failing ----------------------------------------------------------------------------------------------


def test_who_does_not_answer_in_time_has_failed_and_is_told(desk: Desk) -> None:
    desk.held("erp")
    desk.round()
    assert desk.answer("erp", "office").ok
    events = desk.settle()
    facts = [
        {"chain": "erp", "custodian": custodian, "round": 1, "failed": 1, "to": ["erp", custodian]}
        for custodian in ("guarantor", "lender")
    ]
    assert events == [("custody_failed", data) for data in facts]
    assert desk.challenge("erp", "lender")["failed"]
    assert desk.answer("erp", "lender").code == "TOO_LATE"
    record = {"rounds": 1, "failed": 1, "lost": 0, "last_ok": None, "failing": True}
    assert desk.read("record", "erp", "lender") == record
    assert desk.read("record", "erp", "office")["failed"] == 0
    assert desk.ledger.next_block() == [], "once"


def test_an_answer_up_to_the_last_moment_counts(desk: Desk) -> None:
    desk.held("erp")
    desk.round()
    due = desk.challenge("erp", "lender")["due"]
    desk.ledger.next_block()
    desk.ledger.next_block()
    assert desk.ledger.next_block(time=due) == []
    assert desk.answer("erp", "lender").ok
    assert {data["custodian"] for _, data in desk.ledger.next_block(time=due + 1)} == {"guarantor", "office"}
    assert desk.answer("erp", "office").code == "TOO_LATE"


def test_a_network_that_stood_still_gives_time_to_answer(desk: Desk) -> None:
    """The due time passes while there are no blocks: nobody fails in the first ones after."""
    desk.held("erp")
    desk.round()
    assert desk.ledger.next_block(after_ms=100 * ANSWER) == []
    assert desk.answer("erp", "lender").ok
    assert desk.ledger.next_block() == []
    assert {data["custodian"] for _, data in desk.ledger.next_block()} == {"guarantor", "office"}


def test_an_earlier_rounds_answer_is_too_late(desk: Desk) -> None:
    desk.held("erp")
    desk.round()
    old = desk.proofs("erp", "lender")
    desk.settle()
    desk.round()
    assert desk.call("lender", "answer", chain="erp", round=1, proofs=old).code == "TOO_LATE"
    assert desk.call("lender", "answer", chain="erp", round=2, proofs=old).code == "WRONG_PROOF"


def test_who_answers_again_after_failing_is_healed(desk: Desk) -> None:
    desk.held("erp")
    for number in (1, 2):
        desk.round()
        desk.settle()
        assert desk.read("record", "erp", "lender")["failed"] == number
    desk.round()
    done = desk.answer("erp", "lender")
    facts = {"chain": "erp", "custodian": "lender", "deposits": [], "to": ["erp", "lender"]}
    assert done.events == [("custody_healed", facts)]
    record = {"rounds": 3, "failed": 2, "lost": 0, "last_ok": desk.ledger.time, "failing": False}
    assert desk.read("record", "erp", "lender") == record
    desk.settle()
    desk.round()
    assert desk.answer("erp", "lender").events == [], "once"


def test_who_has_left_is_asked_for_nothing(desk: Desk) -> None:
    desk.held("erp")
    members = desk.ledger.read(CONSORTIUM, "registry", "members")
    desk.ledger.seed(CONSORTIUM, "registry", "members", value=[member for member in members if member != "office"])
    [(_, data)] = desk.round()
    assert data["pairs"] == [["erp", "guarantor"], ["erp", "lender"]]
    assert desk.read("challenge", "erp", "office") is None


def test_who_left_after_failing_fails_no_more(desk: Desk) -> None:
    desk.held("erp")
    desk.round()
    desk.settle()
    members = desk.ledger.read(CONSORTIUM, "registry", "members")
    desk.ledger.seed(CONSORTIUM, "registry", "members", value=[member for member in members if member != "office"])
    desk.round()
    assert {data["custodian"] for _, data in desk.settle()} == {"guarantor", "lender"}
    assert desk.read("record", "erp", "office")["failed"] == 1


def test_who_holds_only_since_the_round_began_has_not_failed_in_it(desk: Desk) -> None:
    desk.deposit("erp")
    assert desk.hold("office", "erp", 0).ok
    desk.round()
    assert desk.hold("lender", "erp", 0).ok
    assert {data["custodian"] for _, data in desk.settle()} == {"office"}
    desk.round()
    assert desk.call("office", "lost", chain="erp", deposits=[0]).ok
    desk.settle()
    assert desk.answer("erp", "lender").code == "TOO_LATE"
    desk.round()
    assert desk.hold("office", "erp", 0).ok
    assert {data["custodian"] for _, data in desk.settle()} == {"lender"}, "what it lost before is told already"


def test_a_chain_whose_member_left_is_still_kept(desk: Desk) -> None:
    desk.held("erp")
    members = desk.ledger.read(CONSORTIUM, "registry", "members")
    desk.ledger.seed(CONSORTIUM, "registry", "members", value=[member for member in members if member != "erp"])
    [(_, data)] = desk.round()
    assert data["pairs"] == [["erp", custodian] for custodian in KEEPERS]


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_who_threw_a_share_away_is_caught_about_as_often_as_four_samples_say(share: float) -> None:
    """One who keeps all but a share of its deposits answers a round with probability (1 - share) ** SAMPLES."""
    desk = Desk()
    desk.held("erp", 8)
    gone = set(range(round(8 * share)))
    rounds, caught = 150, 0
    for _ in range(rounds):
        desk.round()
        asked = desk.challenge("erp", "lender")
        if gone & set(asked["deposits"]):
            caught += 1
        else:
            assert desk.answer("erp", "lender").ok
        desk.settle()
    record = desk.read("record", "erp", "lender")
    assert (record["rounds"], record["failed"]) == (rounds, caught)
    expected = 1 - (1 - share) ** SAMPLES
    deviation = (expected * (1 - expected) / rounds) ** 0.5
    assert abs(caught / rounds - expected) < 4 * deviation


def test_a_reader_key_of_a_party_counts_too(desk: Desk) -> None:
    assert desk.call("erp", "name_readers", rules={"*": ["acme"]}).ok
    args = {"key": key("acme encryption")}
    assert desk.ledger.call(CONSORTIUM, "registry.revoke_key", args, [key("acme")]).ok
    desk.ledger.next_block()
    assert desk.call("erp", "name_readers", rules={"*": ["acme"]}).code == "NO_ENCRYPTION_KEY"
