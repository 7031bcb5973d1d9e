"""Series of values in process records: the fluctuation share V2 of accuracy ([24], DOMAIN 3), kept step by step.

One series: one field of one kind, for one product (a lines column: item id, unit) or one contract (a field of the
document: its contract, else its counterparty), of one enterprise, in one currency, under one threshold, on one
member's chain (docs/adr/0012), ordered by event time, then record id, then row. A step leads from a value to the next
one and belongs to the later record. A record that comes late, or goes by a correction, changes the two steps beside
it and no other; so judging costs the same whatever the history.

State, in the records contract's namespace: ("series", enterprise, page) -> pages of one contracts/ordered.py map for
all series of an enterprise: series (16 bytes) || event time (5) || record id (16) || row (2) -> "PERIOD VALUE".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from contracts import decimal_text
from contracts.context import Context
from contracts.decimal_text import DecimalError, Scaled, at_scale
from contracts.errors import ContractError
from contracts.ordered import Entry, OrderedMap
from contracts.record import LINE_COLUMNS, Record
from contracts.statistics import B

MAX_THRESHOLD_BP: Final = 10_000_000
SERIES_SIZE: Final = 16
ID_SIZE: Final = 16  # of a record id: two that agree in so much cannot be found
_TIME_OFFSET: Final = 1 << 39  # seconds: years 1 to 9999 are positive in 40 bits

Subject: TypeAlias = tuple[str, ...]
Change: TypeAlias = tuple[int, int, int]  # period, steps judged and steps passed that it gains


class Steady(NamedTuple):
    """A field's fluctuation threshold, in basis points of the value before, and the floor under that value."""

    field: str
    column: str  # "" for a field of the document
    threshold_bp: int
    epsilon: Scaled


def thresholds(kind_spec: dict[str, Any]) -> tuple[Steady, ...]:
    """Fluctuation thresholds of one kind of a template. Raises ContractError WRONG_TEMPLATE."""
    found = []
    for field in sorted(kind_spec["fields"]):
        rule = kind_spec["fields"][field]
        if not rule.get("open", True):
            continue
        found += _threshold(field, "", rule)
        columns = rule.get("columns", {})
        for column in sorted(columns):
            found += _threshold(field, column, columns[column])
    return tuple(found)


def passes(before: str, after: str, steady: Steady) -> bool:
    """Whether |x_i - x_(i-1)| * B <= threshold * max(|x_(i-1)|, epsilon), exactly, whatever decimals they have."""
    earlier, later, floor = _parsed(before), _parsed(after), steady.epsilon
    scale = max(earlier.scale, later.scale, floor.scale)
    base = at_scale(earlier, scale)
    move = abs(at_scale(later, scale) - base)
    return move * B <= steady.threshold_bp * max(abs(base), at_scale(floor, scale))


class Steps:
    """The steps of all series of one enterprise, for one transaction."""

    def __init__(self, ctx: Context, enterprise: str) -> None:
        self._ctx = ctx
        self._map = OrderedMap(ctx, "series", enterprise)
        self._names: dict[tuple[str, Steady, str, Subject], bytes] = {}

    def add(
        self, rules: tuple[Steady, ...], record: Record, record_id: bytes, occurred: int, period: int
    ) -> tuple[list[Change], bool]:
        """Enter a record's values; gives what that changes, and whether each step to them passed.

        rules: those of its kind. occurred: last possible second of its event.
        """
        changes: list[Change] = []
        steady_all = True
        for steady, key, value in self._values(rules, record, record_id, occurred):
            before, after = self._map.insert(key, f"{period} {value}")
            earlier, later = _of_series(before, key), _of_series(after, key)
            if earlier is not None:
                passed = passes(earlier[1], value, steady)
                steady_all = steady_all and passed
                changes.append((period, 1, int(passed)))
            if later is not None:
                gained = passes(value, later[1], steady)
                lost = earlier is not None and passes(earlier[1], later[1], steady)
                changes.append((later[0], int(earlier is None), gained - lost))
        return changes, steady_all

    def remove(
        self, rules: tuple[Steady, ...], record: Record, record_id: bytes, occurred: int, period: int
    ) -> list[Change]:
        """Take out what `add` has entered with the same arguments; gives what that changes."""
        changes: list[Change] = []
        for steady, key, value in self._values(rules, record, record_id, occurred):
            before, after = self._map.remove(key)
            earlier, later = _of_series(before, key), _of_series(after, key)
            if earlier is not None:
                changes.append((period, -1, -int(passes(earlier[1], value, steady))))
            if later is not None:
                lost = passes(value, later[1], steady)
                gained = earlier is not None and passes(earlier[1], later[1], steady)
                changes.append((later[0], -int(earlier is None), gained - lost))
        return changes

    def write(self) -> None:
        """Put what changed into the state."""
        self._map.write()

    def _values(
        self, rules: tuple[Steady, ...], record: Record, record_id: bytes, occurred: int
    ) -> Iterator[tuple[Steady, bytes, str]]:
        """Each value that has a threshold: its rule, its key, its decimal text."""
        place = (occurred + _TIME_OFFSET).to_bytes(5, "big") + record_id[:ID_SIZE]
        currency = record.fields.get("currency", "")
        for steady in rules:
            value = record.fields.get(steady.field)
            if value is None:
                continue
            if isinstance(value, str):
                if not steady.column and decimal_text.parse_or_none(value) is not None:
                    name = self._name(record.kind, steady, currency, _contract_of(record))
                    yield steady, name + place + b"\x00\x00", value
                continue
            if not steady.column:
                continue
            column = LINE_COLUMNS.index(steady.column)
            for number, row in enumerate(value):
                if row[column]:
                    subject = ("item", row[1], row[3]) if row[1] else (*_contract_of(record), row[3])
                    name = self._name(record.kind, steady, currency, subject)
                    yield steady, name + place + number.to_bytes(2, "big"), row[column]

    def _name(self, kind: str, steady: Steady, currency: Any, subject: Subject) -> bytes:
        """The first bytes of the keys of one series."""
        what = (kind, steady, currency, subject)
        name = self._names.get(what)
        if name is None:
            rule = [steady.field, steady.column, steady.threshold_bp, decimal_text.render(steady.epsilon)]
            digest = self._ctx.hash(["tally/series", 1, kind, rule, currency, list(subject)])
            name = self._names[what] = digest[:SERIES_SIZE]
        return name


@lru_cache(maxsize=4_096)
def _parsed(text: str) -> Scaled:
    return decimal_text.parse(text)


def _of_series(entry: Entry | None, key: bytes) -> tuple[int, str] | None:
    """(period, value) of a neighbour, None where the neighbour is of another series or there is none."""
    if entry is None or entry.key[:SERIES_SIZE] != key[:SERIES_SIZE]:
        return None
    period, _, value = str(entry.value).partition(" ")
    return int(period), value


def _contract_of(record: Record) -> Subject:
    for relation, issuer, number in record.links:
        if relation == "contract":
            return ("contract", issuer, number)
    return ("counterparty", record.counterparty, "")


def _threshold(field: str, column: str, rule: dict[str, Any]) -> list[Steady]:
    threshold = rule.get("fluctuation_bp")
    if threshold is None:
        return []
    where = f"fluctuation_bp of {field}{'.' + column if column else ''}"
    if type(threshold) is not int or not 0 <= threshold <= MAX_THRESHOLD_BP:
        raise ContractError("WRONG_TEMPLATE", f"{where} is an integer from 0 to {MAX_THRESHOLD_BP}")
    if column and column not in LINE_COLUMNS:
        raise ContractError("WRONG_TEMPLATE", f"{where}: there is no such column")
    epsilon = rule.get("epsilon", "0")
    try:
        parsed = decimal_text.parse(epsilon if type(epsilon) is str else "")
    except DecimalError as error:
        raise ContractError("WRONG_TEMPLATE", f"{where}: epsilon: {error}") from None
    if parsed.units < 0:
        raise ContractError("WRONG_TEMPLATE", f"{where}: epsilon is not negative")
    return [Steady(field, column, threshold, parsed)]
