"""Nearest neighbours: numpy and the definition agree to the last unit, and no float is anywhere near."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import neighbours
from contracts.neighbours import MAX_VALUE, Packed, Scale, lower_median, pack, unpack
from contracts.statistics import B

CONTRACTS = Path(neighbours.__file__).parent
FILES = ("neighbours", "market", "market_schema", "match", "preferences", "products", "profile")

values = st.integers(0, MAX_VALUE) | st.integers(0, 300)


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[Packed], list[Scale], list[int | None], int]:
    rows = draw(st.integers(1, 40))
    columns, scales, query = [], [], []
    for _ in range(draw(st.integers(1, 5))):
        coded, log = draw(st.booleans()), draw(st.booleans())
        top = 3_390 if log and not coded else MAX_VALUE
        low = draw(st.integers(0, top - 1) | st.integers(0, 50))
        high = draw(st.integers(low + 1, top))
        scales.append(Scale(coded, log and not coded, low, high, draw(st.integers(0, neighbours.MAX_WEIGHT))))
        columns.append(pack(draw(st.lists(values, min_size=rows, max_size=rows))))
        query.append(draw(st.none() | values))
    return columns, scales, query, rows


@given(searches())
@settings(max_examples=300, deadline=None)
def test_numpy_gives_what_the_definition_gives(
    search: tuple[list[Packed], list[Scale], list[int | None], int],
) -> None:
    assert neighbours.ranked(*search) == neighbours.ranked_exact(*search)


def test_without_numpy_the_results_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pack([5, 9, 1, 200, 77])
    search = ([column], [Scale(False, True, 0, 500, 3)], [8], 5)
    expected = neighbours.ranked(*search)
    monkeypatch.setattr(neighbours, "_numpy", lambda: None)
    assert neighbours.ranked(*search) == expected


@given(st.lists(values, max_size=30))
def test_a_column_unpacks_to_what_was_packed(given_values: list[int]) -> None:
    packed = pack(given_values)
    assert unpack(packed) == given_values
    assert len(packed.data) == packed.width * len(given_values)


@given(values)
def test_log_step_is_the_whole_part_of_64_times_the_logarithm(value: int) -> None:
    step = neighbours.log_step(value)
    assert 2**step <= (value + 1) ** 64 < 2 ** (step + 1)


def test_positions_are_clamped_between_the_frozen_bounds() -> None:
    scale = Scale(False, False, 100, 300, 1)
    assert [neighbours.position(value, scale) for value in (0, 100, 199, 300, 999)] == [0, 0, 4_950, B, B]


def test_equal_distances_keep_the_order_of_the_data() -> None:
    found = neighbours.ranked([pack([7, 5, 7, 5, 6])], [Scale(False, False, 0, 10, 1)], [6], 5)
    assert found.order == [4, 0, 1, 2, 3]
    assert found.distances == [1_000_000, 1_000_000, 1_000_000, 1_000_000, 0]


def test_a_code_that_differs_is_as_far_as_the_ends_of_a_scale() -> None:
    found = neighbours.ranked([pack([0, 1, 2])], [Scale(True, False, 0, 1, 5)], [1], 3)
    assert found.distances == [5 * B * B, 0, 5 * B * B]


def test_an_unknown_feature_counts_for_nobody() -> None:
    columns, scales = [pack([1, 9]), pack([9, 1])], [Scale(False, False, 0, 10, 1), Scale(False, False, 0, 10, 1)]
    assert neighbours.ranked(columns, scales, [None, 1], 2).order == [1, 0]


def test_bounds_that_could_overflow_take_the_exact_way() -> None:
    wide = [Scale(False, False, 0, MAX_VALUE, neighbours.MAX_WEIGHT)]
    search = ([pack([MAX_VALUE, 0, MAX_VALUE // 2])], wide, [MAX_VALUE], 3)
    assert neighbours.ranked(*search) == neighbours.ranked_exact(*search)
    assert neighbours.ranked(*search).distances == [0, 10**12, 10**4 * 5_000**2]


@pytest.mark.parametrize(("given_values", "median"), [([3], 3), ([9, 1], 1), ([5, 1, 9], 5), ([4, 3, 2, 1], 2)])
def test_the_lower_median_is_the_lower_one_of_two(given_values: list[int], median: int) -> None:
    assert lower_median(given_values) == median


@pytest.mark.parametrize("name", FILES)
def test_no_float_division_or_float_stands_in_the_contracts(name: str) -> None:
    tree = ast.parse((CONTRACTS / f"{name}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert not (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
        assert not (isinstance(node, ast.Name) and node.id == "float")
