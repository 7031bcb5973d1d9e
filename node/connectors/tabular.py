"""Tables with a mapping, CSV and XLSX → the records their rows are; several rows of one document are its lines.

The rows are read three times: counted by document, read and checked, then given out one document at a time as soon as
its last row has come. So a file with one wrong row gives no record at all, and a file of 100,000 rows is never in
memory as records. What is held is the number of every document and the documents that are open: few in a table sorted
by document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from node.connectors import csv_table, mapping, plan, xlsx
from node.connectors.content import Content
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError, shown
from node.connectors.grid import Grid, Row
from node.connectors.mapping import Csv, Mapping, Table
from node.connectors.plan import Plan
from node.connectors.rows import Document, Key, Rows

HEADER_WITHIN: Final = 30
"""Rows in which the header is looked for: exports have titles and dates above it."""


class Found(NamedTuple):
    """A table, the mapping that reads it and where its header is."""

    mapping: Mapping
    table: Table
    grid: Grid
    header: Row


def reference(content: Content) -> str:
    """The mapping that reads a table, for the source of its records. Raises ConnectorError."""
    return find(content).mapping.reference


def read(content: Content) -> Iterator[RecordDraft]:
    """The drafts of a table, each when its last row has been read. Raises ConnectorError, naming the row."""
    found = find(content)
    header = found.header
    compiled = plan.compile_plan(found.mapping, found.table, header.cells)

    def documents() -> Iterator[Document | ConnectorError]:
        return _documents(found, compiled)

    _check(documents)
    for document in documents():
        if isinstance(document, ConnectorError):
            raise document
        yield document.draft()


def find(content: Content) -> Found:
    """The table of a file and its mapping: the member's, else the ready one whose columns it has.

    Raises ConnectorError: UNKNOWN_TABLE where none fits, AMBIGUOUS where several do.
    """
    given = content.mapping
    heads = _Heads(content)
    if given is not None and given.table is not None:
        found = _found(heads, given, given.table)
        if found is None and heads.failed is not None:
            raise heads.failed
        if found is None:
            wanted = ", ".join(shown(names[0]) for names in plan.needed(given.table))
            raise ConnectorError(
                "MISSING", f"no row has the columns {wanted}", f"export them, or correct the mapping {given.name}"
            )
        return found
    own = None if given is None else given.own
    fitting: list[Found] = []
    for name in mapping.names():
        ready = mapping.ready(name)
        if ready.table is None:
            continue
        known = ready if own is None else ready.model_copy(update={"own": own})
        found = _found(heads, known, ready.table)
        if found is not None:
            fitting.append(found)
    if not fitting and heads.failed is not None:
        raise heads.failed
    if not fitting:
        raise ConnectorError(
            "UNKNOWN_TABLE", "if it is a table, no ready mapping knows its columns", "name its mapping with --mapping"
        )
    most = max(len(found.table.signature) for found in fitting)
    best = [found for found in fitting if len(found.table.signature) == most]
    if len(best) > 1:
        fit = " and ".join(found.mapping.name for found in best)
        raise ConnectorError("AMBIGUOUS", f"the mappings {fit} fit it", "name one of them with --mapping")
    return best[0]


class _Heads:
    """The grids of a file with their first rows, read once however many mappings are tried on them.

    failed: why one of them could not be read so far; it matters only where no other has the header.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._known: dict[tuple[Csv, str], list[tuple[Grid, list[Row]]]] = {}
        self.is_workbook = content.archive is not None
        self.failed: ConnectorError | None = None

    def of(self, table: Table) -> list[tuple[Grid, list[Row]]]:
        """Those that a mapping's dialect or sheet leaves open."""
        key = (table.csv, table.sheet)
        if key not in self._known:
            self._known[key] = [(grid, self._head(grid)) for grid in self._grids(table)]
        return self._known[key]

    def _grids(self, table: Table) -> Iterator[Grid]:
        archive = self._content.archive
        return csv_table.grids(self._content.data, table.csv) if archive is None else xlsx.grids(archive, table.sheet)

    def _head(self, grid: Grid) -> list[Row]:
        rows: list[Row] = []
        try:
            for row in grid.rows():
                rows.append(row)
                if len(rows) == HEADER_WITHIN:
                    break
        except ConnectorError as error:
            self.failed = self.failed or error
        return rows


def _found(heads: _Heads, candidate: Mapping, table: Table) -> Found | None:
    """The one grid of the file that has the header a mapping looks for."""
    fitting: list[Found] = []
    for grid, head in heads.of(table):
        header = next((row for row in head if plan.matches(table, row.cells)), None)
        if header is not None:
            fitting.append(Found(candidate, table, grid, header))
    if len(fitting) > 1 and heads.is_workbook:
        sheets = " and ".join(shown(found.grid.sheet) for found in fitting)
        raise ConnectorError("AMBIGUOUS", f"the sheets {sheets} fit the mapping", "name the sheet in the mapping")
    return fitting[0] if fitting else None


def _check(documents: Callable[[], Iterator[Document | ConnectorError]]) -> None:
    """Read every document once. Raises the first error, which says how many rows more are wrong."""
    first: ConnectorError | None = None
    wrong = records = 0
    for document in documents():
        if isinstance(document, ConnectorError):
            first = first or document
            wrong += 1
            continue
        try:
            document.draft()
        except ConnectorError as error:
            first = first or error
            wrong += 1
        records += 1
    if first is not None:
        more = f" (and {wrong - 1} more are wrong)" if wrong > 1 else ""
        raise ConnectorError(first.code, first.what + more, first.advice)
    if not records:
        raise ConnectorError("MISSING", "no row of it is a record", "export it with its rows")


def _documents(found: Found, compiled: Plan) -> Iterator[Document | ConnectorError]:
    """Every document when its last row has come, and the error of every row that cannot be read."""
    rows = Rows(found.mapping, found.table, compiled, found.grid)
    left: Counter[Key] = Counter()
    for row in rows.after(found.header):
        with suppress(ConnectorError):  # said below, where the row is read
            if (key := rows.key(row)) is not None:
                left[key] += 1
    opened: dict[Key, Document] = {}
    for row in rows.after(found.header):
        try:
            key = rows.key(row)
            if key is None:
                continue
            left[key] -= 1
            rows.add(opened, key, row)
        except ConnectorError as error:
            yield error
            continue
        if not left[key]:
            del left[key]
            yield opened.pop(key)
