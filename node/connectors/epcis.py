"""EPCIS 2.0 JSON and JSON-LD (GS1) → one "event" record for each event of a document or a query's answer.

What happened (``bizStep``), to which things, where, and the business transactions it belongs to, which become links.
Short names and full URIs of the Core Business Vocabulary mean the same (CBV 2.0 § 7, § 8.5), a GLN is written one way
however the file writes it (TDS 2.0 § 6.3).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Final
from urllib.parse import unquote, urlsplit

from node.connectors import jsons, values
from node.connectors.draft import Link, Party, RecordDraft, identifier, sorted_links
from node.connectors.errors import ConnectorError, shown
from node.connectors.events import Identity, Log, event_draft
from node.connectors.jsons import Object
from node.connectors.strict_json import Json, Number

EVENTS: Final = ("ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent")
RELATIONS: Final = {
    "po": "order",
    "poc": "order_response",
    "desadv": "despatch",
    "recadv": "receipt",
    "inv": "invoice",
    "rma": "return",
}
"""Business transaction types (CBV 2.0 § 7.3) that name a kind of record; the others are no record of ours."""

_ADVICE: Final = "ask its sender for valid EPCIS 2.0"
_VOCABULARY: Final = re.compile(
    r"(?:urn:epcglobal:cbv:(?:bizstep|disp|btt|sdt):|(?:https://ref\.gs1\.org/cbv/|cbv:)(?:BizStep|Disp|BTT|SDT)-)"
    r"([A-Za-z0-9_]+)"
)
_TRANSACTION: Final = re.compile(r"urn:epcglobal:cbv:bt:([0-9]{13}):(.+)", re.DOTALL)
_LOCATION: Final = re.compile(r"urn:epc:id:(?:sgln|pgln):([0-9]{6,12})\.([0-9]{0,6})(?:\.[^.]*)?")
_LINKED_GLN: Final = re.compile(r"https?://[^/?#]+(?:/[^?#]*)?/(?:414|417|pgln|gln)/([0-9]{13})(?:[/?#].*)?")
_PARTY_TYPES: Final = ("owning_party", "possessing_party")


def matches(document: Json) -> bool:
    """Whether a JSON value is an EPCIS document, a query document or a single event."""
    if not isinstance(document, dict):
        return False
    kind = document.get("type")
    return kind in ("EPCISDocument", "EPCISQueryDocument") or (kind in EVENTS and "eventTime" in document)


def read(document: Json, identity: Identity) -> Iterator[RecordDraft]:
    """The drafts of all events, in the file's order. Raises ConnectorError."""
    holder = jsons.object_of(document, "the document", _ADVICE)
    version = holder.get("schemaVersion")
    if isinstance(version, str) and not version.startswith("2."):
        raise ConnectorError("NOT_SUPPORTED", f"EPCIS version {shown(version)}", "export it as EPCIS 2.0")
    sender = _text(holder, "sender")
    events = [_event(event, f"event {place}", sender, identity) for place, event in enumerate(_events(holder), 1)]
    if not events:
        raise ConnectorError("MISSING", "no event in it", "export it with its events")
    yield from events


def gln(uri: str) -> str:
    """The 13 digits of the GLN in an SGLN or PGLN URI or a GS1 Digital Link; "" where it is something else."""
    if match := _LINKED_GLN.fullmatch(uri):
        return match[1]
    match = _LOCATION.fullmatch(uri)
    if match is None or len(match[1]) + len(match[2]) != 12:
        return ""
    digits = match[1] + match[2]
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return digits + str(-weighted % 10)


def _events(holder: Object) -> Iterator[Object]:
    if holder.get("type") not in ("EPCISDocument", "EPCISQueryDocument"):
        yield holder
        return
    body = jsons.object_of(holder.get("epcisBody"), "epcisBody", _ADVICE)
    if holder["type"] == "EPCISQueryDocument":
        results = jsons.object_of(body.get("queryResults"), "queryResults", _ADVICE)
        body = jsons.object_of(results.get("resultsBody"), "resultsBody", _ADVICE)
    yield from jsons.objects(body.get("eventList"), "eventList", _ADVICE)


def _event(event: Object, what: str, sender: str, identity: Identity) -> RecordDraft:
    log = Log(what)
    number = _text(event, "eventID")
    if not number:
        number = "sha256:" + sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()
        log.notes.append("it has no eventID: numbered by the hash of its content")
    kind, action = _text(event, "type"), _text(event, "action")
    step = _word(_text(event, "bizStep"))
    place = _place(event, "bizLocation") or _place(event, "readPoint")
    log.put("activity", step or f"{kind} {action}".strip())
    log.put("event_type", kind)
    log.put("business_step", step)
    log.put("disposition", _word(_text(event, "disposition")))
    log.put("location", place)
    log.put("action", action)
    _things(event, log)
    if declared := event.get("errorDeclaration"):
        log.put("error_declared", _time(jsons.object_of(declared, "errorDeclaration", _ADVICE), "declarationTime"))
        log.notes.append("its sender declares it an error")
    seller, buyer = _party(event, "sourceList", "source"), _party(event, "destinationList", "destination")
    holder = _located(_place(event, "readPoint")) or _located(place)
    return event_draft(
        log,
        number=number,
        occurred_at=_time(event, "eventTime"),
        links=_links(event, seller, buyer),
        identity=identity,
        enterprise=seller,
        counterparty=buyer,
        fallback=holder or (Party(identifier(sender, "sender")) if sender else None),
    )


def _things(event: Object, log: Log) -> None:
    """object_id, quantity, unit and lines: what the event is about; "inputs": what it transforms to that."""
    things = [*_epcs(event, "epcList"), *_epcs(event, "childEPCs"), *_epcs(event, "outputEPCList")]
    rows = [["", epc, "", "", "", ""] for epc in things]
    classes: list[list[str]] = []
    for name in ("quantityList", "childQuantityList", "outputQuantityList"):
        classes += _quantities(event, name)
    log.put("object_id", _text(event, "parentID") or _text(event, "transformationID") or _only(things, classes))
    if len(classes) == 1 and not things:
        log.put("quantity", classes[0][2])
        log.put("unit", classes[0][3])
    log.put_lines(rows + classes)
    inputs = [["", epc, "", "", "", ""] for epc in _epcs(event, "inputEPCList")]
    log.put_lines(inputs + _quantities(event, "inputQuantityList"), "inputs")


def _only(things: list[str], classes: list[list[str]]) -> str:
    """The one thing, or the one class of things, that an event is about."""
    found = things + [row[1] for row in classes]
    return found[0] if len(found) == 1 else ""


def _epcs(event: Object, name: str) -> list[str]:
    items = jsons.list_of(event.get(name), name, _ADVICE)
    return [identifier(jsons.text_of(item, f"an item of {name}", _ADVICE), f"an item of {name}") for item in items]


def _quantities(event: Object, name: str) -> list[list[str]]:
    rows = []
    for item in jsons.objects(event.get(name), name, _ADVICE):
        amount = item.get("quantity")
        if amount is not None and not isinstance(amount, Number):
            raise ConnectorError("BAD_VALUE", f"a quantity of {name} is no number", _ADVICE)
        quantity = "" if amount is None else values.json_decimal(amount, f"a quantity of {name}")
        rows.append(
            ["", identifier(_text(item, "epcClass"), f"epcClass in {name}"), quantity, _text(item, "uom"), "", ""]
        )
    return rows


def _links(event: Object, seller: Party | None, buyer: Party | None) -> tuple[Link, ...]:
    """Orders and receipts are the buyer's numbers, the others the seller's, unless the number itself says whose."""
    links: list[Link] = []
    for item in jsons.objects(event.get("bizTransactionList"), "bizTransactionList", _ADVICE):
        relation = RELATIONS.get(_word(_text(item, "type")))
        uri = _text(item, "bizTransaction")
        if relation is None or not uri:
            continue
        owner = buyer if relation in ("order", "receipt", "return") else seller
        issuer = owner.id if owner else ""
        if match := _TRANSACTION.fullmatch(uri):
            issuer, uri = f"GLN:{match[1]}", match[2]
        links.append((relation, issuer, identifier(_last_part(uri), "a business transaction")))
    return sorted_links(links)


def _last_part(uri: str) -> str:
    """The number at the end of a web address (CBV 2.0 § 8.5.3); other identifiers stay whole."""
    if not uri.startswith(("http://", "https://")):
        return uri
    try:
        path = urlsplit(uri).path
    except ValueError:
        raise ConnectorError("BAD_VALUE", f"a business transaction is {shown(uri)}", _ADVICE) from None
    return values.clean(unquote(path.rstrip("/").rpartition("/")[2])) or uri


def _party(event: Object, name: str, key: str) -> Party | None:
    """Who owned the things before or owns them after the event, else who held them."""
    found: dict[str, str] = {}
    for item in jsons.objects(event.get(name), name, _ADVICE):
        found.setdefault(_word(_text(item, "type")), _text(item, key))
    uri = next((found[kind] for kind in _PARTY_TYPES if found.get(kind)), "")
    return _party_of(uri) if uri else None


def _party_of(uri: str) -> Party:
    number = gln(uri)
    return (
        Party(f"GLN:{number}", identifiers=(identifier(uri, "a party"),))
        if number
        else Party(identifier(uri, "a party"))
    )


def _located(uri: str) -> Party | None:
    """The party whose GLN names a place, None for places without one."""
    return _party_of(uri) if gln(uri) else None


def _place(event: Object, name: str) -> str:
    found = event.get(name)
    return _text(jsons.object_of(found, name, _ADVICE), "id") if found is not None else ""


def _time(event: Object, name: str) -> str:
    raw = _text(event, name)
    if not raw:
        raise ConnectorError("MISSING", f"{name} is missing", _ADVICE)
    return values.json_moment(raw, name).text


def _word(text: str) -> str:
    """The short name of a vocabulary word, however it is written; another vocabulary's word stays as it is."""
    match = _VOCABULARY.fullmatch(text)
    return match[1] if match else text


def _text(item: Object, key: str) -> str:
    return jsons.text(item, key, _ADVICE)
