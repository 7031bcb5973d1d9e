"""Governance: quorum, votes, effect at h + 2, parameters, contract versions, approvals."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import pytest

from chain.certificate import quorum as consensus_quorum
from contracts import gov
from contracts.context import Args
from contracts.gov import active_version, quorum
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, Receipt, key
from tests.contracts.small_consortium import DAY, VALIDATORS, consortium


@pytest.fixture
def ledger() -> Ledger:
    return consortium()


def propose(ledger: Ledger, signer: str, **change: Any) -> Receipt:
    return ledger.call(CONSORTIUM, "gov.propose", {"change": change}, [key(signer)])


def vote(ledger: Ledger, signer: str, proposal: bytes, accept: bool = True) -> Receipt:
    args: Args = {"proposal": proposal, "accept": accept}
    return ledger.call(CONSORTIUM, "gov.vote", args, [key(signer)])


def passed(ledger: Ledger, **change: Any) -> Receipt:
    """Proposed by one and voted by two more of four: a quorum."""
    proposal = propose(ledger, "erp", **change)
    assert proposal.ok, proposal
    vote(ledger, "guarantor", proposal.result["id"])
    return vote(ledger, "lender", proposal.result["id"])


def without(*names: str) -> list[list[Any]]:
    return [[member, key(f"{member} validator")] for member in VALIDATORS if member not in names]


def validators(ledger: Ledger) -> dict[str, Any]:
    entry: dict[str, Any] = ledger.read(CONSORTIUM, "gov", "validators")
    return entry


@pytest.mark.parametrize("n", range(1, 65))
def test_quorum_is_two_thirds_rounded_up_and_the_agreements_own(n: int) -> None:
    assert quorum(n) == ceil(Fraction(2 * n, 3)) == consensus_quorum(n)


def test_genesis(ledger: Ledger) -> None:
    assert validators(ledger) == {"epoch": 0, "set": without(), "next": None}
    assert ledger.read(CONSORTIUM, "gov", "contract", "records") == [[1, 0]]
    context = MemoryContext(ledger, CONSORTIUM, "credit")
    assert gov.parameters(context)["anchor_interval_blocks"] == 5


def test_a_proposal_passes_with_the_quorums_last_vote(ledger: Ledger) -> None:
    values = {"max_idle_ms": 5_000}
    first = propose(ledger, "erp", kind="parameters", values=values)
    assert first.result == {"id": first.result["id"], "state": "open", "accepted": 1, "needed": 3}
    assert vote(ledger, "erp", first.result["id"]).result["accepted"] == 1  # a member counts once
    assert vote(ledger, "lender", first.result["id"]).result["state"] == "open"
    assert ledger.read(CONSORTIUM, "gov", "parameters")["max_idle_ms"] == 30_000
    decided = vote(ledger, "guarantor", first.result["id"])
    assert decided.result["state"] == "passed"
    assert "parameters_changed" in decided.names()
    assert ledger.read(CONSORTIUM, "gov", "parameters")["max_idle_ms"] == 5_000
    assert ledger.read(CONSORTIUM, "gov", "parameters_version") == 2
    assert ledger.read(CONSORTIUM, "gov", "parameters_at", 2)["from"] == ledger.height + 1
    assert ledger.read(CONSORTIUM, "gov", "parameters_at", 1)["parameters"]["max_idle_ms"] == 30_000
    assert vote(ledger, "procurement", first.result["id"]).code == "PROPOSAL_CLOSED"


def test_a_vote_may_be_changed_and_enough_against_reject(ledger: Ledger) -> None:
    proposal = propose(ledger, "erp", kind="parameters", values={"t0_ms": 500}).result["id"]
    assert vote(ledger, "lender", proposal).result["accepted"] == 2
    assert vote(ledger, "lender", proposal, accept=False).result["accepted"] == 1
    assert vote(ledger, "guarantor", proposal, accept=False).result["state"] == "rejected"
    assert ledger.read(CONSORTIUM, "gov", "open") == []


def test_only_members_with_a_vote_vote(ledger: Ledger) -> None:
    assert propose(ledger, "office", kind="parameters", values={"t0_ms": 500}).code == "NO_VOTE"
    assert propose(ledger, "acme", kind="parameters", values={"t0_ms": 500}).code == "ROLE_NOT_ALLOWED"
    proposal = propose(ledger, "erp", kind="parameters", values={"t0_ms": 500}).result["id"]
    assert vote(ledger, "office", proposal).code == "NO_VOTE"
    assert vote(ledger, "erp", bytes(32)).code == "UNKNOWN_PROPOSAL"


def test_a_validator_set_takes_effect_two_blocks_later(ledger: Ledger) -> None:
    decided = passed(ledger, kind="validators", set=without("procurement"))
    height = ledger.height
    assert decided.result["state"] == "passed"
    assert validators(ledger)["next"] == {"epoch": 1, "set": without("procurement"), "at": height + 2}
    ledger.next_block()
    assert len(validators(ledger)["set"]) == 4
    assert propose(ledger, "procurement", kind="parameters", values={"t0_ms": 500}).ok
    events = ledger.next_block()
    assert ("epoch_started", {"epoch": 1, "validators": ["erp", "guarantor", "lender"]}) in events
    assert validators(ledger) == {"epoch": 1, "set": without("procurement"), "next": None}
    assert propose(ledger, "procurement", kind="parameters", values={"t0_ms": 500}).code == "NO_VOTE"


def test_votes_of_members_that_lost_the_vote_do_not_count(ledger: Ledger) -> None:
    proposal = propose(ledger, "procurement", kind="parameters", values={"t0_ms": 500}).result["id"]
    assert passed(ledger, kind="validators", set=without("procurement")).ok
    ledger.next_block()
    ledger.next_block()
    assert vote(ledger, "erp", proposal).result == {"id": proposal, "state": "open", "accepted": 1, "needed": 2}
    assert vote(ledger, "lender", proposal).result["state"] == "passed"


def test_one_validator_change_at_a_time(ledger: Ledger) -> None:
    second = propose(ledger, "erp", kind="validators", set=without("guarantor")).result["id"]
    vote(ledger, "lender", second)
    assert passed(ledger, kind="validators", set=without("procurement")).ok
    assert vote(ledger, "guarantor", second).code == "CHANGE_PENDING"
    ledger.next_block()
    ledger.next_block()
    assert vote(ledger, "guarantor", second).result["state"] == "passed"


def test_a_new_validator_key_is_the_members_own_and_replaces_the_old_one(ledger: Ledger) -> None:
    changed = [[m, key("erp validator 2") if m == "erp" else public] for m, public in without()]
    assert propose(ledger, "lender", kind="validators", set=changed).code == "NOT_A_VALIDATOR_KEY"
    args: Args = {"key": key("erp validator 2"), "purpose": "validator"}
    assert ledger.call(CONSORTIUM, "registry.add_key", args, [key("erp")]).ok
    assert passed(ledger, kind="validators", set=changed).result["state"] == "passed"
    ledger.next_block()
    ledger.next_block()
    assert validators(ledger)["set"] == changed
    revoked = ledger.call(CONSORTIUM, "registry.revoke_key", {"key": key("erp validator")}, [key("erp")])
    assert revoked.ok


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "WRONG_ARGUMENT"),
        (without(), "NO_CHANGE"),
        (without()[::-1], "WRONG_ARGUMENT"),
        ([*without(), without()[-1]], "WRONG_ARGUMENT"),
        ([["nobody", key("erp validator")]], "UNKNOWN_MEMBER"),
        ([["erp", key("lender validator")]], "NOT_A_VALIDATOR_KEY"),
        ([["erp", key("erp")]], "NOT_A_VALIDATOR_KEY"),
        ([["erp", b"short"]], "WRONG_ARGUMENT"),
        (["erp"], "WRONG_ARGUMENT"),
    ],
)
def test_validator_sets_that_do_not_stand(ledger: Ledger, rows: list[Any], code: str) -> None:
    assert propose(ledger, "erp", kind="validators", set=rows).code == code


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "NO_CHANGE"),
        ({"t0_ms": 1}, "WRONG_ARGUMENT"),
        ({"t0_ms": "1000"}, "WRONG_ARGUMENT"),
        ({"t0_ms": True}, "WRONG_ARGUMENT"),
        ({"colour": 1}, "UNKNOWN_PARAMETER"),
        ([], "WRONG_ARGUMENT"),
    ],
)
def test_parameters_that_do_not_stand(ledger: Ledger, values: Any, code: str) -> None:
    assert propose(ledger, "erp", kind="parameters", values=values).code == code


def test_a_contract_version_is_scheduled_for_a_height(ledger: Ledger) -> None:
    change = {"kind": "contract", "name": "credit", "version": 2, "from_height": ledger.height + 10}
    assert passed(ledger, **change).result["state"] == "passed"
    rows = ledger.read(CONSORTIUM, "gov", "contract", "credit")
    assert rows == [[1, 0], [2, ledger.height + 10]]
    assert active_version(rows, ledger.height + 9) == 1
    assert active_version(rows, ledger.height + 10) == 2
    again = propose(ledger, "erp", kind="contract", name="credit", version=2, from_height=ledger.height + 20)
    assert again.code == "WRONG_ARGUMENT"
    early = propose(ledger, "erp", kind="contract", name="records", version=2, from_height=ledger.height + 1)
    assert early.code == "WRONG_ARGUMENT"
    unknown = propose(ledger, "erp", kind="contract", name="lottery", version=1, from_height=99)
    assert unknown.code == "UNKNOWN_CONTRACT"


def test_a_version_whose_height_passed_during_the_vote_is_not_enacted(ledger: Ledger) -> None:
    change = {"kind": "contract", "name": "credit", "version": 2, "from_height": ledger.height + 2}
    proposal = propose(ledger, "erp", **change).result["id"]
    vote(ledger, "lender", proposal)
    ledger.next_block()
    assert vote(ledger, "guarantor", proposal).code == "WRONG_ARGUMENT"
    assert ledger.read(CONSORTIUM, "gov", "contract", "credit") == [[1, 0]]


def test_a_document_is_approved_by_hash(ledger: Ledger) -> None:
    decided = passed(ledger, kind="approve", hash=b"h" * 32, title="template 2")
    assert ("approved", {"hash": b"h" * 32, "title": "template 2"}) in decided.events
    entry = ledger.read(CONSORTIUM, "gov", "approved", b"h" * 32)
    assert entry == {"proposal": decided.result["id"], "height": ledger.height}
    assert propose(ledger, "erp", kind="approve", hash=b"h" * 32, title="again").code == "NO_CHANGE"


def test_proposals_are_bounded_and_expire(ledger: Ledger) -> None:
    ids = [propose(ledger, "erp", kind="parameters", values={"t0_ms": 100 + n}).result["id"] for n in range(8)]
    assert propose(ledger, "erp", kind="parameters", values={"t0_ms": 99}).code == "TOO_MANY_PROPOSALS"
    assert propose(ledger, "lender", kind="parameters", values={"t0_ms": 99}).ok
    ledger.next_block(after_ms=15 * DAY)
    assert vote(ledger, "lender", ids[0]).code == "PROPOSAL_CLOSED"
    assert propose(ledger, "erp", kind="parameters", values={"t0_ms": 99}).ok
    assert len(ledger.read(CONSORTIUM, "gov", "open")) == 1
    assert ledger.read(CONSORTIUM, "gov", "proposal", ids[0])["state"] == "expired"


def test_wrong_arguments(ledger: Ledger) -> None:
    assert propose(ledger, "erp", kind="war").code == "WRONG_ARGUMENT"
    assert ledger.call(CONSORTIUM, "gov.propose", {"change": "x"}, [key("erp")]).code == "WRONG_ARGUMENT"
    assert ledger.call(CONSORTIUM, "gov.propose", {}, [key("erp")]).code == "MISSING_ARGUMENT"
    args: Args = {"proposal": bytes(32), "accept": 1}
    assert ledger.call(CONSORTIUM, "gov.vote", args, [key("erp")]).code == "WRONG_ARGUMENT"
