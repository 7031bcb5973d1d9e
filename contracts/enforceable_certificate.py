"""The execution certificate (执行证书), issued or refused by the notary, and what became of it.

It states applicant, respondents, subject and time limit; what was paid is deducted, penalty and interest are included
(公证程序规则 art. 55). The amounts are the chain's own: those that the notary signs for must be the same.

State, on the consortium chain, in the namespace "notary":
    ("certificate", deed) -> {id (transaction), deed, number, applicant, respondents: [{owner, id, kind, covers,
        amount: at most, minor units}], as_of, accelerated_on, costs, claim: claims.as_value(...) with every line,
        currency, scale, claims: number of the claim it follows, apply_by: last day for the court, + step fields}
"""

from __future__ import annotations

from typing import Any, Final

from contracts import access, arguments, claims, enforceable_limitation
from contracts.access import PARTY
from contracts.context import Args, Context, Method, Value
from contracts.enforceable_deed import (
    CERTIFIED,
    CLAIMED,
    CONSENTED,
    DEBTOR,
    EXECUTED,
    NOTARIZED,
    REFUSED,
    VERIFIED,
    load,
    obligors,
    past_day,
    require_case,
    require_creditor,
    require_notary,
    require_state,
    save,
    signed,
    tell,
)
from contracts.enforceable_default import PAID, UNPAID, costs_of, debt, require_within_ceiling
from contracts.errors import ContractError
from contracts.statistics import INT64_MAX

MAX_TEXT: Final = 1_024
MAX_RESPONDENTS: Final = 32
PARTS: Final = ("principal", "interest", "penalty", "compound", "costs", "total")

PERFORMED: Final = "PERFORMED"  # paid in the meantime: the deed stands, a later default is claimed anew
REASONS: Final = {
    "CONSENT_DEFECT": "a consent is missing or not free",
    "CONTENT_UNCLEAR": "parties, payment or time are not clear",
    "UNLAWFUL": "the content is against the law or not for payment",
    "DISPUTED": "an objection stands that a court has to decide on",
    "NOT_VERIFIED": "performance could not be verified",
    PERFORMED: "what was claimed is paid",
    "OTHER": "another reason, said in the text",
}


def issue(ctx: Context, args: Args) -> Value:
    """The notary's execution certificate: {deed, number, as_of, respondents, costs, amounts}.

    respondents: [[owner, id]], the debtor among them, each an obligor of the deed that has consented. costs: those of
    the claim that are allowed, each at most as claimed. amounts: {principal, interest, penalty, compound, costs,
    total}, minor units. Gives {id, number, total, daily, apply_by}.

    Raises ContractError NOT_CONFIRMED, NOTHING_OWED, AMOUNTS_DIFFER (naming the part), NOT_COVERED, OVER_CEILING, …
    """
    arguments.expect(args, "deed", "number", "as_of", "respondents", "costs", "amounts")
    actor = access.authorise(ctx, "notary.issue")
    deed = load(ctx, args["deed"])
    require_notary(actor, deed)
    require_state(deed, VERIFIED)
    outcome = ctx.get("verification", deed["id"], deed["claims"])["outcome"]
    if outcome != UNPAID:
        raise ContractError("NOT_CONFIRMED", f"performance was verified as {outcome}: refuse the certificate")
    limitation = enforceable_limitation.require_running(ctx, deed)
    claimed = ctx.get("default", deed["id"], deed["claims"])
    as_of = past_day(ctx, args["as_of"], "as_of", deed["zone"], claimed["as_of"])
    costs = _allowed(claimed["costs"], args["costs"])
    found = debt(ctx, deed, as_of, claimed["accelerated_on"], costs, ctx.charge)
    if found.total == found.costs:
        raise ContractError("NOTHING_OWED", "what was claimed is paid: refuse the certificate, reason PERFORMED")
    require_within_ceiling(deed, found)
    _hold_against(args["amounts"], found)
    certificate = {
        "id": ctx.tx_id,
        "deed": deed["id"],
        "number": claim_number(ctx, deed, args["number"]),
        "applicant": deed["creditor"],
        "respondents": _respondents(deed, args["respondents"], found.total),
        "as_of": as_of,
        "accelerated_on": claimed["accelerated_on"],
        "costs": args["costs"],
        "claim": claims.as_value(found),
        "currency": deed["currency"],
        "scale": deed["scale"],
        "claims": deed["claims"],
        "apply_by": limitation.last_day,
        **signed(ctx, actor),
    }
    ctx.put("certificate", deed["id"], value=certificate)
    deed = save(ctx, deed, state=CERTIFIED, certificate=ctx.tx_id)
    result = {"number": certificate["number"], "total": found.total, "daily": found.daily}
    tell(ctx, "certificate_issued", deed, currency=deed["currency"], apply_by=limitation.last_day, **result)
    return {"id": ctx.tx_id, **result, "apply_by": limitation.last_day}


def refuse(ctx: Context, args: Args) -> Value:
    """The notary declines to countersign, or refuses the certificate: {deed, reason, text}. Gives {state}.

    reason: one of REASONS. PERFORMED, once performance is verified as paid, ends the claim only.
    """
    arguments.expect(args, "deed", "reason", "text")
    actor = access.authorise(ctx, "notary.refuse")
    deed = load(ctx, args["deed"])
    require_notary(actor, deed)
    require_state(deed, CONSENTED, CLAIMED, VERIFIED)
    if args["reason"] not in tuple(REASONS):
        raise ContractError("WRONG_ARGUMENT", f"reason must be one of {', '.join(REASONS)}")
    state = REFUSED
    if args["reason"] == PERFORMED:
        require_state(deed, VERIFIED)
        if ctx.get("verification", deed["id"], deed["claims"])["outcome"] != PAID and _still_owed(ctx, deed):
            raise ContractError("NOT_CONFIRMED", "performance is not verified as paid: give the reason that holds")
        state = NOTARIZED
        enforceable_limitation.call_in_no_more(ctx, deed)
    entry = {"reason": args["reason"], "text": arguments.text(args["text"], "text", MAX_TEXT)}
    ctx.put("refusal", deed["id"], deed["claims"], value={**entry, **signed(ctx, actor)})
    deed = save(ctx, deed, state=state)
    tell(ctx, "certificate_refused", deed, reason=entry["reason"], text=entry["text"])
    return {"state": state}


def executed(ctx: Context, args: Args) -> Value:
    """The certificate was enforced: {deed, amount, on, reference, evidence*}. Gives {state}.

    By the creditor or the court with the case. amount: obtained, minor units; 0 where enforcement found nothing.
    reference: the court's number of the case.
    """
    arguments.expect(args, "deed", "amount", "on", "reference", optional=("evidence",))
    actor = access.authorise(ctx, "notary.executed")
    deed = load(ctx, args["deed"])
    if actor.role == "court":
        require_case(ctx, actor, deed)
    else:
        require_creditor(actor, deed)
    require_state(deed, CERTIFIED)
    certified = ctx.get("certificate", deed["id"])
    entry = {
        "amount": arguments.integer(args["amount"], "amount", 0, INT64_MAX),
        "on": past_day(ctx, args["on"], "on", deed["zone"], certified["as_of"]),
        "reference": arguments.text(args["reference"], "reference"),
        "evidence": None if args.get("evidence") is None else arguments.binary(args["evidence"], "evidence"),
    }
    ctx.put("execution", deed["id"], value={**entry, **signed(ctx, actor)})
    deed = save(ctx, deed, state=EXECUTED)
    tell(ctx, "deed_executed", deed, amount=entry["amount"], on=entry["on"], reference=entry["reference"])
    return {"state": EXECUTED}


def claim_number(ctx: Context, deed: dict[str, Any], value: Value) -> str:
    """Take a number of the notary's register for a deed or a certificate. Raises ContractError NUMBER_TAKEN."""
    number = arguments.text(value, "number", 64)
    if ctx.get("number", deed["notary"], number) is not None:
        raise ContractError("NUMBER_TAKEN", f"{deed['notary']} has given number {number!r} already")
    ctx.put("number", deed["notary"], number, value=deed["id"])
    return number


def _still_owed(ctx: Context, deed: dict[str, Any]) -> bool:
    """Whether an instalment is overdue on the chain."""
    rows = ctx.read(access.CONSORTIUM, "credit", "schedule", deed["application"])
    return bool(rows and rows[0][1] <= ctx.time)


def _allowed(claimed: list[dict[str, Value]], value: Value) -> tuple[claims.Cost, ...]:
    """Costs of the claim that the notary allows. Raises ContractError COST_NOT_CLAIMED."""
    most = {row["code"]: row["amount"] for row in claimed}
    costs = costs_of(value)
    for cost in costs:
        if cost.amount > most.get(cost.code, 0):
            raise ContractError("COST_NOT_CLAIMED", f"cost {cost.code!r} of {cost.amount} was not claimed so high")
    return costs


def _hold_against(value: Value, found: claims.Claim) -> None:
    """What the notary signs for is what the chain computes. Raises ContractError AMOUNTS_DIFFER."""
    given = arguments.mapping(value, "amounts")
    arguments.expect(given, *PARTS)
    computed = found._asdict()
    for part in PARTS:
        if arguments.integer(given[part], part, 0, INT64_MAX) != computed[part]:
            raise ContractError(
                "AMOUNTS_DIFFER",
                f"{part} is {given[part]} minor units where the chain's disbursements and repayments give "
                f"{computed[part]}",
            )


def _respondents(deed: dict[str, Any], value: Value, total: int) -> list[dict[str, Value]]:
    """Whom the certificate is against. Raises ContractError NOT_COVERED or DEBTOR_MISSING."""
    covered = {(one.owner, one.id): one for one in obligors(deed) if [one.owner, one.id] in deed["consents"]}
    found = []
    for row in arguments.sequence(value, "respondents", 1, MAX_RESPONDENTS):
        owner, identity = arguments.sequence(row, "a respondent", 2, 2)
        one = covered.pop((owner, identity), None) if type(owner) is str and type(identity) is str else None
        if one is None:
            raise ContractError("NOT_COVERED", f"{str(identity)[:40]} is no obligor of this deed, or is named twice")
        amount = total if one.covers is None else min(one.covers, total)
        found.append({"owner": one.owner, "id": one.id, "kind": one.kind, "covers": one.covers, "amount": amount})
    if (PARTY, deed["debtor"]) in covered:
        raise ContractError("DEBTOR_MISSING", f"a certificate is against the debtor, {deed['debtor']}, in any case")
    return sorted(found, key=lambda row: (row["kind"] != DEBTOR, row["owner"], row["id"]))


METHODS: Final[dict[str, Method]] = {"issue": issue, "refuse": refuse, "executed": executed}
