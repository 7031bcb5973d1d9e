"""Random walks over deeds: whatever is tried by whomever, a state is reached by its way only, on all its grounds."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from contracts import claims
from contracts.enforceable_deed import STATES, parties
from contracts.enforceable_default import debt
from tests.contracts import lending_desk as at
from tests.contracts import notary_desk as desk
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext
from tests.contracts.notary_desk import deed_of, do, kept
from tests.contracts.trading import DAY

EDGES = {
    ("draft", "consented"),
    ("draft", "revoked"),
    ("consented", "notarized"),
    ("consented", "refused"),
    ("consented", "revoked"),
    ("notarized", "claimed"),
    ("notarized", "revoked"),
    ("claimed", "verified"),
    ("claimed", "refused"),
    ("claimed", "revoked"),
    ("verified", "certified"),
    ("verified", "notarized"),
    ("verified", "refused"),
    ("verified", "revoked"),
    ("certified", "executed"),
    ("certified", "revoked"),
}
WHO = ("lender", "lender-two", "office", "office-two", "supplier", "aunt", "guarantor", "buyer", "court")
METHODS = ("consent", "consent", "countersign", "claim_default", "answer", "verify_performance", "issue", "executed")
RARE = ("refuse", "revoke", "demand")


def arguments_for(on: Ledger, deed: bytes, method: str, chance: Random) -> dict[str, Any]:
    """Arguments that are right as far as they can be, with something wrong now and then."""
    entry = deed_of(on, deed)
    today, wrong = at.day_of(on), chance.random() < 0.1
    match method:
        case "consent":
            return desk.consent_args(on, deed, **({"enforcement": False} if wrong else {}))
        case "countersign":
            digest = bytes(32) if wrong else entry["digest"]
            return {"deed": deed, "digest": digest, "number": f"D-{chance.randrange(9)}"}
        case "claim_default":
            return desk.claim_args(on, deed, accelerate=chance.random() < 0.3)
        case "answer":
            return {"deed": deed, "admits": chance.random() < 0.5, "text": "said"}
        case "verify_performance" if entry["claims"]:
            denied = [{"owner": "party", "id": who, "text": "no", "upheld": wrong} for who in ("supplier", "aunt")]
            denied.append({"owner": "member", "id": "guarantor", "text": "no", "upheld": False})
            outcome = chance.choice(("unpaid", "unpaid", "unpaid", "paid", "disputed"))
            return desk.verify_args(on, deed, outcome=outcome, objections=denied)
        case "issue" if entry["claims"]:
            args = desk.issue_args(on, deed)
            args["number"] = f"E-{chance.randrange(9)}"
            return {**args, "amounts": {**args["amounts"], "total": 1}} if wrong else args
        case "executed":
            return {"deed": deed, "amount": 0, "on": today, "reference": "(2026) 1"}
        case "demand":
            return {"deed": deed, "on": today, "text": "pay"}
    reason = chance.choice(("PERFORMED", "PERFORMED", "OTHER"))
    return {"deed": deed, "reason": reason, "text": "so it is"}


def check_grounds(on: Ledger, deed: bytes) -> None:
    """What a state rests on is in the chain, by the right ones, at no later block."""
    entry = deed_of(on, deed)
    if entry["state"] in ("notarized", "claimed", "verified", "certified", "executed"):
        countersigned = kept(on, "countersignature", deed)
        assert countersigned["by"] == entry["notary"]
        for owner, identity in parties(entry):
            given = kept(on, "consent", deed, owner, identity)
            assert (given["by"], given["owner"], given["digest"]) == (identity, owner, entry["digest"])
            assert given["time"] <= countersigned["time"]
    if entry["state"] in ("certified", "executed"):
        certificate, number = kept(on, "certificate", deed), entry["claims"]
        verified, claimed = kept(on, "verification", deed, number), kept(on, "default", deed, number)
        assert verified["outcome"] == "unpaid"
        assert claimed["by"] == entry["creditor"]
        assert verified["by"] == certificate["by"] == entry["notary"]
        assert claimed["time"] <= verified["time"] <= certificate["time"]
        assert certificate["claim"]["principal"] <= entry["ceiling"]


def walk(seed: int, steps: int) -> set[str]:
    """One walk; gives the states it came through."""
    chance = Random(seed)
    on = desk.desk()
    application = desk.lent(on)
    deed = desk.drafted(on, application)
    seen = {"draft"}
    for _ in range(steps):
        if chance.random() < 0.25:
            on.next_block(after_ms=chance.randrange(1, 8 * DAY))
        if chance.random() < 0.03:
            at.repay(on, application, chance.randrange(1, 30_000), f"P-{chance.random()}")
        before = on.items(CONSORTIUM, "notary")
        state = deed_of(on, deed)["state"]
        method = chance.choice(RARE) if chance.random() < 0.04 else chance.choice(METHODS)
        receipt = do(on, method, chance.choice(WHO), **arguments_for(on, deed, method, chance))
        now = deed_of(on, deed)["state"]
        if not receipt.ok:
            assert on.items(CONSORTIUM, "notary") == before, receipt
        elif method == "issue":
            again = debt(MemoryContext(on, CONSORTIUM, "notary"), deed_of(on, deed), at.day_of(on), _called(on, deed))
            assert kept(on, "certificate", deed)["claim"] == _as_stored(again)
        assert now == state or (state, now) in EDGES, (state, method, now)
        check_grounds(on, deed)
        seen.add(now)
    return seen


def _called(on: Ledger, deed: bytes) -> str:
    called: str = kept(on, "default", deed, deed_of(on, deed)["claims"])["accelerated_on"]
    return called


def _as_stored(found: claims.Claim) -> Any:
    from chain.codec import decode, encode

    return decode(encode(claims.as_value(found)))


@pytest.mark.parametrize("seed", range(4))
def test_no_walk_leaves_the_way(seed: int) -> None:
    walk(seed, 150)


@pytest.mark.slow
def test_the_walks_come_through_every_state() -> None:
    seen: set[str] = set()
    for seed in range(100, 140):
        seen |= walk(seed, 250)
    assert seen == set(STATES)
