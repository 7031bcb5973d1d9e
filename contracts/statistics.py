"""Sums and shares over many records: numpy on int64 when every bound is checked, else exact Python ints.

Both ways give the same integers (tested against each other); numpy only makes long series cheap. No float
is made: every operation is integer addition, subtraction, multiplication, absolute value or comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType

B = 10_000
INT64_MAX = 2**63 - 1
NUMPY_FROM = 64  # below this many values, building the array costs more than the loop


class Counted(NamedTuple):
    """passed of judged; judged == 0 is NO_DATA."""

    passed: int
    judged: int


def _numpy() -> ModuleType | None:
    """numpy if it is installed. The light install has none, and its results are the same."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def total(values: Sequence[int]) -> int:
    """Exact sum of integers of any size."""
    if len(values) < NUMPY_FROM or max(map(abs, values)) * len(values) > INT64_MAX:
        return sum(values)
    numpy = _numpy()
    return sum(values) if numpy is None else int(numpy.array(values, dtype=numpy.int64).sum())


def fluctuation_exact(series: Sequence[int], threshold_bp: int, epsilon: int) -> Counted:
    """`fluctuation` in Python ints: the definition, and the way taken when int64 might overflow."""
    passed = 0
    for before, after in pairwise(series):
        if abs(after - before) * B <= threshold_bp * max(abs(before), epsilon):
            passed += 1
    return Counted(passed, max(len(series) - 1, 0))


def fluctuation(series: Sequence[int], threshold_bp: int, epsilon: int) -> Counted:
    """How many steps of one series stay within its fluctuation threshold ([24], DOMAIN 3: V2).

    series: values of one field in one unit, in event order. A step passes when
    |x_i - x_(i-1)| * B <= threshold_bp * max(|x_(i-1)|, epsilon); the first value is not judged.
    threshold_bp >= 0, epsilon >= 0.
    """
    if len(series) < NUMPY_FROM:
        return fluctuation_exact(series, threshold_bp, epsilon)
    largest = max(max(map(abs, series)), epsilon)
    # |a - b| <= 2 * largest, so these two products bound every intermediate value below.
    if 2 * largest * B > INT64_MAX or threshold_bp * largest > INT64_MAX:
        return fluctuation_exact(series, threshold_bp, epsilon)
    numpy = _numpy()
    if numpy is None:
        return fluctuation_exact(series, threshold_bp, epsilon)
    values = numpy.array(series, dtype=numpy.int64)
    moves = numpy.abs(values[1:] - values[:-1]) * numpy.int64(B)
    allowed = numpy.maximum(numpy.abs(values[:-1]), numpy.int64(epsilon)) * numpy.int64(threshold_bp)
    return Counted(int(numpy.count_nonzero(moves <= allowed)), len(series) - 1)
