"""A regulator's CSV of lending or underwriting records, read by a mapping file: every refusal names line and column.

The mapping is JSON::

    {"dataset": "sba", "kind": "lending", "currency": "USD", "scale": 2,
     "columns": {"Bank": {"as": "lender", "values": {"BANK OF AMERICA NATL ASSOC": "BOFA"}},
                 "NAICS": {"as": "industry", "prefix": 3}, "GrAppv": {"as": "limit"}},
     "drop": ["ApprovalDate"], "institutions": ["BOFA"]}

Every column of the file is mapped or dropped by name, so that nothing is published because nobody thought of it.
`values` translates cells, `prefix` cuts codes, amounts are in major units as a rule (`"unit": "minor"`). A column
`{"as": "currency"}` is only checked. Files are UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from contracts import market_schema as schema
from contracts.decimal_text import DecimalError, Scaled, at_scale, parse
from contracts.errors import ContractError
from contracts.market import MAX_ROWS
from contracts.market_schema import Column, Type
from node.connectors.errors import ConnectorError, shown

MAX_FILE: Final = 64 * 1024 * 1024
CURRENCY: Final = "currency"

Cell: TypeAlias = int | str


class Plan(NamedTuple):
    """A checked mapping. columns: header of the file → how it is read."""

    dataset: str
    kind: str
    currency: str
    scale: int
    columns: dict[str, dict[str, Any]]
    drop: frozenset[str]
    institutions: tuple[str, ...]
    model: dict[str, Any]  # settings that `prepare` found on the exact file; {} where there are none


class Table(NamedTuple):
    """What a file holds. names: schema columns in name order; rows: their cells; lines: where each row stood."""

    names: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    lines: list[int]

    def column(self, name: str) -> list[Any]:
        """All cells of one column."""
        place = self.names.index(name)
        return [row[place] for row in self.rows]

    def only(self, names: tuple[str, ...]) -> Table:
        """The table with these of its columns."""
        places = [self.names.index(name) for name in names]
        return Table(names, [tuple(row[place] for place in places) for row in self.rows], self.lines)


def plan(value: Mapping[str, Any], file: str) -> Plan:
    """Check a mapping. Raises ConnectorError naming the file and the element."""
    required = {"dataset": str, "kind": str, "currency": str, "scale": int, "columns": dict}
    optional = {"drop": list, "institutions": list, "model": dict}
    for name in value:
        if name not in required and name not in optional:
            raise _wrong(file, f"{shown(name)} is not known", f"use {', '.join([*required, *optional])}")
    for name, kind in {**required, **optional}.items():
        if (name in value and type(value[name]) is not kind) or (name in required and name not in value):
            raise _wrong(file, f"{name!r} is missing or not a {kind.__name__}", "add it")
    columns: dict[str, dict[str, Any]] = value["columns"]
    targets: list[str] = []
    for header, rule in columns.items():
        if (
            type(rule) is not dict
            or type(rule.get("as")) is not str
            or set(rule) - {"as", "values", "prefix", "unit"}
        ):
            raise _wrong(file, f"column {shown(header)}", 'write {"as": NAME} with values, prefix or unit')
        if rule["as"] != CURRENCY:
            _schema_column(value["kind"], rule["as"], f"{file}, column {shown(header)}")
        targets.append(rule["as"])
    if len(set(targets)) != len(targets):
        raise _wrong(file, "two columns become the same one", "map each once")
    for name in schema.REQUIRED[value["kind"]]:
        if name not in targets:
            raise ConnectorError("MISSING_COLUMN", f"no column becomes {name!r}", "map one to it", file)
    return Plan(
        value["dataset"],
        value["kind"],
        value["currency"],
        value["scale"],
        columns,
        frozenset(value.get("drop", [])),
        tuple(sorted(value.get("institutions", []))),
        value.get("model", {}),
    )


def read(path: Path, plan: Plan, *, exact: bool) -> Table:
    """Read a file. exact: it is to be generalised still, so fine values pass and a repeated row is a mistake.

    Raises ConnectorError naming file, line, column and rule.
    """
    name = path.name
    lines = _lines(path)
    number, header = next(lines, (1, []))
    if not any(header):
        raise ConnectorError("EMPTY_FILE", "the first line names no columns", "give a file with a header", name)
    places = _places(header, plan, name)
    targets = {rule["as"]: source for source, rule in plan.columns.items()}
    names = tuple(sorted(target for target in targets if target != CURRENCY))
    known = schema.columns_of(plan.kind)
    rows: list[tuple[Cell, ...]] = []
    seen: dict[tuple[str, ...], int] = {}
    numbers: list[int] = []
    for number, cells in lines:
        _check_row(cells, header, number, name, seen if exact else None)
        if CURRENCY in targets and cells[places[targets[CURRENCY]]].strip() != plan.currency:
            where = f"line {number}, column {shown(targets[CURRENCY])}"
            raise ConnectorError("WRONG_CURRENCY", where, f"a data set is in one currency, {plan.currency}", name)
        row = []
        for target in names:
            source = targets[target]
            where = f"line {number}, column {shown(source)}"
            try:
                row.append(_cell(cells[places[source]].strip(), target, known[target], plan, source, exact))
            except ContractError as error:
                raise ConnectorError(error.code, where, error.message, name) from None
        rows.append(tuple(row))
        numbers.append(number)
        if len(rows) > MAX_ROWS:
            raise ConnectorError("TOO_LARGE", f"more than {MAX_ROWS} records", "publish a sample of them", name)
    if not rows:
        raise ConnectorError("EMPTY_FILE", "there is no record after the header", "give a file with records", name)
    return Table(names, rows, numbers)


def render(table: Table) -> bytes:
    """A table as CSV with the schema's own column names, money in minor units.

    Rows are sorted: their order in the exact file would say which record each one was.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.names)
    writer.writerows(sorted(table.rows))
    return out.getvalue().encode()


def own_plan(plan: Plan, table: Table, model: dict[str, Any]) -> dict[str, Any]:
    """The mapping file of what `render` writes."""
    known = schema.columns_of(plan.kind)
    columns = {
        name: {"as": name, **({"unit": "minor"} if known[name].type is Type.MONEY else {})} for name in table.names
    }
    return {
        "dataset": plan.dataset,
        "kind": plan.kind,
        "currency": plan.currency,
        "scale": plan.scale,
        "columns": columns,
        "institutions": list(plan.institutions),
        "model": model,
    }


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of a CSV file. Raises ConnectorError for what is no UTF-8 text."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConnectorError(
            "NOT_READABLE", f"cannot be read ({error.strerror})", "correct its path", path.name
        ) from None
    if len(data) > MAX_FILE:
        raise ConnectorError("TOO_LARGE", f"is longer than {MAX_FILE} bytes", "publish a sample of it", path.name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConnectorError("NOT_UTF8", f"line {line} is not UTF-8", "save the file as UTF-8", path.name) from None
    if "\0" in text:
        raise ConnectorError("NOT_UTF8", "holds NUL characters", "save the file as UTF-8 text", path.name)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise ConnectorError(
            "BAD_CSV", f"line {reader.line_num}: {error}", "correct the quoting", path.name
        ) from None


def _places(header: list[str], plan: Plan, file: str) -> dict[str, int]:
    """Where each mapped column stands; every column of the file must be mapped or dropped."""
    stripped = [title.strip() for title in header]
    twice = next((title for title in stripped if stripped.count(title) > 1), None)
    if twice is not None:
        raise ConnectorError("DUPLICATE_COLUMN", f"column {shown(twice)} stands twice", "keep one", file)
    for title in stripped:
        if title in plan.columns or title in plan.drop:
            continue
        what = schema.gives_away(title)
        if what is not None:
            raise ConnectorError(
                "IDENTIFYING_COLUMN", f"column {shown(title)} would publish {what}", "list it under drop", file
            )
        raise ConnectorError(
            "UNKNOWN_COLUMN", f"column {shown(title)} is not mapped", "map it, or list it under drop", file
        )
    for title in plan.columns:
        if title not in stripped:
            raise ConnectorError("MISSING_COLUMN", f"has no column {shown(title)}", "correct the mapping", file)
    return {title: stripped.index(title) for title in plan.columns}


def _check_row(
    cells: list[str], header: list[str], number: int, file: str, seen: dict[tuple[str, ...], int] | None
) -> None:
    if not any(cell.strip() for cell in cells):
        raise ConnectorError("EMPTY_ROW", f"line {number} is empty", "remove it", file)
    if len(cells) != len(header):
        raise ConnectorError(
            "BAD_CSV", f"line {number} has {len(cells)} cells where the header has {len(header)}", "complete it", file
        )
    if seen is not None:
        first = seen.setdefault(tuple(cells), number)
        if first != number:
            raise ConnectorError("DUPLICATE_ROW", f"line {number} repeats line {first}", "remove one", file)


def _cell(text: str, name: str, column: Column, plan: Plan, source: str, exact: bool) -> Cell:
    """A cell as the schema's column holds it. Raises ContractError with the rule."""
    rule = plan.columns[source]
    values = rule.get("values")
    if values is not None:
        if text not in values:
            raise ContractError("UNKNOWN_VALUE", f"{shown(text)} is none of the mapping's values: add it there")
        found = values[text]
        text = found if isinstance(found, str) else str(found)
    if not text:
        raise ContractError("EMPTY_CELL", "is empty: fill it, translate it, or remove the row")
    if column.type in (Type.CODE, Type.INSTITUTION):
        code = text[: rule.get("prefix", len(text))]
        schema.check_code(name, column, code)
        if column.type is Type.INSTITUTION and len(code) > 32:
            raise ContractError("FREE_TEXT", f"holds text: write {column.type.value}")
        return code
    number = _number(text, column, plan, rule)
    if number < 0:
        raise ContractError("ABSURD_VALUE", f"{shown(text)} is negative: write {column.type.value}")
    bound = schema.coarse(column, number) if exact else number
    schema.check_value(name, column, bound)
    return number


def _number(text: str, column: Column, plan: Plan, rule: Mapping[str, Any]) -> int:
    """A whole number, or an amount in minor units, exact."""
    try:
        value = parse(text)
        if column.type is Type.MONEY and rule.get("unit") != "minor":
            return at_scale(value, plan.scale)
        return at_scale(Scaled(*value), 0)
    except DecimalError as error:
        raise ContractError("NOT_A_NUMBER", f"{error}: write {column.type.value}") from None


def _schema_column(kind: str, name: str, where: str) -> Column:
    try:
        return schema.column(kind, name)
    except ContractError as error:
        raise ConnectorError(error.code, where, error.message) from None


def _wrong(file: str, what: str, advice: str) -> ConnectorError:
    return ConnectorError("BAD_MAPPING", what, advice, file)
