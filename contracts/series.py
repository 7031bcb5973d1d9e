"""Series of values in process records: the fluctuation share V2 of accuracy ([24], DOMAIN 3), kept step by step.

One series: one field of one kind, for one product (a lines column: item id, unit) or one contract (a field of the
document: its contract, else its counterparty), of one enterprise, in one currency, under one threshold, on one
member's chain (docs/adr/0012), ordered by event time, then record id, then row. A step leads from a value to the next
one and belongs to the later record. A record that comes late, or goes by a correction, changes the two steps beside
it and no other; so judging costs the same whatever the history.

State, in the records contract's namespace: one contracts/ordered.py map for all series of an enterprise, series (16
bytes) || event time (5) || record id (16) || row (2) -> "PERIOD VALUE". Its root page lies in the enterprise's sums
(contracts/aggregates.py), the others are ("series", enterprise, page).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from contracts import decimal_text
from contracts.context import Context, Value
from contracts.decimal_text import MAX_DIGITS, DecimalError, Scaled, at_scale
from contracts.errors import ContractError
from contracts.ordered import Entry, OrderedMap
from contracts.record import LINE_COLUMNS, Record
from contracts.statistics import B

MAX_THRESHOLD_BP: Final = 10_000_000
SERIES_SIZE: Final = 16
ID_SIZE: Final = 16  # of a record id: two that agree in so much cannot be found
CHARGE_PER_VALUE: Final = 2  # units; the pages it lies in cost as any entry
MAX_KNOWN: Final = 4_096
NUMERIC: Final = ("money", "decimal", "integer")
NUMBERED: Final = ("quantity", "price", "amount")  # columns of lines
_POWERS: Final[tuple[int, ...]] = tuple(10**places for places in range(MAX_DIGITS + 1))
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


class Source(NamedTuple):
    """The record a value stands in."""

    id: bytes
    kind: str
    number: str


def passes(before: int, after: int, threshold_bp: int, floor: int) -> bool:
    """Whether |x_i - x_(i-1)| * B <= threshold * max(|x_(i-1)|, epsilon): two values and the floor as `units`."""
    return abs(after - before) * B <= threshold_bp * max(abs(before), floor)


def units(text: str) -> int:
    """A plain decimal of at most MAX_DIGITS digits in 10**-MAX_DIGITS: an integer, however many decimals it has."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction) * _POWERS[MAX_DIGITS - len(fraction)]


class Judged(NamedTuple):
    """What a transaction changes: steps by period, its records with a step beyond its threshold, the map's root."""

    changes: list[Change]
    unsteady: list[Source]
    root: Value


class _Series(NamedTuple):
    """One series as its map knows it: how its keys begin, its threshold, its floor in 10**-MAX_DIGITS."""

    name: bytes
    threshold_bp: int
    floor: int


class _Value(NamedTuple):
    series: _Series
    period: int
    text: str
    source: Source


class Steps:
    """The series of one enterprise, for one transaction: values are gathered, and judged together by `finish`."""

    def __init__(self, ctx: Context, enterprise: str) -> None:
        self._ctx = ctx
        self._enterprise = enterprise
        self._new: dict[bytes, _Value] = {}
        self._old: dict[bytes, _Value] = {}
        self._gained: dict[int, list[int]] = {}

    def add(self, rules: tuple[Steady, ...], record: Record, record_id: bytes, occurred: int, period: int) -> None:
        """Enter a record's values. rules: those of its kind. occurred: last possible second of its event."""
        self._new.update(self._values(rules, record, record_id, occurred, period))

    def remove(self, rules: tuple[Steady, ...], record: Record, record_id: bytes, occurred: int, period: int) -> None:
        """Take out what `add` has entered with the same arguments, in this transaction or before it."""
        for key, value in self._values(rules, record, record_id, occurred, period):
            if self._new.pop(key, None) is None:
                self._old[key] = value

    def finish(self, root: Value) -> Judged:
        """Write the series. root: of their map, None for an empty one."""
        self._ctx.charge(CHARGE_PER_VALUE * (len(self._old) + len(self._new)))
        entered = OrderedMap(self._ctx, "series", self._enterprise, root=root)
        for key, value in self._old.items():
            before, after = entered.remove(key)
            itself = _entry(key, value)
            self._step(value.series, before, itself, -1)
            self._step(value.series, itself, after, -1)
            self._step(value.series, before, after, 1)
        keys = sorted(self._new)
        values = [self._new[key] for key in keys]
        entries = list(map(_entry, keys, values))
        unsteady: list[Source] = []
        for before, first, last, after in entered.insert_many(entries):
            unsteady += self._enter(before, values[first:last], after)
        changes = [(period, judged, passed) for period, (judged, passed) in self._gained.items()]
        return Judged(changes, unsteady, entered.write())

    def _enter(self, before: Entry | None, values: list[_Value], after: Entry | None) -> list[Source]:
        """Judge the steps to new values that stand together, and the one from them; gives whose step is too large.

        The step that led from the value before them to the one after them is no more.
        """
        unsteady = []
        last = values[0].series
        earlier = _units_in(last, before)
        if earlier is not None and after is not None:
            self._step(last, before, after, -1)
        for series, period, text, source in values:
            if series.name != last.name:
                last, earlier = series, None
            later = units(text)
            if earlier is not None:
                passed = passes(earlier, later, series.threshold_bp, series.floor)
                self._gain(period, 1, passed)
                if not passed:
                    unsteady.append(source)
            earlier = later
        following = _units_in(last, after)
        if following is not None and earlier is not None and after is not None:
            self._gain(_period_of(after), 1, passes(earlier, following, last.threshold_bp, last.floor))
        return unsteady

    def _step(self, series: _Series, before: Entry | None, after: Entry | None, sign: int) -> None:
        """Add or take out the step between two neighbours, if both are of the series."""
        earlier, later = _units_in(series, before), _units_in(series, after)
        if earlier is not None and later is not None and after is not None:
            passed = passes(earlier, later, series.threshold_bp, series.floor)
            self._gain(_period_of(after), sign, sign * passed)

    def _gain(self, period: int, judged: int, passed: int) -> None:
        gained = self._gained.setdefault(period, [0, 0])
        gained[0] += judged
        gained[1] += passed

    def _values(
        self, rules: tuple[Steady, ...], record: Record, record_id: bytes, occurred: int, period: int
    ) -> Iterator[tuple[bytes, _Value]]:
        """Each value of a record that has a threshold, with its key."""
        place = (occurred + _TIME_OFFSET).to_bytes(5, "big") + record_id[:ID_SIZE]
        source = Source(record_id, record.kind, record.number)
        contract = _contract_of(record)
        for steady in rules:
            value = record.fields.get(steady.field)
            if isinstance(value, str):
                series = _series_of(self._ctx, record, steady, contract)
                yield series.name + place + b"\x00\x00", _Value(series, period, value, source)
            elif value is not None:
                column = LINE_COLUMNS.index(steady.column)
                for number, row in enumerate(value):
                    if row[column]:
                        subject = ("item", row[1], row[3]) if row[1] else (*contract, row[3])
                        series = _series_of(self._ctx, record, steady, subject)
                        key = series.name + place + number.to_bytes(2, "big")
                        yield key, _Value(series, period, row[column], source)


_known: dict[tuple[str, Steady, str, Subject], _Series] = {}
"""A memo. It is pure: what is found by the whole of what a series is."""


def _series_of(ctx: Context, record: Record, steady: Steady, subject: Subject) -> _Series:
    currency = record.fields.get("currency", "")
    if not isinstance(currency, str):
        currency = ""
    what = (record.kind, steady, currency, subject)
    series = _known.get(what)
    if series is None:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        rule = [steady.field, steady.column, steady.threshold_bp, decimal_text.render(steady.epsilon)]
        digest = ctx.hash(["tally/series", 1, record.kind, rule, currency, list(subject)])
        floor = at_scale(steady.epsilon, MAX_DIGITS)
        series = _known[what] = _Series(digest[:SERIES_SIZE], steady.threshold_bp, floor)
    return series


def _period_of(entry: Entry) -> int:
    return int(str(entry.value).partition(" ")[0])


def _entry(key: bytes, value: _Value) -> Entry:
    return Entry(key, f"{value.period} {value.text}")


def _units_in(series: _Series, entry: Entry | None) -> int | None:
    """The value of a neighbour, None where it is of another series or there is none."""
    if entry is None or not entry.key.startswith(series.name):
        return None
    return units(str(entry.value).partition(" ")[2])


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
    if not (column in NUMBERED if column else rule.get("type") in NUMERIC):
        raise ContractError("WRONG_TEMPLATE", f"{where}: that is no number")
    epsilon = rule.get("epsilon", "0")
    try:
        parsed = decimal_text.parse(epsilon if type(epsilon) is str else "")
    except DecimalError as error:
        raise ContractError("WRONG_TEMPLATE", f"{where}: epsilon: {error}") from None
    if parsed.units < 0:
        raise ContractError("WRONG_TEMPLATE", f"{where}: epsilon is not negative")
    return [Steady(field, column, threshold, parsed)]
