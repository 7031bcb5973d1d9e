"""Periods: the consortium's own calendar, by block time ([20]: "periodically"; [23], [24]: "per period").

Periods are numbered from 1 and never overlap. A record sealed in block h belongs to the period that was open in the
state of h - 1, which is the same for every member's chain; the consortium's hook of the first block at or past the
end of a period closes it, with all records of that block in it, and opens the next. So a record belongs to exactly
one period, and a closed one gets no further records.

Length: the parameter credit_period_s, in seconds from the Unix epoch; 0 is the calendar month in UTC. A change by
vote counts from the next period on.

State, on the consortium chain, in the credit contract's namespace: ("period",) -> {number, start, end}, ms.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from contracts import gov
from contracts.access import CONSORTIUM
from contracts.context import Context
from contracts.record import SECONDS_PER_DAY, civil_from_days, days_from_civil

MS: Final = 1_000
PARAMETER: Final = "credit_period_s"


class Period(NamedTuple):
    """One period: [start, end) in ms of block time."""

    number: int
    start: int
    end: int


def current(ctx: Context) -> Period:
    """The open period as this transaction sees it: a member transaction sees that of h - 1."""
    entry = ctx.read(CONSORTIUM, "credit", "period")
    return Period(entry["number"], entry["start"], entry["end"])


def open_first(ctx: Context, time_ms: int, length_s: int) -> None:
    """Genesis: period 1 holds the founding time."""
    _open(ctx, 1, time_ms, length_s)


def close_if_over(ctx: Context) -> Period | None:
    """In the credit contract's begin_block: the period that ends with this block, or None. Opens the next one.

    A silent stretch of several periods' length closes one period only: the next one is that of the block time.
    """
    period = current(ctx)
    if ctx.time < period.end:
        return None
    _open(ctx, period.number + 1, ctx.time, gov.parameters(ctx).get(PARAMETER, 0))
    return period


def bounds(time_ms: int, length_s: int) -> tuple[int, int]:
    """[start, end) in ms of the period of this length that holds a time; length 0 is the calendar month in UTC."""
    if length_s > 0:
        start = time_ms // (length_s * MS) * length_s * MS
        return start, start + length_s * MS
    year, month, _ = civil_from_days(time_ms // (SECONDS_PER_DAY * MS))
    following = (year, month + 1) if month < 12 else (year + 1, 1)
    first, past = days_from_civil(year, month, 1), days_from_civil(*following, 1)
    return first * SECONDS_PER_DAY * MS, past * SECONDS_PER_DAY * MS


def _open(ctx: Context, number: int, time_ms: int, length_s: int) -> None:
    start, end = bounds(time_ms, length_s)
    ctx.put("period", value={"number": number, "start": start, "end": end})
