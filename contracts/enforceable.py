"""Notary: enforceable notarization of a loan's debt (赋强公证; 公证程序规则 art. 39 and 55, 法释〔2018〕18号).

    draft -> consented -> notarized -> claimed -> verified -> certified -> executed
                              ^            |          |           |
                              +------------+----------+           +-> revoked
                                 performed |          +-> refused (route B: a suit)

No step is taken out of order or by anybody else. Parties sign with their own keys. What the law wants stands in the
deed: content, method and time of performance are the chain's own schedule; the debtor's consent to enforcement; the
way in which the notary verifies performance, accepted by both sides.

Methods of the contract "notary" (arguments; * optional), by whom, what they give:

    draft               {application, notary, ceiling, terms, verification, text_hash, language, guarantors*,
                        records*}; the lender of the application. Gives {id, digest}
        terms           {penalty_bp, compound_bp, day_count: 360|365, acceleration: bool} (claims.py)
        verification    {method: letter|telephone|message|email|visit|chain, address: text (the debtor's; "" with
                        chain), answer_days: 1..60}
        guarantors      [{owner: member|party, id, kind: joint|general, covers: minor units | None (all), address}]
        records         as the subjects of `preserve`: [{chain, kind, issuer, number, record}]
        ceiling         most principal that may be certified, minor units; text_hash: sha256 of the deed's text
    consent             {deed, digest, enforcement: true, verification: true, ca*}; the creditor and every obligor
        ca              {algorithm, certificates: [DER, the signer's first], signature}: by a CA-issued key, over
                        the canonical encoding of `statement`, whose sha256 is the digest. Form only is checked
                        here; who verifies evidence holds it against roots of its own
    countersign         {deed, digest, number}; the deed's notary. number: of the notarial deed, once per notary
    demand              {deed, on, text, evidence*}; the creditor demands performance: limitation starts anew
    claim_default       {deed, as_of, unpaid: [[due, disbursement id]], accelerate: bool, costs: [{code, text,
                        amount}]}; the creditor. unpaid: what is overdue on the chain, no more, no
                        less. Gives {claim: n, total, …}
    answer              {deed, admits: bool, text, evidence*}; an obligor, while the notary verifies
    verify_performance  {deed, outcome: unpaid|paid|disputed|unverified, record: sha256 of the work record, text,
                        contacts: [{owner, id, asked_on, answered: bool, note}], objections: [{owner, id, text,
                        upheld: bool}]}; the notary, once the answer period is over or all have answered
    issue               {deed, number, as_of, respondents: [[owner, id]], costs: [{code, text, amount}], amounts:
                        {principal, interest, penalty, compound, costs, total}}; the notary. The amounts are computed
                        from the chain's disbursements and repayments; those given must be the same. Gives {id, …}
    refuse              {deed, reason, text}; the notary. PERFORMED: back to notarized, any other: route B
    executed            {deed, amount, on, reference, evidence*}; the creditor or the court with the case
    revoke              {deed, reason, text}; the creditor a draft of its own (and what waits for a notary that has
                        left), the notary what it countersigned, the court with the case a certificate

State, on the consortium chain, in the namespace "notary" (steps hold by, owner, role, signers, height, time,
transaction beside what is named here; a day is YYYY-MM-DD in the deed's zone):
    ("deed", id)                -> {id, state, digest, consents: [[owner, id]], answers, claims, demands (how many),
                                number, certificate: id | b"", CONTENT of enforceable_deed.py: application, creditor,
                                debtor, notary, guarantors, contract: [kind, issuer, number], records, currency,
                                scale, zone, ceiling, terms, verification, text_hash, language;
                                + the step fields of draft}
    ("deeds_of", application)   -> ids, oldest first; at most one of them stands
    ("consent", deed, owner, id) -> {digest, enforcement, verification, ca | None}
    ("countersignature", deed)  -> {digest, number, consents: [[owner, id, transaction]]}
    ("number", notary, text)    -> deed: numbers of deeds and certificates
    ("demand", deed, n), ("answer", deed, n) -> {on, text, evidence} and {admits, text, evidence, claim}; n from 0
    ("default", deed, n)        -> {as_of, unpaid, accelerated_on: day | "", costs, claim: claims.as_value,
                                answers: number of the first answer to it}; n from 1
    ("verification", deed, n)   -> {outcome, record, text, contacts, objections}, of claim n
    ("refusal", deed, n)        -> {reason, text}; n is 0 before the first claim
    ("certificate", deed)       -> see enforceable_certificate.py
    ("execution", deed), ("revocation", deed) -> {amount, on, reference, evidence} and {reason, text, state before}
    ("limitation", deed), the heap of deadlines -> see enforceable_limitation.py
"""

from __future__ import annotations

from typing import Any, Final

from contracts import access, applications, arguments, claims, subjects
from contracts import enforceable_certificate as certificate
from contracts import enforceable_default as default
from contracts import enforceable_limitation as limitation
from contracts.access import CONSORTIUM, MEMBER, PARTY
from contracts.ca_slot import ca_slot
from contracts.context import Args, Context, Method, Value
from contracts.enforceable_deed import (
    CERTIFIED,
    CHAIN,
    CLAIMED,
    CONSENTED,
    DRAFT,
    GUARANTEES,
    NOTARIZED,
    REVOKED,
    STANDING,
    VERIFIED,
    load,
    missing,
    parties,
    require_case,
    require_creditor,
    require_notary,
    require_state,
    save,
    signed,
    statement,
    tell,
)
from contracts.errors import ContractError
from contracts.statistics import INT64_MAX

MAX_GUARANTORS: Final = 16
MAX_RECORDS: Final = 64
MAX_DEEDS: Final = 16  # of one application, one after the other
MAX_ANSWER_DAYS: Final = 60
WAYS: Final = ("letter", "telephone", "message", "email", "visit", CHAIN)
DISBURSABLE: Final = ("approved", "disbursed")


def draft(ctx: Context, args: Args) -> Value:
    """The creditor's draft of a deed over an application's debt; see the module for its arguments."""
    arguments.expect(
        args,
        "application",
        "notary",
        "ceiling",
        "terms",
        "verification",
        "text_hash",
        "language",
        optional=("guarantors", "records"),
    )
    actor = access.authorise(ctx, "notary.draft")
    asked, line = _debt(ctx, args["application"])
    applications.require_lender(actor, asked)
    earlier = _earlier(ctx, asked["id"])
    notary = _notary(ctx, args["notary"])
    verification = _verification(args["verification"])
    taken = {asked["enterprise"], actor.id, notary}
    content = {
        "id": ctx.tx_id,
        "application": asked["id"],
        "creditor": actor.id,
        "debtor": asked["enterprise"],
        "notary": notary,
        "guarantors": _guarantors(ctx, args.get("guarantors", []), verification["method"], taken),
        "contract": line["contract"],
        "records": _records(ctx, args.get("records", [])),
        "currency": line["currency"],
        "scale": line["scale"],
        "zone": line["zone"],
        "ceiling": arguments.integer(args["ceiling"], "ceiling", 1, INT64_MAX),
        "terms": claims.terms(args["terms"])._asdict(),
        "verification": verification,
        "text_hash": arguments.binary(args["text_hash"], "text_hash"),
        "language": arguments.text(args["language"], "language", 16),
    }
    digest = ctx.hash(statement(ctx.network_id, content))
    deed = {
        **content,
        "state": DRAFT,
        "digest": digest,
        "consents": [],
        "answers": 0,
        "claims": 0,
        "demands": 0,
        "number": "",
        "certificate": b"",
        **signed(ctx, actor),
    }
    ctx.put("deed", ctx.tx_id, value=deed)
    ctx.put("deeds_of", asked["id"], value=[*earlier, ctx.tx_id])
    tell(ctx, "deed_drafted", deed, digest=digest, text_hash=deed["text_hash"])
    return {"id": ctx.tx_id, "digest": digest}


def consent(ctx: Context, args: Args) -> Value:
    """A party's consent to a deed with its own key: {deed, digest, enforcement, verification, ca*}. Gives {state}.

    digest says which text of it; enforcement without a suit and the way of verification must both be accepted.
    """
    arguments.expect(args, "deed", "digest", "enforcement", "verification", optional=("ca",))
    actor = access.authorise(ctx, "notary.consent")
    deed = load(ctx, args["deed"])
    if (actor.owner, actor.id) not in parties(deed):
        raise ContractError("NOT_A_PARTY", f"{actor.id} is neither creditor, debtor nor guarantor of this deed")
    require_state(deed, DRAFT)
    _require_digest(deed, args["digest"])
    for part in ("enforcement", "verification"):
        if not arguments.boolean(args[part], part):
            raise ContractError(
                "CONSENT_INCOMPLETE", f"{part} is not accepted: a deed needs consent to both, or none"
            )
    if [actor.owner, actor.id] in deed["consents"]:
        raise ContractError("CONSENT_GIVEN", f"{actor.id} has consented to this deed already")
    entry = {
        "digest": deed["digest"],
        "enforcement": True,
        "verification": True,
        "ca": None if args.get("ca") is None else ca_slot(args["ca"]),
        **signed(ctx, actor),
    }
    ctx.put("consent", deed["id"], actor.owner, actor.id, value=entry)
    deed = {**deed, "consents": sorted([*deed["consents"], [actor.owner, actor.id]])}
    left = missing(deed)
    deed = save(ctx, deed, state=DRAFT if left else CONSENTED)
    tell(ctx, "deed_consented", deed, by=actor.id, missing=left)
    return {"state": deed["state"], "missing": left}


def countersign(ctx: Context, args: Args) -> Value:
    """The notary makes the deed enforceable: {deed, digest, number}. Gives {state, number}."""
    arguments.expect(args, "deed", "digest", "number")
    actor = access.authorise(ctx, "notary.countersign")
    deed = load(ctx, args["deed"])
    require_notary(actor, deed)
    left = missing(deed)
    if deed["state"] == DRAFT and left:
        raise ContractError("CONSENTS_MISSING", f"{', '.join(left)} must consent to the deed first")
    require_state(deed, CONSENTED)
    _require_digest(deed, args["digest"])
    number = certificate.claim_number(ctx, deed, args["number"])
    consents = [
        [owner, identity, ctx.get("consent", deed["id"], owner, identity)["transaction"]]
        for owner, identity in parties(deed)
    ]
    entry = {"digest": deed["digest"], "number": number, "consents": consents, **signed(ctx, actor)}
    ctx.put("countersignature", deed["id"], value=entry)
    deed = save(ctx, deed, state=NOTARIZED, number=number)
    limitation.watch(ctx, deed)
    tell(ctx, "deed_notarized", deed, number=number)
    return {"state": NOTARIZED, "number": number}


def revoke(ctx: Context, args: Args) -> Value:
    """End a deed: {deed, reason, text}. Gives {state}.

    The creditor takes back its own draft, and what waits for a notary that is no member any more; the notary what it
    countersigned, an execution certificate included; a court refuses enforcement in a case filed with it (不予执行).
    """
    arguments.expect(args, "deed", "reason", "text")
    actor = access.authorise(ctx, "notary.revoke")
    deed = load(ctx, args["deed"])
    if actor.role == "court":
        require_case(ctx, actor, deed)
        require_state(deed, CERTIFIED)
    elif actor.role == "notary":
        require_notary(actor, deed)
        require_state(deed, NOTARIZED, CLAIMED, VERIFIED, CERTIFIED)
    else:
        require_creditor(actor, deed)
        is_left = deed["notary"] not in access.member_ids(ctx)
        require_state(deed, DRAFT, CONSENTED, *((NOTARIZED, CLAIMED, VERIFIED) if is_left else ()))
    entry = {
        "reason": arguments.text(args["reason"], "reason", 32),
        "text": arguments.text(args["text"], "text", certificate.MAX_TEXT),
        "state": deed["state"],
        **signed(ctx, actor),
    }
    ctx.put("revocation", deed["id"], value=entry)
    deed = save(ctx, deed, state=REVOKED)
    tell(ctx, "deed_revoked", deed, by=actor.id, reason=entry["reason"])
    return {"state": REVOKED}


def _debt(ctx: Context, application: Value) -> tuple[dict[str, Any], dict[str, Any]]:
    """The application and its line. Raises ContractError UNKNOWN_APPLICATION or NO_LINE."""
    wanted = arguments.binary(application, "application")
    asked = ctx.read(CONSORTIUM, "credit", "application", wanted)
    if asked is None:
        raise ContractError("UNKNOWN_APPLICATION", f"no application {wanted.hex()}: use an id that credit.apply gave")
    line = ctx.read(CONSORTIUM, "credit", "line", wanted)
    if line is None or asked["state"] not in DISBURSABLE:
        raise ContractError("NO_LINE", f"application {wanted.hex()} has no line: credit.decide approves it first")
    return asked, line


def _earlier(ctx: Context, application: bytes) -> list[bytes]:
    """Deeds of the application before this one, none of which stands. Raises ContractError DEED_STANDS."""
    ids: list[bytes] = ctx.get("deeds_of", application) or []
    for identity in ids:
        if ctx.get("deed", identity)["state"] in STANDING:
            raise ContractError("DEED_STANDS", f"deed {identity.hex()} is of this application: revoke it first")
    if len(ids) >= MAX_DEEDS:
        raise ContractError("TOO_MANY_DEEDS", f"the application has had {MAX_DEEDS} deeds, which is the most")
    return ids


def _notary(ctx: Context, value: Value) -> str:
    notary = arguments.member_id(value, "notary")
    if access.member(ctx, notary)["role"] != "notary" or notary not in access.member_ids(ctx):
        raise ContractError("NOT_A_NOTARY", f"{notary} is no notary: see `tally query members`")
    return notary


def _verification(value: Value) -> dict[str, Value]:
    given = arguments.mapping(value, "verification")
    arguments.expect(given, "method", "address", "answer_days")
    if given["method"] not in WAYS:
        raise ContractError("WRONG_ARGUMENT", f"method of verification must be one of {', '.join(WAYS)}")
    return {
        "method": given["method"],
        "address": _address(given["address"], given["method"]),
        "answer_days": arguments.integer(given["answer_days"], "answer_days", 1, MAX_ANSWER_DAYS),
    }


def _address(value: Value, method: str) -> str:
    """Where somebody is asked: text, or the hash of one; with "chain" it is the party's own key and inbox."""
    if method != CHAIN:
        return arguments.text(value, "address")
    if value != "":
        raise ContractError("WRONG_ARGUMENT", 'address must be "" where the way of verification is the chain')
    return ""


def _guarantors(ctx: Context, value: Value, method: str, taken: set[str]) -> list[dict[str, Value]]:
    found = []
    for row in arguments.sequence(value, "guarantors", 0, MAX_GUARANTORS):
        arguments.expect(arguments.mapping(row, "a guarantor"), "owner", "id", "kind", "covers", "address")
        identity = arguments.text(row["id"], "id of a guarantor")
        if row["owner"] not in (MEMBER, PARTY) or row["kind"] not in GUARANTEES:
            raise ContractError("WRONG_ARGUMENT", "a guarantor is owner member or party, kind joint or general")
        if ctx.read(CONSORTIUM, "registry", row["owner"], identity) is None:
            raise ContractError(
                "UNKNOWN_GUARANTOR", f"there is no {row['owner']} {identity[:40]!r}: register it first"
            )
        if identity in taken:
            raise ContractError("WRONG_GUARANTOR", f"{identity} is in this deed already: it cannot guarantee too")
        taken.add(identity)
        covers = row["covers"]
        if covers is not None:
            covers = arguments.integer(covers, "covers", 1, INT64_MAX)
        address = _address(row["address"], method)
        found.append(
            {"owner": row["owner"], "id": identity, "kind": row["kind"], "covers": covers, "address": address}
        )
    return found


def _records(ctx: Context, value: Value) -> list[dict[str, Value]]:
    """Records that the deed rests on, as given, each sealed under its key."""
    found = arguments.sequence(value, "records", 0, MAX_RECORDS)
    checked = [subjects.subject(ctx, entry) for entry in found]
    if any("record" not in entry for entry in checked):
        raise ContractError("WRONG_ARGUMENT", "records must each name chain, kind, issuer, number and record")
    ordered: list[dict[str, Value]] = sorted(found, key=ctx.encode)
    if any(ordered[i] == ordered[i + 1] for i in range(len(ordered) - 1)):
        raise ContractError("WRONG_ARGUMENT", "records must name each only once")
    return ordered


def _require_digest(deed: dict[str, Any], digest: Value) -> None:
    if arguments.binary(digest, "digest") != deed["digest"]:
        raise ContractError("DEED_DIFFERS", f"the deed's digest is {deed['digest'].hex()}: read it before signing")


METHODS: Final[dict[str, Method]] = {
    "draft": draft,
    "consent": consent,
    "countersign": countersign,
    "revoke": revoke,
    **limitation.METHODS,
    **default.METHODS,
    **certificate.METHODS,
}
