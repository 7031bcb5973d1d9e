"""Amounts in capitals by the central bank's own examples, and read back; rates and days."""

from __future__ import annotations

import random

import pytest

from tallystick.litigation import LitigationError, figures

_DIGITS = {capital: value for value, capital in enumerate(figures.CAPITALS)}
_PLACES = {"拾": 10, "佰": 100, "仟": 1_000}
_GROUPS = {"万": 10**4, "亿": 10**8}


def read(text: str) -> int:
    """An amount in capitals as minor units of a hundredth: place by place, as a person reads it."""
    total = group = digit = 0
    parts = {"角": 10, "分": 1}
    cents = 0
    for character in text.removesuffix("整"):
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character in _PLACES:
            group, digit = group + digit * _PLACES[character], 0
        elif character in _GROUPS:
            value = group + digit
            total = (total + value) * _GROUPS[character] if value == 0 else total + value * _GROUPS[character]
            group = digit = 0
        elif character == "元":
            total, group, digit = total + group + digit, 0, 0
        else:
            cents, digit = cents + digit * parts[character], 0
    return total * 100 + cents


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        # 支付结算办法, annex 1
        (140_950, "壹仟肆佰零玖元伍角整"),
        (600_714, "陆仟零柒元壹角肆分"),
        (168_032, "壹仟陆佰捌拾元叁角贰分"),
        (10_700_053, "壹拾万柒仟元伍角叁分"),
        (1_640_902, "壹万陆仟肆佰零玖元零贰分"),
        (32_504, "叁佰贰拾伍元零肆分"),
        # and the borders
        (0, "零元整"),
        (5, "伍分"),
        (50, "伍角整"),
        (100, "壹元整"),
        (101, "壹元零壹分"),
        (1_000, "壹拾元整"),
        (100_000_000, "壹佰万元整"),
        (100_050_000, "壹佰万零伍佰元整"),
        (10_000_000_000, "壹亿元整"),
        (1_000_001_000_000, "壹佰亿零壹万元整"),
        (123_456_789_012, "壹拾贰亿叁仟肆佰伍拾陆万柒仟捌佰玖拾元壹角贰分"),
    ],
)
def test_capitals(amount: int, text: str) -> None:
    assert figures.capitals(amount, 2) == text
    assert read(text) == amount


def test_capitals_read_back() -> None:
    """20,000 amounts, of all lengths and with runs of zeros, say the number they were made of."""
    chance = random.Random(20261124)
    for _ in range(20_000):
        digits = "".join(chance.choice("000123456789") for _ in range(chance.randint(1, 13)))
        text = figures.capitals(int(digits), 2)
        assert read(text) == int(digits), text
        assert "零零" not in text
        assert not text.startswith("零") or text == "零元整"


@pytest.mark.parametrize(("amount", "scale", "text"), [(7, 0, "柒元整"), (1_234, 3, "壹元贰角叁分肆厘")])
def test_capitals_of_other_units(amount: int, scale: int, text: str) -> None:
    assert figures.capitals(amount, scale) == text


@pytest.mark.parametrize(("amount", "scale"), [(-1, 2), (10**20, 2), (1, 5), (1, -1)])
def test_capitals_refused(amount: int, scale: int) -> None:
    with pytest.raises(LitigationError) as raised:
        figures.capitals(amount, scale)
    assert raised.value.code == "AMOUNT_NOT_WRITABLE"


def test_numbers_rates_days_hashes() -> None:
    assert [figures.number(*pair) for pair in ((123_456_789, 2), (5, 2), (-5, 2), (1_000, 0))] == [
        "1,234,567.89",
        "0.05",
        "-0.05",
        "1,000",
    ]
    assert [figures.rate(points) for points in (0, 5, 680, 1_000, 1_025)] == ["0%", "0.05%", "6.8%", "10%", "10.25%"]
    assert [figures.day("2026-03-04", language) for language in ("zh", "en")] == ["2026年3月4日", "4 March 2026"]
    assert figures.day("", "zh") == ""
    assert figures.grouped(bytes(range(8))) == "00010203 04050607"
