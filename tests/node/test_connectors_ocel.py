"""OCEL 2.0 in JSON and XML, and XES: the public purchase-to-pay log, and logs written here."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest

from contracts.template import check_fields, compiled
from genesis import library
from node.connectors import ConnectorError, RecordDraft, detect, read
from node.connectors.mapping import LogParties, Mapping, PartyValue
from tests.connector_samples import NO_SAMPLES, SHARED

FOLDER = SHARED / "eventlogs"
needs_samples = pytest.mark.skipif(not FOLDER.exists(), reason=NO_SAMPLES)
OWN = Mapping(own=PartyValue(id="GB-COH:7"))

LOG: dict[str, Any] = {
    "objectTypes": [{"name": name, "attributes": []} for name in ("Purchase Orders", "Supplier", "customer", "item")],
    "eventTypes": [{"name": "Ship", "attributes": []}],
    "objects": [
        {"id": "PO1", "type": "Purchase Orders", "relationships": [{"objectId": "S1", "qualifier": "from"}]},
        {"id": "S1", "type": "Supplier"},
        {"id": "C1", "type": "customer"},
        {"id": "I1", "type": "item"},
        {"id": "D1", "type": "outbound_delivery"},
    ],
    "events": [
        {
            "id": "e1",
            "type": "Ship",
            "time": "2026-10-16T09:30:00+02:00",
            "attributes": [{"name": "quantity", "value": "12.50"}, {"name": "clerk", "value": "Ann"}],
            "relationships": [{"objectId": name, "qualifier": "q"} for name in ("PO1", "C1", "I1", "D1")],
        }
    ],
}

XML = """<?xml version="1.0" encoding="UTF-8"?>
<log><object-types><object-type name="Purchase Orders"/></object-types>
<event-types><event-type name="Ship"/></event-types>
<objects>
<object id="PO1" type="Purchase Orders"><objects><relationship object-id="S1" qualifier="from"/></objects></object>
<object id="S1" type="Supplier"/><object id="C1" type="customer"/><object id="I1" type="item"/>
<object id="D1" type="outbound_delivery"/>
</objects>
<events><event id="e1" type="Ship" time="2026-10-16T09:30:00+02:00">
<attributes><attribute name="quantity">12.50</attribute><attribute name="clerk">Ann</attribute></attributes>
<objects><relationship object-id="PO1" qualifier="q"/><relationship object-id="C1" qualifier="q"/>
<relationship object-id="I1" qualifier="q"/><relationship object-id="D1" qualifier="q"/></objects>
</event></events></log>"""

XES = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849-2016" xmlns="http://www.xes-standard.org/">
<string key="concept:name" value="purchases"/>
<trace><string key="concept:name" value="PO-1"/>
<event><string key="concept:name" value="Create"/>
<date key="time:timestamp" value="2026-10-16T09:30:00.250+02:00"/></event>
<event><string key="concept:name" value="Approve"/><string key="lifecycle:transition" value="complete"/>
<string key="concept:instance" value="task-7"/><date key="time:timestamp" value="2026-10-16T10:00:00Z"/></event>
</trace></log>"""


def conformity(draft: RecordDraft) -> str:
    """Weight present and asked, by the general-trade template: activity 3, location 1, object_id 1."""
    kind = compiled(library.template("general-trade")).kinds["event"]
    return f"{check_fields(kind, dict(draft.fields))}/{kind.asked}"


def changed(**event: Any) -> bytes:
    log = copy.deepcopy(LOG)
    log["events"][0] |= event
    return json.dumps(log).encode()


@needs_samples
def test_the_public_log() -> None:
    data = (FOLDER / "ocel20_example.jsonocel").read_bytes()
    assert detect(data, "x").name == "ocel"
    drafts = read(data, "x", OWN)
    assert [draft.number for draft in drafts] == [f"e{number}" for number in range(1, 14)]
    assert drafts[0].fields == {"activity": "Create Purchase Requisition", "object_id": "PR1"}
    assert drafts[0].occurred_at == "2022-01-09T14:00:00Z"
    assert [draft.links for draft in drafts[2:8]] == [
        (("order", "", "PO1"),),
        (("order", "", "PO1"),),
        (("invoice", "", "R1"), ("order", "", "PO1")),
        (("invoice", "", "R2"), ("order", "", "PO1")),
        (("invoice", "", "R1"), ("remittance", "", "P1")),
        (("invoice", "", "R2"), ("remittance", "", "P2")),
    ]
    # By hand: e1, e2, e4, e9, e11, e12 are about one object (3 + 1 of 5), the other seven about two (3 of 5).
    assert [conformity(draft) for draft in drafts] == [
        "4/5", "4/5", "3/5", "4/5", "3/5", "3/5", "3/5", "3/5", "4/5", "3/5", "4/5", "4/5", "3/5",
    ]  # fmt: skip
    assert {draft.enterprise.id for draft in drafts} == {draft.issuer for draft in drafts} == {"GB-COH:7"}


@needs_samples
def test_a_log_of_nobody_is_refused_without_a_mapping() -> None:
    data = (FOLDER / "ocel20_example.jsonocel").read_bytes()
    with pytest.raises(ConnectorError, match="x: event 'e1' names no enterprise: say whose log it is"):
        read(data, "x")


@needs_samples
def test_the_log_written_here_is_valid_by_the_official_schema() -> None:
    schema = json.loads((FOLDER / "schema_ocel2.json").read_text())
    jsonschema.validate(LOG, schema)
    jsonschema.validate(json.loads((FOLDER / "ocel20_example.jsonocel").read_text()), schema)


def test_parties_links_and_figures_from_objects_and_attributes_in_json_and_xml() -> None:
    (draft,) = read(json.dumps(LOG).encode(), "x")
    assert draft.fields == {"activity": "Ship", "quantity": "12.50"}, "Ann is nobody's business"
    assert (draft.enterprise.id, draft.issuer) == ("S1", "S1"), "the supplier of the order"
    assert draft.counterparty is not None
    assert draft.counterparty.id == "C1"
    assert draft.links == (("despatch", "S1", "D1"), ("order", "C1", "PO1"))
    assert draft.occurred_at == "2026-10-16T07:30:00Z"
    assert read(XML.encode(), "x") == [draft]
    assert detect(XML.encode(), "x").name == "ocel-xml"


def test_the_member_says_who_wrote_the_log_and_who_trades() -> None:
    mapping = Mapping(own=PartyValue(id="ME"), log=LogParties(enterprise=PartyValue(id="THEM"), counterparty="own"))
    (draft,) = read(changed(relationships=[]), "x", mapping)
    assert draft.counterparty is not None
    assert (draft.issuer, draft.enterprise.id, draft.counterparty.id) == ("ME", "THEM", "ME")
    assert len(draft.notes) == 2


@pytest.mark.parametrize(
    ("event", "code", "message"),
    [
        ({"id": ""}, "MISSING", "the identifier of event '' is missing"),
        ({"type": ""}, "MISSING", "the type of event 'e1' is missing"),
        ({"time": ""}, "MISSING", "the time of event 'e1' is missing"),
        ({"time": "16.10.2026"}, "BAD_VALUE", "the time of event 'e1' is '16.10.2026'"),
        ({"time": "0001-01-01T00:00:00Z"}, "BAD_VALUE", "event 'e1' is of 0001-01-01"),
        ({"relationships": [{"objectId": "nowhere", "qualifier": ""}]}, "BAD_VALUE", "relates to 'nowhere'"),
        ({"relationships": "PO1"}, "BAD_VALUE", "relationships is not a list"),
        ({"attributes": [{"name": "quantity", "value": "ten"}]}, "BAD_VALUE", "quantity of event 'e1' is 'ten'"),
        ({"attributes": [{"name": "unit", "value": "a"}] * 2}, "BAD_VALUE", "'unit' stands twice"),
    ],
)
def test_wrong_events_are_refused_by_element_and_rule(event: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(ConnectorError) as raised:
        read(changed(**event), "x")
    assert raised.value.code == code
    assert message in str(raised.value)


def test_wrong_logs_are_refused() -> None:
    with pytest.raises(ConnectorError, match="no event in it"):
        read(json.dumps({**LOG, "events": []}).encode(), "x")
    with pytest.raises(ConnectorError, match="two objects have the id 'S1'"):
        read(json.dumps({**LOG, "objects": [{"id": "S1", "type": "a"}] * 2}).encode(), "x")
    with pytest.raises(ConnectorError, match="'unit' stands twice"):
        read(XML.replace("</attributes>", '<attribute name="unit">a</attribute>' * 2 + "</attributes>").encode(), "x")


def test_xes() -> None:
    assert detect(XES.encode(), "x").name == "xes"
    created, approved = read(XES.encode(), "x", OWN)
    assert (created.number, created.occurred_at) == ("PO-1/1", "2026-10-16T07:30:00Z")
    assert created.fields == {"activity": "Create", "object_id": "PO-1"}
    assert (approved.number, approved.links) == ("PO-1/task-7", ())
    assert approved.fields == {"activity": "Approve", "event_type": "complete", "object_id": "PO-1"}
    assert [conformity(draft) for draft in (created, approved)] == ["4/5", "4/5"]
    assert read(XES.replace(' xmlns="http://www.xes-standard.org/"', "").encode(), "x", OWN) == [created, approved]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('<string key="concept:name" value="Create"/>', "", "concept:name of event 1 of trace 'PO-1' is missing"),
        ('<string key="concept:name" value="PO-1"/>', "", "concept:name of a trace is missing"),
        ('value="2026-10-16T10:00:00Z"', 'value="soon"', "time:timestamp of event 2 of trace 'PO-1' is 'soon'"),
        ("<event>", '<event><string key="concept:name" value="x"/>', "'concept:name' stands twice"),
    ],
)
def test_wrong_xes_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ConnectorError) as raised:
        read(XES.replace(old, new).encode(), "x", OWN)
    assert message in str(raised.value)
