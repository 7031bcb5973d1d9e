"""Templates: what is refused when one is adopted, and that the shipped ones stand."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ContractError
from contracts.template import check_fields, compile_template, compiled, within_ranges
from tests.contracts.small_consortium import TEMPLATE

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "genesis" / "templates").glob("*.json"))


def test_shipped_templates_compile() -> None:
    assert SHIPPED
    for path in SHIPPED:
        template = compile_template(json.loads(path.read_text()))
        assert template.id == path.stem
        assert all(kind.asked > 0 for kind in template.kinds.values())


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("id",), "", "id"),
        (("version",), True, "version"),
        (("version",), 0, "version"),
        (("time_zone_minutes",), 900, "time_zone_minutes"),
        (("kinds",), {}, "kinds"),
        (("kinds", "invoice"), None, "invoice"),
        (("kinds", "invoice", "category"), "letter", "category of invoice"),
        (("kinds", "invoice", "uploaders"), [], "uploaders of invoice"),
        (("kinds", "invoice", "fields"), {}, "fields of invoice"),
        (("kinds", "invoice", "fields", "total"), "money", "total of invoice"),
        (("kinds", "invoice", "fields", "total", "type"), "float", "total of invoice"),
        (("kinds", "invoice", "fields", "total", "weight"), -1, "total of invoice"),
        (("kinds", "invoice", "fields", "total", "weight"), 1.5, "total of invoice"),
        (("kinds", "invoice", "fields", "total", "scale"), 13, "total of invoice"),
        (("kinds", "invoice", "fields", "total", "open"), 1, "total of invoice"),
        (("kinds", "invoice", "fields", "total", "required"), "yes", "total of invoice"),
        (("kinds", "invoice", "fields", "total", "min"), 5, "total of invoice"),
        (("kinds", "invoice", "fields", "total", "max"), "1e3", "total of invoice"),
        (("kinds", "invoice", "fields", "currency", "min"), "1", "currency of invoice"),
        (("kinds", "despatch", "fields", "boxes", "max"), "0", "boxes of despatch"),
        (("kinds", "despatch", "fields", "lines", "columns"), {"unit": {"min": "1"}}, "lines of despatch"),
        (("kinds", "despatch", "fields", "lines", "columns"), {"colour": {}}, "lines of despatch"),
        (("kinds", "despatch", "fields", "lines", "columns"), {"quantity": 1}, "lines of despatch"),
    ],
)
def test_a_template_that_does_not_stand_is_refused_by_name(path: tuple[str, ...], value: Any, named: str) -> None:
    document: dict[str, Any] = copy.deepcopy(TEMPLATE)
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(ContractError) as caught:
        compile_template(document)
    assert caught.value.code == "WRONG_TEMPLATE"
    assert named in caught.value.message


def test_the_memo_gives_each_content_its_own_template() -> None:
    other = copy.deepcopy(TEMPLATE)
    other["kinds"]["invoice"]["fields"]["total"]["weight"] = 9
    first, second = compiled(TEMPLATE), compiled(other)
    assert first.kinds["invoice"].asked + 5 == second.kinds["invoice"].asked
    assert compiled(copy.deepcopy(TEMPLATE)) is first
    assert compiled(other) is second


@pytest.mark.parametrize(
    ("low", "high", "value", "within"),
    [
        ("0.5", None, "0.50", True),
        ("0.5", None, "0.49999999999999999999", False),
        (None, "-1", "-1.000", True),
        (None, "-1", "-0.999", False),
        ("-0.001", "0.001", "-0", True),
        ("1", "1", "1.0000000000000000000001", False),
        ("100000000000000000000", None, "99999999999999999999.9", False),
    ],
)
def test_ranges_are_compared_exactly(low: str | None, high: str | None, value: str, within: bool) -> None:
    columns = {"quantity": {"min": low, "max": high}}
    lines = {"type": "lines", "weight": 1, "columns": columns}
    kinds = {"despatch": {"category": "process", "uploaders": ["erp"], "fields": {"lines": lines}}}
    kind = compile_template({"id": "t", "version": 1, "kinds": kinds}).kinds["despatch"]
    fields: dict[str, Any] = {"lines": [["1", "", value, "", "", ""]]}
    assert check_fields(kind, fields) == 1
    assert within_ranges(kind, fields) is within
