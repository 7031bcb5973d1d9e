"""Series of values in process records, for the fluctuation share V2 of accuracy ([24], DOMAIN 3).

One series: one field of one kind, for one product (a lines column: item id, unit, currency) or one contract (a
field of the document: its contract, else its counterparty), ordered by event time, then record id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from contracts import decimal_text
from contracts.decimal_text import DecimalError, Scaled, at_scale, floor_at_scale
from contracts.documents import Document, event_order
from contracts.errors import ContractError
from contracts.record import LINE_COLUMNS
from contracts.statistics import Counted, fluctuation

MAX_THRESHOLD_BP = 10_000_000

SeriesKey: TypeAlias = tuple[str, ...]


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


def steadiness(process: Iterable[Document]) -> Counted:
    """V2 as (passed, judged): steps within their threshold, over all series of all process records."""
    series: dict[tuple[SeriesKey, Steady], list[Scaled]] = {}
    known: dict[tuple[str, int, str], tuple[Steady, ...]] = {}
    for doc in sorted(process, key=event_order):
        name = (doc.record.template, doc.record.template_version, doc.kind)
        if name not in known:
            known[name] = thresholds(doc.kind_spec)
        for steady in known[name]:
            for product, value in _values(doc, steady):
                key = (doc.kind, steady.field, steady.column, doc.text("currency"), *product)
                series.setdefault((key, steady), []).append(value)
    passed = judged = 0
    for (_, steady), values in series.items():
        scale = max(steady.epsilon.scale, max(value.scale for value in values))
        epsilon = floor_at_scale(steady.epsilon, scale)
        counted = fluctuation([at_scale(value, scale) for value in values], steady.threshold_bp, epsilon)
        passed += counted.passed
        judged += counted.judged
    return Counted(passed, judged)


def _values(doc: Document, steady: Steady) -> list[tuple[SeriesKey, Scaled]]:
    if not steady.column:
        value = doc.decimal(steady.field)
        return [] if value is None else [(_contract_of(doc), value)]
    rows = doc.record.fields.get(steady.field, "")
    column = LINE_COLUMNS.index(steady.column)
    found: list[tuple[SeriesKey, Scaled]] = []
    for row in rows if isinstance(rows, list) else []:
        value = decimal_text.parse_or_none(row[column])
        if value is not None:
            product: SeriesKey = ("item", row[1], row[3]) if row[1] else (*_contract_of(doc), row[3])
            found.append((product, value))
    return found


def _contract_of(doc: Document) -> SeriesKey:
    for relation, issuer, number in doc.record.links:
        if relation == "contract":
            return ("contract", issuer, number)
    return ("counterparty", doc.record.counterparty, "")


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
