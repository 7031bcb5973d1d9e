"""Anchor: members vouch for their own chain heads, and what reached a public chain is confirmed ([18]).

An interval closes after anchor_interval_blocks blocks or anchor_interval_ms, whichever comes first. At its end the
heads of all member chains are written down; until the next one closes each member signs its own. A missing or
differing signature is an alarm: somebody's node shows another history than the consortium agreed on.

Anchors go outside: to public chains, time-stamp authorities, witnesses (contracts/anchor_kinds.py). The contract
keeps each confirmation with its proof, counts by the consortium's policy what is anchored, and raises an alarm for
each class of places that is late. Whether a confirmation is true, every operator's node checks against its own
endpoint and pinned roots: a contract sees nothing outside.

State, on the consortium chain:
    ("interval",)                        -> {index, height, time, previous: height of the end before, heads}
    ("signed", index, member)            -> {height, hash, agrees, signers, transaction}
    ("alarm", n), ("alarm_count",)       -> {kind, interval, height, time, ...}
    ("anchor", n), ("anchor_count",)     -> the confirmation, with by and height
    ("anchor_of", place, sha256 of proof) -> n
    ("reached",)                         -> {place: [largest size confirmed, block time]}
    ("places", member)                   -> how many places a validator was the first to confirm
    ("anchored",), ("anchored_at",)      -> the size that the policy counts as anchored, and the block time it grew
                                            (of genesis before the first)
"""

from __future__ import annotations

import hashlib
from typing import Final

from contracts import access, arguments, gov
from contracts import anchor_kinds as kinds
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError

MAX_PROOF: Final = 64 * 1024  # bytes; the EVM proofs tried have 1.6 kB, tokens with their certificates 6 kB
MAX_PLACES: Final = 16  # that one validator brings up: nobody takes all room from the others
DEFAULT_INTERVAL_BLOCKS: Final = 100
DEFAULT_INTERVAL_MS: Final = 600_000


def genesis(ctx: Context, doc: dict[str, Value]) -> None:
    """Interval 0 ends with the genesis block, before any chain has a head."""
    ctx.put("interval", value={"index": 0, "height": 0, "time": doc["time"], "previous": 0, "heads": []})
    ctx.put("alarm_count", value=0)
    ctx.put("anchor_count", value=0)
    ctx.put("anchored", value=0)
    ctx.put("anchored_at", value=doc["time"])
    ctx.put("reached", value={})


def begin_block(ctx: Context) -> None:
    """Close the interval when it is due: alarms for what is missing, then the next heads. Work is O(members)."""
    interval = ctx.get("interval")
    parameters = gov.parameters(ctx)
    blocks = parameters.get("anchor_interval_blocks", DEFAULT_INTERVAL_BLOCKS)
    milliseconds = parameters.get("anchor_interval_ms", DEFAULT_INTERVAL_MS)
    if ctx.height - interval["height"] < blocks and ctx.time - interval["time"] < milliseconds:
        return
    _check_signatures(ctx, interval)
    _check_anchored(ctx, interval)
    heads = [[chain, *ctx.head(chain)] for chain in ctx.chains()]
    index = interval["index"] + 1
    entry = {
        "index": index,
        "height": ctx.height,
        "time": ctx.time,
        "previous": interval["height"],
        "heads": heads,
    }
    ctx.put("interval", value=entry)
    ctx.emit("interval_closed", {"index": index, "height": ctx.height, "duty": duty(gov.validator_ids(ctx), index)})


def sign_head(ctx: Context, args: Args) -> Value:
    """A member's word on its own chain: {interval, height, hash: 32 B}. Gives {agrees}.

    interval: index of the last closed one. height and hash: the member chain's block that, by the member's own node,
    was its head then. A differing one is kept and raises the alarm; it can not be taken back.
    """
    arguments.expect(args, "interval", "height", "hash")
    actor = access.authorise(ctx, "anchor.sign_head")
    interval = ctx.get("interval")
    index = arguments.integer(args["interval"], "interval", 0, 2**53)
    height = arguments.integer(args["height"], "height", 0, 2**53)
    digest = arguments.binary(args["hash"], "hash")
    if index != interval["index"]:
        raise ContractError(
            "WRONG_INTERVAL", f"the last closed interval is {interval['index']}: sign that one's head"
        )
    agreed = next((row for row in interval["heads"] if row[0] == actor.id), None)
    if agreed is None:
        raise ContractError("NO_HEAD", f"{actor.id} had no chain when interval {index} closed: sign the next one")
    signed = ctx.get("signed", index, actor.id)
    if signed is not None:
        if (signed["height"], signed["hash"]) == (height, digest):
            return {"agrees": signed["agrees"]}
        raise ContractError("SIGNED_ALREADY", f"{actor.id} signed another head for interval {index} already")
    agrees = [height, digest] == agreed[1:3]
    statement = {
        "height": height,
        "hash": digest,
        "agrees": agrees,
        "signers": list(ctx.signers),
        "transaction": ctx.tx_id,
    }
    ctx.put("signed", index, actor.id, value=statement)
    ctx.emit("head_signed", {"member": actor.id, "interval": index, "agrees": agrees})
    if not agrees:
        _alarm(ctx, "head_differs", index, {"member": actor.id, "signed": [height, digest], "agreed": agreed[1:3]})
    return {"agrees": agrees}


def confirm(ctx: Context, args: Args) -> Value:
    """A final anchor outside, by a validator's member. Gives {number, known}.

    backend: the kind; size and root: the checkpoint, which covers consortium blocks 1..size under the RFC 6962 root;
    public_time: s since 1970, the outside's own; proof: at most MAX_PROOF bytes; and the kind's fields
    (contracts/anchor_kinds.py).
    """
    kind = kinds.kind_of(args)
    arguments.expect(args, "backend", "size", "root", "public_time", "proof", *kinds.KINDS[kind].fields)
    actor = access.authorise(ctx, "anchor.confirm")
    validators = gov.validator_ids(ctx)
    if actor.id not in validators:
        raise ContractError(
            "NO_VOTE", f"{actor.id} is no validator: anchors are confirmed by {', '.join(validators)}"
        )
    confirmation = _confirmation(ctx, args, kind)
    place, mark = confirmation["place"], hashlib.sha256(confirmation["proof"]).digest()
    known = ctx.get("anchor_of", place, mark)
    if known is not None:
        return {"number": known, "known": True}
    number = ctx.get("anchor_count")
    index = ctx.get("interval")["index"]
    covered = {"from": min(ctx.get("anchored"), confirmation["size"]) + 1, "to": confirmation["size"]}
    sealed = {"by": actor.id, "height": ctx.height, "time": ctx.time, "duty": duty(validators, index)}
    _reach(ctx, place, confirmation["size"], actor.id)
    ctx.put("anchor", number, value={**confirmation, **covered, **sealed})
    ctx.put("anchor_of", place, mark, value=number)
    ctx.put("anchor_count", value=number + 1)
    ctx.emit("anchored", {"number": number, "size": confirmation["size"], "place": place, "by": actor.id})
    return {"number": number, "known": False}


METHODS: Final[dict[str, Method]] = {"sign_head": sign_head, "confirm": confirm}


def duty(validators: list[str], interval: int, takeover: int = 0) -> str:
    """The validator that anchors an interval; after `takeover` late ones, the one whose turn it is instead."""
    return validators[(interval + takeover) % len(validators)]


def _confirmation(ctx: Context, args: Args, kind: str) -> dict[str, Value]:
    """The checked arguments, with the place that they count for."""
    size = arguments.integer(args["size"], "size", 1, 2**53)
    if size >= ctx.height:
        raise ContractError("NOT_SEALED_YET", f"a checkpoint of {size} blocks cannot stand at height {ctx.height}")
    proof = args["proof"]
    if type(proof) is not bytes or not 0 < len(proof) <= MAX_PROOF:
        raise ContractError("WRONG_ARGUMENT", f"proof must be 1 to {MAX_PROOF} bytes")
    found = kinds.fields(args, kind)
    return {
        "backend": kind,
        "place": kinds.place(kind, found),
        "size": size,
        "root": arguments.binary(args["root"], "root"),
        "public_time": arguments.integer(args["public_time"], "public_time", 0, 2**53),
        "proof": proof,
        **found,
    }


def _reach(ctx: Context, place: str, size: int, by: str) -> None:
    """Note how far a place has come, and with it what the policy counts as anchored, which never falls."""
    reached = ctx.get("reached")
    if place not in reached:
        brought: int = ctx.get("places", by) or 0
        if brought >= MAX_PLACES:
            raise ContractError("TOO_MANY_PLACES", f"{by} has brought up {MAX_PLACES} places: use one that is known")
        ctx.put("places", by, value=brought + 1)
    if size <= reached.get(place, [0])[0]:
        return
    reached = {**reached, place: [size, ctx.time]}
    ctx.put("reached", value=reached)
    # Where nothing is needed, whatever place is the furthest counts.
    counted = kinds.covered(reached, gov.parameters(ctx)).values()
    anchored = min([entry.size for entry in counted], default=max(entry[0] for entry in reached.values()))
    if anchored > ctx.get("anchored"):
        ctx.put("anchored", value=anchored)
        ctx.put("anchored_at", value=ctx.time)


def _check_signatures(ctx: Context, interval: dict[str, Value]) -> None:
    """Every member whose chain had a block must have signed; a chain without blocks has nothing to hide."""
    members = access.member_ids(ctx)
    for chain, height, _, _ in interval["heads"]:
        if height > 0 and chain in members and ctx.get("signed", interval["index"], chain) is None:
            _alarm(ctx, "head_missing", interval["index"], {"member": chain})


def _check_anchored(ctx: Context, interval: dict[str, Value]) -> None:
    """Blocks up to the end before last have had a whole interval to be anchored in, for each class by itself."""
    late = duty(gov.validator_ids(ctx), interval["index"])
    for group, reached in kinds.covered(ctx.get("reached"), gov.parameters(ctx)).items():
        if reached.size < interval["previous"]:
            facts = {"class": group, "anchored": reached.size, "due": interval["previous"], "duty": late}
            _alarm(ctx, "anchor_overdue", interval["index"], facts)


def _alarm(ctx: Context, kind: str, interval: int, facts: dict[str, Value]) -> None:
    number = ctx.get("alarm_count")
    alarm = {"kind": kind, "interval": interval, "height": ctx.height, "time": ctx.time, **facts}
    ctx.put("alarm", number, value=alarm)
    ctx.put("alarm_count", value=number + 1)
    ctx.emit("alarm", alarm)
