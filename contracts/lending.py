"""The lender's part: decision and disbursement, each citing a loan record on the lender's own chain ([10], [19])."""

from __future__ import annotations

from typing import Any, Final

from contracts import access, arguments
from contracts import model as credit_model
from contracts.applications import (
    APPROVED,
    ASSESSED,
    DECLINED,
    DISBURSED,
    application,
    natural_key,
    require_lender,
)
from contracts.context import Args, Context, Value
from contracts.decimal_text import DecimalError, at_scale
from contracts.documents import Document, name, party_key
from contracts.errors import ContractError
from contracts.evidence import Reader

MAX_AMOUNT: Final = 2**63 - 1
MS_PER_DAY: Final = 86_400_000


def decide(ctx: Context, args: Args) -> Value:
    """The lender's decision: {application, assessment, decision: approve|decline, amount, loan, note}.

    approve needs amount (minor units, at most the limit less what is approved on the contract already) and loan,
    [issuer, number] of a loan record of that amount on the lender's own chain. Gives {id, state}.
    """
    arguments.expect(args, "application", "assessment", "decision", optional=("amount", "loan", "note"))
    actor = access.authorise(ctx, "credit.decide")
    asked = application(ctx, args["application"])
    require_lender(actor, asked)
    if asked["state"] != ASSESSED:
        raise ContractError("WRONG_STATE", f"the application is {asked['state']}: a decision follows an assessment")
    assessed = _current_assessment(ctx, asked, arguments.binary(args["assessment"], "assessment"))
    decision = args["decision"]
    if decision not in ("approve", "decline"):
        raise ContractError("WRONG_ARGUMENT", "decision must be approve or decline")
    entry = {
        "id": ctx.tx_id,
        "application": asked["id"],
        "assessment": assessed["id"],
        "decision": decision,
        "amount": 0,
        "currency": assessed["currency"],
        "lender": actor.id,
        "note": arguments.text(args["note"], "note") if "note" in args else "",
        "height": ctx.height,
        "time": ctx.time,
    }
    if decision == "approve":
        entry |= _approve(ctx, args, asked, assessed)
    state = APPROVED if decision == "approve" else DECLINED
    ctx.put("decision", ctx.tx_id, value=entry)
    changed = {"state": state, "decision": ctx.tx_id, "approved": entry["amount"]}
    ctx.put("application", asked["id"], value={**asked, **changed})
    amount = entry["amount"]
    ctx.emit("decided", {"id": ctx.tx_id, "application": asked["id"], "decision": decision, "amount": amount})
    return {"id": ctx.tx_id, "state": state}


def disburse(ctx: Context, args: Args) -> Value:
    """The lender has paid out: {application, loan: [issuer, number]}. Gives {id, amount, disbursed}.

    The loan record on the lender's own chain says how much and when (disbursed_on). Each is disbursed once, and
    all together are at most what was approved.
    """
    arguments.expect(args, "application", "loan")
    actor = access.authorise(ctx, "credit.disburse")
    asked = application(ctx, args["application"])
    require_lender(actor, asked)
    if asked["state"] not in (APPROVED, DISBURSED):
        raise ContractError("WRONG_STATE", f"the application is {asked['state']}: approve it first")
    assessed = ctx.get("assessment", ctx.get("decision", asked["decision"])["assessment"])
    loan, amount = _loan(ctx, args["loan"], asked, assessed)
    if not loan.text("disbursed_on"):
        raise ContractError("NOT_DISBURSED", f"{name(loan)} has no disbursed_on: correct the record with its date")
    total = asked["disbursed"] + amount
    if total > asked["approved"]:
        raise ContractError(
            "OVER_APPROVED", f"{total} minor units would be disbursed where {asked['approved']} are approved"
        )
    _cite(ctx, loan, asked, disbursed=True)
    entry = {
        "id": ctx.tx_id,
        "application": asked["id"],
        "decision": asked["decision"],
        "amount": amount,
        "currency": assessed["currency"],
        "loan": list(loan.key),
        "loan_id": loan.id,
        "lender": actor.id,
        "disbursed_on": loan.text("disbursed_on"),
        "height": ctx.height,
        "time": ctx.time,
    }
    ctx.put("disbursement", ctx.tx_id, value=entry)
    ctx.put("application", asked["id"], value={**asked, "state": DISBURSED, "disbursed": total})
    ctx.emit("disbursed", {"id": ctx.tx_id, "application": asked["id"], "amount": amount})
    return {"id": ctx.tx_id, "amount": amount, "disbursed": total}


def _current_assessment(ctx: Context, asked: dict[str, Any], assessment_id: bytes) -> dict[str, Any]:
    """The application's newest assessment, if it is the one cited and still valid by its model."""
    newest = asked["assessments"][-1]
    if assessment_id != newest:
        raise ContractError("ASSESSMENT_STALE", f"the newest assessment is {newest.hex()}: decide on that one")
    found: dict[str, Any] = ctx.get("assessment", newest)
    days = credit_model.at(ctx, *found["model"]).assessment_valid_days
    if ctx.time > found["time"] + days * MS_PER_DAY:
        raise ContractError("ASSESSMENT_STALE", f"the assessment is older than {days} days: assess again")
    return found


def _approve(ctx: Context, args: Args, asked: dict[str, Any], assessed: dict[str, Any]) -> dict[str, Any]:
    for needed in ("amount", "loan"):
        if needed not in args:
            raise ContractError("MISSING_ARGUMENT", f"argument {needed!r} is missing: an approval names it")
    amount = arguments.integer(args["amount"], "amount", 1, MAX_AMOUNT)
    place = _contract_place(ctx, assessed)
    approved: int = ctx.get("approved", *place) or 0
    if amount + approved > assessed["limit"]:
        raise ContractError(
            "OVER_LIMIT",
            f"{amount} minor units and {approved} approved before exceed the limit of {assessed['limit']}",
        )
    loan, lent = _loan(ctx, args["loan"], asked, assessed)
    if lent != amount:
        raise ContractError("LOAN_DIFFERS", f"{name(loan)} says {lent} minor units, the decision {amount}")
    _cite(ctx, loan, asked, disbursed=False)
    for guarantee in assessed["guarantees"]:
        if ctx.get("guarantee_used", guarantee) not in (None, asked["id"]):
            raise ContractError(
                "ASSESSMENT_STALE", "a guarantee has come to back another application since: assess again"
            )
        ctx.put("guarantee_used", guarantee, value=asked["id"])
    ctx.put("approved", *place, value=approved + amount)
    return {"amount": amount, "loan": list(loan.key), "loan_id": loan.id}


def _contract_place(ctx: Context, assessed: dict[str, Any]) -> tuple[str, str, str]:
    kind, issuer, number = assessed["contract"]
    return kind, party_key(issuer, Reader(ctx).party_of), number


def _loan(ctx: Context, reference: Value, asked: dict[str, Any], assessed: dict[str, Any]) -> tuple[Document, int]:
    """The loan record on the lender's own chain and its amount in minor units, held against the application."""
    key = natural_key(["loan", *arguments.sequence(reference, "loan", 2, 2)])
    reader = Reader(ctx)
    loan = reader.document(asked["lender"], key)
    if loan is None:
        raise ContractError(
            "LOAN_NOT_SEALED", f"chain {asked['lender']} has no loan {key[2]!r} of {key[1]!r}: ingest it first"
        )
    if reader.enterprise(loan.record.enterprise).id != asked["enterprise"]:
        raise ContractError(
            "LOAN_DIFFERS", f"{name(loan)} is to {loan.record.enterprise}, not to {asked['enterprise']}"
        )
    if loan.text("currency") != assessed["currency"]:
        raise ContractError(
            "LOAN_DIFFERS", f"{name(loan)} is in {loan.text('currency')}, the limit in {assessed['currency']}"
        )
    cited = loan.text("assessment")
    if cited and cited != assessed["id"].hex():
        raise ContractError("LOAN_DIFFERS", f"{name(loan)} names assessment {cited}, not {assessed['id'].hex()}")
    amount = loan.decimal("amount")
    try:
        return loan, 0 if amount is None else at_scale(amount, assessed["scale"])
    except DecimalError as error:
        raise ContractError("LOAN_DIFFERS", f"{name(loan)}: {error}") from None


def _cite(ctx: Context, loan: Document, asked: dict[str, Any], *, disbursed: bool) -> None:
    """A loan record belongs to one application and is disbursed once."""
    place = ("loan_cited", asked["lender"], loan.record.issuer, loan.number)
    known = ctx.get(*place)
    if known is not None and known["application"] != asked["id"]:
        raise ContractError("LOAN_CITED", f"{name(loan)} belongs to application {known['application'].hex()}")
    if known is not None and known["disbursed"]:
        raise ContractError("LOAN_CITED", f"{name(loan)} is disbursed already: a further payment has its own record")
    ctx.put(*place, value={"application": asked["id"], "disbursed": disbursed})
