"""Decimal numbers as they stand in documents ("1234.50"), read into integers. No float anywhere.

A `Scaled` is exact: units * 10**-scale. Comparisons between numbers of different scales bring both to the
larger one, so nothing is rounded unless a function's name or docstring says which way.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_DIGITS = 36
_DECIMAL = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")


class DecimalError(ValueError):
    """The text is not a plain decimal number, or it does not fit the scale asked for."""


class Scaled(NamedTuple):
    """units * 10**-scale, scale >= 0."""

    units: int
    scale: int


NOTHING = Scaled(0, 0)


def parse(text: str) -> Scaled:
    """Exact value of a plain decimal: optional sign, digits, optional fraction. No exponent, no separators.

    Raises DecimalError for anything else, and for more than 36 digits. ASCII digits only: what looks like a
    number in another script is text.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise DecimalError(f"{text[:40]!r} is not a plain decimal number such as 1234.50")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(whole) + len(fraction) > MAX_DIGITS:
        raise DecimalError(f"a number of more than {MAX_DIGITS} digits: shorten it")
    units = int(whole + fraction)
    return Scaled(-units if sign == "-" else units, len(fraction))


def parse_or_none(text: object) -> Scaled | None:
    """Like `parse`, but None for what is absent, empty or no number."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return parse(text)
    except DecimalError:
        return None


def at_scale(value: Scaled, scale: int) -> int:
    """Units at a scale that is at least the value's own: exact. Raises DecimalError when digits would be lost."""
    if scale >= value.scale:
        return value.units * int(10 ** (scale - value.scale))
    divisor = int(10 ** (value.scale - scale))
    whole, rest = divmod(value.units, divisor)
    if rest:
        raise DecimalError(f"{render(value)} has more than {scale} decimal places")
    return whole


def floor_at_scale(value: Scaled, scale: int) -> int:
    """Units at a scale, rounded towards minus infinity: for what is granted or owned."""
    if scale >= value.scale:
        return value.units * int(10 ** (scale - value.scale))
    return value.units // int(10 ** (value.scale - scale))


def ceil_at_scale(value: Scaled, scale: int) -> int:
    """Units at a scale, rounded towards plus infinity: for what is owed or deducted."""
    return -floor_at_scale(Scaled(-value.units, value.scale), scale)


def add(left: Scaled, right: Scaled) -> Scaled:
    """Exact sum, at the larger scale of the two."""
    scale = max(left.scale, right.scale)
    return Scaled(at_scale(left, scale) + at_scale(right, scale), scale)


def subtract(left: Scaled, right: Scaled) -> Scaled:
    """Exact difference, at the larger scale of the two."""
    return add(left, Scaled(-right.units, right.scale))


def multiply(left: Scaled, right: Scaled) -> Scaled:
    """Exact product."""
    return Scaled(left.units * right.units, left.scale + right.scale)


def exceeds(value: Scaled, bound: Scaled, tolerance_bp: int, slack: Scaled = NOTHING) -> bool:
    """True when value > bound + |bound| * tolerance_bp / 10 000 + slack, compared exactly."""
    scale = max(value.scale, bound.scale, slack.scale)
    limit = at_scale(bound, scale)
    allowed = (limit + at_scale(slack, scale)) * 10_000 + abs(limit) * tolerance_bp
    return at_scale(value, scale) * 10_000 > allowed


def differs(left: Scaled, right: Scaled, tolerance_bp: int, slack: Scaled = NOTHING) -> bool:
    """True when |left - right| > |right| * tolerance_bp / 10 000 + slack, compared exactly."""
    scale = max(left.scale, right.scale, slack.scale)
    ours, theirs = at_scale(left, scale), at_scale(right, scale)
    return abs(ours - theirs) * 10_000 > abs(theirs) * tolerance_bp + at_scale(slack, scale) * 10_000


def render(value: Scaled) -> str:
    """Plain decimal text without trailing zeros in the fraction: Scaled(12050, 2) -> "120.5"."""
    digits = str(abs(value.units)).rjust(value.scale + 1, "0")
    whole, fraction = (digits, "") if value.scale == 0 else (digits[: -value.scale], digits[-value.scale :])
    fraction = fraction.rstrip("0")
    text = f"{whole}.{fraction}" if fraction else whole
    return f"-{text}" if value.units < 0 else text


def reread(text: str) -> Scaled:
    """What `render` wrote: a running sum or product, however many digits it has come to."""
    whole, _, fraction = text.partition(".")
    return Scaled(int(whole + fraction), len(fraction))
