"""The initial limit from the text of [19] and DOMAIN 6, not from the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import model as credit_model
from contracts.errors import ContractError
from contracts.limits import Guarantee, initial_limit
from contracts.ratings import composite, grade
from contracts.statistics import B

MODEL_FILE = Path(__file__).resolve().parents[2] / "genesis" / "models" / "standard-1.json"
rates = st.integers(0, B)
amounts = st.integers(0, 10**15)
guarantee_lists = st.lists(st.builds(Guarantee, amounts, rates), max_size=4).map(tuple)
caps = st.one_of(st.none(), amounts)


def standard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(MODEL_FILE.read_text())
    return document


def test_worked_example() -> None:
    # C' = 100 000.00 less 10 000.00 prepaid = 90 000.00 -> 9 000 000 pence; adv 70 %, q 90 %:
    # 9 000 000 * 7 000 * 9 000 // 100 000 000 = 5 670 000
    # guarantee 20 000.01 at 85 %: 2 000 001 * 8 500 // 10 000 = 1 700 000 (…000.85 rounded down)
    # L0 = min(5 670 000 + 1 700 000, 9 000 000, 50 000 000) = 7 370 000
    result = initial_limit(9_000_000, 7_000, 9_000, (Guarantee(2_000_001, 8_500),), 50_000_000)
    assert (result.from_contract, result.from_guarantees) == (5_670_000, 1_700_000)
    assert (result.limit, result.bound) == (7_370_000, "formula")


def test_the_contract_amount_and_the_obligor_cap_bound_it() -> None:
    guarantee = (Guarantee(9_000_000, 9_000),)
    assert initial_limit(1_000_000, 8_000, B, guarantee, None)[:1] == (1_000_000,)
    assert initial_limit(1_000_000, 8_000, B, guarantee, None).bound == "contract"
    assert initial_limit(1_000_000, 8_000, B, guarantee, 300_000).limit == 300_000
    assert initial_limit(1_000_000, 8_000, B, guarantee, 300_000).bound == "obligor_cap"


@given(amounts, rates, rates, guarantee_lists, caps)
def test_never_more_than_the_contract_or_the_cap(
    net: int, advance: int, q: int, guarantees: tuple[Guarantee, ...], cap: int | None
) -> None:
    limit = initial_limit(net, advance, q, guarantees, cap).limit
    assert type(limit) is int
    assert 0 <= limit <= net
    assert cap is None or limit <= cap


@given(amounts, rates, rates, rates, guarantee_lists, caps)
def test_a_better_grade_or_qualification_never_lowers_it(
    net: int, low: int, high: int, q: int, guarantees: tuple[Guarantee, ...], cap: int | None
) -> None:
    low, high = sorted((low, high))
    assert initial_limit(net, low, q, guarantees, cap).limit <= initial_limit(net, high, q, guarantees, cap).limit
    assert initial_limit(net, q, low, guarantees, cap).limit <= initial_limit(net, q, high, guarantees, cap).limit


@pytest.mark.parametrize("arguments", [(-1, 0, 0), (1, -1, 0), (1, B + 1, 0), (1, 0, B + 1)])
def test_what_lies_outside_its_range_is_an_error(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"negative|must lie in"):
        initial_limit(*arguments, (), None)


@given(
    st.fixed_dictionaries({name: st.integers(0, B) for name in ("conformity", "accuracy", "truth")}),
    st.integers(0, 10**7),
    st.sampled_from(["conformity", "accuracy", "truth", "timeliness"]),
    st.integers(0, B),
)
def test_a_better_measure_never_lowers_the_limit(shares: dict[str, int], delay: int, which: str, by: int) -> None:
    """Through bands, composite and advance rate of the shipped model: monotone in every rating."""
    model = credit_model.parse(standard())

    def limit(measures: dict[str, int]) -> int:
        rated = {name: grade(value, model.bands[name]).band.points for name, value in measures.items()}
        combined = composite([(model.weights[name], points) for name, points in rated.items()])
        assert combined is not None
        return initial_limit(10_000_000, credit_model.advance(model, combined).advance_bp, 9_000, (), None).limit

    measures = {**shares, "timeliness": delay}
    better = dict(measures)
    better[which] = max(0, delay - by * 100) if which == "timeliness" else min(B, shares[which] + by)
    assert limit(better) >= limit(measures)


def test_the_shipped_model_is_sound() -> None:
    model = credit_model.parse(standard())
    assert model.import_window_days == 30
    assert sorted(model.fallback) == ["timeliness"]
    assert credit_model.advance(model, B).advance_bp > credit_model.advance(model, 0).advance_bp == 0


@given(st.integers(0, B), st.integers(0, B))
def test_a_higher_composite_never_earns_a_lower_advance(one: int, other: int) -> None:
    model = credit_model.parse(standard())
    low, high = sorted((one, other))
    assert credit_model.advance(model, low).advance_bp <= credit_model.advance(model, high).advance_bp


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("weights", "truth"), -1),
        (("weights", "truth"), True),
        (("weights", "charm"), 1),
        (("fallback", "timeliness"), "Z"),
        (("contract_floor_bp",), B + 1),
        (("haircuts", "A"), B + 1),
        (("composite",), []),
        (("bands", "accuracy"), [{"grade": "A", "low": 1, "high": None, "points": 0}]),
        (("bands", "accuracy"), [{"grade": "A", "low": 0, "high": 10, "points": 0}]),
        (
            ("bands", "accuracy"),
            [{"grade": "A", "low": 0, "high": 9, "points": 5}, {"grade": "B", "low": 10, "high": None, "points": 6}],
        ),
        (
            ("bands", "accuracy"),
            [{"grade": "A", "low": 0, "high": 9, "points": 9}, {"grade": "B", "low": 9, "high": None, "points": 6}],
        ),
        (("silent_periods",), 0),
        (("grace_days",), -1),
        (("stage_advance", "order"), B + 1),
        (("stage_advance", "warehouse"), 1),
        (("eligibility", "past_due_days"), "90"),
        (("eligibility", "confirmed_only"), 2),
        (("eligibility", "concentration_bp"), 0),
        (("eligibility",), {"past_due_days": 90}),
        (("delay_weights",), {"process": 0, "bill": 0}),
        (("version",), 1.0),
    ],
)
def test_a_model_that_does_not_hold_together_is_refused(path: tuple[str, ...], value: object) -> None:
    document = standard()
    target = document
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    with pytest.raises(ContractError) as refusal:
        credit_model.parse(document)
    assert refusal.value.code == "WRONG_MODEL"
