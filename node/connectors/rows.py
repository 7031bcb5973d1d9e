"""One row of a table after the other into the documents they belong to, by a compiled mapping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from contracts.record import LINE_COLUMNS, MAX_LINES, FieldValue
from node.connectors import cells, values
from node.connectors.draft import Link, Party, RecordDraft, identifier, sorted_links
from node.connectors.errors import ConnectorError, shown
from node.connectors.grid import Cell, Grid, Row
from node.connectors.mapping import Mapping, Table
from node.connectors.plan import ABSENT, Filled, PartyAt, Plan

SEPARATOR: Final = "/"
"""Between the parts of a number that stands in several columns."""

_LINE_ID, _ITEM, _QUANTITY, _UNIT, _PRICE, _AMOUNT, _BASE = range(len(LINE_COLUMNS) + 1)
_FIGURES: Final = (_QUANTITY, _PRICE, _AMOUNT, _BASE)


class Key(NamedTuple):
    """What makes rows one document. issuer: as it stands in the row, "" where it is the member itself."""

    kind: str
    number: str
    issuer: str


class Document:
    """A document whose rows are being read."""

    def __init__(self, key: Key, enterprise: Party, counterparty: Party | None, issuer: Party) -> None:
        self.key = key
        self.enterprise = enterprise
        self.counterparty = counterparty
        self.issuer = issuer
        self.occurred_at = ""
        self.fields: dict[str, str] = {}
        self.lines: list[list[str]] = []
        self.links: dict[Link, None] = {}
        self.notes: dict[str, None] = {}

    def put(self, field: Filled, value: str) -> None:
        """A field's value in one more row. Raises ConnectorError where it must be the same in all and is not."""
        held = self.occurred_at if field.name == "occurred_at" else self.fields.get(field.name, "")
        if value and held and value != held:
            if field.pick == "same":
                raise ConnectorError(
                    "BAD_VALUE",
                    f"{field.label} is {shown(value)}, but {shown(held)} before in {shown(self.key.number)}",
                    'correct one, or let the mapping "pick" which counts',
                )
            value = max(value, held) if field.pick == "latest" else held
        if value and field.name == "occurred_at":
            self.occurred_at = value
        elif value:
            self.fields[field.name] = value

    def draft(self) -> RecordDraft:
        """The record, once all rows are in."""
        fields: dict[str, FieldValue] = {**self.fields}
        if self.lines:
            fields["lines"] = self.lines
        return RecordDraft(
            kind=self.key.kind,
            issuer=self.issuer.id,
            number=self.key.number,
            enterprise=self.enterprise,
            counterparty=self.counterparty,
            occurred_at=self.occurred_at,
            links=sorted_links(list(self.links)),
            fields=fields,
            notes=tuple(self.notes),
        )


class Rows:
    """The rows of one table. Every error names the row it is about."""

    def __init__(self, mapping: Mapping, table: Table, plan: Plan, grid: Grid) -> None:
        self._table = table
        self._plan = plan
        self._grid = grid
        self._read_by = f"read with the mapping {mapping.reference}"

    def after(self, header: Row) -> Iterator[Row]:
        """The rows below the header that are not blank, each as wide as the header."""
        width = self._plan.width
        for row in self._grid.rows():
            if row.number <= header.number or not any(cell and not cell.isspace() for cell in row.cells):
                continue
            short = width - len(row.cells)
            if short > 0 and self._grid.ragged:
                row.cells.extend([""] * short)
            yield row

    def key(self, row: Row) -> Key | None:
        """The document a row belongs to; None where it belongs to none. Raises ConnectorError."""
        plan = self._plan
        try:
            if len(row.cells) != plan.width and (
                len(row.cells) < plan.width or "".join(row.cells[plan.width :]).strip()
            ):
                raise ConnectorError(
                    "BAD_VALUE", f"{len(row.cells)} cells under {plan.width} headers", "export the table again"
                )
            kind = plan.kind or plan.kinds.get(cells.text(row.cells[plan.kind_column]), "")
            if not kind:
                return None
            parts = [cells.text(row.cells[column]) for column in plan.number]
            if not any(parts) and self._table.skip_without_number:
                return None
            number = SEPARATOR.join(identifier(part, "the document's number") for part in parts)
            return Key(kind, identifier(number, "the document's number"), self._issuer_text(row))
        except ConnectorError as error:
            raise self._at(row, error) from None

    def add(self, documents: dict[Key, Document], key: Key, row: Row) -> None:
        """Put a row into its document, beginning it where it is the first. Raises ConnectorError."""
        try:
            self._add(documents, key, row)
        except ConnectorError as error:
            raise self._at(row, error) from None

    def _add(self, documents: dict[Key, Document], key: Key, row: Row) -> None:
        plan = self._plan
        held = documents.get(key)
        if held is None:
            held = documents[key] = self._begun(key, row)
        else:
            self._check_parties(held, row)
        occurred_at = self._value(plan.occurred_at, row, held)
        if not occurred_at:
            raise ConnectorError("MISSING", f"{plan.occurred_at.label} is empty", "fill in the date")
        if int(occurred_at[:4]) < values.FIRST_YEAR:
            raise ConnectorError(
                "BAD_VALUE", f"{plan.occurred_at.label} is {occurred_at}, before {values.FIRST_YEAR}", "correct it"
            )
        held.put(plan.occurred_at, occurred_at)
        for field in plan.fields:
            held.put(field, self._value(field, row, held))
        if plan.currency:
            held.put(Filled("currency", "the currency", ABSENT, "text", "same", {}), plan.currency)
        for link in plan.links:
            number = cells.text(row.cells[link.column])
            if number:
                held.links[(link.relation, _of(held, link.issuer), identifier(number, "a reference"))] = None
        if plan.lines:
            self._add_line(held, row)

    def _check_parties(self, held: Document, row: Row) -> None:
        """A document is of the same parties in all its rows. Raises ConnectorError."""
        plan = self._plan
        for at, party in ((plan.enterprise, held.enterprise), (plan.counterparty, held.counterparty)):
            if at is not None and party is not None and at.constant is None:
                _check_party(party, self._party(at, row, "party", held.notes), held.key)

    def _begun(self, key: Key, row: Row) -> Document:
        """An empty document with the parties of a row."""
        plan = self._plan
        notes: dict[str, None] = {self._read_by: None}
        notes |= dict.fromkeys(self._grid.notes)
        enterprise = self._party(plan.enterprise, row, "enterprise", notes)
        counterparty = plan.counterparty and self._party(plan.counterparty, row, "counterparty", notes)
        if isinstance(plan.issuer, PartyAt):
            issuer: Party | None = self._party(plan.issuer, row, "issuer", notes)
        else:
            issuer = enterprise if plan.issuer == "enterprise" else counterparty
        if issuer is None:
            raise ConnectorError("MISSING", "the counterparty, who issued it, is not mapped", "correct the mapping")
        document = Document(key, enterprise, counterparty, issuer)
        document.notes = notes
        return document

    def _party(self, at: PartyAt, row: Row, role: str, notes: dict[str, None]) -> Party:
        if at.constant is not None:
            notes[f"the {role} {shown(at.constant.id)} is the member's word: the table names none"] = None
            return Party(at.constant.id, at.constant.name)
        known = [text for column in at.columns if (text := cells.text(row.cells[column]))]
        name = cells.text(row.cells[at.name]) if at.name != ABSENT else ""
        ranked = [f"{at.scheme}:{text}" if at.scheme else text for text in dict.fromkeys(known)]
        chosen = identifier(ranked[0] if ranked else name, f"an identifier or name of the {role}")
        return Party(chosen, name, tuple(ranked[1:]))

    def _issuer_text(self, row: Row) -> str:
        plan = self._plan
        at = plan.issuer
        if at == "counterparty":
            at = plan.counterparty or ""
        elif at == "enterprise":
            at = plan.enterprise
        if isinstance(at, str) or at.constant is not None:
            return ""
        return self._party(at, row, "issuer", {}).id

    def _value(self, field: Filled, row: Row, document: Document) -> str:
        cell = row.cells[field.column]
        if field.type == "date":
            return cells.moment(cell, field.label, self._table.dates)
        if field.type == "number":
            return self._number(cell, field.label, document)
        text = cells.text(cell)
        return field.values.get(text, text)

    def _number(self, cell: Cell, label: str, document: Document) -> str:
        if not cell:
            return ""
        if cells.is_masked(cell):
            document.notes[f"{label} is masked: left out"] = None
            return ""
        number = cells.number(cell, label, self._table.numbers)
        return number.removeprefix("-") if document.key.kind in self._plan.unsigned else number

    def _add_line(self, document: Document, row: Row) -> None:
        cell_of = [row.cells[column] if column != ABSENT else "" for column in self._plan.lines]
        parts = [
            self._number(cell, name, document) if at in _FIGURES else cells.text(cell)
            for at, (name, cell) in enumerate(zip((*LINE_COLUMNS, "price base"), cell_of, strict=True))
        ]
        base = parts.pop()
        if parts[_PRICE] and base and not values.is_one(base):
            quotient = values.exact_quotient(parts[_PRICE], base)
            if quotient is None:
                document.notes[f"{parts[_PRICE]} per {base} is no finite unit price: price left out"] = None
            parts[_PRICE] = quotient or ""
        if not any(parts):
            return
        if len(document.lines) == MAX_LINES:
            raise ConnectorError(
                "TOO_LARGE",
                f"{shown(document.key.number)} has more than {MAX_LINES} lines",
                "split the document: at most that many a record",
            )
        document.lines.append(parts)

    def _at(self, row: Row, error: ConnectorError) -> ConnectorError:
        place = f"sheet {shown(self._grid.sheet)}, row" if self._grid.sheet else "line"
        return ConnectorError(error.code, f"{place} {row.number}: {error.what}", error.advice)


def _check_party(held: Party, found: Party, key: Key) -> None:
    if held.id != found.id:
        raise ConnectorError(
            "BAD_VALUE",
            f"{shown(key.number)} is of {shown(found.id)} here, and of {shown(held.id)} before",
            "correct one of them, or map a number that is of one document only",
        )


def _of(document: Document, issuer: str) -> str:
    if issuer == "enterprise":
        return document.enterprise.id
    if issuer == "counterparty":
        return document.counterparty.id if document.counterparty else ""
    return issuer
