"""Small published data sets for the matching tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from contracts import market_schema as schema
from node.connectors import market_document, market_model
from node.connectors.market_csv import Plan, Table


def plan(kind: str = "lending", **changes: Any) -> Plan:
    base = Plan("loans", kind, "GBP", 2, {}, frozenset(), (), {})
    return base._replace(**changes)


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows as maps from column to cell; all have the same columns."""
    listed = list(rows)
    names = tuple(sorted(listed[0]))
    cells = [tuple(row[name] for name in names) for row in listed]
    return Table(names, cells, list(range(2, len(listed) + 2)))


def document(
    rows: Iterable[Mapping[str, Any]], kind: str = "lending", version: int = 1, **changes: Any
) -> dict[str, Any]:
    """What market.publish takes. changes: of the plan, or model settings such as neighbours."""
    settings: dict[str, int] = {name: changes.pop(name) for name in market_document.SETTINGS if name in changes}
    weights: dict[str, int] = changes.pop("weights", {})
    made = table(rows)
    chosen: dict[str, int] = {name: weights.get(name, 1) for name in made.names if name in schema.FEATURES}
    scaled = market_model.scales(made, kind, chosen)
    model = {**market_document.model_of(scaled, 7), **settings}
    return market_document.document(made, plan(kind, model=model, **changes), version)


def loans(lender: str, limit: int, count: int = 25, **cells: Any) -> list[dict[str, Any]]:
    """Equal records of one lender: an industry, a tenor, an amount, all approved unless told otherwise."""
    base = {"lender": lender, "limit": limit, "approved": int(limit > 0), "industry": "20", "tenor_months": 12}
    return [{**base, "amount": 10_000_000, **cells} for _ in range(count)]
