"""Repayment: schedules, payments and what is overdue, in minor units of the line's currency.

A payment pays the oldest instalment first, by its due day and then by when it was paid out; of one instalment the
interest before the principal. Principal repaid frees the limit again. An instalment is due at the end of its day in
the contract's time zone; unpaid the model's grace days later, the line is overdue and nothing more may be drawn until
all such instalments are paid.

State, on the consortium chain, in the credit contract's namespace (and that of deadlines.py):
    ("schedule", application)  -> [row] of the instalments not yet paid, oldest first; a row is
        [due, deadline ms, disbursement id, principal, interest, principal paid, interest paid]
    ("repayment", id)          -> {id, application, amount, paid_on, record, allocated: [[due, disbursement,
        interest, principal]], ...}
    ("repayment_cited", lender, issuer, number) -> application
    ("repayment_of", application, n) -> id of the nth repayment, from 0; the line says how many there are
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, TypeAlias

from contracts import access, alerts, arguments, credit_line, deadlines, notices
from contracts.applications import application, natural_key, require_lender
from contracts.context import Args, Context, Method, Value
from contracts.credit_line import OPEN, OVERDUE
from contracts.decimal_text import DecimalError, at_scale, ceil_at_scale
from contracts.documents import Document, name
from contracts.errors import ContractError
from contracts.evidence import Reader
from contracts.record import SECONDS_PER_DAY, Moment, civil_from_days, moment
from contracts.statistics import B

Row: TypeAlias = list[Any]  # as in ("schedule", application)

MAX_MONEY: Final = 2**53  # minor units of one instalment or payment
MAX_INSTALMENTS: Final = 120  # of one disbursement
MAX_ROWS: Final = 512  # unpaid instalments of one line
DUE_PER_BLOCK: Final = 64  # lines whose deadline has come
TOLD_PER_BLOCK: Final = 64  # missed instalments: two events each, of the 1,024 that a receipt holds
DAYS_PER_YEAR: Final = 365
MAX_TERM_DAYS: Final = 36_500
MS: Final = 1_000
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

DUE, DEADLINE, PAID_OUT, PRINCIPAL, INTEREST, PRINCIPAL_PAID, INTEREST_PAID = range(7)


class Instalment(NamedTuple):
    """One payment that is owed: due day, principal and interest in minor units."""

    due: str
    principal: int
    interest: int


def date(text: Value, what: str, zone: int) -> Moment:
    """A day YYYY-MM-DD in a time zone, minutes east of UTC. Raises ContractError WRONG_ARGUMENT."""
    if type(text) is not str or _DATE.fullmatch(text) is None:
        raise ContractError("WRONG_ARGUMENT", f"{what} must be a day, YYYY-MM-DD")
    try:
        return moment(text, zone)
    except ContractError:
        raise ContractError("WRONG_ARGUMENT", f"{what}: {text} is no day of the calendar") from None


def agreed(value: Value, amount: int, paid_out: Moment, zone: int) -> list[Instalment]:
    """A schedule as the lender gives it: [{due, principal, interest}], checked. Raises ContractError WRONG_SCHEDULE.

    Due days ascend, none before the day of payment; the principals add up to the amount paid out.
    """
    rows = arguments.sequence(value, "schedule", 1, MAX_INSTALMENTS)
    found: list[Instalment] = []
    before = paid_out.first
    for number, row in enumerate(rows, start=1):
        where = f"instalment {number}"
        arguments.expect(arguments.mapping(row, where), "due", "principal", "interest")
        principal = arguments.integer(row["principal"], f"principal of {where}", 0, MAX_MONEY)
        interest = arguments.integer(row["interest"], f"interest of {where}", 0, MAX_MONEY)
        day = date(row["due"], f"due of {where}", zone)
        if day.last <= paid_out.first or (number > 1 and day.first <= before):
            raise _wrong(f"{where} is due {row['due']}: not before the day of payment, and after the one before it")
        if principal + interest == 0:
            raise _wrong(f"{where} asks for nothing: leave it out")
        before = day.first
        found.append(Instalment(row["due"], principal, interest))
    total = sum(row.principal for row in found)
    if total != amount:
        raise _wrong(f"the principals add up to {total} minor units where {amount} were paid out")
    return found


def bullet(loan: Document, amount: int, paid_out: Moment, zone: int) -> list[Instalment]:
    """The schedule of a loan record that comes without one: all of it on its due_date, or after its term_days.

    Interest is simple, at rate_bp a year of 365 days, rounded up; a record without a rate asks for none.
    """
    term, rate = loan.decimal("term_days"), loan.decimal("rate_bp")
    if loan.text("due_date"):
        due = _day(moment_of(loan, "due_date", zone).first, zone)
    elif term is not None:
        due = _day(paid_out.first + min(ceil_at_scale(term, 0), MAX_TERM_DAYS) * SECONDS_PER_DAY, zone)
    else:
        raise ContractError(
            "SCHEDULE_MISSING", f"{name(loan)} has neither due_date nor term_days: give a schedule of instalments"
        )
    days = max(0, moment(due, zone).last - paid_out.last) // SECONDS_PER_DAY
    yearly = 0 if rate is None else ceil_at_scale(rate, 0)
    interest = -(-amount * yearly * days // (B * DAYS_PER_YEAR))
    return agreed([{"due": due, "principal": amount, "interest": interest}], amount, paid_out, zone)


def moment_of(doc: Document, field: str, zone: int) -> Moment:
    """The time in a date field of a record. Raises ContractError DATE_MISSING."""
    try:
        return moment(doc.text(field), zone)
    except ContractError:
        raise ContractError("DATE_MISSING", f"{name(doc)} has no date {field}: correct the record") from None


def enter(ctx: Context, line: dict[str, Any], rows: list[Instalment], grace_days: int) -> None:
    """Add the schedule of a disbursement (this transaction) to what a line owes."""
    known: list[Row] = ctx.get("schedule", line["application"]) or []
    if len(known) + len(rows) > MAX_ROWS:
        raise ContractError("TOO_MANY_INSTALMENTS", f"{len(known)} instalments are unpaid: at most {MAX_ROWS} may be")
    added: list[Row] = []
    for row in rows:
        deadline = (moment(row.due, line["zone"]).last + grace_days * SECONDS_PER_DAY) * MS
        added.append([row.due, deadline, ctx.tx_id, row.principal, row.interest, 0, 0])
    merged = sorted([*known, *added], key=lambda row: row[DEADLINE])  # stable: of one day, the older loan first
    ctx.put("schedule", line["application"], value=merged)
    if not known or merged[0][DEADLINE] < known[0][DEADLINE]:
        deadlines.put(ctx, merged[0][DEADLINE], line["application"])


def repay(ctx: Context, args: Args) -> Value:
    """The lender has been paid: {application, repayment: [issuer, number]}.

    The repayment record on the lender's own chain says how much (amount, currency) and when (paid_on). Each is taken
    once. More than what is owed is refused. A payment pays the oldest instalment first, of one instalment the
    interest before the principal. Gives {id, amount, principal, allocated, owed, outstanding, state}.
    """
    arguments.expect(args, "application", "repayment")
    actor = access.authorise(ctx, "credit.repay")
    asked = application(ctx, args["application"])
    require_lender(actor, asked)
    line = credit_line.load(ctx, asked["id"])
    reader = Reader(ctx)
    record = _record(ctx, reader, args["repayment"], line)
    amount = _amount(record, line)
    paid_on = moment_of(record, "paid_on", line["zone"])
    if paid_on.first * MS > ctx.time:
        raise ContractError("PAID_IN_FUTURE", f"{name(record)} was paid on {record.text('paid_on')}: that is to come")
    rows: list[Row] = ctx.get("schedule", asked["id"]) or []
    owed = sum(map(_open_amount, rows))
    if amount > owed:
        raise ContractError("OVER_OWED", f"{amount} minor units would be repaid where {owed} are owed")
    left, allocated = allocate(rows, amount)
    for _, disbursement, _, _ in allocated:
        paid_out = ctx.get("disbursement", disbursement)["disbursed_on"]
        if paid_on.last <= moment(paid_out, line["zone"]).first:
            raise ContractError(
                "PAID_BEFORE_DISBURSEMENT",
                f"{name(record)} of {record.text('paid_on')} would pay what was paid out on {paid_out}",
            )
    return _settle(ctx, reader, line, record, left, allocated)


def allocate(rows: list[Row], amount: int) -> tuple[list[Row], list[list[Any]]]:
    """Pay the oldest instalment first, its interest before its principal.

    Gives the rows still unpaid and [due, disbursement, interest, principal] of each that was paid of; amount is at
    most what is owed.
    """
    left: list[Row] = []
    paid: list[list[Any]] = []
    for row in rows:
        interest = min(amount, row[INTEREST] - row[INTEREST_PAID])
        principal = min(amount - interest, row[PRINCIPAL] - row[PRINCIPAL_PAID])
        amount -= interest + principal
        after = [*row[:PRINCIPAL_PAID], row[PRINCIPAL_PAID] + principal, row[INTEREST_PAID] + interest]
        if interest or principal:
            paid.append([row[DUE], row[PAID_OUT], interest, principal])
        if _open_amount(after):
            left.append(after)
    return left, paid


def find_overdue(ctx: Context) -> None:
    """In begin_block: lines whose deadline has come; each missed instalment is told once, at most so many a block."""
    told = 0
    for _ in range(DUE_PER_BLOCK):
        application_id = deadlines.take_due(ctx, ctx.time)
        if application_id is None:
            return
        line = credit_line.load(ctx, application_id)
        rows: list[Row] = ctx.get("schedule", application_id) or []
        missed = [row for row in rows if row[DEADLINE] <= ctx.time]
        if missed and line["state"] == OPEN:
            line = {**line, "state": OVERDUE}
            credit_line.save(ctx, line)
        for row in missed:
            if told == TOLD_PER_BLOCK:
                deadlines.put(ctx, row[DEADLINE], application_id)  # the rest of them in the next block
                return
            told += _tell_overdue(ctx, line, row)
        if len(missed) < len(rows):
            deadlines.put(ctx, rows[len(missed)][DEADLINE], application_id)


def _settle(
    ctx: Context,
    reader: Reader,
    line: dict[str, Any],
    record: Document,
    left: list[Row],
    allocated: list[list[Any]],
) -> Value:
    """Book a payment that has been allocated."""
    principal = sum(row[3] for row in allocated)
    amount = principal + sum(row[2] for row in allocated)
    recovered = line["state"] == OVERDUE and not any(row[DEADLINE] <= ctx.time for row in left)
    if left:
        ctx.put("schedule", line["application"], value=left)
    else:
        ctx.delete("schedule", line["application"])
    line = {
        **line,
        "repaid": line["repaid"] + principal,
        "outstanding": line["outstanding"] - principal,
        "repayments": line["repayments"] + 1,
        "state": OPEN if recovered else line["state"],
    }
    credit_line.save(ctx, line)
    ctx.put("repayment_of", line["application"], line["repayments"] - 1, value=ctx.tx_id)
    for total in ("lent", "approved"):
        credit_line.add_on(ctx, reader, total, line["contract"], -principal)
    owed = sum(map(_open_amount, left))
    entry = {
        "id": ctx.tx_id,
        "application": line["application"],
        "lender": line["lender"],
        "amount": amount,
        "principal": principal,
        "currency": line["currency"],
        "paid_on": record.text("paid_on"),
        "record": list(record.key),
        "record_id": record.id,
        "allocated": allocated,
        "height": ctx.height,
        "time": ctx.time,
    }
    ctx.put("repayment", ctx.tx_id, value=entry)
    ctx.put("repayment_cited", line["lender"], record.record.issuer, record.number, value=line["application"])
    said = {**credit_line.shown(line), "id": ctx.tx_id, "amount": amount, "principal": principal, "owed": owed}
    notices.notify(ctx, "repaid", line["concerned"], {**said, "outstanding": line["outstanding"]})
    if recovered:
        notices.notify(ctx, "in_order", line["concerned"], {**credit_line.shown(line), "owed": owed})
    result = {"id": ctx.tx_id, "amount": amount, "principal": principal, "allocated": allocated}
    return {**result, "owed": owed, "outstanding": line["outstanding"], "state": line["state"]}


def _record(ctx: Context, reader: Reader, reference: Value, line: dict[str, Any]) -> Document:
    """The repayment record on the lender's own chain, of this line and not taken before."""
    key = natural_key(["repayment", *arguments.sequence(reference, "repayment", 2, 2)])
    record = reader.document(line["lender"], key)
    if record is None:
        raise ContractError(
            "REPAYMENT_NOT_SEALED",
            f"chain {line['lender']} has no repayment {key[2]!r} of {key[1]!r}: ingest it first",
        )
    if reader.party_of(record.record.enterprise) != line["enterprise"]:
        raise ContractError(
            "REPAYMENT_DIFFERS", f"{name(record)} is of {record.record.enterprise}, not of {line['enterprise']}"
        )
    taken = ctx.get("repayment_cited", line["lender"], key[1], key[2])
    if taken is not None:
        raise ContractError("REPAYMENT_CITED", f"{name(record)} was taken for application {taken.hex()} already")
    for relation, issuer, number in record.record.links:
        cited = ctx.get("loan_cited", line["lender"], issuer, number) if relation == "loan" else None
        if relation == "loan" and (cited is None or cited["application"] != line["application"]):
            raise ContractError("REPAYMENT_DIFFERS", f"{name(record)} pays loan {number}, which is not of this line")
    return record


def _amount(record: Document, line: dict[str, Any]) -> int:
    if record.text("currency") != line["currency"]:
        raise ContractError(
            "REPAYMENT_DIFFERS", f"{name(record)} is in {record.text('currency')}, the line in {line['currency']}"
        )
    value = record.decimal("amount")
    try:
        amount = 0 if value is None else at_scale(value, line["scale"])
    except DecimalError as error:
        raise ContractError("REPAYMENT_DIFFERS", f"{name(record)}: {error}") from None
    if not 0 < amount <= MAX_MONEY:
        raise ContractError("REPAYMENT_DIFFERS", f"{name(record)} names no amount above 0 that can be used")
    return amount


def _tell_overdue(ctx: Context, line: dict[str, Any], row: Row) -> int:
    """Alert and notice of a missed instalment, unless it was told before; gives how many were told, 0 or 1."""
    amount, paid_out = _open_amount(row), ctx.get("disbursement", row[PAID_OUT])
    raised = alerts.raise_alert(
        ctx,
        rule="OVERDUE",
        text=f"{amount} minor units of {line['currency']} due on {row[DUE]} to {line['lender']} are not paid",
        enterprise=line["enterprise"],
        to=line["concerned"],
        evidence=[paid_out["loan_id"]],
        ours=row[DUE],
        mark=[line["application"], row[PAID_OUT], row[DUE]],
    )
    if raised is None:
        return 0
    data = {"due": row[DUE], "amount": amount, "loan": paid_out["loan"], "alert": raised}
    notices.notify(ctx, "overdue", line["concerned"], {**credit_line.shown(line), **data})
    return 1


def _open_amount(row: Row) -> int:
    owed: int = row[PRINCIPAL] + row[INTEREST] - row[PRINCIPAL_PAID] - row[INTEREST_PAID]
    return owed


def _day(seconds: int, zone: int) -> str:
    """The day YYYY-MM-DD of a time, UTC seconds, in a time zone."""
    year, month, day = civil_from_days((seconds + zone * 60) // SECONDS_PER_DAY)
    return f"{year:04d}-{month:02d}-{day:02d}"


def _wrong(rule: str) -> ContractError:
    return ContractError("WRONG_SCHEDULE", rule)


METHODS: Final[dict[str, Method]] = {"repay": repay}
