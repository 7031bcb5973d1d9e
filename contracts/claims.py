"""What is owed on a day, line by line: the amounts of a demand, an execution certificate and a court's claim.

Pure integers, minor units of one currency, from the chain's own disbursements and repayments; no state is read here.
Every line is rounded down, against the creditor, so that no claim asks for more than is owed; totals are sums of the
lines as they are shown. Days count as lenders do (算头不算尾): what is due on day D and paid on day P is P - D days
late, the first of them D + 1, the last P.

    PRINCIPAL, INTEREST   what of an instalment that is past its day is not paid
    PENALTY               overdue principal · penalty_bp · days // (B · day_count), for each stretch of days in which
                          the same principal was overdue
    COMPOUND              overdue ordinary interest · compound_bp · days // (B · day_count); none on penalty interest
    ACCELERATED, ACCRUED  principal called in on a day, and the interest of its instalment earned until that day:
                          interest · days since the instalment before // days between the two
    COST                  an item of the costs of collection, as stated

Payments count as contracts/repayments.py allocated them: the oldest instalment first, its interest before its
principal. Interest paid ahead that acceleration leaves unearned pays accelerated principal, oldest first; what is
left of it then pays the charges for the delay, compound interest before penalty: a second line of a charge, without
days, with what was set off as its base and less than nothing as its amount.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts import arguments
from contracts.context import Value
from contracts.errors import ContractError
from contracts.record import SECONDS_PER_DAY, civil_from_days, moment
from contracts.statistics import INT64_MAX, B

DAY_COUNTS: Final = (360, 365)  # days of a year, by which a yearly rate is divided
MAX_COSTS: Final = 16

PRINCIPAL: Final = "PRINCIPAL"
INTEREST: Final = "INTEREST"
PENALTY: Final = "PENALTY"
COMPOUND: Final = "COMPOUND"
ACCELERATED: Final = "ACCELERATED"
ACCRUED: Final = "ACCRUED"
COST: Final = "COST"

_DATE_LENGTH: Final = len("2026-01-31")


class Terms(NamedTuple):
    """What the parties agreed for late performance. Rates are yearly, in basis points, and whole, not a surcharge."""

    penalty_bp: int  # on overdue principal
    compound_bp: int  # on overdue ordinary interest
    day_count: int  # 360 or 365
    acceleration: bool  # whether the creditor may call in what is not due yet


class Cost(NamedTuple):
    """A cost of collection that the creditor asks for, minor units."""

    code: str  # "lawyer", "notary", "preservation", …: the forms know how to name it
    text: str
    amount: int


class Line(NamedTuple):
    """One line of the computation. first and last are the first and last day counted, "" where no days count."""

    rule: str
    disbursement: bytes  # id, b"" for a cost
    due: str  # the instalment's agreed day; for a cost its code
    first: str
    last: str
    base: int  # minor units
    rate_bp: int
    days: int
    amount: int  # minor units
    text: str = ""


class Payment(NamedTuple):
    """A payment that was deducted, with how the chain allocated it, minor units."""

    repayment: bytes
    day: str
    interest: int
    principal: int


class Claim(NamedTuple):
    """What is owed at the end of `as_of`, minor units. total is the sum of the five parts, and of all lines."""

    as_of: str
    principal: int
    interest: int
    penalty: int
    compound: int
    costs: int
    total: int
    paid_interest: int  # deducted, of all disbursements
    paid_principal: int
    undue_principal: int  # not due yet and not claimed
    undue_interest: int
    daily: int  # what each further day adds, rounded down, as long as nothing is paid
    overdue_since: str  # first day of delay, "" when nothing is overdue
    last_due: str  # last day of performance, from which limitation runs: the call-in day where all is called in
    ends: str  # last day of the schedule as agreed
    lines: tuple[Line, ...]
    payments: tuple[Payment, ...]


def terms(value: Value) -> Terms:
    """Terms as a deed states them: {penalty_bp, compound_bp, day_count, acceleration}. Raises WRONG_ARGUMENT."""
    found = arguments.mapping(value, "terms")
    arguments.expect(found, *Terms._fields)
    if found["day_count"] not in DAY_COUNTS or type(found["day_count"]) is not int:
        raise ContractError("WRONG_ARGUMENT", "day_count must be 360 or 365")
    if type(found["acceleration"]) is not bool:
        raise ContractError("WRONG_ARGUMENT", "acceleration must be true or false")
    return Terms(
        arguments.integer(found["penalty_bp"], "penalty_bp", 0, B),
        arguments.integer(found["compound_bp"], "compound_bp", 0, B),
        found["day_count"],
        found["acceleration"],
    )


def claim(
    rows: Sequence[Sequence[Any]] | None,
    disbursements: Sequence[Mapping[str, Any]],
    repayments: Sequence[Mapping[str, Any]],
    agreed: Terms,
    as_of: str,
    zone: int,
    *,
    accelerated_on: str | None = None,
    costs: Sequence[Cost] = (),
) -> Claim:
    """What is owed on a line at the end of a day.

    rows: the state's ("schedule", application), or None where it is not at hand; what is left of the schedules after
    the repayments must be just these. disbursements, repayments: all of the line's, as the state holds them. as_of,
    accelerated_on: YYYY-MM-DD in the zone, minutes east of UTC. Raises ContractError: CLAIM_TOO_EARLY for a payment
    or disbursement after as_of, NOT_ACCELERABLE, AMOUNTS_DIFFER where the state's entries do not add up,
    WRONG_ARGUMENT, CLAIM_TOO_LARGE.
    """
    today = _plain_day(as_of)
    called = None if accelerated_on is None else _call_day(agreed, accelerated_on, today)
    book = _book(disbursements, repayments, today, zone)
    if rows is not None:
        _hold_against(rows, book)
    owed, ahead = _owed(book, called)
    overdue = [row for row in owed if row.called or row.day < today]
    undue = [row for row in owed if not row.called and row.day >= today]
    charged = list(_charged(overdue, agreed, today))
    charged += list(_set_off(charged, ahead))
    lines = (
        *(line for row in overdue for line in _principal_line(row)),
        *(line for row in overdue for line in _interest_line(row)),
        *(line for line in charged if line.rule == PENALTY),
        *(line for line in charged if line.rule == COMPOUND),
        *(_cost_line(cost) for cost in _checked(costs)),
    )
    payments = tuple(_payment(entry, zone) for entry in sorted(repayments, key=_order))
    open_principal, open_interest = _sum(lines, PRINCIPAL, ACCELERATED), _sum(lines, INTEREST, ACCRUED)
    yearly = open_principal * agreed.penalty_bp + open_interest * agreed.compound_bp
    late = [row.day for row in overdue if row.open_principal or row.open_interest]
    total = sum(line.amount for line in lines)
    if total > INT64_MAX:
        raise ContractError("CLAIM_TOO_LARGE", f"{total} minor units are more than a number of the chain holds")
    return Claim(
        as_of=as_of,
        principal=open_principal,
        interest=open_interest,
        penalty=_sum(lines, PENALTY),
        compound=_sum(lines, COMPOUND),
        costs=_sum(lines, COST),
        total=total,
        paid_interest=sum(payment.interest for payment in payments),
        paid_principal=sum(payment.principal for payment in payments),
        undue_principal=sum(row.open_principal for row in undue),
        undue_interest=sum(row.open_interest for row in undue),
        daily=yearly // (B * agreed.day_count),
        overdue_since=_day_text(min(late) + 1) if late else "",
        last_due=_day_text(max(row.day for row in owed)) if owed else "",
        ends=_day_text(max(row.end for row in book)) if book else "",
        lines=lines,
        payments=payments,
    )


def as_value(found: Claim) -> dict[str, Value]:
    """The claim as a value of the chain: what a certificate keeps, and what it is compared with afterwards."""
    fields: dict[str, Any] = found._asdict()
    lines = [line._asdict() for line in found.lines]
    return {**fields, "lines": lines, "payments": [payment._asdict() for payment in found.payments]}


def day_of(text: str, zone: int) -> str:
    """The day YYYY-MM-DD that a date, or an instant in a zone, falls on. Raises ContractError WRONG_DATE."""
    return _day_text(_day_number(text, zone))


class _Paid(NamedTuple):
    """What one payment paid of one instalment."""

    day: int
    interest: int
    principal: int


class _Instalment(NamedTuple):
    """An instalment with all its payments, by day; days from 1970-01-01."""

    disbursement: bytes
    lent: int  # day of payment
    due: str
    start: int  # the instalment before, or the day of payment: interest accrues after it
    end: int  # due day
    principal: int
    interest: int
    paid: tuple[_Paid, ...]


class _Owed(NamedTuple):
    """An instalment as it is owed: itself, or called in on an earlier day with the interest earned until then."""

    instalment: _Instalment
    day: int
    called: bool
    principal: int
    interest: int
    paid: tuple[_Paid, ...]

    @property
    def open_principal(self) -> int:
        return self.principal - sum(paid.principal for paid in self.paid)

    @property
    def open_interest(self) -> int:
        return self.interest - sum(paid.interest for paid in self.paid)


def _book(
    disbursements: Sequence[Mapping[str, Any]], repayments: Sequence[Mapping[str, Any]], today: int, zone: int
) -> list[_Instalment]:
    """All instalments with what was paid of them, oldest first. Raises AMOUNTS_DIFFER, CLAIM_TOO_EARLY."""
    _require_each_once("disbursement", [entry["id"] for entry in disbursements])
    _require_each_once("repayment", [entry["id"] for entry in repayments])
    paid: dict[tuple[bytes, str], list[_Paid]] = {}
    for entry in sorted(repayments, key=_order):
        day = _not_later(entry["paid_on"], "a repayment", today, zone)
        if sum(interest + principal for _, _, interest, principal in entry["allocated"]) != entry["amount"]:
            raise _differ(f"repayment {entry['id'].hex()} is of {entry['amount']}, its parts are of another amount")
        for due, disbursement, interest, principal in entry["allocated"]:
            paid.setdefault((disbursement, due), []).append(_Paid(day, interest, principal))
    found: list[_Instalment] = []
    for entry in sorted(disbursements, key=_order):
        start = lent = _not_later(entry["disbursed_on"], "a disbursement", today, zone)
        if sum(principal for _, principal, _ in entry["schedule"]) != entry["amount"]:
            raise _differ(f"disbursement {entry['id'].hex()} is of {entry['amount']}, its instalments of another sum")
        for due, principal, interest in entry["schedule"]:
            payments = sorted(paid.pop((entry["id"], due), []), key=lambda part: part.day)
            end = _day_number(due, zone)
            if found and found[-1].disbursement == entry["id"] and end <= start:
                raise _differ(
                    f"the instalments of disbursement {entry['id'].hex()} are not in the order of their days"
                )
            found.append(_Instalment(entry["id"], lent, due, start, end, principal, interest, tuple(payments)))
            _check_paid(found[-1])
            start = end
    if paid:
        disbursement, due = min(paid)
        raise _differ(f"a repayment pays an instalment of {due} of {disbursement.hex()}, which there is none")
    return sorted(found, key=lambda row: row.end)


def _require_each_once(what: str, ids: Sequence[bytes]) -> None:
    if len(set(ids)) != len(ids):
        raise _differ(f"a {what} is given twice: each counts once")


def _check_paid(row: _Instalment) -> None:
    interest, principal = sum(part.interest for part in row.paid), sum(part.principal for part in row.paid)
    if not (0 <= interest <= row.interest and 0 <= principal <= row.principal):
        raise _differ(f"more is paid of the instalment of {row.due} of {row.disbursement.hex()} than was owed")


def _hold_against(rows: Sequence[Sequence[Any]], book: Sequence[_Instalment]) -> None:
    """What the state says is unpaid is what disbursements and repayments leave. Raises AMOUNTS_DIFFER."""
    left = {}
    for row in book:
        interest, principal = sum(part.interest for part in row.paid), sum(part.principal for part in row.paid)
        if (interest, principal) != (row.interest, row.principal):
            left[row.disbursement, row.due] = (row.principal, row.interest, principal, interest)
    said = {(disbursement, due): tuple(amounts) for due, _, disbursement, *amounts in rows}
    if left != said or len(said) != len(rows):
        raise _differ("the unpaid instalments of the state are not what its disbursements and repayments leave")


def _owed(book: Sequence[_Instalment], called: int | None) -> tuple[list[_Owed], int]:
    """Each instalment as it is owed, and what was paid ahead of all that. called: the day on which what was not due
    by then was called in, or None. What was lent after that day was not there to be called in.
    """
    if called is None:
        return [_Owed(row, row.end, False, row.principal, row.interest, row.paid) for row in book], 0
    after = [row for row in book if row.end >= called >= row.lent]
    others = [row for row in book if not row.end >= called >= row.lent]
    due = [_Owed(row, row.end, False, row.principal, row.interest, row.paid) for row in others]
    earned = [_earned(row, called) for row in after]
    parts: list[list[_Paid]] = [[] for _ in after]
    ahead = 0
    for payment in sorted((part for row in after for part in row.paid), key=lambda part: part.day):
        amount = payment.interest + payment.principal
        for number, row in enumerate(after):  # as allocate() does, with the interest earned in place of that agreed
            interest = min(amount, earned[number] - sum(part.interest for part in parts[number]))
            principal = min(amount - interest, row.principal - sum(part.principal for part in parts[number]))
            amount -= interest + principal
            if interest or principal:
                parts[number].append(_Paid(payment.day, interest, principal))
        ahead += amount
    called_in = [
        _Owed(row, called, True, row.principal, interest, tuple(paid))
        for row, interest, paid in zip(after, earned, parts, strict=True)
    ]
    return due + called_in, ahead


def _earned(row: _Instalment, called: int) -> int:
    """Interest of an instalment that is earned until it is called in, rounded down."""
    if row.end <= row.start:
        return row.interest
    return row.interest * max(0, called - row.start) // (row.end - row.start)


def _principal_line(row: _Owed) -> Iterator[Line]:
    if row.open_principal:
        rule = ACCELERATED if row.called else PRINCIPAL
        yield _line(rule, row, "", "", row.principal, 0, 0, row.open_principal)


def _interest_line(row: _Owed) -> Iterator[Line]:
    if not row.open_interest:
        return
    if not row.called:
        yield _line(INTEREST, row, "", "", row.interest, 0, 0, row.open_interest)
        return
    first, last = _day_text(row.instalment.start + 1), _day_text(row.day)
    days = row.day - row.instalment.start
    yield _line(ACCRUED, row, first, last, row.instalment.interest, 0, days, row.open_interest)


def _charged(overdue: Sequence[_Owed], agreed: Terms, today: int) -> Iterator[Line]:
    """Penalty and compound interest, one line for each stretch of days with the same base."""
    for row in overdue:
        for rule, rate, amount, paid in (
            (PENALTY, agreed.penalty_bp, row.principal, [(part.day, part.principal) for part in row.paid]),
            (COMPOUND, agreed.compound_bp, row.interest, [(part.day, part.interest) for part in row.paid]),
        ):
            for start, end, base in _stretches(amount, paid, row.day, today):
                charge = base * rate * (end - start) // (B * agreed.day_count)
                if charge:
                    yield _line(rule, row, _day_text(start + 1), _day_text(end), base, rate, end - start, charge)


def _set_off(charged: Sequence[Line], ahead: int) -> Iterator[Line]:
    """What was paid ahead pays charges, compound interest before penalty."""
    for rule in (COMPOUND, PENALTY):
        for line in (line for line in charged if line.rule == rule):
            if paid := min(ahead, line.amount):
                ahead -= paid
                yield line._replace(first="", last="", base=paid, rate_bp=0, days=0, amount=-paid)


def _stretches(amount: int, paid: Sequence[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(day before the first, last day, base) of each stretch in which the same amount was overdue."""
    for day, part in paid:
        if day > start and part:
            if amount:
                yield start, day, amount
            start = day
        amount -= part
    if end > start and amount:
        yield start, end, amount


def _line(rule: str, row: _Owed, first: str, last: str, base: int, rate_bp: int, days: int, amount: int) -> Line:
    return Line(rule, row.instalment.disbursement, row.instalment.due, first, last, base, rate_bp, days, amount)


def _cost_line(cost: Cost) -> Line:
    return Line(COST, b"", cost.code, "", "", cost.amount, 0, 0, cost.amount, cost.text)


def _checked(costs: Sequence[Cost]) -> Sequence[Cost]:
    if len(costs) > MAX_COSTS:
        raise ContractError("WRONG_ARGUMENT", f"{len(costs)} costs are claimed: at most {MAX_COSTS} may be")
    for cost in costs:
        arguments.text(cost.code, "code of a cost")
        arguments.text(cost.text, "text of a cost")
        arguments.integer(cost.amount, f"cost {cost.code!r}", 1, INT64_MAX)
    return costs


def _payment(entry: Mapping[str, Any], zone: int) -> Payment:
    interest = sum(part[2] for part in entry["allocated"])
    return Payment(entry["id"], day_of(entry["paid_on"], zone), interest, entry["amount"] - interest)


def _call_day(agreed: Terms, text: str, today: int) -> int:
    called = _plain_day(text)
    if not agreed.acceleration:
        raise ContractError("NOT_ACCELERABLE", "the terms do not let the creditor call in what is not due yet")
    if called > today:
        raise ContractError(
            "NOT_ACCELERABLE", f"what is not due is called in on {text}: compute as of that day or later"
        )
    return called


def _not_later(text: str, what: str, today: int, zone: int) -> int:
    day = _day_number(text, zone)
    if day > today:
        raise ContractError("CLAIM_TOO_EARLY", f"{what} is of {text}: compute as of that day or later")
    return day


def _plain_day(text: str) -> int:
    """Days from 1970-01-01 of a day YYYY-MM-DD, without a time of day. Raises ContractError WRONG_DATE."""
    if len(text) != _DATE_LENGTH:
        raise ContractError("WRONG_DATE", f"{text[:40]!r} is no day: write YYYY-MM-DD")
    return _day_number(text, 0)


def _day_number(text: str, zone: int) -> int:
    """Days from 1970-01-01 of a date, or of an instant's day in the zone. Raises ContractError WRONG_DATE."""
    return (moment(text, zone).first + zone * 60) // SECONDS_PER_DAY


def _day_text(day: int) -> str:
    year, month, date = civil_from_days(day)
    return f"{year:04d}-{month:02d}-{date:02d}"


def _order(entry: Mapping[str, Any]) -> tuple[int, bytes]:
    """The state's entries in the order of their blocks, whatever order they came in."""
    return entry["height"], entry["id"]


def _sum(lines: Sequence[Line], *rules: str) -> int:
    return sum(line.amount for line in lines if line.rule in rules)


def _differ(rule: str) -> ContractError:
    return ContractError("AMOUNTS_DIFFER", rule)
