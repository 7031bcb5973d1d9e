"""Registry: members and their roles, parties that run no node, and their keys with validity by height.

Four kinds of key, never mixed (DESIGN.md, "Who signs"): network (libp2p peer id), validator (votes), signer
(transactions, with rights by method), encryption (documents are sealed to its X25519 form; several may be valid at
once). A change made in block h holds from block h + 1, so that every transaction of h is judged by one state.

State, on the consortium chain:
    ("members",)            -> sorted ids
    ("member", id)          -> {id, role, since, thresholds: {method: signatures needed}}
    ("key", public key)     -> {owner, id, purpose, rights, from, until}
    ("keys", owner, id)     -> public keys, oldest first
    ("party", id)           -> {id, name, identifiers, since, onboarded (block ms)}
    ("identifier", text)    -> party id
    ("claim", n), ("claim_count",) -> every identifier in the order it was entered; how many there are
    ("opened", chain)       -> members without a vote that may follow the chain, sorted, or ["*"]; absent: ["*"]
"""

from __future__ import annotations

from typing import Final

from contracts import access, arguments
from contracts.context import Args, Context, Method, Reads, Value
from contracts.errors import ContractError

MAX_MEMBERS: Final = 64
MAX_KEYS: Final = 64  # per owner, past ones included
MAX_IDENTIFIERS: Final = 32  # per party: what is found under pairs of them is read in each block
MAX_RIGHTS: Final = 64
PURPOSES: Final = ("signer", "network", "validator", "encryption")
EVERYBODY: Final = "*"

_PARTY_PURPOSES: Final = ("signer", "encryption")

# Every encoding of a point of small order that ZIP215 takes for a key: under these, anybody can make a signature.
WEAK_KEYS: Final = frozenset(
    bytes.fromhex(text + end)
    for text, ends in (
        ("00" * 31, ("00", "80")),
        ("01" + "00" * 30, ("00", "80")),
        ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc", ("05", "85")),
        ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03", ("7a", "fa")),
        ("ec" + "ff" * 30, ("7f", "ff")),
        ("ed" + "ff" * 30, ("7f", "ff")),
        ("ee" + "ff" * 30, ("7f", "ff")),
    )
    for end in ends
)


def genesis(ctx: Context, doc: dict[str, Value]) -> None:
    """Write the founding members, parties and keys; they are valid from height 0."""
    ids = sorted(member["id"] for member in doc["members"])
    ctx.put("members", value=ids)
    for member in doc["members"]:
        _write_member(ctx, member, 0)
    for party in doc["parties"]:
        _write_party(ctx, party["id"], party["name"], party.get("identifiers", [party["id"]]))
        _write_party_keys(ctx, party["id"], party["keys"], party.get("encryption"), 0)


def register_party(ctx: Context, args: Args) -> Value:
    """Onboard a party: {id, name, identifiers: [as in records]}, optional {keys: [32 B], encryption: 32 B}.

    The block time becomes its onboarding time (DOMAIN 2). The member that registers it vouches for its keys.
    """
    arguments.expect(args, "id", "name", "identifiers", optional=("keys", "encryption"))
    actor = access.authorise(ctx, "registry.register_party")
    party = arguments.text(args["id"], "id")
    name = arguments.text(args["name"], "name")
    identifiers = _texts(args["identifiers"], "identifiers")
    keys = [arguments.binary(key, "a key") for key in arguments.sequence(args.get("keys", []), "keys", 0, 8)]
    encryption = None if args.get("encryption") is None else arguments.binary(args["encryption"], "encryption")
    if ctx.get("party", party) is not None:
        raise ContractError("PARTY_EXISTS", f"party {party!r} is registered already: use registry.add_identifiers")
    if ctx.get("identifier", party) is not None:
        raise ContractError("PARTY_EXISTS", f"{party!r} stands for a party in papers already: choose another id")
    if ctx.get("member", party) is not None:
        raise ContractError("PARTY_EXISTS", f"{party!r} is a member's id: notices to both would meet; choose another")
    _write_party(ctx, party, name, identifiers)
    _write_party_keys(ctx, party, keys, encryption, ctx.height + 1)
    ctx.emit("party_registered", {"id": party, "by": actor.id})
    return {"id": party, "onboarded": ctx.time}


def add_identifiers(ctx: Context, args: Args) -> Value:
    """Other identifiers under which documents name a party: {party, identifiers}. Onboarding time stays."""
    arguments.expect(args, "party", "identifiers")
    access.authorise(ctx, "registry.add_identifiers")
    party = arguments.text(args["party"], "party")
    added = _texts(args["identifiers"], "identifiers")
    entry = ctx.get("party", party)
    if entry is None:
        raise ContractError("UNKNOWN_PARTY", f"party {party!r} is not registered: use registry.register_party")
    if len(entry["identifiers"]) + len(added) > MAX_IDENTIFIERS:
        raise ContractError("TOO_MANY_IDENTIFIERS", f"a party has at most {MAX_IDENTIFIERS} identifiers")
    _claim_identifiers(ctx, party, added)
    ctx.put("party", party, value={**entry, "identifiers": sorted([*entry["identifiers"], *added])})
    ctx.emit("identifiers_added", {"id": party, "identifiers": added})
    return {"id": party}


def add_key(ctx: Context, args: Args) -> Value:
    """A further key of one's own: {key, purpose: one of PURPOSES, rights: [..] (signer only)}.

    A key cannot grant what it does not hold. A validator key votes once the members have put it into the validator
    set (gov, kind "validators"). A second encryption key, kept offline, opens what was sealed to both when the first
    is lost; one that is no point of the curve opens nothing, and whoever seals documents passes it over.
    """
    arguments.expect(args, "key", "purpose", optional=("rights",))
    actor = access.authorise(ctx, "registry.add_key")
    key = arguments.binary(args["key"], "key")
    purpose = _purpose(args["purpose"], actor.owner)
    rights = _rights(args.get("rights", []))
    if (purpose == "signer") != bool(rights):
        raise ContractError("WRONG_ARGUMENT", "rights must be given for a signer key and for no other")
    for right in rights:
        if not actor.holds(right):
            raise ContractError("RIGHT_MISSING", f"cannot grant {right!r}: the signing key does not hold it")
    _write_key(ctx, key, actor.owner, actor.id, purpose, rights, ctx.height + 1)
    ctx.emit("key_added", {"owner": actor.owner, "id": actor.id, "key": key, "purpose": purpose})
    return {"from": ctx.height + 1}


def rotate_key(ctx: Context, args: Args) -> Value:
    """Replace a key of one's own: {old, new}. The new one takes over purpose and rights from the next block on."""
    arguments.expect(args, "old", "new")
    actor = access.authorise(ctx, "registry.rotate_key")
    old = arguments.binary(args["old"], "old")
    new = arguments.binary(args["new"], "new")
    entry = _own_key(ctx, actor, old)
    for right in entry["rights"]:
        if not actor.holds(right):
            raise ContractError("RIGHT_MISSING", f"cannot pass on {right!r}: the signing key does not hold it")
    ctx.put("key", old, value={**entry, "until": ctx.height + 1})
    _write_key(ctx, new, actor.owner, actor.id, entry["purpose"], entry["rights"], ctx.height + 1)
    ctx.emit("key_rotated", {"owner": actor.owner, "id": actor.id, "old": old, "new": new})
    return {"from": ctx.height + 1}


def revoke_key(ctx: Context, args: Args) -> Value:
    """End a key of one's own: {key}. It signs nothing after this block."""
    arguments.expect(args, "key")
    actor = access.authorise(ctx, "registry.revoke_key")
    key = arguments.binary(args["key"], "key")
    entry = _own_key(ctx, actor, key)
    ctx.put("key", key, value={**entry, "until": ctx.height + 1})
    if entry["purpose"] == "signer":
        _check_still_able(ctx, actor)
    ctx.emit("key_revoked", {"owner": actor.owner, "id": actor.id, "key": key})
    return {"until": ctx.height + 1}


def set_threshold(ctx: Context, args: Args) -> Value:
    """How many of a member's keys must sign a method (m of n): {method: "contract.method" or "*", count}."""
    arguments.expect(args, "method", "count")
    actor = access.authorise(ctx, "registry.set_threshold")
    method = arguments.text(args["method"], "method")
    count = arguments.integer(args["count"], "count", 1, MAX_KEYS)
    if method != "*" and method not in access.METHOD_ROLES:
        raise ContractError("UNKNOWN_METHOD", f"there is no method {method[:40]!r} to set a threshold for")
    entry = access.member(ctx, actor.id)
    thresholds = {**entry["thresholds"], method: count}
    ctx.put("member", actor.id, value={**entry, "thresholds": thresholds})
    _check_still_able(ctx, actor)
    ctx.emit("threshold_set", {"id": actor.id, "method": method, "count": count})
    return {"method": method, "count": count}


def open_chain(ctx: Context, args: Args) -> Value:
    """Say which members without a vote may follow the signer's own chain: {to: ["*"] or member ids}. Gives {to}.

    Those with a vote execute every chain and so see it. A chain nobody has said anything of is open to all members.
    """
    arguments.expect(args, "to")
    actor = access.authorise(ctx, "registry.open_chain")
    listed = arguments.sequence(args["to"], "to", 0, MAX_MEMBERS)
    if listed != [EVERYBODY]:
        for member in listed:
            access.member(ctx, arguments.member_id(member, "an entry of to"))
        if listed != sorted(set(listed)):
            raise ContractError("WRONG_ARGUMENT", "to must be ascending, each member once")
    ctx.put("opened", actor.id, value=listed)
    ctx.emit("chain_opened", {"chain": actor.id, "to": listed})
    return {"to": listed}


def encryption_keys(ctx: Reads, owner: str, owner_id: str) -> list[bytes]:
    """The encryption keys of a member or party (owner: access.MEMBER or PARTY) valid in this block, sorted."""
    found = []
    for key in ctx.read(access.CONSORTIUM, "registry", "keys", owner, owner_id) or []:
        entry = ctx.read(access.CONSORTIUM, "registry", "key", key)
        if entry["purpose"] == "encryption" and access.is_valid_at(entry, ctx.height):
            found.append(key)
    return sorted(found)


def has_network_key(ctx: Reads, member: str) -> bool:
    """Whether a member's node can be reached: a network key of it is valid in this block."""
    for key in ctx.read(access.CONSORTIUM, "registry", "keys", access.MEMBER, member) or []:
        entry = ctx.read(access.CONSORTIUM, "registry", "key", key)
        if entry["purpose"] == "network" and access.is_valid_at(entry, ctx.height):
            return True
    return False


def admit_member(ctx: Context, args: Args) -> Value:
    """Enter a member that the consortium has voted in: {document: member as in the genesis document}.

    Its vote, if it is to have one, is a separate decision (gov, kind "validators").
    """
    arguments.expect(args, "document")
    access.authorise(ctx, "registry.admit_member")
    document = arguments.mapping(args["document"], "document")
    _check_member_document(document)
    _require_approval(ctx, document)
    ids = access.member_ids(ctx)
    if ctx.get("member", document["id"]) is not None:
        raise ContractError("MEMBER_EXISTS", f"{document['id']!r} is or was a member: choose another id")
    if ctx.get("party", document["id"]) is not None:
        raise ContractError("MEMBER_EXISTS", f"{document['id']!r} is a party's id: notices to both would meet")
    if len(ids) >= MAX_MEMBERS:
        raise ContractError("TOO_MANY_MEMBERS", f"a consortium has at most {MAX_MEMBERS} members")
    ctx.put("members", value=sorted([*ids, document["id"]]))
    _write_member(ctx, document, ctx.height + 1)
    ctx.emit("member_admitted", {"id": document["id"], "role": document["role"]})
    return {"id": document["id"]}


def dismiss_member(ctx: Context, args: Args) -> Value:
    """End a membership that the consortium has voted out: {document: {"dismiss": id}}. Its chain stays readable."""
    arguments.expect(args, "document")
    access.authorise(ctx, "registry.dismiss_member")
    document = arguments.mapping(args["document"], "document")
    arguments.expect(document, "dismiss")
    leaving = arguments.member_id(document["dismiss"], "dismiss")
    _require_approval(ctx, document)
    ids = access.member_ids(ctx)
    if leaving not in ids:
        raise ContractError("UNKNOWN_MEMBER", f"{leaving!r} is no member: see `tally query members`")
    if leaving in [member for member, _ in _validator_rows(ctx)]:
        raise ContractError("STILL_VALIDATOR", f"{leaving} still votes: take its vote first (gov, kind validators)")
    ctx.put("members", value=[other for other in ids if other != leaving])
    for key in ctx.get("keys", access.MEMBER, leaving):
        entry = ctx.get("key", key)
        if entry["until"] is None:
            ctx.put("key", key, value={**entry, "until": ctx.height + 1})
    ctx.emit("member_dismissed", {"id": leaving})
    return {"id": leaving}


def _write_member(ctx: Context, document: dict[str, Value], start: int) -> None:
    member = document["id"]
    ctx.put("member", member, value={"id": member, "role": document["role"], "since": start, "thresholds": {}})
    for purpose in ("validator", "network", "encryption"):
        if document.get(purpose) is not None:
            _write_key(ctx, document[purpose], access.MEMBER, member, purpose, [], start)
    for signer in document["signers"]:
        _write_key(ctx, signer["key"], access.MEMBER, member, "signer", signer["rights"], start)


def _write_party(ctx: Context, party: str, name: str, identifiers: list[str]) -> None:
    _claim_identifiers(ctx, party, identifiers)
    ctx.put(
        "party",
        party,
        value={
            "id": party,
            "name": name,
            "identifiers": sorted(identifiers),
            "since": ctx.height,
            "onboarded": ctx.time,
        },
    )


def _write_party_keys(ctx: Context, party: str, keys: list[bytes], encryption: bytes | None, start: int) -> None:
    for key in keys:
        _write_key(ctx, key, access.PARTY, party, "signer", ["*"], start)
    if encryption is not None:
        _write_key(ctx, encryption, access.PARTY, party, "encryption", [], start)


def _claim_identifiers(ctx: Context, party: str, identifiers: list[str]) -> None:
    """Enter identifiers for good, and in the log of claims: papers that name them are judged anew (naming.py)."""
    count = ctx.get("claim_count") or 0
    for position, identifier in enumerate(identifiers):
        holder = ctx.get("identifier", identifier)
        if holder is not None:
            raise ContractError("IDENTIFIER_TAKEN", f"{identifier[:60]!r} already stands for party {holder!r}")
        if identifier != party and ctx.get("party", identifier) is not None:
            raise ContractError("IDENTIFIER_TAKEN", f"{identifier[:60]!r} is the id of another party")
        ctx.put("identifier", identifier, value=party)
        ctx.put("claim", count + position, value=identifier)
    ctx.put("claim_count", value=count + len(identifiers))


def _write_key(
    ctx: Context, key: bytes, owner: str, owner_id: str, purpose: str, rights: list[str], start: int
) -> None:
    if key in WEAK_KEYS:
        raise ContractError("WEAK_KEY", f"anybody can sign for key {key.hex()[:16]} (small order): make a fresh one")
    if ctx.get("key", key) is not None:
        raise ContractError("KEY_TAKEN", f"key {key.hex()[:16]} is or was registered: make a fresh one")
    keys = ctx.get("keys", owner, owner_id) or []
    if len(keys) >= MAX_KEYS:
        raise ContractError("TOO_MANY_KEYS", f"{owner_id} has had {MAX_KEYS} keys, which is the most there can be")
    ctx.put("keys", owner, owner_id, value=[*keys, key])
    entry = {"owner": owner, "id": owner_id, "purpose": purpose, "rights": rights, "from": start, "until": None}
    ctx.put("key", key, value=entry)


def _own_key(ctx: Context, actor: access.Actor, key: bytes) -> dict[str, Value]:
    entry: dict[str, Value] | None = ctx.get("key", key)
    if entry is None or entry["owner"] != actor.owner or entry["id"] != actor.id:
        raise ContractError("NOT_YOUR_KEY", f"key {key.hex()[:16]} is not a key of {actor.id}")
    if key in [voting for _, voting in _validator_rows(ctx)]:
        raise ContractError(
            "VOTE_NEEDED", "this key is in the validator set: add a new one, then gov.propose, kind validators"
        )
    if entry["until"] is not None:
        raise ContractError("KEY_NOT_VALID", f"key {key.hex()[:16]} has ended already")
    return entry


def _check_still_able(ctx: Context, actor: access.Actor) -> None:
    """No owner may lock itself out: enough keys must be left to manage keys and to meet every threshold."""
    entries = [ctx.get("key", key) for key in ctx.get("keys", actor.owner, actor.id)]
    left = [entry["rights"] for entry in entries if entry["purpose"] == "signer" and entry["until"] is None]
    needed = dict.fromkeys(("registry.add_key", "registry.set_threshold"), 1)
    if actor.owner == access.MEMBER:
        thresholds = access.member(ctx, actor.id)["thresholds"]
        needed = {**dict.fromkeys(needed, thresholds.get("*", 1)), **thresholds}
    for method, count in needed.items():
        able = sum(1 for rights in left if access.covers(rights, method))
        if able < count:
            raise ContractError(
                "WOULD_LOCK_OUT",
                f"{actor.id} would keep {able} keys with the right to {method} and needs {count}: add a key first",
            )


def _require_approval(ctx: Context, document: dict[str, Value]) -> None:
    if ctx.read(access.CONSORTIUM, "gov", "approved", ctx.hash(document)) is None:
        raise ContractError("NOT_APPROVED", "the members have not voted for this document: gov.propose, kind approve")


def _validator_rows(ctx: Context) -> list[list[Value]]:
    """[member id, key] of whoever votes now or is going to."""
    validators = ctx.read(access.CONSORTIUM, "gov", "validators")
    upcoming = validators["next"]
    rows: list[list[Value]] = [*validators["set"], *(upcoming["set"] if upcoming is not None else [])]
    return rows


def _check_member_document(document: dict[str, Value]) -> None:
    arguments.expect(document, "id", "role", "validator", "network", "signers", optional=("encryption",))
    if arguments.member_id(document["id"], "id") == access.CONSORTIUM:
        raise ContractError("WRONG_ARGUMENT", f"id must not be {access.CONSORTIUM!r}: that chain is everybody's")
    if document["role"] not in access.ROLES:
        raise ContractError("WRONG_ARGUMENT", f"role must be one of {', '.join(access.ROLES)}")
    for purpose in ("validator", "network", "encryption"):
        if document.get(purpose) is not None:
            arguments.binary(document[purpose], purpose)
    for signer in arguments.sequence(document["signers"], "signers", 1, 16):
        arguments.expect(arguments.mapping(signer, "a signer"), "key", "rights")
        arguments.binary(signer["key"], "a signer's key")
        _rights(signer["rights"])


def _purpose(value: Value, owner: str) -> str:
    if value not in (PURPOSES if owner == access.MEMBER else _PARTY_PURPOSES):
        raise ContractError(
            "WRONG_ARGUMENT", "purpose must be signer, encryption or, for a member, network or validator"
        )
    return str(value)


def _rights(value: Value) -> list[str]:
    rights = [arguments.text(right, "a right") for right in arguments.sequence(value, "rights", 0, MAX_RIGHTS)]
    for right in rights:
        if right != "*" and right not in access.METHOD_ROLES:
            raise ContractError("UNKNOWN_METHOD", f"there is no method {right[:40]!r} to give a right to")
    return rights


def _texts(value: Value, what: str) -> list[str]:
    texts = [arguments.text(entry, f"an entry of {what}") for entry in arguments.sequence(value, what, 1, 32)]
    if len(set(texts)) != len(texts):
        raise ContractError("WRONG_ARGUMENT", f"{what} must name each only once")
    return texts


METHODS: Final[dict[str, Method]] = {
    "register_party": register_party,
    "add_identifiers": add_identifiers,
    "add_key": add_key,
    "rotate_key": rotate_key,
    "revoke_key": revoke_key,
    "set_threshold": set_threshold,
    "open_chain": open_chain,
    "admit_member": admit_member,
    "dismiss_member": dismiss_member,
}
