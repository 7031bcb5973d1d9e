"""Governance: the members with a vote change validators, parameters and contract versions, and approve documents.

A proposal passes with the votes of a quorum, ceil(2n/3) of the n validators' members, each counted once, and is
enacted in the block that brings the quorum. A contract writes only its own state, so what belongs to another contract
(a template, a model, a member) is approved here by hash and entered there under that approval.

State, on the consortium chain:
    ("parameters",)             -> {name: int}; ("parameters_version",) -> n
    ("parameters_at", n)        -> {from: height, parameters}
    ("validators",)             -> {epoch, set: [[id, key]], next: None | {epoch, set, at}}
    ("contract", name)          -> [[version, from height]]
    ("approved", hash)          -> {proposal, height}
    ("proposal", id)            -> {id, change, by, height, expires (ms), votes: {member: bool}, state}
    ("open",)                   -> ids of open proposals, oldest first
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from contracts import access, arguments
from contracts.access import CONSORTIUM
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError

MAX_VALIDATORS: Final = 16
MAX_OPEN: Final = 64
MAX_OPEN_PER_MEMBER: Final = 8
PROPOSAL_MS: Final = 14 * 86_400_000  # a proposal that has not passed by then is void
ACTIVATION_BLOCKS: Final = 2  # R11: a change decided in block h takes effect at h + 2

OPEN, PASSED, REJECTED, EXPIRED = "open", "passed", "rejected", "expired"

# Least and most of what may be voted; a vote cannot stop the chain by a parameter that no block can meet.
PARAMETER_BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "t0_ms": (50, 8_000),
    "max_idle_ms": (100, 3_600_000),
    "max_block_bytes": (640 * 1024, 7 * 1024 * 1024),
    "max_charge": (10_000, 1_000_000_000),
    "max_block_txs": (1, 65_536),
    "tx_window_ms": (10_000, 86_400_000),
    "anchor_interval_blocks": (1, 1_000_000),
    "anchor_interval_ms": (1_000, 86_400_000),
    "anchor_chains": (0, 8),  # how many different public chains, authorities, witnesses must have each interval
    "anchor_authorities": (0, 8),
    "anchor_witnesses": (0, 8),
    "anchor_development": (0, 1),  # 1: development chains count, in a consortium for trying things out
    "custody_copies": (1, 8),  # members that keep a chain's documents where its member names none
    "custody_challenge_ms": (1_000, 30 * 86_400_000),  # from one round of challenges to the next
    "custody_answer_ms": (1_000, 86_400_000),
    "credit_period_s": (0, 10 * 366 * 86_400),  # contracts/periods.py; 0 is the calendar month
}


def genesis(ctx: Context, doc: dict[str, Value]) -> None:
    """Write the founding parameters, contract versions and validators (epoch 0)."""
    ctx.put("parameters", value=dict(doc["parameters"]))
    ctx.put("parameters_version", value=1)
    ctx.put("parameters_at", 1, value={"from": 0, "parameters": dict(doc["parameters"])})
    for name, version in sorted(doc["contracts"].items()):
        ctx.put("contract", name, value=[[version, 0]])
    votes = sorted(
        [member["id"], member["validator"]] for member in doc["members"] if member["validator"] is not None
    )
    ctx.put("validators", value={"epoch": 0, "set": votes, "next": None})
    ctx.put("open", value=[])


def begin_block(ctx: Context) -> None:
    """Make a decided validator set the current one when its height has come (R11)."""
    validators = ctx.get("validators")
    upcoming = validators["next"]
    if upcoming is not None and ctx.height >= upcoming["at"]:
        ctx.put("validators", value={"epoch": upcoming["epoch"], "set": upcoming["set"], "next": None})
        ctx.emit("epoch_started", {"epoch": upcoming["epoch"], "validators": [row[0] for row in upcoming["set"]]})


def propose(ctx: Context, args: Args) -> Value:
    """Put a change to the vote, the proposer voting for it: {change}. Gives {id, state}.

    change is one of
        {kind: "validators", set: [[member id, key 32 B]], ascending}      the whole next set
        {kind: "parameters", values: {name: int}}
        {kind: "contract", name, version, from_height}
        {kind: "approve", hash: 32 B, title}                              hash of the document another contract enters
    """
    arguments.expect(args, "change")
    voter = _voter(ctx, "gov.propose")
    change = arguments.mapping(args["change"], "change")
    _check_change(ctx, change)
    open_ids = _without_expired(ctx, ctx.get("open"))
    mine = sum(1 for other in open_ids if ctx.get("proposal", other)["by"] == voter)
    if len(open_ids) >= MAX_OPEN or mine >= MAX_OPEN_PER_MEMBER:
        raise ContractError(
            "TOO_MANY_PROPOSALS", f"{voter} has {mine} of {len(open_ids)} open proposals: wait until some are decided"
        )
    proposal = {
        "id": ctx.tx_id,
        "change": change,
        "by": voter,
        "height": ctx.height,
        "expires": ctx.time + PROPOSAL_MS,
        "votes": {},
        "state": OPEN,
    }
    ctx.put("open", value=[*open_ids, ctx.tx_id])
    ctx.emit("proposed", {"id": ctx.tx_id, "kind": change["kind"], "by": voter})
    return _cast(ctx, proposal, voter, in_favour=True)


def vote(ctx: Context, args: Args) -> Value:
    """Vote on a proposal: {proposal: id, accept: bool}; a vote may be changed while it is open. Gives {id, state}."""
    arguments.expect(args, "proposal", "accept")
    voter = _voter(ctx, "gov.vote")
    proposal_id = arguments.binary(args["proposal"], "proposal")
    accept = arguments.boolean(args["accept"], "accept")
    proposal = ctx.get("proposal", proposal_id)
    if proposal is None:
        raise ContractError(
            "UNKNOWN_PROPOSAL", f"there is no proposal {proposal_id.hex()[:16]}: see `tally gov list`"
        )
    if proposal["state"] != OPEN or proposal["expires"] < ctx.time:
        state = EXPIRED if proposal["state"] == OPEN else proposal["state"]
        raise ContractError(
            "PROPOSAL_CLOSED", f"proposal {proposal_id.hex()[:16]} is {state}: propose anew if needed"
        )
    return _cast(ctx, proposal, voter, in_favour=accept)


METHODS: Final[dict[str, Method]] = {"propose": propose, "vote": vote}


def quorum(n: int) -> int:
    """Votes that decide among n: ceil(2n/3), the quorum of PROTOCOL.md."""
    return (2 * n - 1) // 3 + 1


def parameters(ctx: Context) -> dict[str, int]:
    """The consortium's parameters as this transaction sees them."""
    values: dict[str, int] = ctx.read(CONSORTIUM, "gov", "parameters")
    return values


def validator_ids(ctx: Context) -> list[str]:
    """Ids of the members whose validators agree on this block, sorted; right before and after `begin_block`."""
    validators = ctx.read(CONSORTIUM, "gov", "validators")
    upcoming = validators["next"]
    rows = upcoming["set"] if upcoming is not None and ctx.height >= upcoming["at"] else validators["set"]
    return [member for member, _ in rows]


def active_version(rows: list[list[int]], height: int) -> int:
    """The contract version that executes block `height`; rows as in ("contract", name)."""
    return max(version for version, start in rows if start <= height)


def _voter(ctx: Context, method: str) -> str:
    actor = access.authorise(ctx, method)
    if actor.id not in validator_ids(ctx):
        raise ContractError("NO_VOTE", f"{actor.id} has no vote: ask one of {', '.join(validator_ids(ctx))}")
    return actor.id


def _cast(ctx: Context, proposal: dict[str, Value], voter: str, *, in_favour: bool) -> Value:
    """Count a vote, and enact or close the proposal when that decides it; who has lost the vote no longer counts."""
    votes = {**proposal["votes"], voter: in_favour}
    voters = validator_ids(ctx)
    needed = quorum(len(voters))
    accepted = sum(1 for member in voters if votes.get(member) is True)
    declined = sum(1 for member in voters if votes.get(member) is False)
    state = OPEN
    if accepted >= needed:
        state = PASSED
        _ENACT[proposal["change"]["kind"]](ctx, proposal["change"], proposal["id"])
    elif declined > len(voters) - needed:
        state = REJECTED
    ctx.put("proposal", proposal["id"], value={**proposal, "votes": votes, "state": state})
    if state != OPEN:
        ctx.put("open", value=[other for other in ctx.get("open") if other != proposal["id"]])
        ctx.emit("decided", {"id": proposal["id"], "state": state})
    return {"id": proposal["id"], "state": state, "accepted": accepted, "needed": needed}


def _without_expired(ctx: Context, open_ids: list[bytes]) -> list[bytes]:
    """At most MAX_OPEN look-ups: the list is bounded."""
    left = []
    for proposal_id in open_ids:
        proposal = ctx.get("proposal", proposal_id)
        if proposal["expires"] < ctx.time:
            ctx.put("proposal", proposal_id, value={**proposal, "state": EXPIRED})
        else:
            left.append(proposal_id)
    return left


def _check_change(ctx: Context, change: dict[str, Value]) -> None:
    check = _CHECK.get(change.get("kind", ""))
    if check is None:
        raise ContractError("WRONG_ARGUMENT", f"kind of the change must be one of {', '.join(_CHECK)}")
    check(ctx, change)


def _check_validators(ctx: Context, change: dict[str, Value]) -> None:
    arguments.expect(change, "kind", "set")
    rows = arguments.sequence(change["set"], "set", 1, MAX_VALIDATORS)
    names: list[str] = []
    keys: list[bytes] = []
    for row in rows:
        name, key = arguments.sequence(row, "a validator", 2, 2)
        names.append(arguments.member_id(name, "a validator's id"))
        keys.append(arguments.binary(key, "a validator's key"))
        if name not in access.member_ids(ctx):
            raise ContractError("UNKNOWN_MEMBER", f"{name} is no member: admit it first (registry.admit_member)")
        entry = ctx.read(CONSORTIUM, "registry", "key", key)
        if entry is None or entry["id"] != name or entry["purpose"] != "validator" or entry["until"] is not None:
            raise ContractError(
                "NOT_A_VALIDATOR_KEY",
                f"key {key.hex()[:16]} is no validator key of {name}: it adds it (registry.add_key)",
            )
    if names != sorted(set(names)) or len(set(keys)) != len(keys):
        raise ContractError("WRONG_ARGUMENT", "set must be ascending by id, each id and key once")
    if rows == ctx.get("validators")["set"]:
        raise ContractError("NO_CHANGE", "this is the current validator set already")


def _check_parameters(ctx: Context, change: dict[str, Value]) -> None:
    arguments.expect(change, "kind", "values")
    values = arguments.mapping(change["values"], "values")
    if not values:
        raise ContractError("NO_CHANGE", "values names no parameter to change")
    for name, value in values.items():
        if name not in parameters(ctx):
            raise ContractError(
                "UNKNOWN_PARAMETER", f"there is no parameter {name[:40]!r}: see `tally gov parameters`"
            )
        arguments.integer(value, name, *PARAMETER_BOUNDS.get(name, (0, 2**53)))


def _check_contract(ctx: Context, change: dict[str, Value]) -> None:
    """Whether a node *has* the version cannot be asked here: nodes that differ in it would differ in the receipt."""
    arguments.expect(change, "kind", "name", "version", "from_height")
    rows = ctx.get("contract", arguments.text(change["name"], "name"))
    if rows is None:
        raise ContractError("UNKNOWN_CONTRACT", f"there is no contract {change['name'][:40]!r}")
    newest, start = rows[-1]
    arguments.integer(change["version"], "version", newest + 1, 2**31 - 1)
    arguments.integer(change["from_height"], "from_height", max(start, ctx.height + ACTIVATION_BLOCKS), 2**53)


def _check_approve(ctx: Context, change: dict[str, Value]) -> None:
    arguments.expect(change, "kind", "hash", "title")
    arguments.text(change["title"], "title")
    if ctx.get("approved", arguments.binary(change["hash"], "hash")) is not None:
        raise ContractError("NO_CHANGE", f"document {change['hash'].hex()[:16]} is approved already")


def _enact_validators(ctx: Context, change: dict[str, Value], _proposal: bytes) -> None:
    _check_validators(ctx, change)  # what was right when it was proposed may not be so now
    validators = ctx.get("validators")
    if validators["next"] is not None:
        raise ContractError(
            "CHANGE_PENDING", f"another change takes effect at height {validators['next']['at']}: vote again after it"
        )
    upcoming = {"epoch": validators["epoch"] + 1, "set": change["set"], "at": ctx.height + ACTIVATION_BLOCKS}
    ctx.put("validators", value={**validators, "next": upcoming})
    ctx.emit("validators_changed", {"epoch": upcoming["epoch"], "at": upcoming["at"]})


def _enact_parameters(ctx: Context, change: dict[str, Value], _proposal: bytes) -> None:
    values = {**ctx.get("parameters"), **change["values"]}
    version = ctx.get("parameters_version") + 1
    ctx.put("parameters", value=values)
    ctx.put("parameters_version", value=version)
    ctx.put("parameters_at", version, value={"from": ctx.height + 1, "parameters": values})
    ctx.emit("parameters_changed", {"version": version, "values": change["values"]})


def _enact_contract(ctx: Context, change: dict[str, Value], _proposal: bytes) -> None:
    _check_contract(ctx, change)  # its height may have passed while the votes came in
    rows = ctx.get("contract", change["name"])
    ctx.put("contract", change["name"], value=[*rows, [change["version"], change["from_height"]]])
    ctx.emit(
        "contract_scheduled", {"name": change["name"], "version": change["version"], "from": change["from_height"]}
    )


def _enact_approve(ctx: Context, change: dict[str, Value], proposal: bytes) -> None:
    ctx.put("approved", change["hash"], value={"proposal": proposal, "height": ctx.height})
    ctx.emit("approved", {"hash": change["hash"], "title": change["title"]})


_CHECK: Final[dict[str, Callable[[Context, dict[str, Value]], None]]] = {
    "validators": _check_validators,
    "parameters": _check_parameters,
    "contract": _check_contract,
    "approve": _check_approve,
}
_ENACT: Final[dict[str, Callable[[Context, dict[str, Value], bytes], None]]] = {
    "validators": _enact_validators,
    "parameters": _enact_parameters,
    "contract": _enact_contract,
    "approve": _enact_approve,
}
