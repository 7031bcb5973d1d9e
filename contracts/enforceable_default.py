"""Default under an enforceable deed: claimed by the creditor, answered by the obligors, verified by the notary.

The chain knows what is unpaid: a claim names exactly the instalments that are overdue there. The notary then asks
every obligor in the agreed way (公证程序规则 art. 55) and keeps a work record. An obligor may answer with its own
key; an objection made so cannot be passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from contracts import access, arguments, claims, enforceable_limitation
from contracts.access import CONSORTIUM
from contracts.context import Args, Context, Method, Reads, Value
from contracts.enforceable_deed import (
    CHAIN,
    CLAIMED,
    NOTARIZED,
    VERIFIED,
    Obligor,
    day_of,
    load,
    obligor,
    obligors,
    past_day,
    require_creditor,
    require_notary,
    require_state,
    save,
    signed,
    tell,
)
from contracts.errors import ContractError
from contracts.repayments import DEADLINE, DUE, MAX_ROWS, PAID_OUT, date
from contracts.statistics import INT64_MAX

MAX_TEXT: Final = 1_024
MAX_ANSWERS: Final = 8  # of one obligor to one claim, so that nobody uses up another's
MAX_OBJECTIONS: Final = 32
CHARGE_PER_ROW: Final = 4  # of an instalment or a part of a payment
MS: Final = 1_000
MS_PER_DAY: Final = 86_400_000

UNPAID: Final = "unpaid"  # default is confirmed
PAID: Final = "paid"  # there is no default, or no longer
DISPUTED: Final = "disputed"  # an objection stands that a court has to decide on
UNVERIFIED: Final = "unverified"  # the notary could not find out
OUTCOMES: Final = (UNPAID, PAID, DISPUTED, UNVERIFIED)


def debt(
    reads: Reads,
    deed: dict[str, Any],
    as_of: str,
    accelerated_on: str = "",
    costs: tuple[claims.Cost, ...] = (),
    charge: Callable[[int], None] | None = None,
) -> claims.Claim:
    """What is owed under a deed at the end of a day, from the chain's disbursements and repayments.

    charge: a transaction's meter, for the work beyond reading. Raises ContractError as `claims.claim` does.
    """
    application = deed["application"]
    line = reads.read(CONSORTIUM, "credit", "line", application)
    disbursements = _entries(reads, "disbursement", application, line["disbursements"])
    repayments = _entries(reads, "repayment", application, line["repayments"])
    if charge is not None:
        instalments = sum(len(entry["schedule"]) for entry in disbursements)
        payments = sum(len(entry["allocated"]) for entry in repayments)
        charge(CHARGE_PER_ROW * (instalments + payments))
        if accelerated_on:  # payments are allocated anew, each to what is left of all instalments
            charge(payments * (instalments + payments) // 4)
    return claims.claim(
        reads.read(CONSORTIUM, "credit", "schedule", application) or [],
        disbursements,
        repayments,
        claims.terms(deed["terms"]),
        as_of,
        deed["zone"],
        accelerated_on=accelerated_on or None,
        costs=costs,
    )


def costs_of(value: Value) -> tuple[claims.Cost, ...]:
    """Costs as arguments give them: [{code, text, amount}]. Raises ContractError WRONG_ARGUMENT."""
    found: list[claims.Cost] = []
    for row in arguments.sequence(value, "costs", 0, claims.MAX_COSTS):
        arguments.expect(arguments.mapping(row, "a cost"), "code", "text", "amount")
        amount = arguments.integer(row["amount"], "amount of a cost", 1, INT64_MAX)
        cost = claims.Cost(arguments.text(row["code"], "code", 32), arguments.text(row["text"], "text"), amount)
        if any(cost.code == other.code for other in found):
            raise ContractError("WRONG_ARGUMENT", f"cost {cost.code!r} stands twice: add it up")
        found.append(cost)
    return tuple(found)


def require_within_ceiling(deed: dict[str, Any], found: claims.Claim) -> None:
    """Raises ContractError OVER_CEILING."""
    if found.principal > deed["ceiling"]:
        raise ContractError(
            "OVER_CEILING",
            f"{found.principal} minor units of principal are claimed where the deed covers {deed['ceiling']}: "
            "the rest needs a suit",
        )


def claim_default(ctx: Context, args: Args) -> Value:
    """The creditor applies for an execution certificate: {deed, as_of, unpaid, accelerate, costs}.

    unpaid: [[due, disbursement id]] of exactly the instalments that are overdue on the chain, grace days included.
    accelerate calls in what is not due yet, today, where the terms allow it. Interrupts limitation. Gives {claim: its
    number, principal, interest, penalty, compound, costs, total, daily}.
    """
    arguments.expect(args, "deed", "as_of", "unpaid", "accelerate", "costs")
    actor = access.authorise(ctx, "notary.claim_default")
    deed = load(ctx, args["deed"])
    require_creditor(actor, deed)
    require_state(deed, NOTARIZED)
    enforceable_limitation.require_running(ctx, deed)
    today = day_of(ctx.time, deed["zone"])
    as_of = past_day(ctx, args["as_of"], "as_of", deed["zone"])
    unpaid = _unpaid(ctx, deed, args["unpaid"], as_of)
    accelerated_on = today if arguments.boolean(args["accelerate"], "accelerate") else ""
    found = debt(ctx, deed, as_of, accelerated_on, costs_of(args["costs"]), ctx.charge)
    require_within_ceiling(deed, found)
    number = deed["claims"] + 1
    entry = {
        "as_of": as_of,
        "unpaid": unpaid,
        "accelerated_on": accelerated_on,
        "costs": args["costs"],
        "answers": deed["answers"],
        "claim": claims.as_value(found),
        **signed(ctx, actor),
    }
    ctx.put("default", deed["id"], number, value=entry)
    deed = save(ctx, deed, state=CLAIMED, claims=number)
    enforceable_limitation.interrupt(ctx, deed, today, enforceable_limitation.CLAIM, accelerated_on)
    names = ("principal", "interest", "penalty", "compound", "costs", "total", "daily")
    result = {"claim": number, **{name: entry["claim"][name] for name in names}}
    said = {"answer_days": deed["verification"]["answer_days"], "currency": deed["currency"]}
    tell(ctx, "default_claimed", deed, **said, as_of=as_of, accelerated_on=accelerated_on, **result)
    return result


def answer(ctx: Context, args: Args) -> Value:
    """An obligor answers a claim with its own key: {deed, admits, text, evidence*}. Gives {answer: its number}.

    admits: whether what is claimed is owed. evidence: sha256 of a document that shows otherwise.
    """
    arguments.expect(args, "deed", "admits", "text", optional=("evidence",))
    actor = access.authorise(ctx, "notary.answer")
    deed = load(ctx, args["deed"])
    obligor(actor, deed)
    require_state(deed, CLAIMED)
    number = deed["answers"]
    given = sum((entry["owner"], entry["by"]) == (actor.owner, actor.id) for entry in _answers(ctx, deed))
    if given >= MAX_ANSWERS:
        raise ContractError("TOO_MANY_ANSWERS", f"{actor.id} has answered this claim {given} times: tell the notary")
    entry = {
        "claim": deed["claims"],
        "admits": arguments.boolean(args["admits"], "admits"),
        "text": arguments.text(args["text"], "text", MAX_TEXT),
        "evidence": None if args.get("evidence") is None else arguments.binary(args["evidence"], "evidence"),
    }
    ctx.put("answer", deed["id"], number, value={**entry, **signed(ctx, actor)})
    deed = save(ctx, deed, answers=number + 1)
    tell(ctx, "default_answered", deed, by=actor.id, admits=entry["admits"], text=entry["text"])
    return {"answer": number}


def verify_performance(ctx: Context, args: Args) -> Value:
    """The notary's finding: {deed, outcome, record, text, contacts, objections}. Gives {state, outcome}.

    record: sha256 of the work record. contacts: one for each obligor; asked_on is a day since the claim, and the
    agreed days to answer are over after it unless there was an answer. objections: what the obligors said, with
    whether it is upheld; whoever denied the claim with its own key must be among them.
    """
    arguments.expect(args, "deed", "outcome", "record", "text", "contacts", "objections")
    actor = access.authorise(ctx, "notary.verify_performance")
    deed = load(ctx, args["deed"])
    require_notary(actor, deed)
    require_state(deed, CLAIMED)
    if args["outcome"] not in OUTCOMES:
        raise ContractError("WRONG_ARGUMENT", f"outcome must be one of {', '.join(OUTCOMES)}")
    answered = _answered(ctx, deed)
    contacts = _contacts(ctx, deed, args["contacts"], answered)
    objections = _objections(deed, args["objections"], answered)
    if args["outcome"] == UNPAID and any(row["upheld"] for row in objections):
        raise ContractError("OUTCOME_DIFFERS", "an objection is upheld: the outcome is not unpaid then")
    entry = {
        "outcome": args["outcome"],
        "record": arguments.binary(args["record"], "record"),
        "text": arguments.text(args["text"], "text", MAX_TEXT),
        "contacts": contacts,
        "objections": objections,
    }
    ctx.put("verification", deed["id"], deed["claims"], value={**entry, **signed(ctx, actor)})
    deed = save(ctx, deed, state=VERIFIED)
    tell(ctx, "performance_verified", deed, outcome=entry["outcome"], record=entry["record"])
    return {"state": VERIFIED, "outcome": entry["outcome"]}


def _entries(reads: Reads, name: str, application: bytes, count: int) -> list[dict[str, Any]]:
    """All disbursements or repayments of a line, oldest first."""
    ids = [reads.read(CONSORTIUM, "credit", f"{name}_of", application, number) for number in range(count)]
    return [reads.read(CONSORTIUM, "credit", name, identity) for identity in ids]


def _unpaid(ctx: Context, deed: dict[str, Any], value: Value, as_of: str) -> list[Value]:
    """The overdue instalments, held against the chain's. Raises ContractError NOT_OVERDUE or DEFAULT_DIFFERS."""
    rows = ctx.read(CONSORTIUM, "credit", "schedule", deed["application"]) or []
    overdue = [[row[DUE], row[PAID_OUT]] for row in rows if row[DEADLINE] <= ctx.time]
    if not overdue:
        raise ContractError("NOT_OVERDUE", "no instalment is overdue on the chain: there is no default to claim")
    given = []
    for row in arguments.sequence(value, "unpaid", 1, MAX_ROWS):
        due, disbursement = arguments.sequence(row, "an entry of unpaid", 2, 2)
        given.append([arguments.text(due, "due", 10), arguments.binary(disbursement, "a disbursement")])
    if sorted(given, key=ctx.encode) != sorted(overdue, key=ctx.encode):
        listed = ", ".join(f"{due} of {disbursement.hex()[:16]}" for due, disbursement in overdue[:8])
        raise ContractError("DEFAULT_DIFFERS", f"{len(overdue)} instalments are overdue on the chain: {listed}")
    if any(due >= as_of for due, _ in overdue):
        raise ContractError("DATE_TOO_EARLY", f"as_of {as_of} is not after all that is overdue was due: give today")
    return overdue


def _answers(ctx: Context, deed: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers to the newest claim, oldest first."""
    first = ctx.get("default", deed["id"], deed["claims"])["answers"]
    return [ctx.get("answer", deed["id"], number) for number in range(first, deed["answers"])]


def _answered(ctx: Context, deed: dict[str, Any]) -> dict[tuple[str, str], bool]:
    """Who has answered the claim with its own key, and whether any of its answers denies it."""
    found: dict[tuple[str, str], bool] = {}
    for entry in _answers(ctx, deed):
        who = (entry["owner"], entry["by"])
        found[who] = found.get(who, False) or not entry["admits"]
    return found


def _contacts(
    ctx: Context, deed: dict[str, Any], value: Value, answered: dict[tuple[str, str], bool]
) -> list[dict[str, Value]]:
    wanted = obligors(deed)
    claimed = day_of(ctx.get("default", deed["id"], deed["claims"])["time"], deed["zone"])
    given: dict[tuple[str, str], dict[str, Value]] = {}
    for row in arguments.sequence(value, "contacts", 0, len(wanted)):
        arguments.expect(arguments.mapping(row, "a contact"), "owner", "id", "asked_on", "answered", "note")
        asked_on = past_day(ctx, row["asked_on"], "asked_on", deed["zone"], claimed)
        said = arguments.boolean(row["answered"], "answered")
        note = arguments.text(row["note"], "note", MAX_TEXT)
        who = (arguments.text(row["owner"], "owner"), arguments.text(row["id"], "id"))
        given[who] = {"owner": who[0], "id": who[1], "asked_on": asked_on, "answered": said, "note": note}
    contacts = []
    for one in wanted:
        contact = given.pop((one.owner, one.id), None)
        if contact is None:
            raise ContractError("CONTACT_MISSING", f"{one.id} must be asked in the agreed way too")
        _require_over(ctx, deed, one, contact, (one.owner, one.id) in answered)
        contacts.append(contact)
    if given:
        raise ContractError("NOT_AN_OBLIGOR", f"{min(given)[1]} is neither debtor nor guarantor in this deed")
    return contacts


def _require_over(ctx: Context, deed: dict[str, Any], one: Obligor, contact: dict[str, Value], by_key: bool) -> None:
    """The time to answer is over, or there is an answer: on the chain, where that is the way agreed.

    Raises ContractError ANSWER_PERIOD_RUNS.
    """
    asked = date(contact["asked_on"], "asked_on", deed["zone"]).last * MS
    over = asked + deed["verification"]["answer_days"] * MS_PER_DAY
    told = contact["answered"] and deed["verification"]["method"] != CHAIN
    if not (told or by_key) and ctx.time < over:
        raise ContractError(
            "ANSWER_PERIOD_RUNS",
            f"{one.id} was asked on {contact['asked_on']}: verify {deed['verification']['answer_days']} days later",
        )


def _objections(deed: dict[str, Any], value: Value, answered: dict[tuple[str, str], bool]) -> list[dict[str, Value]]:
    who = {(one.owner, one.id) for one in obligors(deed)}
    found = []
    for row in arguments.sequence(value, "objections", 0, MAX_OBJECTIONS):
        arguments.expect(arguments.mapping(row, "an objection"), "owner", "id", "text", "upheld")
        by = (arguments.text(row["owner"], "owner"), arguments.text(row["id"], "id"))
        if by not in who:
            raise ContractError("NOT_AN_OBLIGOR", "an objection is by the debtor or a guarantor of this deed")
        upheld = arguments.boolean(row["upheld"], "upheld")
        text = arguments.text(row["text"], "text of an objection", MAX_TEXT)
        found.append({"owner": row["owner"], "id": row["id"], "text": text, "upheld": upheld})
    dealt = {(row["owner"], row["id"]) for row in found}
    for (owner, identity), denies in sorted(answered.items()):
        if denies and (owner, identity) not in dealt:
            raise ContractError("OBJECTION_IGNORED", f"{identity} denies the claim on the chain: say what came of it")
    return found


METHODS: Final[dict[str, Method]] = {
    "claim_default": claim_default,
    "answer": answer,
    "verify_performance": verify_performance,
}
