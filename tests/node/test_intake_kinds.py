"""The kinds a file is kept under: known before its first record, the same each time, never fewer than are in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.connectors import ConnectorError, RecordDraft, recognise
from node.connectors import mapping as mappings
from node.intake.kinds import with_kinds
from tests.intake_speed import MAPPING, write_table
from tests.ledger_gateway import contract, package

EXAMPLE = Path(__file__).resolve().parents[2] / "genesis/example"


def kinds_of(data: bytes, mapping: mappings.Mapping | None = None) -> tuple[tuple[str, ...], int]:
    """Kinds, and how many drafts come."""
    connector, drafts = recognise(data, "file", mapping)
    kinds, drafts = with_kinds(connector, drafts, mapping)
    return kinds, len(list(drafts))


def test_one_record_says_its_kind_where_its_format_knows_several() -> None:
    data = next(EXAMPLE.rglob("invoice-KPV-0811.xml")).read_bytes()
    assert kinds_of(data) == (("invoice",), 1)


def test_several_records_are_of_the_kinds_of_their_format() -> None:
    assert kinds_of(package(contract("1"))) == (("contract",), 1)
    assert kinds_of(package(contract("1"), contract("2"), contract("3"))) == (("contract",), 3)


def test_a_table_is_of_the_kinds_of_its_mapping(tmp_path: Path) -> None:
    (tmp_path / "mapping.json").write_text(json.dumps(MAPPING))
    mapping = mappings.load(str(tmp_path / "mapping.json"))
    path = tmp_path / "table.csv"
    write_table(path, 60)
    kinds, count = kinds_of(path.read_bytes(), mapping)
    assert mapping.table is not None
    assert (kinds, count > 1) == ((mapping.table.kind,), True)


def test_an_error_after_the_first_record_comes_after_it_as_before() -> None:
    connector, drafts = recognise(next(EXAMPLE.rglob("invoice-KPV-0811.xml")).read_bytes(), "file")

    def broken() -> Iterator[RecordDraft]:
        yield from drafts
        raise ConnectorError("BAD_VALUE", "the second cannot be read", "correct it")

    kinds, resumed = with_kinds(connector, broken(), None)
    assert kinds == connector.kinds  # what the rest would have been is not known
    assert next(resumed).kind == "invoice"
    with pytest.raises(ConnectorError, match="the second"):
        next(resumed)


def test_a_file_without_a_record_has_the_kinds_of_its_format() -> None:
    connector, _ = recognise(package(contract("1")), "file")
    kinds, drafts = with_kinds(connector, iter(()), None)
    assert (kinds, list(drafts)) == (connector.kinds, [])
