"""Times and amounts as text, the same everywhere: no locale, no clock."""

from __future__ import annotations

from contracts.record import SECONDS_PER_DAY, civil_from_days


def moment(ms: int) -> str:
    """An instant in UTC: "2026-06-15 10:00:00 UTC"."""
    days, second = divmod(ms // 1_000, SECONDS_PER_DAY)
    year, month, day = civil_from_days(days)
    hour, rest = divmod(second, 3_600)
    return f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{rest // 60:02d}:{rest % 60:02d} UTC"


def amount(units: int, scale: int, currency: str = "") -> str:
    """Minor units with decimals: (123456, 2, "CNY") -> "1234.56 CNY"."""
    sign, digits = "-" if units < 0 else "", str(abs(units)).rjust(scale + 1, "0")
    whole, part = (digits, "") if scale == 0 else (digits[:-scale], digits[-scale:])
    return f"{sign}{whole}" + (f".{part}" if part else "") + (f" {currency}" if currency else "")
