"""Amounts, rates and days as a country's documents write them; pure text, no state.

Amounts in capitals follow the rules for filling in bills of the People's Bank of China (支付结算办法, annex 1): a
zero between digits is written once, 整 closes an amount that ends at the yuan or the tenth.
"""

from __future__ import annotations

from typing import Final

from tallystick.litigation.facts import LitigationError

CAPITALS: Final = "零壹贰叁肆伍陆柒捌玖"
_PLACES: Final = ("", "拾", "佰", "仟")
_GROUPS: Final = ("", "万", "亿", "万亿", "亿亿")
_PARTS: Final = ("角", "分", "厘", "毫")  # of a unit, by decimal place
MAX_AMOUNT: Final = 10**20
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def number(amount: int, scale: int) -> str:
    """Minor units with thousands separators: (123456789, 2) -> "1,234,567.89"."""
    sign, digits = "-" if amount < 0 else "", str(abs(amount)).rjust(scale + 1, "0")
    whole, part = (digits, "") if scale == 0 else (digits[:-scale], digits[-scale:])
    return f"{sign}{int(whole):,}" + (f".{part}" if part else "")


def capitals(amount: int, scale: int) -> str:
    """Minor units in Chinese capitals: (10700053, 2) -> "壹拾万柒仟元伍角叁分".

    Raises LitigationError AMOUNT_NOT_WRITABLE below 0, from 10**20 on, or with more than 4 decimal places.
    """
    if not 0 <= amount < MAX_AMOUNT or not 0 <= scale <= len(_PARTS):
        raise LitigationError(
            "AMOUNT_NOT_WRITABLE", f"{amount} with {scale} decimal places cannot be written in capitals"
        )
    unit = int(10**scale)
    whole, rest = divmod(amount, unit)
    parts = str(rest).rjust(scale, "0") if scale else ""
    text = _whole(whole) + "元" if whole else ""
    for place, digit in enumerate(parts):
        if digit != "0":
            text += CAPITALS[int(digit)] + _PARTS[place]
        elif text and not text.endswith("零") and parts[place:].strip("0"):
            text += "零"
    if not text:
        return "零元整"
    return text if scale >= 2 and parts[1:].strip("0") else text + "整"


def rate(basis_points: int) -> str:
    """A yearly rate: 1540 -> "15.4%"."""
    text = f"{basis_points // 100}.{basis_points % 100:02d}".rstrip("0").rstrip(".")
    return f"{text}%"


def day(text: str, language: str) -> str:
    """A day YYYY-MM-DD in words, "" for none: "2026年11月24日", "24 November 2026"."""
    if not text:
        return ""
    year, month, date = text[:4], int(text[5:7]), int(text[8:10])
    if language == "zh":
        return f"{int(year)}年{month}月{date}日"
    return f"{date} {_MONTHS[month - 1]} {int(year)}"


def grouped(digest: bytes) -> str:
    """A hash in hex, in groups of eight digits, so that it can be compared by eye and broken over lines."""
    text = digest.hex()
    return " ".join(text[start : start + 8] for start in range(0, len(text), 8))


def _whole(value: int) -> str:
    """A positive whole number: groups of four digits, a zero between non-zero digits written once."""
    groups = []
    while value:
        value, group = divmod(value, 10_000)
        groups.append(group)
    text = ""
    for position in range(len(groups) - 1, -1, -1):
        group = groups[position]
        if not group:
            continue
        if text and (group < 1_000 or groups[position + 1] == 0):
            text += "零"
        text += _group(group) + _GROUPS[position]
    return text


def _group(value: int) -> str:
    """1 to 9,999."""
    text, digits = "", str(value)
    for position, digit in enumerate(digits):
        if digit == "0":
            if digits[position:].strip("0") and not text.endswith("零"):
                text += "零"
        else:
            text += CAPITALS[int(digit)] + _PLACES[len(digits) - 1 - position]
    return text
