"""Anchor: members vouch for their own chain heads, and what reached a public chain is confirmed ([18]).

An interval closes after anchor_interval_blocks blocks or anchor_interval_ms, whichever comes first. At its end the
heads of all member chains are written down; until the next one closes each member signs its own. A missing or
differing signature is an alarm: somebody's node shows another history than the consortium agreed on.

Anchors go to public chains outside (ANCHORING.md); the contract stores the confirmation and raises an alarm when none
comes. Whether it is true, every operator's node checks against its own endpoint: a contract sees no public chain.

State, on the consortium chain:
    ("interval",)                        -> {index, height, time, previous: height of the end before, heads}
    ("signed", index, member)            -> {height, hash, agrees, signers, transaction}
    ("alarm", n), ("alarm_count",)       -> {kind, interval, height, time, ...}
    ("anchor", n), ("anchor_count",)     -> the confirmation, with by and height
    ("anchor_of", backend, chain_id, tx) -> n
    ("anchored",)                        -> largest checkpoint size confirmed: consortium blocks 1..size
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from contracts import access, arguments, gov
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError

MAX_PROOF: Final = 64 * 1024  # bytes; the EVM proofs tried have 1.6 kB
DEFAULT_INTERVAL_BLOCKS: Final = 100
DEFAULT_INTERVAL_MS: Final = 600_000


def genesis(ctx: Context, doc: dict[str, Value]) -> None:
    """Interval 0 ends with the genesis block, before any chain has a head."""
    ctx.put("interval", value={"index": 0, "height": 0, "time": doc["time"], "previous": 0, "heads": []})
    ctx.put("alarm_count", value=0)
    ctx.put("anchor_count", value=0)
    ctx.put("anchored", value=0)


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
    """A final anchor on a public chain, by a validator's member. Gives {number, known}.

    Required: backend (e.g. "evm"), chain_id, tx_hash, block_number, block_hash, size, root. The checkpoint covers
    consortium blocks 1..size under the RFC 6962 root. Optional: payload, which must be the checkpoint's; proof,
    the backend's own encoding; sender; block_time in s.
    """
    required = ("backend", "chain_id", "tx_hash", "block_number", "block_hash", "size", "root")
    arguments.expect(args, *required, optional=("payload", "proof", "sender", "block_time"))
    actor = access.authorise(ctx, "anchor.confirm")
    validators = gov.validator_ids(ctx)
    if actor.id not in validators:
        raise ContractError(
            "NO_VOTE", f"{actor.id} is no validator: anchors are confirmed by {', '.join(validators)}"
        )
    confirmation = _confirmation(ctx, args)
    place = (confirmation["backend"], confirmation["chain_id"], confirmation["tx_hash"])
    known = ctx.get("anchor_of", *place)
    if known is not None:
        return {"number": known, "known": True}
    number = ctx.get("anchor_count")
    index = ctx.get("interval")["index"]
    covered = {"from": min(ctx.get("anchored"), confirmation["size"]) + 1, "to": confirmation["size"]}
    sealed = {"by": actor.id, "height": ctx.height, "time": ctx.time, "duty": duty(validators, index)}
    ctx.put("anchor", number, value={**confirmation, **covered, **sealed})
    ctx.put("anchor_of", *place, value=number)
    ctx.put("anchor_count", value=number + 1)
    if confirmation["size"] > ctx.get("anchored"):
        ctx.put("anchored", value=confirmation["size"])
    ctx.emit("anchored", {"number": number, "size": confirmation["size"], "tx_hash": place[2], "by": actor.id})
    return {"number": number, "known": False}


METHODS: Final[dict[str, Method]] = {"sign_head": sign_head, "confirm": confirm}


def duty(validators: list[str], interval: int, takeover: int = 0) -> str:
    """The validator that anchors an interval; after `takeover` late ones, the one whose turn it is instead."""
    return validators[(interval + takeover) % len(validators)]


def checkpoint_payload(network_id: bytes, size: int, root: bytes) -> bytes:
    """What is anchored, 69 bytes: "TLY1", version 1, network id, sha256 of the C2SP checkpoint text.

    chain.checkpoint makes the same; a test holds the two together.
    """
    body = f"tally/{network_id.hex()}\n{size}\n{base64.b64encode(root).decode()}\n".encode()
    return b"TLY1\x01" + network_id + hashlib.sha256(body).digest()


def _confirmation(ctx: Context, args: Args) -> dict[str, Value]:
    """The checked arguments; the payload is filled in."""
    size = arguments.integer(args["size"], "size", 1, 2**53)
    if size >= ctx.height:
        raise ContractError("NOT_SEALED_YET", f"a checkpoint of {size} blocks cannot stand at height {ctx.height}")
    root = arguments.binary(args["root"], "root")
    payload = checkpoint_payload(ctx.network_id, size, root)
    if args.get("payload", payload) != payload:
        raise ContractError("WRONG_PAYLOAD", "payload is not that of the checkpoint with this size and root")
    confirmation: dict[str, Value] = {
        "backend": arguments.text(args["backend"], "backend", 32),
        "chain_id": arguments.integer(args["chain_id"], "chain_id", 0, 2**53),
        "tx_hash": arguments.binary(args["tx_hash"], "tx_hash"),
        "block_number": arguments.integer(args["block_number"], "block_number", 0, 2**53),
        "block_hash": arguments.binary(args["block_hash"], "block_hash"),
        "size": size,
        "root": root,
        "payload": payload,
    }
    proof = args.get("proof")
    if proof is not None:
        if type(proof) is not bytes or len(proof) > MAX_PROOF:
            raise ContractError("WRONG_ARGUMENT", f"proof must be at most {MAX_PROOF} bytes")
        confirmation["proof"] = proof
    if args.get("sender") is not None:
        confirmation["sender"] = arguments.binary(args["sender"], "sender", 20)
    if args.get("block_time") is not None:
        confirmation["block_time"] = arguments.integer(args["block_time"], "block_time", 0, 2**53)
    return confirmation


def _check_signatures(ctx: Context, interval: dict[str, Value]) -> None:
    """Every member whose chain had a block must have signed; a chain without blocks has nothing to hide."""
    members = access.member_ids(ctx)
    for chain, height, _, _ in interval["heads"]:
        if height > 0 and chain in members and ctx.get("signed", interval["index"], chain) is None:
            _alarm(ctx, "head_missing", interval["index"], {"member": chain})


def _check_anchored(ctx: Context, interval: dict[str, Value]) -> None:
    """Blocks up to the end before last have had a whole interval to be anchored in."""
    anchored = ctx.get("anchored")
    if anchored < interval["previous"]:
        late = duty(gov.validator_ids(ctx), interval["index"])
        _alarm(
            ctx,
            "anchor_overdue",
            interval["index"],
            {"anchored": anchored, "due": interval["previous"], "duty": late},
        )


def _alarm(ctx: Context, kind: str, interval: int, facts: dict[str, Value]) -> None:
    number = ctx.get("alarm_count")
    alarm = {"kind": kind, "interval": interval, "height": ctx.height, "time": ctx.time, **facts}
    ctx.put("alarm", number, value=alarm)
    ctx.put("alarm_count", value=number + 1)
    ctx.emit("alarm", alarm)
