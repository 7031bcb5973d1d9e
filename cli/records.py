"""Records as a node gives them (bytes as hex): finding one by its id, walking its versions, saying it in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cli.output import facts, moment, table

if TYPE_CHECKING:
    from tallystick.client import Client

ALL: Final = 500
"""More versions than a record can have (contracts/records.py)."""
LINE_HEADERS: Final = ("line", "item", "quantity", "unit", "price", "amount")
# Places in the record array (contracts/record.py).
ENTERPRISE, COUNTERPARTY, TEMPLATE, TEMPLATE_VERSION, OCCURRED, LINKS, SOURCE, FIELDS, SEALED, CORRECTS = range(5, 15)


def by_id(client: Client, record_id: bytes, at: int | None) -> list[dict[str, Any]]:
    """The version with an id, on every business chain that sealed it by ``at``."""
    found = []
    for place in client.record_places(record_id):
        page = versions(client, place, at=at, limit=ALL)
        for row in page["rows"]:
            if row["id"] == record_id.hex():
                earlier = [other["id"] for other in page["rows"] if other["version"] < row["version"]]
                found.append({**row, "superseded": earlier[::-1]})
    return found


def versions(
    client: Client, key: Mapping[str, Any], *, at: int | None = None, after: str | None = None, limit: int = 100
) -> dict[str, Any]:
    """A page of a record's versions, newest first: {rows, began, next}. ``key`` names its chain and natural key.

    Each row has them too, and ``changed``: what differs from the version before.
    """
    name = {part: key[part] for part in ("chain", "kind", "issuer", "number")}
    page = client.record_history(**name, at=at, after=after, limit=limit)
    rows = page["rows"]
    before = [*rows[1:], None]
    if page["next"] is not None:
        before[-1] = client.record_history(**name, at=at, after=page["next"], limit=1)["rows"][0]
    changed = [{**name, **row, "changed": _changes(earlier, row)} for row, earlier in zip(rows, before, strict=True)]
    return {**page, "rows": changed}


def describe(entry: Mapping[str, Any]) -> list[str]:
    """A sealed record in words."""
    lines = facts(
        [
            ("record", entry["id"]),
            ("chain", entry["chain"]),
            ("sealed", f"block {entry['height']}, {moment(entry['time'])}"),
            ("version", f"{len(entry['superseded']) + 1}" if entry["superseded"] else None),
        ]
    )
    return lines + content(entry["record"])


def content(record: list[Any]) -> list[str]:
    """A record array in words, for a clerk: who, what, when, its fields and lines."""
    kind, issuer, number = record[2:5]
    source = record[SOURCE]
    lines = facts(
        [
            ("kind", kind),
            ("number", number),
            ("issuer", issuer),
            ("enterprise", record[ENTERPRISE]),
            ("counterparty", record[COUNTERPARTY] or None),
            ("occurred", record[OCCURRED]),
            ("refers to", [f"{relation} {other}" for relation, _, other in record[LINKS]] or None),
            ("template", f"{record[TEMPLATE]} version {record[TEMPLATE_VERSION]}"),
            ("source", f"{source[0]}, read by {source[1]} {source[2]}"),
            ("raw file", source[3]),
            ("sealed fields", record[SEALED]),
            ("corrects", record[CORRECTS]),
        ]
    )
    return lines + fields(record[FIELDS])


def fields(values: Mapping[str, Any]) -> list[str]:
    """Fields by name, texts first, then those that are lines."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    lines = facts((f"  {name}", value) for name, value in texts.items())
    for name, value in values.items():
        if not isinstance(value, str):
            lines += [f"  {name}:", *(f"    {row}" for row in table(LINE_HEADERS, value))]
    return lines


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    if before is None:
        return ["first version"]
    old, new = before["record"], after["record"]
    names = ("enterprise", "counterparty", "template", "template version", "occurred", "links")
    found = [name for place, name in enumerate(names, ENTERPRISE) if old[place] != new[place]]
    fields = sorted(name for name in {*old[FIELDS], *new[FIELDS]} if old[FIELDS].get(name) != new[FIELDS].get(name))
    found += fields
    if old[SEALED] != new[SEALED]:
        found.append("sealed fields")
    return found or ["source only"]
