"""The lender's part: decisions and disbursements, each citing a loan record on its own chain ([10], [19], [20]).

An approval opens the application's line (credit_line.py). Each period may raise the line's limit; the lender decides
on that too (extend) and pays out again. What is approved on one contract and not repaid is at most its limit, over
all its lines; what is paid out is at most what is approved, and at most what is available.
"""

from __future__ import annotations

from typing import Any, Final

from contracts import access, arguments, collateral, credit_line, notices, repayments
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
from contracts.context import Args, Context, Method, Value
from contracts.credit_line import OVERDUE
from contracts.decimal_text import DecimalError, at_scale
from contracts.documents import Document, name
from contracts.errors import ContractError
from contracts.evidence import Reader

MAX_AMOUNT: Final = 2**63 - 1
MS: Final = 1_000
MS_PER_DAY: Final = 86_400_000


def decide(ctx: Context, args: Args) -> Value:
    """The lender's decision: {application, assessment, decision: approve|decline, amount, loan, note}.

    approve needs amount (minor units, at most the limit less what is approved on the contract already) and loan,
    [issuer, number] of a loan record of that amount on the lender's own chain; it opens the line. Gives {id, state}.
    """
    arguments.expect(args, "application", "assessment", "decision", optional=("amount", "loan", "note"))
    actor = access.authorise(ctx, "credit.decide")
    asked = application(ctx, args["application"])
    require_lender(actor, asked)
    if asked["state"] != ASSESSED:
        raise ContractError("WRONG_STATE", f"the application is {asked['state']}: a decision follows an assessment")
    assessed = _current_assessment(ctx, asked, arguments.binary(args["assessment"], "assessment"))
    entry = _entry(ctx, args, asked, assessed, "application")
    concerned = [asked["lender"], asked["enterprise"], asked["by"][1]]
    if entry["decision"] == "approve":
        reader = Reader(ctx)
        entry |= _approve(ctx, reader, args, asked, assessed)
        concerned = credit_line.opened(ctx, reader, asked, assessed, entry["amount"])["concerned"]
    state = APPROVED if entry["decision"] == "approve" else DECLINED
    ctx.put("decision", ctx.tx_id, value=entry)
    changed = {"state": state, "decision": ctx.tx_id, "approved": entry["amount"]}
    ctx.put("application", asked["id"], value={**asked, **changed})
    _tell_decided(ctx, asked, assessed, entry, concerned)
    return {"id": ctx.tx_id, "state": state}


def extend(ctx: Context, args: Args) -> Value:
    """The lender's decision on an increment: {application, decision: approve|decline, amount, loan, note}.

    approve as in `decide`, with amount at most the line's limit now less what is approved on the contract and not
    repaid. decline needs an increment that is not decided yet. Gives {id, approved (in all), limit}.
    """
    arguments.expect(args, "application", "decision", optional=("amount", "loan", "note"))
    actor = access.authorise(ctx, "credit.extend")
    asked = application(ctx, args["application"])
    require_lender(actor, asked)
    line = credit_line.load(ctx, asked["id"])
    if line["state"] == credit_line.CLOSED:
        raise ContractError("WRONG_STATE", "the line is closed: its contract is ended and nothing is owed on it")
    assessed = ctx.get("assessment", line["assessment"])
    entry = _entry(ctx, args, asked, assessed, "increment") | {"period": line["undecided"]}
    if entry["decision"] == "approve":
        if credit_line.is_overdue(ctx, line):
            raise ContractError("LINE_OVERDUE", "an instalment is overdue: nothing more is lent until it is paid")
        reader = Reader(ctx)
        limit = credit_line.limit_now(line, credit_line.deal_of(ctx, reader, line))
        entry |= _commit(ctx, reader, args, asked, assessed, limit)
        asked = {**asked, "decision": ctx.tx_id, "approved": asked["approved"] + entry["amount"]}
        ctx.put("application", asked["id"], value=asked)
    elif not line["undecided"]:
        raise ContractError("NOTHING_TO_DECIDE", "no increment waits for a decision: see `tally credit line`")
    ctx.put("decision", ctx.tx_id, value=entry)
    credit_line.save(ctx, {**line, "undecided": 0, "approved": line["approved"] + entry["amount"]})
    _tell_decided(ctx, asked, assessed, entry, line["concerned"])
    return {"id": ctx.tx_id, "approved": asked["approved"], "limit": line["L0"] + line["granted"]}


def disburse(ctx: Context, args: Args) -> Value:
    """The lender has paid out: {application, loan: [issuer, number], schedule: [{due, principal, interest}]}.

    The loan record on the lender's own chain says how much and when (disbursed_on). Each is disbursed once, and all
    together are at most what was approved; each is at most what is available. Without a schedule one instalment is
    owed: on the record's due_date or after its term_days, with simple interest at its rate_bp. Minor units.
    Gives {id, amount, disbursed, outstanding, schedule}.
    """
    arguments.expect(args, "application", "loan", optional=("schedule",))
    actor = access.authorise(ctx, "credit.disburse")
    asked = application(ctx, args["application"])
    require_lender(actor, asked)
    if asked["state"] not in (APPROVED, DISBURSED):
        raise ContractError("WRONG_STATE", f"the application is {asked['state']}: approve it first")
    line = credit_line.load(ctx, asked["id"])
    reader = Reader(ctx)
    assessed = ctx.get("assessment", line["assessment"])
    loan, amount = _loan(reader, args["loan"], asked, assessed)
    if not loan.text("disbursed_on"):
        raise ContractError("NOT_DISBURSED", f"{name(loan)} has no disbursed_on: correct the record with its date")
    paid_out = repayments.moment_of(loan, "disbursed_on", line["zone"])
    if paid_out.first * MS > ctx.time:
        raise ContractError("PAID_IN_FUTURE", f"{name(loan)}: disbursed_on {loan.text('disbursed_on')} is to come")
    total = asked["disbursed"] + amount
    if total > asked["approved"]:
        raise ContractError(
            "OVER_APPROVED", f"{total} minor units would be disbursed where {asked['approved']} are approved"
        )
    _require_available(ctx, reader, line, amount)
    _cite(ctx, loan, asked, disbursed=True)
    rows = (
        repayments.agreed(args["schedule"], amount, paid_out, line["zone"])
        if "schedule" in args
        else repayments.bullet(loan, amount, paid_out, line["zone"])
    )
    schedule = [[row.due, row.principal, row.interest] for row in rows]
    entry = {
        "id": ctx.tx_id,
        "application": asked["id"],
        "decision": asked["decision"],
        "amount": amount,
        "currency": line["currency"],
        "loan": list(loan.key),
        "loan_id": loan.id,
        "lender": actor.id,
        "disbursed_on": loan.text("disbursed_on"),
        "schedule": schedule,
        "height": ctx.height,
        "time": ctx.time,
    }
    ctx.put("disbursement", ctx.tx_id, value=entry)
    ctx.put("application", asked["id"], value={**asked, "state": DISBURSED, "disbursed": total})
    repayments.enter(ctx, line, rows, credit_line.model_of(ctx, line).grace_days)
    ctx.put("disbursement_of", asked["id"], line["disbursements"], value=ctx.tx_id)
    line = {
        **line,
        "drawn": line["drawn"] + amount,
        "outstanding": line["outstanding"] + amount,
        "disbursements": line["disbursements"] + 1,
        "last_due": max(line["last_due"], rows[-1].due),
    }
    credit_line.save(ctx, line)
    credit_line.add_on(ctx, reader, "lent", line["contract"], amount)
    result = {"id": ctx.tx_id, "amount": amount, "disbursed": total, "outstanding": line["outstanding"]}
    said = {**credit_line.shown(line), **result, "loan": entry["loan"], "schedule": schedule}
    notices.notify(ctx, "disbursed", line["concerned"], said)
    return {**result, "schedule": schedule}


def _entry(ctx: Context, args: Args, asked: dict[str, Any], assessed: dict[str, Any], decides: str) -> dict[str, Any]:
    """The stored form of a decision, still without what an approval adds."""
    if args["decision"] not in ("approve", "decline"):
        raise ContractError("WRONG_ARGUMENT", "decision must be approve or decline")
    return {
        "id": ctx.tx_id,
        "decides": decides,
        "application": asked["id"],
        "assessment": assessed["id"],
        "decision": args["decision"],
        "amount": 0,
        "currency": assessed["currency"],
        "lender": asked["lender"],
        "note": arguments.text(args["note"], "note") if "note" in args else "",
        "height": ctx.height,
        "time": ctx.time,
    }


def _tell_decided(
    ctx: Context, asked: dict[str, Any], assessed: dict[str, Any], entry: dict[str, Any], concerned: list[str]
) -> None:
    said = {
        name: entry[name] for name in ("id", "decides", "application", "decision", "amount", "currency", "lender")
    }
    said |= {"enterprise": asked["enterprise"], "contract": asked["contract"], "scale": assessed["scale"]}
    notices.notify(ctx, "decided", concerned, said)


def _require_available(ctx: Context, reader: Reader, line: dict[str, Any], amount: int) -> None:
    """Raises ContractError LINE_OVERDUE or OVER_AVAILABLE, which names the limit and the borrowing base."""
    if line["state"] == OVERDUE or credit_line.is_overdue(ctx, line):
        raise ContractError("LINE_OVERDUE", "an instalment is overdue: nothing more is paid out until it is paid")
    now = credit_line.room(ctx, reader, line)
    if amount > now.available:
        raise ContractError(
            "OVER_AVAILABLE",
            f"{amount} minor units would be paid out where {now.available} are available: limit {now.limit}, "
            f"borrowing base {now.base}, outstanding {now.outstanding}",
        )


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


def _approve(
    ctx: Context, reader: Reader, args: Args, asked: dict[str, Any], assessed: dict[str, Any]
) -> dict[str, Any]:
    """What an initial approval adds to its decision; the guarantees behind the limit now back this application."""
    committed = _commit(ctx, reader, args, asked, assessed, assessed["limit"])
    for guarantee in collateral.guarantees_behind(reader, asked, assessed):
        if collateral.backed_by(ctx, reader, guarantee.key) not in (None, asked["id"]):
            raise ContractError(
                "ASSESSMENT_STALE", "a guarantee has come to back another application since: assess again"
            )
        collateral.take(ctx, reader, guarantee.key, asked["id"])
    return committed


def _commit(
    ctx: Context, reader: Reader, args: Args, asked: dict[str, Any], assessed: dict[str, Any], limit: int
) -> dict[str, Any]:
    """Approve an amount within the limit, citing a loan record of that amount."""
    for needed in ("amount", "loan"):
        if needed not in args:
            raise ContractError("MISSING_ARGUMENT", f"argument {needed!r} is missing: an approval names it")
    amount = arguments.integer(args["amount"], "amount", 1, MAX_AMOUNT)
    approved = credit_line.committed_on(ctx, reader, asked["contract"])
    if amount + approved > limit:
        raise ContractError(
            "OVER_LIMIT", f"{amount} minor units and {approved} approved before exceed the limit of {limit}"
        )
    loan, lent = _loan(reader, args["loan"], asked, assessed)
    if lent != amount:
        raise ContractError("LOAN_DIFFERS", f"{name(loan)} says {lent} minor units, the decision {amount}")
    if ctx.get("loan_cited", asked["lender"], loan.record.issuer, loan.number) is not None:
        raise ContractError("LOAN_CITED", f"{name(loan)} is cited by a decision already: seal a record for this one")
    _cite(ctx, loan, asked, disbursed=False)
    credit_line.add_on(ctx, reader, "approved", asked["contract"], amount)
    return {"amount": amount, "loan": list(loan.key), "loan_id": loan.id}


def _loan(reader: Reader, reference: Value, asked: dict[str, Any], assessed: dict[str, Any]) -> tuple[Document, int]:
    """The loan record on the lender's own chain and its amount in minor units, held against the application."""
    key = natural_key(["loan", *arguments.sequence(reference, "loan", 2, 2)])
    loan = reader.document(asked["lender"], key)
    if loan is None:
        raise ContractError(
            "LOAN_NOT_SEALED", f"chain {asked['lender']} has no loan {key[2]!r} of {key[1]!r}: ingest it first"
        )
    if reader.party_of(loan.record.enterprise) != asked["enterprise"]:
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
    value = loan.decimal("amount")
    try:
        amount = 0 if value is None else at_scale(value, assessed["scale"])
    except DecimalError as error:
        raise ContractError("LOAN_DIFFERS", f"{name(loan)}: {error}") from None
    if not 0 < amount <= repayments.MAX_MONEY:
        raise ContractError("LOAN_DIFFERS", f"{name(loan)} names no amount above 0 that can be lent")
    return loan, amount


def _cite(ctx: Context, loan: Document, asked: dict[str, Any], *, disbursed: bool) -> None:
    """A loan record belongs to one application and is disbursed once."""
    place = ("loan_cited", asked["lender"], loan.record.issuer, loan.number)
    known = ctx.get(*place)
    if known is not None and known["application"] != asked["id"]:
        raise ContractError("LOAN_CITED", f"{name(loan)} belongs to application {known['application'].hex()}")
    if known is not None and known["disbursed"]:
        raise ContractError("LOAN_CITED", f"{name(loan)} is disbursed already: a further payment has its own record")
    ctx.put(*place, value={"application": asked["id"], "disbursed": disbursed})


METHODS: Final[dict[str, Method]] = {"decide": decide, "extend": extend, "disburse": disburse}
