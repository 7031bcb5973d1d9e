"""``tally credit`` for the lender: decide, extend, disburse, repay, and the line that comes of it.

Each seals the record that the contract wants cited on the lender's own chain first; what the contract would refuse is
refused before that, so that nothing is sealed for what will not stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from cli import loans, records
from cli.command import Settings, TallyCommand
from cli.errors import CliError
from cli.line_words import line_in_words
from cli.loans import refused, require_lender, stored
from cli.output import facts, money, show
from cli.session import Session, submit
from cli.values import digest, minor_units

if TYPE_CHECKING:
    from contracts.credit_line import Room

TERMS: Final = ("term_days", "rate_bp", "due_date", "repayment_method")  # of a loan record, kept for further payments

_TEMPLATE = click.option("--template", help="template of the sealed record; default the one of the contract")
_APPLICATION = click.argument("application", metavar="APPLICATION")
_DATE = r"YYYY-MM-DD"


@click.command(
    "decide",
    cls=TallyCommand,
    signs=True,
    example="tally credit decide 5f0c… --approve 90000.00 --term-days 90 --rate-bp 650 --home net --as lender",
)
@_APPLICATION
@click.option("--approve", metavar="AMOUNT", help="amount to lend, for example 90000.00; at most the limit")
@click.option("--decline", is_flag=True, help="lend nothing")
@click.option("--note", "remark", help="why, one line")
@click.option("--loan-number", help="number of the loan record; default made from the application")
@click.option("--term-days", type=click.IntRange(min=1), help="for the loan record")
@click.option("--rate-bp", type=click.IntRange(min=0), help="interest a year in basis points, for the loan record")
@_TEMPLATE
@click.pass_obj
def decide(
    settings: Settings,
    application: str,
    approve: str | None,
    decline: bool,
    remark: str | None,
    loan_number: str | None,
    term_days: int | None,
    rate_bp: int | None,
    template: str | None,
) -> None:
    """Decide as the lender. An approval seals the loan record on the lender's own chain first, and opens the line."""
    _require_one(approve, decline)
    identity = digest(application, "application")
    with Session(settings) as session:
        asked = stored(session, "application", identity)
        assessed = _assessment_of(session, asked)
        args: dict[str, Any] = {"application": identity, "assessment": assessed["id"]}
        args |= {"decision": "decline" if decline else "approve"} | ({"note": remark} if remark else {})
        if approve is not None:
            amount = minor_units(approve, assessed["scale"], "--approve")
            _require_decidable(session, asked, assessed, amount)
            number = loan_number or loans.number_of(identity)
            fields = loans.fields_of(assessed, amount, term_days=term_days, rate_bp=rate_bp)
            loans.seal(session, assessed, number, fields, template)
            args |= {"amount": amount, "loan": [asked["lender"], number]}
        state = submit(session, chain="consortium", contract="credit", method="decide", args=args)
    result = state["receipt"]["result"]
    pairs = [("application", application), ("decision", result["id"]), ("state", result["state"])]
    value = {"application": identity, **result, "loan": args.get("loan"), "transaction": state}
    show(settings, value, facts([*pairs, *_approved(args, assessed)]))


@click.command(
    "extend",
    cls=TallyCommand,
    signs=True,
    example="tally credit extend 5f0c… --approve 12000.00 --home net --as lender",
)
@_APPLICATION
@click.option(
    "--approve", metavar="AMOUNT", help="what to lend more, for example 12000.00; at most limit less approved"
)
@click.option("--decline", is_flag=True, help="lend nothing more on the newest increment")
@click.option("--note", "remark", help="why, one line")
@click.option("--loan-number", help="number of the loan record; default made from application and period")
@click.option("--term-days", type=click.IntRange(min=1), help="for the loan record; default as the first loan's")
@click.option("--rate-bp", type=click.IntRange(min=0), help="for the loan record; default as the first loan's")
@_TEMPLATE
@click.pass_obj
def extend(
    settings: Settings,
    application: str,
    approve: str | None,
    decline: bool,
    remark: str | None,
    loan_number: str | None,
    term_days: int | None,
    rate_bp: int | None,
    template: str | None,
) -> None:
    """Decide on an increment as the lender: what may be lent more, now that the limit has risen."""
    _require_one(approve, decline)
    identity = digest(application, "application")
    with Session(settings) as session:
        line, assessed = _line_of(session, identity)
        args: dict[str, Any] = {"application": identity, "decision": "decline" if decline else "approve"}
        args |= {"note": remark} if remark else {}
        if approve is not None:
            amount = minor_units(approve, line["scale"], "--approve")
            _require_limit(line, amount)
            number = loan_number or f"{loans.number_of(identity)}-{line['closed_period']}"
            terms = _terms(session, identity) | _given(term_days=term_days, rate_bp=rate_bp)
            loans.seal(session, assessed, number, loans.fields_of(assessed, amount, **terms), template)
            args |= {"amount": amount, "loan": [line["lender"], number]}
        state = submit(session, chain="consortium", contract="credit", method="extend", args=args)
    result = state["receipt"]["result"]
    unit = (line["scale"], line["currency"])
    pairs = [("application", application), ("decision", result["id"]), *_approved(args, line)]
    pairs += [("in all", money(result["approved"], *unit)), ("limit", money(result["limit"], *unit))]
    show(settings, {"application": identity, **result, "loan": args.get("loan"), "transaction": state}, facts(pairs))


_DISBURSE: Final = """\
tally credit disburse 5f0c… --home net --as lender
tally credit disburse 5f0c… --instalment 2026-07-01:30000.00:400.00 --instalment 2026-10-01:30000.00:200.00"""


@click.command("disburse", cls=TallyCommand, signs=True, example=_DISBURSE)
@_APPLICATION
@click.option(
    "--amount", help="what was paid out, for example 40000.00; default the loan's, or all that was approved"
)
@click.option("--on", "paid_on", metavar=_DATE, help="day of the payment; default today, by block time")
@click.option("--loan-number", help="record of this payment; default the one of the newest approval")
@click.option("--due", metavar=_DATE, help="the day all of it is due; default after the loan's term")
@click.option(
    "--instalment",
    "instalments",
    multiple=True,
    metavar="DUE:PRINCIPAL:INTEREST",
    help="one instalment of the schedule, for example 2026-07-01:30000.00:400.00; repeat",
)
@_TEMPLATE
@click.pass_obj
def disburse(
    settings: Settings,
    application: str,
    amount: str | None,
    paid_on: str | None,
    loan_number: str | None,
    due: str | None,
    instalments: tuple[str, ...],
    template: str | None,
) -> None:
    """Say that the lender has paid out. The loan record gets its date of payment first, then it is cited.

    A further payment on the same approval needs a --loan-number of its own. Without --instalment all is due on --due,
    or after the loan's term, with simple interest at its rate.
    """
    identity = digest(application, "application")
    with Session(settings) as session:
        asked = stored(session, "application", identity)
        require_lender(session, asked)
        if asked.get("decision") is None:
            raise refused("WRONG_STATE", f"application {application} has no decision yet: tally credit decide")
        if asked["state"] not in ("approved", "disbursed"):
            raise refused(
                "WRONG_STATE", f"the application is {asked['state']}: approve it first (tally credit decide)"
            )
        line, assessed = _line_of(session, identity)
        number = loan_number or stored(session, "decision", asked["decision"])["loan"][-1]
        before = loans.find(session, asked["lender"], number)
        paid = _amount_to_pay(asked, line, amount, None if before is None else before["record"][records.FIELDS])
        schedule = [_instalment(text, line["scale"]) for text in instalments]
        _require_payable(session, asked, line, number, paid, schedule)
        fields = loans.fields_of(
            assessed, paid, disbursed_on=paid_on or loans.today(session, line["zone"]), due_date=due
        )
        known = _terms(session, identity) if before is None else before["record"][records.FIELDS]
        loans.seal(session, assessed, number, {**known, **fields}, template)
        args: dict[str, Any] = {"application": identity, "loan": [asked["lender"], number]}
        args |= {"schedule": schedule} if schedule else {}
        state = submit(session, chain="consortium", contract="credit", method="disburse", args=args)
    result = state["receipt"]["result"]
    unit = (line["scale"], line["currency"])
    lines = facts(
        [
            ("application", application),
            ("disbursement", result["id"]),
            ("paid out", money(result["amount"], *unit)),
            ("in all", money(result["disbursed"], *unit)),
            ("on", fields["disbursed_on"]),
            ("loan", number),
            ("due", [f"{row[0]}: {money(row[1] + row[2], *unit)}" for row in result["schedule"]]),
        ]
    )
    show(settings, {"application": identity, **result, "loan": args["loan"], "transaction": state}, lines)


@click.command(
    "repay", cls=TallyCommand, signs=True, example="tally credit repay 5f0c… 30400.00 --home net --as lender"
)
@_APPLICATION
@click.argument("amount", metavar="AMOUNT")
@click.option("--on", "paid_on", metavar=_DATE, help="day it was paid; default today, by block time")
@click.option("--number", help="number of the repayment record; default made from application, day and amount")
@click.option("--reference", help="the payment's own reference, for the record")
@_TEMPLATE
@click.pass_obj
def repay(
    settings: Settings,
    application: str,
    amount: str,
    paid_on: str | None,
    number: str | None,
    reference: str | None,
    template: str | None,
) -> None:
    """Say that the lender was paid back: the oldest instalment is paid first, its interest before its principal.

    Two equal payments of one day need a --number each.
    """
    identity = digest(application, "application")
    with Session(settings) as session:
        line, _ = _line_of(session, identity)
        minor = minor_units(amount, line["scale"], "AMOUNT")
        owed = sum(row[3] + row[4] - row[5] - row[6] for row in _schedule(session, identity))
        if not 0 < minor <= owed:
            said = money(owed, line["scale"], line["currency"])
            raise refused("OVER_OWED", f"{said} is owed: a repayment is more than 0 and at most that")
        day = paid_on or loans.today(session, line["zone"])
        name = number or f"REPAY-{identity.hex()[:16]}-{day}-{minor}"
        if session.client.state("consortium", "credit", "repayment_cited", line["lender"], line["lender"], name):
            raise refused("REPAYMENT_CITED", f"repayment {name} was taken already: give another one a --number")
        fields = loans.fields_of(line | {"id": identity}, minor, paid_on=day, reference=reference)
        fields.pop("assessment")
        loans.seal_repayment(session, line, name, fields, template)
        args = {"application": identity, "repayment": [line["lender"], name]}
        state = submit(session, chain="consortium", contract="credit", method="repay", args=args)
    result = state["receipt"]["result"]
    unit = (line["scale"], line["currency"])
    lines = facts(
        [
            ("application", application),
            ("repaid", money(result["amount"], *unit)),
            ("of it principal", money(result["principal"], *unit)),
            ("still owed", money(result["owed"], *unit)),
            ("outstanding", money(result["outstanding"], *unit)),
            ("line", result["state"]),
        ]
    )
    show(settings, {"application": identity, **result, "repayment": name, "transaction": state}, lines)


@click.command("line", cls=TallyCommand, reads=True, example="tally credit line 5f0c… --home net --as lender")
@_APPLICATION
@click.pass_obj
def line(settings: Settings, application: str) -> None:
    """Show a credit line: limit, milestones and what they granted, schedule, pledges, what is available now."""
    identity = digest(application, "application")
    with Session(settings) as session:
        found, _ = _line_of(session, identity)
        room = _room(session, found)
        places = session.client.state("consortium", "credit", "pledges", identity) or []
        pledges = [session.client.state("consortium", "credit", "pledge", *place) for place in places]
        value = {**found, "schedule": _schedule(session, identity), "pledges": pledges, "room": room._asdict()}
    show(settings, value, line_in_words(value))


COMMANDS: Final = (decide, extend, disburse, repay, line)


def _require_one(approve: str | None, decline: bool) -> None:
    if (approve is None) is not decline:
        raise CliError("a decision is either --approve AMOUNT or --decline")


def _approved(args: dict[str, Any], of: dict[str, Any]) -> list[tuple[str, Any]]:
    if "amount" not in args:
        return []
    return [("amount", money(args["amount"], of["scale"], of["currency"])), ("loan", args["loan"][1])]


def _assessment_of(session: Session, asked: dict[str, Any]) -> dict[str, Any]:
    """The newest assessment of an application, in its lender's name: what a decision follows."""
    if not asked["assessments"]:
        raise refused("WRONG_STATE", f"application {asked['id'].hex()} has no assessment yet: tally credit assess")
    return {**stored(session, "assessment", asked["assessments"][-1]), "lender": asked["lender"]}


def _line_of(session: Session, identity: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The line of an application and the assessment it was opened on. Raises CliError NO_LINE."""
    found = session.client.state("consortium", "credit", "line", identity)
    if found is None:
        stored(session, "application", identity)
        raise refused("NO_LINE", f"application {identity.hex()} has no line yet: tally credit decide opens it")
    assessed = stored(session, "assessment", found["assessment"])
    return dict(found), {**assessed, "lender": found["lender"]}


def _schedule(session: Session, identity: bytes) -> list[list[Any]]:
    found: list[list[Any]] = session.client.state("consortium", "credit", "schedule", identity) or []
    return found


def _room(session: Session, line: dict[str, Any]) -> Room:
    """What can be drawn at the newest block, by the contract's own function."""
    from typing import cast

    from cli.state_view import StateView
    from contracts import credit_line
    from contracts.context import Context
    from contracts.evidence import Reader

    view = cast("Context", StateView(session.client, session.client.status()["height"]))
    return credit_line.room(view, Reader(view), line)


def _require_decidable(session: Session, asked: dict[str, Any], assessed: dict[str, Any], amount: int) -> None:
    """Refuse before a loan record is sealed for what the contract would not take anyway."""
    if asked["state"] != "assessed":
        raise refused("WRONG_STATE", f"the application is {asked['state']}: a decision follows an assessment")
    if not 0 < amount <= assessed["limit"]:
        limit = money(assessed["limit"], assessed["scale"], assessed["currency"])
        raise refused("OVER_LIMIT", f"the limit is {limit}: approve more than 0 and at most that")
    require_lender(session, asked)


def _require_limit(line: dict[str, Any], amount: int) -> None:
    left = line["L0"] + line["granted"] - (line["approved"] - line["repaid"])
    if not 0 < amount <= left:
        said = money(max(0, left), line["scale"], line["currency"])
        raise refused("OVER_LIMIT", f"{said} of the limit is not approved yet: approve more than 0 and at most that")


def _amount_to_pay(
    asked: dict[str, Any], line: dict[str, Any], amount: str | None, loan: dict[str, Any] | None
) -> int:
    """What is paid out: as given, else the loan record's amount, else all that is approved and not paid out."""
    left: int = asked["approved"] - asked["disbursed"]
    if amount is None and loan is not None:
        amount = loan["amount"]
    paid = left if amount is None else minor_units(amount, line["scale"], "--amount")
    if not 0 < paid <= left:
        said = money(left, line["scale"], line["currency"])
        raise refused("OVER_APPROVED", f"{said} of what was approved is left to pay out: give an amount up to that")
    return paid


def _require_payable(
    session: Session,
    asked: dict[str, Any],
    line: dict[str, Any],
    number: str,
    paid: int,
    schedule: list[dict[str, Any]],
) -> None:
    """Refuse a payment before the loan record of an earlier one would be changed for it."""
    cited = session.client.state("consortium", "credit", "loan_cited", asked["lender"], asked["lender"], number)
    if cited is not None and cited["disbursed"]:
        raise refused(
            "LOAN_CITED", f"loan {number} is paid out already: give the record of a further payment a --loan-number"
        )
    total = sum(row["principal"] for row in schedule)
    if schedule and total != paid:
        said = [money(value, line["scale"], line["currency"]) for value in (total, paid)]
        raise CliError(f"the instalments' principals add up to {said[0]} where {said[1]} is paid out")
    room = _room(session, line)
    if paid > room.available:
        said = [money(value, line["scale"], line["currency"]) for value in (room.available, room.limit, room.base)]
        raise refused(
            "OVER_AVAILABLE",
            f"{said[0]} is available (limit {said[1]}, borrowing base {said[2]}): pay out up to that",
        )


def _terms(session: Session, identity: bytes) -> dict[str, Any]:
    """The terms of the loan record that the newest approval cites: a further payment has the same."""
    asked = stored(session, "application", identity)
    *_, lender, number = stored(session, "decision", asked["decision"])["loan"]
    found = loans.find(session, lender, number)
    fields = {} if found is None else found["record"][records.FIELDS]
    return {name: fields[name] for name in TERMS if name in fields}


def _given(**options: int | str | None) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _instalment(text: str, scale: int) -> dict[str, Any]:
    """DUE:PRINCIPAL:INTEREST as the contract takes it. Raises CliError."""
    parts = text.split(":")
    if len(parts) != 3:
        raise CliError(f"--instalment {text!r} is not DUE:PRINCIPAL:INTEREST, such as 2026-07-01:30000.00:400.00")
    principal, interest = (minor_units(part, scale, f"--instalment {text}") for part in parts[1:])
    return {"due": parts[0], "principal": principal, "interest": interest}
