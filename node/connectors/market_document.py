"""From a table to the document that market.publish takes, and to a data set that can be searched without a chain."""

from __future__ import annotations

from typing import Any, Final

from chain.crypto import hash_value
from contracts import market_schema as schema
from contracts.market import Dataset, record_hash
from contracts.market_schema import Type
from contracts.neighbours import Packed, Scale, pack
from node.connectors import market_model
from node.connectors.errors import ConnectorError
from node.connectors.market_csv import Plan, Table

SETTINGS: Final = ("neighbours", "neighbourhood", "shortlist_bp")


def model_of(scaled: dict[str, Scale], neighbours: int) -> dict[str, Any]:
    """Settings found on exact records, as they stand in a mapping file."""
    return {
        "neighbours": neighbours,
        "neighbourhood": market_model.NEIGHBOURHOOD,
        "shortlist_bp": market_model.SHORTLIST_BP,
        "features": {name: [scale.low, scale.high, scale.weight] for name, scale in scaled.items()},
    }


def document(table: Table, plan: Plan, version: int) -> dict[str, Any]:
    """The data set as it is published. Without settings of `prepare` in the plan, percentiles are the table's own."""
    model = plan.model or model_of(market_model.scales(table, plan.kind), market_model.NEIGHBOURS_EXACT)
    features = {name for name in table.names if name in schema.FEATURES}
    if set(model) != {*SETTINGS, "features"} or set(model["features"]) != features:
        raise ConnectorError("BAD_MAPPING", "model does not fit the columns", "use the mapping that prepare wrote")
    rows = sorted((_hash(plan.kind, table, row), row) for row in table.rows)
    known = schema.columns_of(plan.kind)
    entries = []
    for place, name in enumerate(table.names):
        cells: list[Any] = [row[place] for _, row in rows]
        entry: dict[str, Any] = {"name": name}
        if known[name].type in (Type.CODE, Type.INSTITUTION):
            entry["codes"] = sorted(set(cells))
            book = {code: at for at, code in enumerate(entry["codes"])}
            cells = [book[cell] for cell in cells]
        if name in schema.FEATURES:
            entry |= dict(zip(("low", "high", "weight"), model["features"][name], strict=True))
        packed = pack(cells)
        entries.append({**entry, "width": packed.width, "data": packed.data})
    return {
        "id": plan.dataset,
        "kind": plan.kind,
        "version": version,
        "currency": plan.currency,
        "scale": plan.scale,
        "institutions": list(plan.institutions),
        **{name: model[name] for name in SETTINGS},
        "rows": len(rows),
        "columns": entries,
    }


def dataset(document: dict[str, Any], chain: str = "") -> Dataset:
    """A document as the contract would load it: for measurements and tests."""
    columns = {entry["name"]: Packed(entry["data"], entry["width"]) for entry in document["columns"]}
    return Dataset(chain, {**document, "hash": bytes(32), "height": 0}, columns)


def _hash(kind: str, table: Table, row: tuple[Any, ...]) -> bytes:
    """The contract's record hash."""
    return record_hash(hash_value, kind, table.names, row)
