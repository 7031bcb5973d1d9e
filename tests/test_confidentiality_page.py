"""The tables of docs/confidentiality.md are those of the templates that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genesis import library

PAGE = Path(__file__).resolve().parents[1] / "docs" / "confidentiality.md"
TEMPLATES = ("general-trade", "construction", "manufacturing")


def rows_of(template: dict[str, Any]) -> list[str]:
    """One row of the page's table for each kind of record."""

    def listed(fields: dict[str, Any], *, is_open: bool) -> str:
        return ", ".join(f"`{name}`" for name, rule in fields.items() if rule["open"] is is_open) or "–"

    return [
        f"| {kind} | {listed(rules['fields'], is_open=True)} | {listed(rules['fields'], is_open=False)} |"
        for kind, rules in template["kinds"].items()
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_page_says_what_the_template_says(name: str) -> None:
    section = PAGE.read_text(encoding="utf-8").partition(f"### {name}\n")[2].partition("\n#")[0]
    assert [line for line in section.splitlines() if line.startswith("| ")][1:] == rows_of(library.template(name))


def test_every_template_that_seals_is_on_the_page() -> None:
    sealing = [
        name
        for name in library.template_ids()
        if any(
            not rule["open"] for kind in library.template(name)["kinds"].values() for rule in kind["fields"].values()
        )
    ]
    assert sorted(sealing) == sorted(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_accounts_contacts_and_addresses_are_sealed_and_cost_no_score(name: str) -> None:
    for kind, rules in library.template(name)["kinds"].items():
        for field, rule in rules["fields"].items():
            if field.endswith(("_account", "_bank", "_contact", "_address")):
                assert not rule["open"], f"{kind}.{field}"
            if not rule["open"]:
                assert rule["weight"] == 0, f"{kind}.{field}: what nobody sees cannot count"
