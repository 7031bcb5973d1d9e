"""Rounds of challenges: whether custodians still have what they say to hold.

Every `custody_challenge_ms` of block time each custodian of each chain is drawn a challenge from the hash of the
block before: which chunks of which deposits it must show (custody_proofs.py). What is not answered
`custody_answer_ms` later has failed; the chain's member and the custodian are told. Work is bounded in each block: a
round of many challenges goes over several, and what a challenge asks for does not depend on which others there are.

State, on the consortium chain, in the custody contract's namespace:
    ("round",)                          -> {number, stage, cursor, began (ms), wake (ms), wake_height}
    ("challenge", chain, custodian)     -> {round, seed, deposits: n of each sample, due (ms), answered, failed}
    ("record", chain, custodian)        -> {rounds, failed, lost (deposits), last_ok (ms or None), failing}
"""

from __future__ import annotations

from typing import Final

from contracts import access, gov
from contracts.context import Context, Value
from contracts.custody_proofs import sampled_places
from contracts.notices import notify

PAIRS_A_BLOCK: Final = 64  # challenges drawn or settled in one block
ANSWER_BLOCKS: Final = 3  # at least, before a challenge fails: a network that stood still had no time to answer
DEFAULT_CHALLENGE_MS: Final = 600_000
DEFAULT_ANSWER_MS: Final = 120_000

REST, DRAW, SETTLE = "rest", "draw", "settle"


def genesis(ctx: Context, doc: dict[str, Value]) -> None:
    """The first round begins one interval after the genesis time."""
    interval = doc["parameters"].get("custody_challenge_ms", DEFAULT_CHALLENGE_MS)
    ctx.put("round", value=_state(0, REST, doc["time"], doc["time"] + interval))


def begin_block(ctx: Context) -> None:
    """Go on with the round that is due, by at most PAIRS_A_BLOCK challenges; between rounds it reads one key."""
    state = ctx.get("round")
    if ctx.time < state["wake"] or ctx.height < state["wake_height"]:
        return
    if state["stage"] == REST:
        state = _state(state["number"] + 1, DRAW, ctx.time, ctx.time)
    pairs = _pairs_after(ctx, state["cursor"])
    if state["stage"] == DRAW:
        drawn = _draw_all(ctx, state["number"], pairs)
        if drawn:
            ctx.emit("custody_challenged", {"round": state["number"], "pairs": drawn})
    else:
        for chain, custodian in pairs:
            _settle(ctx, state["number"], chain, custodian)
    ctx.put("round", value=_after(ctx, state, pairs))


def record_of(ctx: Context, chain: str, custodian: str) -> dict[str, Value]:
    """How a custodian has done for a chain so far."""
    none = {"rounds": 0, "failed": 0, "lost": 0, "last_ok": None, "failing": False}
    return ctx.get("record", chain, custodian) or none


def _after(ctx: Context, state: dict[str, Value], pairs: list[list[str]]) -> dict[str, Value]:
    """What is to do next: go on behind the last pair, settle what was drawn, or rest until the next round."""
    if len(pairs) == PAIRS_A_BLOCK:
        return {**state, "cursor": pairs[-1]}
    parameters = gov.parameters(ctx)
    if state["stage"] == DRAW and (pairs or state["cursor"]):
        wake = ctx.time + parameters.get("custody_answer_ms", DEFAULT_ANSWER_MS) + 1
        return _state(state["number"], SETTLE, state["began"], wake, ctx.height + ANSWER_BLOCKS)
    interval = parameters.get("custody_challenge_ms", DEFAULT_CHALLENGE_MS)
    return _state(state["number"], REST, state["began"], state["began"] + interval)


def _pairs_after(ctx: Context, cursor: list[str]) -> list[list[str]]:
    """The next [chain, custodian] with something held, in order, at most PAIRS_A_BLOCK."""
    found: list[list[str]] = []
    for chain in ctx.chains():
        if cursor and chain < cursor[0]:
            continue
        for custodian in ctx.get("holders", chain) or []:
            pair = [chain, custodian]
            if pair > cursor:
                found.append(pair)
            if len(found) == PAIRS_A_BLOCK:
                return found
    return found


def _draw_all(ctx: Context, number: int, pairs: list[list[str]]) -> list[list[str]]:
    """Challenge each pair; gives those that were. Who has left the consortium is asked for nothing any more."""
    members = access.member_ids(ctx) if pairs else []
    due = ctx.time + gov.parameters(ctx).get("custody_answer_ms", DEFAULT_ANSWER_MS) if pairs else 0
    drawn = [pair for pair in pairs if pair[1] in members]
    for chain, custodian in drawn:
        seed = ctx.hash(["tally/challenge", 1, ctx.parent_hash, number, chain, custodian])
        places = sampled_places(seed, ctx.get("held_count", chain, custodian))
        challenge = {
            "round": number,
            "seed": seed,
            "deposits": [ctx.get("held", chain, custodian, place) for place in places],
            "due": due,
            "answered": False,
            "failed": False,
        }
        ctx.put("challenge", chain, custodian, value=challenge)
        record = record_of(ctx, chain, custodian)
        ctx.put("record", chain, custodian, value={**record, "rounds": record["rounds"] + 1})
    return drawn


def _settle(ctx: Context, number: int, chain: str, custodian: str) -> None:
    """A challenge of this round that was not answered has failed. Who holds only since it began has none."""
    challenge = ctx.get("challenge", chain, custodian)
    if challenge is None or challenge["round"] != number or challenge["answered"]:
        return
    ctx.put("challenge", chain, custodian, value={**challenge, "failed": True})
    record = record_of(ctx, chain, custodian)
    failed = record["failed"] + 1
    ctx.put("record", chain, custodian, value={**record, "failed": failed, "failing": True})
    facts = {"chain": chain, "custodian": custodian, "round": challenge["round"], "failed": failed}
    notify(ctx, "custody_failed", [chain, custodian], facts)


def _state(number: int, stage: str, began: int, wake: int, wake_height: int = 0) -> dict[str, Value]:
    return {
        "number": number,
        "stage": stage,
        "cursor": [],
        "began": began,
        "wake": wake,
        "wake_height": wake_height,
    }
