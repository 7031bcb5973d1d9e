"""XES event logs (IEEE 1849) → one "event" record for each event of each trace.

A trace is what the events are about: its name is the object. XES has no references to documents, so there are no
links; and no parties, so the member says whose log it is (``events.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from node.connectors import values
from node.connectors.draft import RecordDraft, identifier
from node.connectors.errors import ConnectorError, shown
from node.connectors.events import Identity, Log, event_draft

NAMESPACE: Final = "http://www.xes-standard.org/"
_ADVICE: Final = "ask its sender for valid XES"


def matches(root: etree._Element) -> bool:
    """Whether an XML root is a XES log; many tools leave its namespace away."""
    name = etree.QName(root)
    return name.localname == "log" and (name.namespace == NAMESPACE or root.get("xes.version") is not None)


def read(root: etree._Element, identity: Identity) -> Iterator[RecordDraft]:
    """The drafts of all events, trace by trace. Raises ConnectorError."""
    drafts = [
        _draft(event, place, _attributes(trace).get("concept:name", ""), identity)
        for trace in root.iterfind("{*}trace")
        for place, event in enumerate(trace.iterfind("{*}event"), 1)
    ]
    if not drafts:
        raise ConnectorError("MISSING", "no event in it", "export the log with its events")
    yield from drafts


def _draft(event: etree._Element, place: int, trace: str, identity: Identity) -> RecordDraft:
    what = f"event {place} of trace {shown(trace)}"
    found = _attributes(event)
    log = Log(what)
    if "concept:name" not in found:
        raise ConnectorError("MISSING", f"concept:name of {what} is missing", _ADVICE)
    if "time:timestamp" not in found:
        raise ConnectorError("MISSING", f"time:timestamp of {what} is missing", _ADVICE)
    log.put("activity", found["concept:name"])
    log.put("event_type", found.get("lifecycle:transition", ""))
    log.put("object_id", trace)
    instance = found.get("identity:id") or found.get("concept:instance") or str(place)
    return event_draft(
        log,
        number=f"{identifier(trace, 'concept:name of a trace')}/{instance}",
        occurred_at=values.json_moment(found["time:timestamp"], f"time:timestamp of {what}").text,
        links=(),
        identity=identity,
        enterprise=None,
        counterparty=None,
    )


def _attributes(element: etree._Element) -> dict[str, str]:
    """Key to value of the simple attributes that are children of a log's part."""
    found: dict[str, str] = {}
    for child in element:
        key = values.clean(child.get("key", ""))
        if not key or etree.QName(child).localname in ("event", "trace"):
            continue
        if key in found:
            raise ConnectorError("BAD_VALUE", f"the attribute {shown(key)} stands twice", _ADVICE)
        found[key] = values.clean(child.get("value", ""))
    return found
