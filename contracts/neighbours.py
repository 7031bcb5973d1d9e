"""Nearest neighbours in exact integers (DOMAIN 9): scaled features, weighted squared distances, a fixed order.

Each step has its definition in Python ints; numpy on int64 gives the same numbers faster and is taken only where
the bounds say that nothing overflows. A feature's value becomes a position from 0 to B between two frozen bounds,
on a logarithmic scale where the feature asks for it; the distance of two records is

    sum over features of weight * (position - position')**2,    a code that differs counts as B apart.

A feature that the query lacks leaves the sum for every record alike. Records of one distance keep their order in the
data, which is that of their hashes.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import isqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contracts.statistics import INT64_MAX, B

if TYPE_CHECKING:
    from types import ModuleType

STEPS_PER_DOUBLING: Final = 64
MAX_VALUE: Final = 2**53
MAX_WEIGHT: Final = 10_000
WIDTHS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}  # bytes of a packed value → its letter for struct


class Scale(NamedTuple):
    """How a feature is compared. low < high are frozen bounds, in log steps where `log`; codes need neither."""

    coded: bool
    log: bool
    low: int
    high: int
    weight: int


class Packed(NamedTuple):
    """A column of unsigned integers, each `width` bytes, big-endian."""

    data: bytes
    width: int


class Ranked(NamedTuple):
    """Places of the records, nearest first, and the distance of each record by place."""

    order: list[int]
    distances: list[int]


def pack(values: Sequence[int]) -> Packed:
    """Values from 0 to 2**53 in the smallest width that holds the largest."""
    largest = max(values, default=0)
    width = next(width for width in WIDTHS if largest < 1 << 8 * width)
    return Packed(struct.pack(f">{len(values)}{WIDTHS[width]}", *values), width)


def unpack(column: Packed) -> list[int]:
    """The values of a column."""
    data, width = column
    return list(struct.unpack(f">{len(data) // width}{WIDTHS[width]}", data))


@lru_cache(maxsize=1)
def _steps() -> tuple[int, ...]:
    """Smallest integer of each log step: entry j is ceil(2**(j/64)).

    floor(2**(r/64) * 2**64) is six nested integer square roots of 2**(r + 64*64), and exact; shifting it gives the
    floor of every doubling, below which only the whole powers are their own ceiling.
    """
    found = []
    roots = [1 << rest + 64 * 64 for rest in range(STEPS_PER_DOUBLING)]
    for _ in range(6):  # 64 = 2**6
        roots = [isqrt(root) for root in roots]
    for doubling in range(54):
        found += [(root >> 64 - doubling) + (rest != 0) for rest, root in enumerate(roots)]
    return tuple(found)


def log_step(value: int) -> int:
    """floor(64 * log2(value + 1)) for 0 <= value <= 2**53: the scale on which amounts and counts are compared."""
    return bisect_right(_steps(), value + 1) - 1


def position(value: int, scale: Scale) -> int:
    """Where a value lies between the frozen bounds, 0 to B, rounded down; codes are themselves."""
    if scale.coded:
        return value
    raw = log_step(value) if scale.log else value
    return (min(max(raw, scale.low), scale.high) - scale.low) * B // (scale.high - scale.low)


def distance(ours: int, theirs: int, scale: Scale) -> int:
    """A feature's part of the distance, from two positions."""
    if scale.coded:
        return scale.weight * (0 if ours == theirs else B * B)
    return scale.weight * (ours - theirs) * (ours - theirs)


def ranked_exact(
    columns: Sequence[Packed], scales: Sequence[Scale], query: Sequence[int | None], rows: int
) -> Ranked:
    """`ranked` in Python ints: the definition."""
    sums = [0] * rows
    for column, scale, asked in zip(columns, scales, query, strict=True):
        if asked is None or not scale.weight:
            continue
        here = position(asked, scale)
        for place, value in enumerate(unpack(column)):
            sums[place] += distance(here, position(value, scale), scale)
    return Ranked(sorted(range(rows), key=sums.__getitem__), sums)


def ranked(columns: Sequence[Packed], scales: Sequence[Scale], query: Sequence[int | None], rows: int) -> Ranked:
    """All records by distance from a query (None: unknown there), nearest first, equal ones as they stand.

    columns, scales and query go together; values and query lie within 0 .. 2**53.
    """
    numpy = _numpy()
    if numpy is None or not _bounded(scales):
        return ranked_exact(columns, scales, query, rows)
    sums = numpy.zeros(rows, dtype=numpy.int64)
    for column, scale, asked in zip(columns, scales, query, strict=True):
        if asked is None or not scale.weight:
            continue
        apart = _positions(numpy, column, scale) - numpy.int64(position(asked, scale))
        if scale.coded:
            sums += (apart != 0).astype(numpy.int64) * numpy.int64(scale.weight * B * B)
        else:
            sums += apart * apart * numpy.int64(scale.weight)
    return Ranked(numpy.argsort(sums, kind="stable").tolist(), sums.tolist())


def lower_median(values: Iterable[int]) -> int:
    """The middle of the values in order, the lower one of two. There must be one."""
    found = sorted(values)
    return found[(len(found) - 1) // 2]


def _bounded(scales: Sequence[Scale]) -> bool:
    """Whether no sum, square or scaled value can leave int64."""
    widest = max((scale.high - scale.low for scale in scales if not scale.coded), default=0)
    return widest * B <= INT64_MAX and sum(scale.weight for scale in scales) * B * B <= INT64_MAX


def _positions(numpy: ModuleType, column: Packed, scale: Scale) -> Any:
    """int64 positions of a column, as `position` gives them."""
    values = numpy.frombuffer(column.data, dtype=f">u{column.width}").astype(numpy.int64)
    if scale.coded:
        return values
    if scale.log:
        values = numpy.searchsorted(_steps_array(), values + 1, side="right") - 1
    return (numpy.clip(values, scale.low, scale.high) - scale.low) * B // (scale.high - scale.low)


@lru_cache(maxsize=1)
def _steps_array() -> Any:
    import numpy

    return numpy.array(_steps(), dtype=numpy.int64)


def _numpy() -> ModuleType | None:
    """numpy where it is installed; without it the results are the same."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy
