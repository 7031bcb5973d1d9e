"""Custody: who keeps the documents of a chain, who may read them, and whether those who keep them still have them.

The bytes never come here. A chain's member puts its raw documents and sealed bodies together in deposits and states,
for each custodian, the root of that custodian's copy (custody_proofs.py); a custodian says which deposits it holds
whole. In rounds each is challenged to show some of it (custody_rounds.py).

State, on the consortium chain:
    ("custodians", chain)               -> {custodians: sorted ids, height}; absent: custody_rules.custodians
    ("readers", chain)                  -> {version, height, rules: {kind or "*": sorted ids of members or parties}}
    ("deposits", chain)                 -> how many there are
    ("deposit", chain, n), n from 0     -> {objects, bytes, roots: {custodian: 32 B}, held: {custodian: height},
                                            of: {custodian: whose copy it holds, where not its own},
                                            lost: {custodian: height}, height, time, by: transaction}
    ("deposit_of", chain, digest)       -> n, so that the same one twice is one
    ("held_count", chain, custodian)    -> how many deposits it says to hold
    ("held", chain, custodian, m)       -> n, in no order: a lost one's place is taken by the last
    ("place", chain, custodian, n)      -> m
    ("holders", chain)                  -> sorted ids of those that hold at least one

Nobody but the owner reads what no rule names a reader for; the owner always does.
"""

from __future__ import annotations

from typing import Final

from contracts import access, arguments, registry
from contracts.context import Args, Context, Method, Value
from contracts.custody_proofs import MAX_OBJECTS, SAMPLES, check, proof_of
from contracts.custody_rounds import record_of
from contracts.custody_rules import custodians, owner_of
from contracts.errors import ContractError
from contracts.notices import notify

MAX_CUSTODIANS: Final = 8
MAX_COPIES: Final = 16  # roots of one deposit, those of former custodians included
MAX_BATCH: Final = 128  # deposits named in one transaction
MAX_KINDS: Final = 64
MAX_READERS: Final = 64


def appoint(ctx: Context, args: Args) -> Value:
    """Name those that keep the documents of the signer's chain from now on: {custodians: ids}. Gives {custodians}.

    [] goes back to the default (custody_rules.custodians). Copies of older deposits come by add_copies, or from
    another custodian; former custodians keep being challenged for what they hold until they say that it is lost.
    """
    arguments.expect(args, "custodians")
    actor = access.authorise(ctx, "custody.appoint")
    named = arguments.sequence(args["custodians"], "custodians", 0, MAX_CUSTODIANS)
    for member in named:
        _check_custodian(ctx, actor.id, arguments.member_id(member, "a custodian"))
    if len(set(named)) != len(named):
        raise ContractError("WRONG_ARGUMENT", "custodians must name each only once")
    if named:
        ctx.put("custodians", actor.id, value={"custodians": sorted(named), "height": ctx.height})
    else:
        ctx.delete("custodians", actor.id)
    now = custodians(ctx, actor.id)
    notify(ctx, "custodians_appointed", [actor.id, *now], {"chain": actor.id, "custodians": now})
    return {"custodians": now}


def name_readers(ctx: Context, args: Args) -> Value:
    """Say who may read what: {rules: {kind of record, or "*" for every other: [ids of members or parties]}}. Gives
    {version}.

    The rules replace those before, for what is deposited already as well: whoever has the documents keys them anew
    to the readers' encryption keys, of which each reader must have one. What a former reader has read stays read.
    """
    arguments.expect(args, "rules")
    actor = access.authorise(ctx, "custody.name_readers")
    given = arguments.mapping(args["rules"], "rules")
    if len(given) > MAX_KINDS:
        raise ContractError("WRONG_ARGUMENT", f"rules must name at most {MAX_KINDS} kinds")
    rules = {arguments.text(kind, "a kind"): _readers(given[kind]) for kind in sorted(given)}
    named = {reader for listed in rules.values() for reader in listed}
    for reader in sorted(named):
        owner = owner_of(ctx, reader)
        if owner is None:
            raise ContractError(
                "UNKNOWN_READER", f"{reader[:40]!r} is neither a member nor a party: register it first"
            )
        if not registry.encryption_keys(ctx, owner, reader):
            raise ContractError(
                "NO_ENCRYPTION_KEY", f"{reader} has no valid encryption key: it adds one (registry.add_key)"
            )
    before = ctx.get("readers", actor.id) or {"version": 0, "rules": {}}
    version = before["version"] + 1
    ctx.put("readers", actor.id, value={"version": version, "height": ctx.height, "rules": rules})
    told = named.union(*before["rules"].values())
    notify(ctx, "readers_named", [actor.id, *sorted(told)], {"chain": actor.id, "version": version})
    return {"version": version}


def deposit(ctx: Context, args: Args) -> Value:
    """Put documents of the signer's own chain into custody: {objects, bytes, roots: {custodian: 32 B}}. Gives
    {deposit: its number, known}.

    objects and bytes: how many, and of how many bytes together. roots: of the copy that each of the chain's
    custodians is to hold, no more and no fewer. The same again gives the first one's number.
    """
    arguments.expect(args, "objects", "bytes", "roots")
    actor = access.authorise(ctx, "custody.deposit")
    objects = arguments.integer(args["objects"], "objects", 1, MAX_OBJECTS)
    size = arguments.integer(args["bytes"], "bytes", 1, 2**53)
    roots = _roots(args["roots"])
    digest = ctx.hash(["tally/deposit", 1, actor.id, objects, size, roots])
    known = ctx.get("deposit_of", actor.id, digest)
    if known is not None:
        return {"deposit": known, "known": True}
    wanted = custodians(ctx, actor.id)
    if not wanted:
        raise ContractError("NO_CUSTODIANS", f"nobody keeps the documents of {actor.id}: custody.appoint names them")
    if sorted(roots) != wanted:
        raise ContractError("WRONG_CUSTODIANS", f"roots must be of exactly {', '.join(wanted)}: make their copies")
    number: int = ctx.get("deposits", actor.id) or 0
    entry = {
        "objects": objects,
        "bytes": size,
        "roots": roots,
        "held": {},
        "of": {},
        "lost": {},
        "height": ctx.height,
        "time": ctx.time,
        "by": ctx.tx_id,
    }
    ctx.put("deposit", actor.id, number, value=entry)
    ctx.put("deposit_of", actor.id, digest, value=number)
    ctx.put("deposits", actor.id, value=number + 1)
    ctx.emit("custody_deposited", {"chain": actor.id, "deposit": number, "objects": objects, "bytes": size})
    return {"deposit": number, "known": False}


def add_copies(ctx: Context, args: Args) -> Value:
    """Roots of further copies of deposits, for custodians that came later: {copies: [[n, {custodian: 32 B}]]}. Gives
    {added: how many}.

    By the chain's own member. A root that stands is never replaced: COPY_EXISTS.
    """
    arguments.expect(args, "copies")
    actor = access.authorise(ctx, "custody.add_copies")
    wanted = custodians(ctx, actor.id)
    added = 0
    for row in arguments.sequence(args["copies"], "copies", 1, MAX_BATCH):
        number, given = arguments.sequence(row, "an entry of copies", 2, 2)
        entry, roots = _deposit(ctx, actor.id, number), _roots(given)
        for custodian in roots:
            if custodian not in wanted:
                raise ContractError(
                    "WRONG_CUSTODIANS", f"{custodian} is none of {', '.join(wanted)}: appoint it first"
                )
            if custodian in entry["roots"]:
                raise ContractError("COPY_EXISTS", f"deposit {number} has a root for {custodian}: leave it out")
        if len(entry["roots"]) + len(roots) > MAX_COPIES:
            raise ContractError("TOO_MANY_COPIES", f"a deposit has at most {MAX_COPIES} copies")
        ctx.put("deposit", actor.id, number, value={**entry, "roots": {**entry["roots"], **roots}})
        added += len(roots)
    numbers = [row[0] for row in args["copies"]]
    ctx.emit("custody_copies_added", {"chain": actor.id, "deposits": numbers})
    return {"added": added}


def hold(ctx: Context, args: Args) -> Value:
    """A custodian's word that it holds deposits whole and verified: {chain, deposits: [n]}, optional {of}. Gives
    {held: how many}.

    of: the custodian whose copy it is (default: its own); a substitute for as long as the owner is away, which its
    own replaces later. What is held is not exchanged for another's copy without a word: a custodian that keeps
    nothing would take one whenever it is challenged. It reports the loss first. From the next round on it is
    challenged.
    """
    arguments.expect(args, "chain", "deposits", optional=("of",))
    actor = access.authorise(ctx, "custody.hold")
    chain, numbers = _named(ctx, args)
    source = actor.id if args.get("of") is None else arguments.member_id(args["of"], "of")
    wanted = custodians(ctx, chain)
    held: int = ctx.get("held_count", chain, actor.id) or 0
    healed, complete = [], []
    for number in numbers:
        entry = _deposit(ctx, chain, number)
        _check_may_hold(entry, number, actor.id, source, wanted)
        if actor.id not in entry["held"]:
            ctx.put("held", chain, actor.id, held, value=number)
            ctx.put("place", chain, actor.id, number, value=held)
            held += 1
            if actor.id in entry["lost"]:
                healed.append(number)
            if all(other == actor.id or other in entry["held"] for other in wanted):
                complete.append(number)
        of = _without(entry["of"], actor.id)
        changed = {
            "held": {**entry["held"], actor.id: ctx.height},
            "of": of if source == actor.id else {**of, actor.id: source},
            "lost": _without(entry["lost"], actor.id),
        }
        ctx.put("deposit", chain, number, value={**entry, **changed})
    _count_held(ctx, chain, actor.id, held)
    if healed:
        notify(ctx, "custody_healed", [chain, actor.id], {"chain": chain, "custodian": actor.id, "deposits": healed})
    if complete:
        notify(ctx, "custody_complete", [chain], {"chain": chain, "deposits": complete})
    return {"held": held}


def lost(ctx: Context, args: Args) -> Value:
    """A custodian's word that it no longer has deposits it held: {chain, deposits: [n]}. Gives {held}.

    Until it holds them again it is not challenged for them; how many it lost stands in its record.
    """
    arguments.expect(args, "chain", "deposits")
    actor = access.authorise(ctx, "custody.lost")
    chain, numbers = _named(ctx, args)
    held: int = ctx.get("held_count", chain, actor.id) or 0
    for number in numbers:
        entry = _deposit(ctx, chain, number)
        if actor.id not in entry["held"]:
            raise ContractError("NOT_HELD", f"{actor.id} does not hold deposit {number} of {chain}: leave it out")
        held -= 1
        _take_out(ctx, chain, actor.id, number, held)
        changed = {
            "held": _without(entry["held"], actor.id),
            "of": _without(entry["of"], actor.id),
            "lost": {**entry["lost"], actor.id: ctx.height},
        }
        ctx.put("deposit", chain, number, value={**entry, **changed})
    _count_held(ctx, chain, actor.id, held)
    record = record_of(ctx, chain, actor.id)
    ctx.put("record", chain, actor.id, value={**record, "lost": record["lost"] + len(numbers)})
    notify(ctx, "custody_lost", [chain, actor.id], {"chain": chain, "custodian": actor.id, "deposits": numbers})
    return {"held": held}


def answer(ctx: Context, args: Args) -> Value:
    """A custodian's answer to its challenge: {chain, round, proofs: one for each sample}. Gives {round, shown}.

    A proof is [entry leaf, path, chunk, chunk path] (custody_proofs.Proof); one whose deposit it has reported lost
    since then counts for nothing and may be None. A wrong answer changes nothing: a right one is taken until the
    challenge has failed.
    """
    arguments.expect(args, "chain", "round", "proofs")
    actor = access.authorise(ctx, "custody.answer")
    chain = _chain(ctx, args["chain"])
    number = arguments.integer(args["round"], "round", 1, 2**53)
    proofs = arguments.sequence(args["proofs"], "proofs", SAMPLES, SAMPLES)
    challenge = ctx.get("challenge", chain, actor.id)
    if challenge is None or challenge["round"] < number:
        raise ContractError("NO_CHALLENGE", f"{actor.id} was not challenged for {chain} in round {number}")
    if challenge["round"] > number or challenge["failed"]:
        raise ContractError("TOO_LATE", f"the challenge of round {number} is over: answer the next one")
    if challenge["answered"]:
        raise ContractError("ALREADY_ANSWERED", f"{actor.id} has answered for {chain} in round {number} already")
    shown = 0
    for sample, deposit_number in enumerate(challenge["deposits"]):
        entry = _deposit(ctx, chain, deposit_number)
        if actor.id in entry["held"]:
            proof, holder = proof_of(proofs[sample]), entry["of"].get(actor.id, actor.id)
            check(ctx, proof, challenge["seed"], sample, entry["objects"], entry["roots"], holder)
            shown += 1
    ctx.put("challenge", chain, actor.id, value={**challenge, "answered": True})
    if shown:
        record = record_of(ctx, chain, actor.id)
        ctx.put("record", chain, actor.id, value={**record, "last_ok": ctx.time, "failing": False})
        if record["failing"]:
            facts = {"chain": chain, "custodian": actor.id, "deposits": []}
            notify(ctx, "custody_healed", [chain, actor.id], facts)
    return {"round": number, "shown": shown}


METHODS: Final[dict[str, Method]] = {
    "appoint": appoint,
    "name_readers": name_readers,
    "deposit": deposit,
    "add_copies": add_copies,
    "hold": hold,
    "lost": lost,
    "answer": answer,
}


def _check_custodian(ctx: Context, chain: str, member: str) -> None:
    if member == chain:
        raise ContractError("WRONG_CUSTODIANS", f"{member} has its own documents anyway: name others to keep them")
    if member not in access.member_ids(ctx):
        raise ContractError("UNKNOWN_MEMBER", f"{member} is no member: see `tally query members`")
    if not registry.has_network_key(ctx, member):
        raise ContractError("NO_NETWORK_KEY", f"{member} has no valid network key: nobody can deliver to it")


def _check_may_hold(entry: dict[str, Value], number: int, custodian: str, source: str, wanted: list[str]) -> None:
    """A custodian, with a copy that is there, which it does not hold yet."""
    if custodian not in entry["roots"] and custodian not in wanted:
        raise ContractError("NOT_A_CUSTODIAN", f"{custodian} is none of {', '.join(wanted)}: the owner appoints them")
    if source not in entry["roots"]:
        raise ContractError(
            "NO_SUCH_COPY", f"deposit {number} has no copy made for {source}: hold one of {', '.join(entry['roots'])}"
        )
    if custodian in entry["held"] and entry["of"].get(custodian, custodian) == source:
        raise ContractError("ALREADY_HELD", f"{custodian} holds that copy of deposit {number}: leave it out")
    if custodian in entry["held"] and source != custodian:
        raise ContractError(
            "NOT_LOST", f"{custodian} says it holds deposit {number}: report that lost before {source}'s copy is held"
        )


def _readers(value: Value) -> list[str]:
    listed = [arguments.text(reader, "a reader") for reader in arguments.sequence(value, "readers", 0, MAX_READERS)]
    if len(set(listed)) != len(listed):
        raise ContractError("WRONG_ARGUMENT", "readers of a kind must name each only once")
    return sorted(listed)


def _roots(value: Value) -> dict[str, bytes]:
    """Checked roots by custodian, sorted."""
    given = arguments.mapping(value, "roots")
    if len(given) > MAX_COPIES:
        raise ContractError("WRONG_ARGUMENT", f"roots must be of at most {MAX_COPIES} custodians")
    return {member: arguments.binary(given[member], "a root") for member in sorted(given)}


def _chain(ctx: Context, value: Value) -> str:
    chain = arguments.member_id(value, "chain")
    if chain not in ctx.chains():
        raise ContractError("UNKNOWN_CHAIN", f"there is no chain {chain!r}: see `tally query chains`")
    return chain


def _named(ctx: Context, args: Args) -> tuple[str, list[int]]:
    """The chain and the deposits of it that an argument names, each once."""
    chain = _chain(ctx, args["chain"])
    listed = arguments.sequence(args["deposits"], "deposits", 1, MAX_BATCH)
    numbers = [arguments.integer(number, "a deposit", 0, 2**53) for number in listed]
    if len(set(numbers)) != len(numbers):
        raise ContractError("WRONG_ARGUMENT", "deposits must name each only once")
    return chain, numbers


def _deposit(ctx: Context, chain: str, number: Value) -> dict[str, Value]:
    entry: dict[str, Value] | None = ctx.get("deposit", chain, arguments.integer(number, "a deposit", 0, 2**53))
    if entry is None:
        raise ContractError("UNKNOWN_DEPOSIT", f"chain {chain} has no deposit {number}: see `tally custody status`")
    return entry


def _take_out(ctx: Context, chain: str, custodian: str, number: int, last: int) -> None:
    """Give a lost deposit's place in the list to the one in the last place."""
    place = ctx.get("place", chain, custodian, number)
    if place != last:
        moved = ctx.get("held", chain, custodian, last)
        ctx.put("held", chain, custodian, place, value=moved)
        ctx.put("place", chain, custodian, moved, value=place)
    ctx.delete("held", chain, custodian, last)
    ctx.delete("place", chain, custodian, number)


def _count_held(ctx: Context, chain: str, custodian: str, held: int) -> None:
    """Write how many deposits a custodian holds, and keep the list of those that hold any."""
    ctx.put("held_count", chain, custodian, value=held)
    holders: list[str] = ctx.get("holders", chain) or []
    if (custodian in holders) != (held > 0):
        rest = [other for other in holders if other != custodian]
        ctx.put("holders", chain, value=sorted([*rest, custodian]) if held else rest)


def _without(entries: dict[str, Value], name: str) -> dict[str, Value]:
    return {key: value for key, value in entries.items() if key != name}
