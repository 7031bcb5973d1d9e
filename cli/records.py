"""Records as a node gives them (bytes as hex): finding one by its id, walking its versions, saying it in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cli.output import facts, moment, plain, table

if TYPE_CHECKING:
    from tallystick.client import Client

LINE_HEADERS: Final = ("line", "item", "quantity", "unit", "price", "amount")
# Places in the record array (contracts/record.py).
ENTERPRISE, COUNTERPARTY, TEMPLATE, TEMPLATE_VERSION, OCCURRED, LINKS, SOURCE, FIELDS, SEALED, CORRECTS = range(5, 15)


def by_id(client: Client, record_id: bytes, at: int | None) -> list[dict[str, Any]]:
    """The version with an id, on every business chain that sealed it by ``at``."""
    found = []
    for place in client.record_places(record_id):
        chain = place["chain"]
        entry = client.state(chain, "records", "record", place["kind"], place["issuer"], place["number"], at=at)
        if entry is not None:
            newest = named(chain, entry)
            found += [version for version in versions(client, newest) if version["id"] == record_id.hex()]
    return found


def versions(client: Client, newest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All versions, newest first, each with ``changed``: what differs from the one before it.

    An earlier version is taken from its proof: the state keeps one version a block, the chain keeps all.
    """
    found: list[dict[str, Any]] = []
    entry = dict(newest)
    while True:
        corrected = entry["record"][CORRECTS]
        earlier = None if corrected is None else _earlier(client, entry, bytes.fromhex(corrected))
        found.append({**entry, "changed": _changes(earlier, entry)})
        if earlier is None:
            return found
        entry = earlier


def named(chain: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the records contract with its chain and natural key, as /v1/records gives it."""
    kind, issuer, number = entry["record"][2:5]
    shown: dict[str, Any] = plain({"chain": chain, "kind": kind, "issuer": issuer, "number": number, **entry})
    return shown


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


def _earlier(client: Client, entry: Mapping[str, Any], record_id: bytes) -> dict[str, Any]:
    """The version that an entry corrects."""
    from chain.block import Header
    from chain.codec import decode
    from chain.verification import MAX_PROOF_SIZE

    proof = decode(client.prove_record(record_id), max_size=MAX_PROOF_SIZE)
    header = Header.decode(proof["header"])
    array = decode(proof["claim"]["record"][0])
    place = {"id": record_id, "height": header.height, "time": header.time, "superseded": entry["superseded"][:-1]}
    return named(entry["chain"], {**place, "record": array})


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
