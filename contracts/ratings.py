"""The three ratings and their combination ([21]-[25], DOMAIN 1-5), as pure integer functions.

Ratios are basis points (B = 10 000 is 1). A value of None is NO_DATA: a zero denominator is never a rating.
Every division rounds against the borrower: shares down, delays up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from contracts.statistics import B


class Band(NamedTuple):
    """Half-open interval [low, high) of a measure; high None is unbounded. points in 0..B."""

    grade: str
    low: int
    high: int | None
    points: int


class Graded(NamedTuple):
    """A measure in its band. better: the neighbouring band that pays more, or None at the top."""

    value: int
    band: Band
    better: Band | None


class Delay(NamedTuple):
    """Sum of delays in seconds over a number of records."""

    seconds: int
    records: int


def share(part: int, whole: int) -> int | None:
    """B * part // whole (down: against the borrower), or None when whole is 0. 0 <= part <= whole."""
    return None if whole == 0 else B * part // whole


def conformity(weights: Iterable[tuple[int, int]]) -> int | None:
    """N = B * sum of weights present // sum of weights asked ([22], DOMAIN 1), in basis points.

    weights: (present, asked) of each process and bill record, in template weight units.
    """
    present = asked = 0
    for record_present, record_asked in weights:
        present += record_present
        asked += record_asked
    return share(present, asked)


def timeliness(process: Delay, bill: Delay, process_weight: int, bill_weight: int) -> int | None:
    """D in seconds ([23], DOMAIN 2): weighted mean of the two mean delays, every division rounded up.

    A class without records leaves the mean; both without are NO_DATA.
    """
    parts = [
        (-(-delay.seconds // delay.records), weight)
        for delay, weight in ((process, process_weight), (bill, bill_weight))
        if delay.records and weight
    ]
    if not parts:
        return None
    weights = sum(weight for _, weight in parts)
    return -(-sum(mean * weight for mean, weight in parts) // weights)


def accuracy(in_range: int | None, steady: int | None, range_weight: int, steady_weight: int) -> int | None:
    """A = (w1 * V1 + w2 * V2) // (w1 + w2) ([24], DOMAIN 3), in basis points.

    in_range: V1, share of process records with all fields in range. steady: V2, share of values within their
    fluctuation threshold. A share that is NO_DATA leaves the mean; both are NO_DATA together.
    """
    shares = ((in_range, range_weight), (steady, steady_weight))
    parts = [(value, weight) for value, weight in shares if value is not None and weight]
    if not parts:
        return None
    return sum(value * weight for value, weight in parts) // sum(weight for _, weight in parts)


def grade(value: int, bands: Sequence[Band]) -> Graded:
    """The band that holds a value >= 0 (DOMAIN 4). bands cover 0 upwards without gap or overlap."""
    for index, band in enumerate(bands):
        if band.low <= value and (band.high is None or value < band.high):
            neighbours = [bands[i] for i in (index - 1, index + 1) if 0 <= i < len(bands)]
            better = next((other for other in neighbours if other.points > band.points), None)
            return Graded(value, band, better)
    raise ValueError(f"no band holds {value}: the bands must cover 0 upwards")


def composite(points: Sequence[tuple[int, int]]) -> int | None:
    """R = sum(w * p) // sum(w) ([25], DOMAIN 5), in basis points. points: (weight, points) of each rating."""
    weights = sum(weight for weight, _ in points)
    if weights == 0:
        return None
    return sum(weight * value for weight, value in points) // weights
