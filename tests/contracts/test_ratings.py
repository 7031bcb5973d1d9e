"""Ratings from the text of DOMAIN 1-5 and [21]-[25], not from the code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import decimal_text
from contracts.ratings import Band, Delay, accuracy, composite, conformity, grade, share, timeliness
from contracts.series import passes
from contracts.statistics import B

SHARE_BANDS = (
    Band("C", 0, 7_000, 4_000),
    Band("B", 7_000, 9_000, 7_000),
    Band("A", 9_000, None, 10_000),
)
DELAY_BANDS = (
    Band("A", 0, 86_400, 10_000),
    Band("B", 86_400, 864_000, 6_000),
    Band("C", 864_000, None, 0),
)


def test_conformity_weighs_the_fields_of_all_records_together() -> None:
    # Two records of weights (3, 2, 1); the first lacks the field of weight 1, the second that of weight 3:
    # N = 10 000 * ((3 + 2) + (2 + 1)) // (6 + 6) = 80 000 // 12 = 6 666
    assert conformity([(5, 6), (3, 6)]) == 6_666


def test_a_zero_denominator_is_no_data_never_a_rating() -> None:
    assert conformity([]) is None
    assert share(0, 0) is None
    assert timeliness(Delay(0, 0), Delay(0, 0), 1, 1) is None
    assert accuracy(None, None, 1, 1) is None
    assert composite([]) is None


def test_delay_is_rounded_up_twice_against_the_borrower() -> None:
    # process: ceil((10 + 11) / 2) = ceil(10.5) = 11; bills: ceil(100 / 3) = 34
    # D = ceil((2 * 11 + 1 * 34) / 3) = ceil(56 / 3) = ceil(18.67) = 19
    assert timeliness(Delay(21, 2), Delay(100, 3), 2, 1) == 19


def test_a_class_without_records_leaves_the_mean_delay() -> None:
    assert timeliness(Delay(21, 2), Delay(0, 0), 2, 1) == 11


def test_accuracy_is_the_weighted_mean_of_both_shares_rounded_down() -> None:
    # A = (2 * 10 000 + 1 * 9 999) // 3 = 29 999 // 3 = 9 999
    assert accuracy(10_000, 9_999, 2, 1) == 9_999
    assert accuracy(9_000, None, 2, 1) == 9_000


def test_bands_are_half_open() -> None:
    assert grade(6_999, SHARE_BANDS).band.grade == "C"
    assert grade(7_000, SHARE_BANDS).band.grade == "B"
    assert grade(8_999, SHARE_BANDS).band.grade == "B"
    assert grade(9_000, SHARE_BANDS).band.grade == "A"
    assert grade(86_399, DELAY_BANDS).band.grade == "A"
    assert grade(86_400, DELAY_BANDS).band.grade == "B"


def test_the_next_better_band_is_above_for_shares_and_below_for_delays() -> None:
    better = grade(7_500, SHARE_BANDS).better
    assert better is not None
    assert better.low == 9_000
    better = grade(90_000, DELAY_BANDS).better
    assert better is not None
    assert better.high == 86_400
    assert grade(9_500, SHARE_BANDS).better is None


def test_a_value_that_no_band_holds_is_an_error() -> None:
    with pytest.raises(ValueError, match="no band holds -1"):
        grade(-1, SHARE_BANDS)


def test_composite_is_the_weighted_mean_of_points_rounded_down() -> None:
    # R = (25 * 9 000 + 20 * 7 000 + 25 * 10 000 + 30 * 4 000) // 100 = 735 000 // 100 = 7 350
    assert composite([(25, 9_000), (20, 7_000), (25, 10_000), (30, 4_000)]) == 7_350


def test_a_step_passes_within_its_threshold_of_the_value_before() -> None:
    # theta = 10 %: 100 -> 110 moves 10 <= 10 passes; 110 -> 122 moves 12 > 11 fails; 122 -> 0 fails
    assert [passes(a, b, 1_000, 0) for a, b in ((100, 110), (110, 122), (122, 0))] == [True, False, False]
    # from 0 the floor epsilon = 50 allows a move of 5: 0 -> 5 passes, 0 -> 6 would not
    assert [passes(a, b, 1_000, 50) for a, b in ((0, 5), (0, 6))] == [True, False]


@given(st.integers(-(2**200), 2**200), st.integers(0, 10**7), st.integers(0, 2**100))
def test_a_step_is_judged_exactly_whatever_its_size(value: int, threshold_bp: int, floor: int) -> None:
    allowed = threshold_bp * max(abs(value), floor) // B
    assert passes(value, value + allowed, threshold_bp, floor)
    assert not passes(value, value - allowed - 1, threshold_bp, floor)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))))
def test_conformity_does_not_depend_on_order(pairs: list[tuple[int, int]]) -> None:
    weights = [(min(pair), max(pair)) for pair in pairs]
    shuffled = sorted(weights, key=lambda pair: (pair[1] * 7 + pair[0] * 13) % 101)
    value = conformity(weights)
    assert conformity(shuffled) == value
    assert value is None or 0 <= value <= B


@given(st.lists(st.integers(0, 10**9), min_size=1), st.lists(st.integers(0, 10**9), min_size=1))
def test_a_longer_delay_never_rates_better(process: list[int], bills: list[int]) -> None:
    billed = Delay(sum(bills), len(bills))
    before = timeliness(Delay(sum(process), len(process)), billed, 1, 1)
    after = timeliness(Delay(sum(process) + 1, len(process)), billed, 1, 1)
    assert before is not None
    assert after is not None
    assert after >= before
    assert grade(after, DELAY_BANDS).band.points <= grade(before, DELAY_BANDS).band.points


@given(st.integers(0, 10**12))
def test_every_value_lies_in_exactly_one_band(value: int) -> None:
    for bands in (SHARE_BANDS, DELAY_BANDS):
        holding = [band for band in bands if band.low <= value and (band.high is None or value < band.high)]
        assert holding == [grade(value, bands).band]


@pytest.mark.parametrize(
    ("text", "units", "scale"),
    [("100", 100, 0), ("1.50", 150, 2), ("-3.96", -396, 2), ("+0.275", 275, 3), ("000", 0, 0), ("-0.0", 0, 1)],
)
def test_decimal_text_is_read_exactly(text: str, units: int, scale: int) -> None:
    assert decimal_text.parse(text) == (units, scale)


NO_NUMBERS = ["", ".5", "5.", "1e3", "1,000", " 1", "１００", "NaN", "0x10", "1_000", "9" * 37, "--1", "1\n"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(decimal_text.DecimalError):
        decimal_text.parse(text)
    assert decimal_text.parse_or_none(text) is None


def test_rounding_is_named_and_exactness_is_the_default() -> None:
    value = decimal_text.parse("1.005")
    assert decimal_text.floor_at_scale(value, 2) == 100
    assert decimal_text.ceil_at_scale(value, 2) == 101
    assert decimal_text.floor_at_scale(decimal_text.parse("-1.005"), 2) == -101
    assert decimal_text.at_scale(decimal_text.parse("1.500"), 1) == 15
    with pytest.raises(decimal_text.DecimalError, match="more than 2 decimal places"):
        decimal_text.at_scale(value, 2)


@given(st.integers(-(10**15), 10**15), st.integers(0, 12))
def test_render_and_parse_are_inverse(units: int, scale: int) -> None:
    value = decimal_text.Scaled(units, scale)
    again = decimal_text.parse(decimal_text.render(value))
    assert again.units * 10**scale == units * 10**again.scale


def test_tolerances_are_compared_exactly() -> None:
    parse = decimal_text.parse
    # 0.5 % of 100 is 0.5: 100.5 is within, 100.51 is not
    assert not decimal_text.exceeds(parse("100.5"), parse("100"), 50)
    assert decimal_text.exceeds(parse("100.51"), parse("100"), 50)
    assert not decimal_text.differs(parse("99.5"), parse("100"), 50)
    assert decimal_text.differs(parse("99.49"), parse("100"), 50)
    assert not decimal_text.exceeds(parse("1.05"), parse("1"), 0, parse("0.05"))
