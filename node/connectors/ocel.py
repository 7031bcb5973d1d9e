"""OCEL 2.0, JSON and XML → one "event" record for each event; the objects it relates to become links.

Which objects are orders, invoices and so on is told from the names of their types, which OCEL leaves to the system
that writes the log. Who the parties are is told from objects of party types; most logs have none, see ``events.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from node.connectors import jsons, values
from node.connectors.draft import Link, Party, RecordDraft, identifier, sorted_links
from node.connectors.errors import ConnectorError, shown
from node.connectors.events import Identity, Log, event_draft
from node.connectors.jsons import Object
from node.connectors.strict_json import Json

RELATIONS: Final = {
    "contract": "contract",
    "order": "order",
    "purchaseorder": "order",
    "salesorder": "order",
    "customerorder": "order",
    "po": "order",
    "orderconfirmation": "order_response",
    "delivery": "despatch",
    "deliverynote": "despatch",
    "outbounddelivery": "despatch",
    "despatch": "despatch",
    "despatchadvice": "despatch",
    "shipment": "despatch",
    "goodsreceipt": "receipt",
    "receipt": "receipt",
    "return": "return",
    "invoice": "invoice",
    "bill": "invoice",
    "vendorinvoice": "invoice",
    "supplierinvoice": "invoice",
    "customerinvoice": "invoice",
    "salesinvoice": "invoice",
    "invoicereceipt": "invoice",
    "creditnote": "credit_note",
    "creditmemo": "credit_note",
    "payment": "remittance",
    "remittance": "remittance",
}
"""Names of object types, small letters and digits only and without a plural s, to kinds of record."""
SELLERS: Final = frozenset({"supplier", "vendor", "seller"})
BUYERS: Final = frozenset({"customer", "buyer", "client"})
ATTRIBUTES: Final = ("location", "quantity", "unit", "disposition")
"""Attributes of an event that are fields of the record; the others (who clicked) stay in the raw file."""

_ADVICE: Final = "ask its sender for valid OCEL 2.0"
_PARTS: Final = ("eventTypes", "objectTypes", "events", "objects")


@dataclass(slots=True)
class _Thing:
    """An object: its type, as the log writes it, and the ids of the objects it relates to."""

    type: str
    related: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Event:
    id: str
    type: str
    time: str
    attributes: dict[str, str]
    related: list[str]


def matches(document: Json) -> bool:
    """Whether a JSON value has the four lists of an OCEL 2.0 log."""
    return isinstance(document, dict) and all(isinstance(document.get(part), list) for part in _PARTS)


def matches_xml(root: etree._Element) -> bool:
    """Whether an XML root is an OCEL 2.0 log: it has no namespace to tell it by."""
    return root.tag == "log" and root.find("object-types") is not None and root.find("events") is not None


def read(document: Json, identity: Identity) -> Iterator[RecordDraft]:
    """The drafts of all events of an OCEL 2.0 JSON file. Raises ConnectorError."""
    log = jsons.object_of(document, "the log", _ADVICE)
    things: dict[str, _Thing] = {}
    for item in jsons.objects(log["objects"], "objects", _ADVICE):
        _add(things, _text(item, "id"), _Thing(_text(item, "type"), _related(item)))
    events = (
        _Event(_text(item, "id"), _text(item, "type"), _text(item, "time"), _attributes(item), _related(item))
        for item in jsons.objects(log["events"], "events", _ADVICE)
    )
    return _drafts(events, things, identity)


def read_xml(root: etree._Element, identity: Identity) -> Iterator[RecordDraft]:
    """The drafts of all events of an OCEL 2.0 XML file. Raises ConnectorError."""
    things: dict[str, _Thing] = {}
    for element in root.iterfind("objects/object"):
        _add(things, _attribute(element, "id"), _Thing(_attribute(element, "type"), _related_xml(element)))
    events = (
        _Event(
            _attribute(element, "id"),
            _attribute(element, "type"),
            _attribute(element, "time"),
            _attributes_xml(element),
            _related_xml(element),
        )
        for element in root.iterfind("events/event")
    )
    return _drafts(events, things, identity)


def _drafts(events: Iterator[_Event], things: dict[str, _Thing], identity: Identity) -> Iterator[RecordDraft]:
    drafts = [_draft(event, f"event {shown(event.id)}", things, identity) for event in events]
    if not drafts:
        raise ConnectorError("MISSING", "no event in it", "export the log with its events")
    yield from drafts


def _draft(event: _Event, what: str, things: dict[str, _Thing], identity: Identity) -> RecordDraft:
    log = Log(what)
    if not event.type:
        raise ConnectorError("MISSING", f"the type of {what} is missing", _ADVICE)
    if not event.time:
        raise ConnectorError("MISSING", f"the time of {what} is missing", _ADVICE)
    unknown = next((related for related in event.related if related not in things), None)
    if unknown is not None:
        raise ConnectorError("BAD_VALUE", f"{what} relates to {shown(unknown)}, which is no object", _ADVICE)
    log.put("activity", event.type)
    for name in ATTRIBUTES:
        value = event.attributes.get(name, "")
        log.put(name, values.decimal_text(value, f"quantity of {what}") if value and name == "quantity" else value)
    if len(event.related) == 1:
        log.put("object_id", event.related[0])
    seller, buyer = _party(event, things, SELLERS), _party(event, things, BUYERS)
    return event_draft(
        log,
        number=event.id,
        occurred_at=values.json_moment(event.time, f"the time of {what}").text,
        links=_links(event, things, seller, buyer),
        identity=identity,
        enterprise=seller,
        counterparty=buyer,
    )


def _links(event: _Event, things: dict[str, _Thing], seller: Party | None, buyer: Party | None) -> tuple[Link, ...]:
    links: list[Link] = []
    for related in event.related:
        relation = RELATIONS.get(_plain(things[related].type))
        if relation is not None:
            owner = buyer if relation in ("contract", "order", "receipt", "return", "remittance") else seller
            links.append((relation, owner.id if owner else "", identifier(related, "an object's id")))
    return sorted_links(links)


def _party(event: _Event, things: dict[str, _Thing], types: frozenset[str]) -> Party | None:
    """The one party of a type that the event relates to, directly or through one of its objects."""
    near = [related for related in event.related if _plain(things[related].type) in types]
    if not near:
        beyond = [far for related in event.related for far in things[related].related if far in things]
        near = [far for far in beyond if _plain(things[far].type) in types]
    found = dict.fromkeys(near)
    return Party(identifier(next(iter(found)), "a party's id")) if len(found) == 1 else None


def _plain(name: str) -> str:
    """A type's name without what writers of logs vary: "Purchase Orders", "purchase_order", "PurchaseOrder"."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    return word.removesuffix("s") if word.removesuffix("s") in RELATIONS.keys() | SELLERS | BUYERS else word


def _add(things: dict[str, _Thing], own: str, thing: _Thing) -> None:
    if not own:
        raise ConnectorError("MISSING", "an object has no id", _ADVICE)
    if own in things:
        raise ConnectorError("BAD_VALUE", f"two objects have the id {shown(own)}", _ADVICE)
    things[own] = thing


def _related(item: Object) -> list[str]:
    relations = jsons.objects(item.get("relationships"), "relationships", _ADVICE)
    return list(dict.fromkeys(_text(relation, "objectId") for relation in relations))


def _related_xml(element: etree._Element) -> list[str]:
    return list(dict.fromkeys(_attribute(found, "object-id") for found in element.iterfind("objects/relationship")))


def _attributes(item: Object) -> dict[str, str]:
    attributes = jsons.objects(item.get("attributes"), "attributes", _ADVICE)
    return _chosen((_text(attribute, "name"), attribute) for attribute in attributes)


def _attributes_xml(element: etree._Element) -> dict[str, str]:
    attributes = element.iterfind("attributes/attribute")
    return _chosen((_attribute(found, "name"), {"value": found.text or ""}) for found in attributes)


def _chosen(attributes: Iterable[tuple[str, Object]]) -> dict[str, str]:
    """The attributes that are fields of a record. Raises ConnectorError where one stands twice."""
    found: dict[str, str] = {}
    for name, attribute in attributes:
        if name in found:
            raise ConnectorError("BAD_VALUE", f"the attribute {shown(name)} stands twice in one event", _ADVICE)
        if name in ATTRIBUTES:
            found[name] = _text(attribute, "value")
    return found


def _text(item: Object, key: str) -> str:
    return jsons.text(item, key, _ADVICE)


def _attribute(element: etree._Element, name: str) -> str:
    return values.clean(element.get(name, ""))
