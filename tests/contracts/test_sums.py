"""Running sums against a recomputation over all records, at every height: late records, corrections, other templates.

The recomputation is written again with the standard library and rational numbers, not with the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.codec import decode
from contracts import ordered
from contracts.aggregates import KEYS, PERIODS
from contracts.series import passes, thresholds, units
from tests.contracts import large_history
from tests.contracts.memory_context import CONSORTIUM, Ledger, key
from tests.contracts.small_consortium import DAY, TEMPLATE, adopt, consortium, record, record_id, submit

WEIGHT = {"type": "decimal", "weight": 2, "scale": 3, "min": "0.5", "max": "100"}
COLUMNS = {
    "quantity": {"min": "1", "max": "1000", "fluctuation_bp": 5_000, "epsilon": "10"},
    "price": {"fluctuation_bp": 1_000},
}


def template(version: int) -> dict[str, Any]:
    """Versions 1 and 2 judge alike and lie in other time zones; version 3 has a wider threshold."""
    weight = {
        **WEIGHT,
        "fluctuation_bp": 30_000 if version == 3 else 20_000,
        "epsilon": "0.50" if version == 2 else "0.5",
    }
    despatch = TEMPLATE["kinds"]["despatch"]
    fields = {
        **despatch["fields"],
        "weight_kg": weight,
        "currency": {"type": "code", "weight": 1},
        "lines": {"type": "lines", "weight": 4, "columns": COLUMNS},
    }
    kinds = {**TEMPLATE["kinds"], "despatch": {**despatch, "fields": fields}}
    return {**TEMPLATE, "version": version, "time_zone_minutes": -300 if version == 2 else 0, "kinds": kinds}


DATES = ("2025-11-30", "2025-12-30", "2025-12-30", "2025-12-31T12:00:00Z", "2026-01-01")
QUANTITIES = ("1", "10", "14.9", "15", "15.01", "1000", "")
PRICES = ("1.00", "1.1", "1.1001", "123456789012345678901234567890.5", "")


def step_of(chance: Random) -> dict[str, Any]:
    """One record to come: mostly of one enterprise and series, so that there are steps to judge."""
    rows = [
        (chance.choice(("bolt", "bolt", "nut", "")), chance.choice(QUANTITIES), chance.choice(("EA", "EA", "KG")),
         chance.choice(PRICES))
        for _ in range(chance.choice((0, 1, 2, 3)))
    ]  # fmt: skip
    return {
        "kind": chance.choice(("despatch", "despatch", "despatch", "invoice")),
        "number": str(chance.randrange(20)),
        "enterprise": chance.choice(("E1", "E1", "E1", "E2")),
        "counterparty": chance.choice(("B1", "B1", "B1", "B2")),
        "contract": chance.choice(("", "", "C1")),
        "date": chance.choice(DATES),
        "version": chance.choice((1, 1, 1, 2, 3)),
        "currency": chance.choice((None, None, None, "EUR")),
        "value": chance.choice(("0", "1", "1.5", "2", "3.000", "9", "40", "99.999", "250", "-4", None)),
        "rows": rows,
        "wait": chance.choice((1, DAY, 20 * DAY)),
        "period": chance.random() < 0.3,
        "joined": chance.random() < 0.4,
        "stale": chance.random() < 0.05,
    }


class Sealed(NamedTuple):
    """A latest version, as the test remembers it."""

    step: dict[str, Any]
    id: bytes
    time: int
    period: int
    historical: bool
    fields: dict[str, Any]


def fields_of(step: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"issue_date": "2025-12-31"}
    if step["currency"] is not None:
        fields["currency"] = step["currency"]
    if step["kind"] == "invoice":
        return fields if step["value"] is None else {**fields, "total": step["value"][:5]}
    if step["value"] is not None:
        fields["weight_kg"] = step["value"]
    if step["rows"]:
        fields["lines"] = [["", item, quantity, unit, price, ""] for item, quantity, unit, price in step["rows"]]
    return fields


@pytest.mark.parametrize("seed", range(30))
def test_running_sums_equal_a_recomputation_at_every_height(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered, "PAGE", 32 if seed % 2 else 3)  # small pages: many divided, many emptied
    judged = history(Random(seed), length=60)
    assert judged > 3, "a history that shows nothing"


def history(chance: Random, length: int) -> int:
    """One random history, checked at every height; gives the number of steps judged at its end."""
    steps = [step_of(chance) for _ in range(length)]
    onboard = chance.randrange(6)
    ledger = consortium()
    for version in (1, 2, 3):
        adopt(ledger, template(version))
    ledger.next_block(after_ms=2 * DAY)
    latest: dict[tuple[str, str], Sealed] = {}
    onboarded: int | None = None
    batch: list[tuple[tuple[str, str], Sealed, bytes]] = []
    for index, step in enumerate(steps):
        if not step["joined"] or not batch:
            batch = []
            known_at = onboarded
            if step["period"]:
                entry = ledger.read(CONSORTIUM, "credit", "period")
                ledger.seed(CONSORTIUM, "credit", "period", value={**entry, "number": entry["number"] + 1})
            ledger.next_block(after_ms=step["wait"])
            if index >= onboard and onboarded is None:
                party = {"id": "e1", "name": "E1", "identifiers": ["E1"]}
                assert ledger.call(CONSORTIUM, "registry.register_party", party, [key("erp")]).ok
                onboarded = ledger.time
        period = ledger.read(CONSORTIUM, "credit", "period")["number"]
        made = made_of(step, latest, batch, known_at, ledger.time, period)
        batch.append(made)
        following = steps[index + 1] if index + 1 < len(steps) else None
        if following is None or not following["joined"]:
            if submit(ledger, [data for _, _, data in batch]).ok:
                for place, sealed, _ in batch:
                    if place not in latest or latest[place].id != sealed.id:
                        latest[place] = sealed
            batch = []
            check(ledger, latest)
    sums = [ledger.read("erp", "records", "sums", enterprise) for enterprise in ("E1", "E2")]
    return sum(entry["total"][KEYS.index("steps_judged")] for entry in sums if entry is not None)


def made_of(
    step: dict[str, Any],
    latest: dict[tuple[str, str], Sealed],
    batch: list[tuple[tuple[str, str], Sealed, bytes]],
    known_at: int | None,
    time: int,
    period: int,
) -> tuple[tuple[str, str], Sealed, bytes]:
    place = (step["kind"], step["number"])
    before = {**latest, **{other: sealed for other, sealed, _ in batch}}.get(place)
    corrects = None
    if before is not None:
        corrects = bytes(32) if step["stale"] else before.id
        step = {**step, "enterprise": before.step["enterprise"]}
    fields = fields_of(step)
    data = record(
        *place, fields, occurred_at=step["date"], enterprise=step["enterprise"], counterparty=step["counterparty"],
        template_version=step["version"], corrects=corrects,
        links=[["contract", "B1", step["contract"]]] if step["contract"] else [],
    )  # fmt: skip
    end = last_second(step) * 1_000
    historical = known_at is not None and step["enterprise"] == "E1" and end <= known_at < time <= known_at + 30 * DAY
    return place, Sealed(step, record_id(data), time, period, historical, fields), data


def check(ledger: Ledger, latest: dict[tuple[str, str], Sealed]) -> None:
    """Total and periods of each enterprise against all latest versions."""
    for enterprise in ("E1", "E2"):
        own = [sealed for sealed in latest.values() if sealed.step["enterprise"] == enterprise]
        entry = ledger.read("erp", "records", "sums", enterprise)
        if entry is None:
            assert own == []
            continue
        per_record = recomputed(own)
        assert dict(zip(KEYS, entry["total"], strict=True)) == added(per_record)
        assert len(entry["periods"]) <= PERIODS
        numbers = [number for number, _ in entry["periods"]]
        assert numbers == sorted(numbers, reverse=True)
        for number, values in entry["periods"]:
            assert dict(zip(KEYS, values, strict=True)) == added(row for row in per_record if row[0] == number)
        kept = {sealed.id for sealed in own}
        assert all(row[0] in kept for rows in entry["samples"].values() for row in rows)


def added(rows: Any) -> dict[str, int]:
    found = dict.fromkeys(KEYS, 0)
    for _, values in rows:
        for name, value in values.items():
            found[name] += value
    return found


def last_second(step: dict[str, Any]) -> int:
    text = step["date"]
    if "T" in text:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp())
    end = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) + 86_400
    return end + (300 * 60 if step["version"] == 2 else 0)


def recomputed(own: list[Sealed]) -> list[tuple[int, dict[str, int]]]:
    """(period, what it adds) of each record, and of each step, the step in its later record's period."""
    found = []
    for sealed in own:
        step, bill = sealed.step, sealed.step["kind"] == "invoice"
        asked = (
            TEMPLATE["kinds"]["invoice"]["fields"]
            if bill
            else template(step["version"])["kinds"]["despatch"]["fields"]
        )
        weights = {name: rule["weight"] for name, rule in asked.items() if rule.get("open", True)}
        prefix = "bill" if bill else "process"
        values = {
            f"{prefix}_count": 1,
            "weight_total": sum(weights.values()),
            "weight_present": sum(weights[name] for name in sealed.fields),
        }
        if sealed.historical:
            values["historical_count"] = 1
        else:
            values[f"{prefix}_delay_count"] = 1
            values[f"{prefix}_delay_sum"] = max(0, -(-sealed.time // 1_000) - last_second(step))
        if not bill:
            ranged: list[tuple[Fraction, Fraction, int]] = []
            if step["value"] is not None:
                ranged.append((Fraction(step["value"]), Fraction(1, 2), 100))
            ranged += [(Fraction(row[1]), Fraction(1), 1_000) for row in step["rows"] if row[1]]
            values["range_total"] = 1 if ranged else 0
            values["range_within"] = 1 if ranged and all(low <= x <= high for x, low, high in ranged) else 0
        found.append((sealed.period, values))
    return [*found, *steps_of([sealed for sealed in own if sealed.step["kind"] == "despatch"])]


def steps_of(own: list[Sealed]) -> Iterator[tuple[int, dict[str, int]]]:
    series: dict[Any, list[tuple[int, Fraction, Fraction, Fraction]]] = {}
    for sealed in sorted(own, key=lambda sealed: (last_second(sealed.step), sealed.id)):
        step = sealed.step
        contract = ("contract", step["contract"]) if step["contract"] else ("counterparty", step["counterparty"])
        if step["value"] is not None:
            times = 3 if step["version"] == 3 else 2
            name = ("weight", step["currency"], contract, times)
            series.setdefault(name, []).append(
                (sealed.period, Fraction(step["value"]), Fraction(times), Fraction(1, 2))
            )
        for item, quantity, unit, price in step["rows"]:
            what = (item or contract, unit, step["currency"])
            if price:
                series.setdefault(("price", what), []).append(
                    (sealed.period, Fraction(price), Fraction(1, 10), Fraction(0))
                )
            if quantity:
                series.setdefault(("quantity", what), []).append(
                    (sealed.period, Fraction(quantity), Fraction(1, 2), Fraction(10))
                )
    for entries in series.values():
        for (_, before, _, _), (period, after, share, floor) in pairwise(entries):
            passed = abs(after - before) <= share * max(abs(before), floor)
            yield period, {"steps_judged": 1, "steps_passed": int(passed)}


# one step ---------------------------------------------------------------------------------------------------------

DECIMAL = st.tuples(st.integers(-(10**20), 10**20), st.integers(0, 12))


def text(number: tuple[int, int]) -> str:
    units, scale = number
    digits = str(abs(units)).rjust(scale + 1, "0")
    whole = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    return f"-{whole}" if units < 0 else whole


@given(DECIMAL, DECIMAL, st.integers(0, 10**12), st.integers(0, 6), st.integers(0, 10_000_000))
def test_a_step_is_judged_exactly_whatever_the_decimals(
    before: tuple[int, int], after: tuple[int, int], floor: int, places: int, threshold: int
) -> None:
    least = units(text((floor, places)))
    x, y = (Fraction(units, 10**scale) for units, scale in (before, after))
    expected = abs(y - x) * 10_000 <= threshold * max(abs(x), Fraction(floor, 10**places))
    assert passes(units(text(before)), units(text(after)), threshold, least) is expected


@pytest.mark.parametrize(("after", "expected"), [("150", True), ("50.0", True), ("150.000000000001", False)])
def test_the_threshold_itself_passes(after: str, expected: bool) -> None:
    assert passes(units("100"), units(after), 5_000, 0) is expected


def test_thresholds_of_a_template_are_read_by_field_and_column() -> None:
    found = thresholds(template(1)["kinds"]["despatch"])
    assert [(rule.field, rule.column, rule.threshold_bp) for rule in found] == [
        ("lines", "price", 1_000),
        ("lines", "quantity", 5_000),
        ("weight_kg", "", 20_000),
    ]


def test_a_small_instance_of_the_long_history(tmp_path: Path) -> None:
    """On a real ledger over LevelDB; what is measured at a million is right at three thousand."""
    total = large_history.measure(3_000, tmp_path)["total"]
    fields = [decode(large_history.delivery(serial))[12] for serial in range(3_000)]
    passed = 0
    for name, share, floor in (("quantity", Fraction(2), Fraction(1)), ("price", Fraction(1, 2), Fraction(1, 100))):
        for before, after in pairwise(Fraction(row[name]) for row in fields):
            passed += abs(after - before) <= share * max(abs(before), floor)
    assert total["steps_passed"] == passed
