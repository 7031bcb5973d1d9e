"""Notary: preservation. What was on the chains at a block is bound together, dated and signed for ([11]).

A preservation names records, assessments, decisions and disbursements that exist when it is made, and the heads of
the chains that hold them. It proves that they stood there no later than its block; it says nothing about their truth.

State, on the consortium chain:
    ("preservation", id)     -> {id, subjects, contract, heads: [[chain, height, hash, state root]], height, time,
                                 by, role, signers, transaction}
    ("subject", hash, page)  -> preservation ids that name the subject
    ("subject_pages", hash)  -> [pages, length of the last]
"""

from __future__ import annotations

from typing import Final

from contracts import access, arguments
from contracts.access import CONSORTIUM
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError

MAX_SUBJECTS: Final = 256
PAGE: Final = 16
CREDIT_SUBJECTS: Final = ("assessment", "decision", "disbursement")


def preserve(ctx: Context, args: Args) -> Value:
    """Preserve what the subjects name: {subjects, contract}. Gives {id, height, known}.

    subjects: each {chain, kind, issuer, number, record: 32 B id of one of its versions}, or
    {kind: assessment|decision|disbursement, id: 32 B}; order is free.
    contract: reference of the contract they belong to, text. The same call again gives the first one's id.
    """
    arguments.expect(args, "subjects", "contract")
    actor = access.authorise(ctx, "notary.preserve")
    contract = arguments.text(args["contract"], "contract")
    entries = arguments.sequence(args["subjects"], "subjects", 1, MAX_SUBJECTS)
    subjects = sorted((_subject(ctx, entry) for entry in entries), key=ctx.encode)
    if any(subjects[i] == subjects[i + 1] for i in range(len(subjects) - 1)):
        raise ContractError("WRONG_ARGUMENT", "subjects must name each only once")
    preservation = ctx.hash(["tally/preservation", 1, contract, subjects])
    existing = ctx.get("preservation", preservation)
    if existing is not None:
        return {"id": preservation, "height": existing["height"], "known": True}
    for subject in subjects:
        _require_existence(ctx, subject)
        _append(ctx, subject_hash(ctx, subject), preservation)
    chains = sorted({subject["chain"] for subject in subjects if "chain" in subject})
    entry = {
        "id": preservation,
        "subjects": subjects,
        "contract": contract,
        "heads": [[chain, *ctx.head(chain)] for chain in chains],
        "height": ctx.height,
        "time": ctx.time,
        "by": actor.id,
        "role": actor.role,
        "signers": list(ctx.signers),
        "transaction": ctx.tx_id,
    }
    ctx.put("preservation", preservation, value=entry)
    ctx.emit("preserved", {"id": preservation, "contract": contract, "subjects": len(subjects), "by": actor.id})
    return {"id": preservation, "height": ctx.height, "known": False}


METHODS: Final[dict[str, Method]] = {"preserve": preserve}


def subject_hash(ctx: Context, subject: dict[str, Value]) -> bytes:
    """Key of a subject in the index: look-ups need no scan."""
    return ctx.hash(["tally/subject", 1, subject])


def preservations_of(ctx: Context, subject: dict[str, Value]) -> list[bytes]:
    """Ids of the preservations that name a subject, oldest first; for contracts that build on them."""
    digest = subject_hash(ctx, subject)
    pages, _ = ctx.read(CONSORTIUM, "notary", "subject_pages", digest) or (0, 0)
    found: list[bytes] = []
    for page in range(pages):
        found.extend(ctx.read(CONSORTIUM, "notary", "subject", digest, page))
    return found


def _subject(ctx: Context, entry: Value) -> dict[str, Value]:
    """One subject in its checked form: {chain, record} or {kind, id}. A record must be sealed under the key given."""
    subject = arguments.mapping(entry, "a subject")
    if "chain" in subject:
        arguments.expect(subject, "chain", "kind", "issuer", "number", "record")
        chain = arguments.member_id(subject["chain"], "a subject's chain")
        if chain not in ctx.chains():
            raise ContractError("UNKNOWN_CHAIN", f"there is no chain {chain!r}: see `tally query chains`")
        record_id = arguments.binary(subject["record"], "a subject's record")
        key = tuple(arguments.text(subject[part], f"a subject's {part}") for part in ("kind", "issuer", "number"))
        entry = ctx.read(chain, "records", "record", *key)
        if entry is None or (record_id != entry["id"] and record_id not in entry["superseded"]):
            raise ContractError(
                "UNKNOWN_RECORD",
                f"chain {chain} has no record {record_id.hex()} under {key[0][:32]} {key[2][:64]!r}: submit it first",
            )
        return {"chain": chain, "record": record_id}
    arguments.expect(subject, "kind", "id")
    if subject["kind"] not in CREDIT_SUBJECTS:
        raise ContractError("WRONG_ARGUMENT", f"kind of a subject must be one of {', '.join(CREDIT_SUBJECTS)}")
    return {"kind": subject["kind"], "id": arguments.binary(subject["id"], "a subject's id")}


def _require_existence(ctx: Context, subject: dict[str, Value]) -> None:
    if "kind" in subject and ctx.read(CONSORTIUM, "credit", subject["kind"], subject["id"]) is None:
        raise ContractError("UNKNOWN_SUBJECT", f"there is no {subject['kind']} {subject['id'].hex()}")


def _append(ctx: Context, digest: bytes, preservation: bytes) -> None:
    pages, filled = ctx.get("subject_pages", digest) or (0, PAGE)
    ids: list[bytes] = [] if filled == PAGE else ctx.get("subject", digest, pages - 1)
    if filled == PAGE:
        pages, filled = pages + 1, 0
    ctx.put("subject", digest, pages - 1, value=[*ids, preservation])
    ctx.put("subject_pages", digest, value=[pages, filled + 1])
