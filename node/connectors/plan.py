"""A mapping held against the header of a table: which column fills what. Missing columns are found here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from contracts.record import LINE_COLUMNS
from node.connectors.errors import ConnectorError, shown
from node.connectors.grid import Cell
from node.connectors.mapping import OWN, FieldColumns, KindColumn, Mapping, PartyColumns, PartyValue, Table

ABSENT: Final = -1
LINE_PARTS: Final = (*LINE_COLUMNS, "price_base")

_DATES: Final = frozenset(
    {
        "issue_date", "due_date", "delivery_date", "received_date", "date_signed", "period_start", "period_end",
        "expiry_date", "established_on", "valid_until", "disbursed_on", "paid_on",
    }
)  # fmt: skip
_NUMBERS: Final = frozenset(
    {
        "total", "total_excl_tax", "tax", "value", "prepayment", "amount", "capital", "employees", "quantity",
        "term_days", "rate_bp",
    }
)  # fmt: skip
_CURRENCY: Final = "{currency}"


class Filled(NamedTuple):
    """One field: its column, what its cells are ("date", "number", "text"), and how differing rows are settled.

    label: the header, as errors show it.
    """

    name: str
    label: str
    column: int
    type: str
    pick: str
    values: dict[str, str]


class PartyAt(NamedTuple):
    """One party: a constant that the member names, or columns of identifiers, in order, and of a name."""

    constant: PartyValue | None
    columns: tuple[int, ...]
    name: int
    scheme: str


class LinkAt(NamedTuple):
    """One reference: its column, and whose number it is ("enterprise", "counterparty", an identifier or "")."""

    relation: str
    column: int
    issuer: str


class Plan(NamedTuple):
    """A mapping with columns in place of headers. kind: "" where a column says it; currency: what headers name."""

    width: int
    kind: str
    kind_column: int
    kinds: dict[str, str]
    number: tuple[int, ...]
    issuer: PartyAt | str
    enterprise: PartyAt
    counterparty: PartyAt | None
    occurred_at: Filled
    fields: tuple[Filled, ...]
    lines: tuple[int, ...]
    unsigned: frozenset[str]
    links: tuple[LinkAt, ...]
    currency: str


def matches(table: Table, header: Sequence[Cell]) -> bool:
    """Whether a row is the header that a mapping's table looks for."""
    have = {_plain(cell) for cell in header}
    return all(any(_fits(name, have) for name in names) for names in needed(table))


def needed(table: Table) -> tuple[tuple[str, ...], ...]:
    """The columns a table is recognised by: its signature, else those no record can do without."""
    if table.signature:
        return table.signature
    parties = [party.column or party.name for party in (table.enterprise,) if isinstance(party, PartyColumns)]
    kind = [table.kind.column] if isinstance(table.kind, KindColumn) else []
    return (*table.number, table.occurred_at.column, *kind, *parties)


def compile_plan(mapping: Mapping, table: Table, header: Sequence[Cell]) -> Plan:
    """The plan for a header. Raises ConnectorError: MISSING or BAD_VALUE, naming the column, or BAD_MAPPING."""
    return _Compiler(mapping, table, header).plan()


class _Compiler:
    def __init__(self, mapping: Mapping, table: Table, header: Sequence[Cell]) -> None:
        self._mapping = mapping
        self._table = table
        self._header = [_plain(cell) for cell in header]
        self._currencies: dict[str, None] = {}

    def plan(self) -> Plan:
        table = self._table
        kind, occurred_at = table.kind, table.occurred_at
        fields = tuple(found for name, source in table.fields.items() if (found := self._field(name, source)))
        lines = self._lines()
        links = [(link, self._column(link.column, must=not table.optional)) for link in table.links]
        if len(self._currencies) > 1:
            raise ConnectorError(
                "BAD_VALUE",
                f"the headers name the currencies {' and '.join(self._currencies)}",
                "export the table in one currency",
            )
        return Plan(
            width=len(self._header),
            kind="" if isinstance(kind, KindColumn) else kind,
            kind_column=self._column(kind.column) if isinstance(kind, KindColumn) else ABSENT,
            kinds=kind.values if isinstance(kind, KindColumn) else {},
            number=tuple(self._column(columns) for columns in table.number),
            issuer=self._role_or_party(table.issuer),
            enterprise=self._party(table.enterprise),
            counterparty=None if table.counterparty is None else self._party(table.counterparty),
            occurred_at=self._filled("occurred_at", occurred_at, self._column(occurred_at.column), "date"),
            fields=fields,
            lines=lines,
            unsigned=frozenset(table.unsigned),
            links=tuple(LinkAt(link.relation, at, self._issuer(link.issuer)) for link, at in links if at != ABSENT),
            currency=next(iter(self._currencies), ""),
        )

    def _field(self, name: str, source: FieldColumns) -> Filled | None:
        column = self._column(source.column, must=not self._table.optional)
        if column == ABSENT:
            return None
        default = "date" if name in _DATES else "number" if name in _NUMBERS else "text"
        return self._filled(name, source, column, source.type or default)

    def _filled(self, name: str, source: FieldColumns, column: int, form: str) -> Filled:
        return Filled(name, shown(self._header[column]), column, form, source.pick, source.values)

    def _lines(self) -> tuple[int, ...]:
        lines = self._table.lines
        if lines is None:
            return ()
        names = {part: getattr(lines, part) for part in LINE_PARTS}
        must = not self._table.optional
        return tuple(self._column(names[part], must=must) if names[part] else ABSENT for part in LINE_PARTS)

    def _party(self, source: str | PartyValue | PartyColumns) -> PartyAt:
        if isinstance(source, PartyColumns) and not (source.own and self._mapping.own):
            at = [self._column((name,), must=False) for name in source.column]
            columns = tuple(column for column in at if column != ABSENT)
            name = self._column(source.name, must=False) if source.name else ABSENT
            if columns or name != ABSENT:
                return PartyAt(None, columns, name, source.scheme)
            if not source.own:
                raise self._missing(source.column or source.name)
        constant = source if isinstance(source, PartyValue) else self._mapping.own
        if constant is None:
            example = f'{{"extends": "{self._mapping.name}", "own": {{"id": …}}}}'
            raise ConnectorError(
                "BAD_MAPPING", "the table does not say whose it is", f"name a mapping file that says it: {example}"
            )
        return PartyAt(constant, (), ABSENT, "")

    def _role_or_party(self, issuer: str | PartyValue | PartyColumns) -> PartyAt | str:
        return issuer if isinstance(issuer, str) and issuer != OWN else self._party(issuer)

    def _issuer(self, issuer: str) -> str:
        if issuer != OWN:
            return issuer
        constant = self._party(OWN).constant
        return constant.id if constant else ""

    def _column(self, names: tuple[str, ...], *, must: bool = True) -> int:
        """The first of the names that the header has. Raises ConnectorError where it stands twice, or is missed."""
        for name in names:
            pattern = _pattern(name)
            found = [at for at, cell in enumerate(self._header) if pattern.fullmatch(cell)]
            if len(found) > 1:
                raise ConnectorError(
                    "BAD_VALUE",
                    f"the column {shown(name)} stands {len(found)} times",
                    "rename one of them, or export it once",
                )
            if found:
                match = pattern.fullmatch(self._header[found[0]])
                if match and _CURRENCY in name:
                    self._currencies[match[1].upper()] = None
                return found[0]
        if must:
            raise self._missing(names)
        return ABSENT

    def _missing(self, names: Sequence[str]) -> ConnectorError:
        return ConnectorError(
            "MISSING",
            f"there is no column {' or '.join(map(shown, names))}",
            f"export it too, or take it out of the mapping {self._mapping.name}",
        )


def _fits(name: str, have: set[str]) -> bool:
    if _CURRENCY not in name:
        return _plain(name) in have
    return any(_pattern(name).fullmatch(cell) for cell in have)


@lru_cache(maxsize=2_048)
def _pattern(name: str) -> re.Pattern[str]:
    """A header, whatever its capitals; "Net value ({currency})" is one whose currency stands in it."""
    return re.compile("([A-Za-z]{3})".join(re.escape(part) for part in _plain(name).split(_CURRENCY)), re.IGNORECASE)


def _plain(cell: str) -> str:
    return " ".join(cell.split()).casefold()
