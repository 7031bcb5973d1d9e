"""Notary: preservation. What was on the chains at a block is bound together, dated and signed for ([11]).

A preservation names records, assessments, decisions and disbursements that exist when it is made, and the heads of
the chains that hold them. It proves that they stood there no later than its block; it says nothing about their truth.
The contract's other half, enforceable notarization, is in enforceable.py.

State, on the consortium chain:
    ("preservation", id)     -> {id, subjects, contract, heads: [[chain, height, hash, state root]], height, time,
                                 by, role, signers, transaction}
    ("subject", hash, page)  -> preservation ids that name the subject
    ("subject_pages", hash)  -> [pages, length of the last]
"""

from __future__ import annotations

from typing import Final

from contracts import access, arguments, enforceable, enforceable_limitation
from contracts.access import CONSORTIUM
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError
from contracts.subjects import require_existence, subject

MAX_SUBJECTS: Final = 256
PAGE: Final = 16


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
    subjects = sorted((subject(ctx, entry) for entry in entries), key=ctx.encode)
    if any(subjects[i] == subjects[i + 1] for i in range(len(subjects) - 1)):
        raise ContractError("WRONG_ARGUMENT", "subjects must name each only once")
    preservation = ctx.hash(["tally/preservation", 1, contract, subjects])
    existing = ctx.get("preservation", preservation)
    if existing is not None:
        return {"id": preservation, "height": existing["height"], "known": True}
    for named in subjects:
        require_existence(ctx, named)
        _append(ctx, subject_hash(ctx, named), preservation)
    chains = sorted({named["chain"] for named in subjects if "chain" in named})
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


def begin_block(ctx: Context) -> None:
    """Watch the limitation periods of enforceable deeds."""
    enforceable_limitation.begin_block(ctx)


METHODS: Final[dict[str, Method]] = {"preserve": preserve, **enforceable.METHODS}


def subject_hash(ctx: Context, named: dict[str, Value]) -> bytes:
    """Key of a subject in the index: look-ups need no scan."""
    return ctx.hash(["tally/subject", 1, named])


def preservations_of(ctx: Context, named: dict[str, Value]) -> list[bytes]:
    """Ids of the preservations that name a subject, oldest first; for contracts that build on them."""
    digest = subject_hash(ctx, named)
    pages, _ = ctx.read(CONSORTIUM, "notary", "subject_pages", digest) or (0, 0)
    found: list[bytes] = []
    for page in range(pages):
        found.extend(ctx.read(CONSORTIUM, "notary", "subject", digest, page))
    return found


def _append(ctx: Context, digest: bytes, preservation: bytes) -> None:
    pages, filled = ctx.get("subject_pages", digest) or (0, PAGE)
    ids: list[bytes] = [] if filled == PAGE else ctx.get("subject", digest, pages - 1)
    if filled == PAGE:
        pages, filled = pages + 1, 0
    ctx.put("subject", digest, pages - 1, value=[*ids, preservation])
    ctx.put("subject_pages", digest, value=[pages, filled + 1])
