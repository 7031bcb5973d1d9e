"""EPCIS 2.0: the standard's own examples, and events generated from the official schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.template import check_fields, compiled
from genesis import library
from node.connectors import ConnectorError, RecordDraft, detect, read
from node.connectors.epcis import gln
from node.connectors.mapping import Mapping, PartyValue
from tests.connector_samples import NO_SAMPLES, SHARED

FOLDER = SHARED / "epcis"
needs_samples = pytest.mark.skipif(not FOLDER.exists(), reason=NO_SAMPLES)
OWN = Mapping(own=PartyValue(id="GB-COH:7"))

COMMON: dict[str, Any] = {"eventTime": "2026-10-16T09:30:00.500+02:00", "eventTimeZoneOffset": "+02:00"}
OBSERVED: dict[str, Any] = {
    **COMMON,
    "type": "ObjectEvent",
    "eventID": "urn:uuid:1",
    "action": "OBSERVE",
    "bizStep": "shipping",
    "epcList": ["urn:epc:id:sgtin:0614141.107346.2017"],
    "readPoint": {"id": "urn:epc:id:sgln:0614141.07346.0"},
}
CONTEXT = ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"]


def document(*events: Any, **extra: Any) -> bytes:
    return json.dumps(
        {
            "@context": CONTEXT,
            "type": "EPCISDocument",
            "schemaVersion": "2.0",
            "creationDate": "2026-10-16T10:00:00Z",
            "epcisBody": {"eventList": list(events)},
            **extra,
        }
    ).encode()


def one(event: dict[str, Any], mapping: Mapping | None = None) -> RecordDraft:
    (draft,) = read(document(event), "e.jsonld", mapping)
    return draft


def conformity(draft: RecordDraft) -> str:
    """Weight present and asked, by the general-trade template: activity 3, location 1, object_id 1."""
    kind = compiled(library.template("general-trade")).kinds["event"]
    present = check_fields(kind, {name: value for name, value in draft.fields.items() if name in kind.rules})
    return f"{present}/{kind.asked}"


# Counted by hand in the files, event by event: activity (3), location (1), object_id (1).
CONFORMITY = {
    "Example_9.6.1-ObjectEvent.jsonld": ["4/5", "5/5"],  # two EPCs: no one object; one EPC
    "Example_9.6.2-ObjectEvent.jsonld": ["5/5"],
    "Example_9.6.3-AggregationEvent.jsonld": ["5/5"],
    "Example-TransactionEvents-2020_07_03y.jsonld": ["5/5", "5/5"],
}


@needs_samples
def test_every_sample_is_read_and_has_the_conformity_counted_by_hand() -> None:
    files = sorted(FOLDER.glob("*.jsonld"))
    assert {path.name for path in files} == set(CONFORMITY)
    for path in files:
        assert detect(path.read_bytes(), path.name).name == "epcis"
        assert [conformity(draft) for draft in read(path.read_bytes(), path.name)] == CONFORMITY[path.name]


@needs_samples
def test_the_object_events() -> None:
    shipped, received = read((FOLDER / "Example_9.6.1-ObjectEvent.jsonld").read_bytes(), "f")
    assert shipped.number.startswith("ni:///sha-256;df7bb3c3")
    assert shipped.occurred_at == "2005-04-04T02:33:31Z"
    assert shipped.links == (("order", "", "12345678"),)
    assert shipped.fields == {
        "activity": "shipping",
        "event_type": "ObjectEvent",
        "business_step": "shipping",
        "disposition": "in_transit",
        "location": "urn:epc:id:sgln:0614141.07346.1234",
        "action": "OBSERVE",
        "lines": [
            ["", "urn:epc:id:sgtin:0614141.107346.2017", "", "", "", ""],
            ["", "urn:epc:id:sgtin:0614141.107346.2018", "", "", "", ""],
        ],
    }
    # The standard's own despatch advice number 0614141073467:1152 names the GLN of that very read point.
    assert shipped.enterprise.id == shipped.issuer == "GLN:0614141073467"
    assert received.links == (("despatch", "GLN:0614141073467", "1152"), ("order", "", "12345678"))


@needs_samples
def test_parties_come_from_the_lists_of_sources_and_destinations() -> None:
    (draft,) = read((FOLDER / "Example_9.6.2-ObjectEvent.jsonld").read_bytes(), "f", OWN)
    assert draft.enterprise.id == "GLN:4012345000016"
    assert draft.counterparty is not None
    assert draft.counterparty.id == "GLN:0614141000012"
    assert draft.issuer == "GB-COH:7", "whose log it is, the member says"
    assert (draft.fields["quantity"], draft.fields["unit"]) == ("200", "KGM")
    assert draft.fields["object_id"] == "urn:epc:class:lgtin:4012345.012345.998877"
    assert draft.notes == ()


@needs_samples
def test_aggregation_and_transaction_events() -> None:
    (packed,) = read((FOLDER / "Example_9.6.3-AggregationEvent.jsonld").read_bytes(), "f")
    assert packed.fields["object_id"] == "urn:epc:id:sscc:0614141.1234567890"
    assert packed.fields["lines"][2:] == [
        ["", "urn:epc:idpat:sgtin:4012345.098765.*", "10", "", "", ""],
        ["", "urn:epc:class:lgtin:4012345.012345.998877", "200.5", "KGM", "", ""],
    ]
    assert "quantity" not in packed.fields
    discharged, moved = read((FOLDER / "Example-TransactionEvents-2020_07_03y.jsonld").read_bytes(), "f")
    assert discharged.number.startswith("sha256:")
    assert discharged.notes[0] == "it has no eventID: numbered by the hash of its content"
    assert discharged.links == moved.links == (), "a business transaction of no type, and of a railway's own"
    assert moved.fields["activity"] == "transporting"


@needs_samples
def test_the_samples_and_what_is_generated_here_are_held_to_the_official_schema() -> None:
    validator = jsonschema.Draft7Validator(json.loads((FOLDER / "EPCIS-JSON-Schema.json").read_text()))
    wrong = [
        path.name
        for path in sorted(FOLDER.glob("*.jsonld"))
        if not validator.is_valid(json.loads(path.read_text(encoding="utf-8")))
    ]
    # Its sourceList is no list; JSON-LD lets one stand for a list of one, and so does the reader.
    assert wrong == ["Example-TransactionEvents-2020_07_03y.jsonld"]
    for event in (OBSERVED, *EVERY_TYPE):
        validator.validate(json.loads(document(event)))


EVERY_TYPE: tuple[dict[str, Any], ...] = (
    {**COMMON, "type": "AggregationEvent", "action": "ADD", "parentID": "urn:p", "childEPCs": ["urn:c"]},
    {**COMMON, "type": "AssociationEvent", "action": "DELETE", "parentID": "urn:p"},
    {
        **COMMON,
        "type": "TransactionEvent",
        "action": "ADD",
        "bizTransactionList": [{"type": "inv", "bizTransaction": "urn:epcglobal:cbv:bt:0614141073467:I-9"}],
        "quantityList": [{"epcClass": "urn:class", "quantity": 3.50}],
    },
    {
        **COMMON,
        "type": "TransformationEvent",
        "transformationID": "urn:t",
        "inputQuantityList": [{"epcClass": "urn:flour", "quantity": 10, "uom": "KGM"}],
        "outputEPCList": ["urn:bread:1", "urn:bread:2"],
    },
)


def test_every_type_of_event() -> None:
    packed, parted, billed, baked = (one(event, OWN) for event in EVERY_TYPE)
    assert [draft.fields["activity"] for draft in (packed, parted, billed, baked)] == [
        "AggregationEvent ADD", "AssociationEvent DELETE", "TransactionEvent ADD", "TransformationEvent",
    ]  # fmt: skip
    assert (packed.fields["object_id"], parted.fields["object_id"]) == ("urn:p", "urn:p")
    assert "lines" not in parted.fields
    assert billed.links == (("invoice", "GLN:0614141073467", "I-9"),)
    assert billed.fields["quantity"] == "3.5"
    assert "unit" not in billed.fields
    assert baked.fields["object_id"] == "urn:t"
    assert baked.fields["lines"] == [["", f"urn:bread:{n}", "", "", "", ""] for n in (1, 2)]
    assert baked.fields["inputs"] == [["", "urn:flour", "10", "KGM", "", ""]]


def test_a_word_means_the_same_however_it_is_written() -> None:
    for step in (
        "urn:epcglobal:cbv:bizstep:shipping",
        "https://ref.gs1.org/cbv/BizStep-shipping",
        "cbv:BizStep-shipping",
    ):
        assert one({**OBSERVED, "bizStep": step}).fields == one(OBSERVED).fields
    for kind in ("po", "urn:epcglobal:cbv:btt:po", "https://ref.gs1.org/cbv/BTT-po"):
        listed = {"bizTransactionList": [{"type": kind, "bizTransaction": "https://buyer.example/po/A%2F1?x=1"}]}
        assert one({**OBSERVED, **listed}).links == (("order", "", "A/1"),)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("urn:epc:id:sgln:0614141.07346.1234", "0614141073467"),
        ("urn:epc:id:pgln:0614141.07346", "0614141073467"),
        ("https://id.gs1.org/414/0614141073467", "0614141073467"),
        ("https://shop.example/x/417/0614141073467/254/2", "0614141073467"),
        ("urn:epc:id:sgln:0614141.0734.0", ""),
        ("urn:epc:id:sgtin:0614141.107346.2017", ""),
    ],
)
def test_a_location_number_is_one_number_however_it_is_written(uri: str, expected: str) -> None:
    assert gln(uri) == expected


def test_a_log_of_nobody_is_refused_and_the_member_may_say_whose_it_is() -> None:
    bare = {key: value for key, value in OBSERVED.items() if key != "readPoint"}
    with pytest.raises(
        ConnectorError, match="event 1 names no enterprise: say whose log it is in a mapping file: --mapping"
    ):
        one(bare)
    draft = one(bare, OWN)
    assert (draft.issuer, draft.enterprise.id) == ("GB-COH:7", "GB-COH:7")
    assert draft.notes == ("the enterprise is the member's word: the file names none",)
    assert "location" not in draft.fields
    assert one(bare | {"eventID": "x"}, OWN).fields == draft.fields


def test_query_documents_and_lone_events() -> None:
    query = {
        "@context": CONTEXT,
        "type": "EPCISQueryDocument",
        "schemaVersion": "2.0",
        "epcisBody": {"queryResults": {"queryName": "q", "resultsBody": {"eventList": [OBSERVED]}}},
    }
    lone = {"@context": CONTEXT, **OBSERVED}
    assert read(json.dumps(query).encode(), "q") == read(json.dumps(lone).encode(), "l") == [one(OBSERVED)]


@pytest.mark.parametrize(
    ("event", "code", "message"),
    [
        ({"eventTime": None}, "MISSING", "eventTime is missing"),
        ({"eventTime": "2026-13-01T00:00:00Z"}, "BAD_VALUE", "eventTime is '2026-13-01'"),
        ({"eventTime": "1969-12-31T23:59:59Z"}, "BAD_VALUE", "event 1 is of 1969-12-31"),
        ({"epcList": "urn:x"}, "BAD_VALUE", "epcList is not a list"),
        ({"epcList": [{}]}, "BAD_VALUE", "an item of epcList is not text"),
        (
            {"quantityList": [{"epcClass": "c", "quantity": "ten"}]},
            "BAD_VALUE",
            "a quantity of quantityList is no number",
        ),
        ({"quantityList": [{"quantity": 1}]}, "MISSING", "epcClass in quantityList is missing"),
        ({"bizTransactionList": [1]}, "BAD_VALUE", "an item of bizTransactionList is not an object"),
        ({"readPoint": "somewhere"}, "BAD_VALUE", "readPoint is not an object"),
        ({"bizStep": ["a"]}, "BAD_VALUE", "bizStep is not text"),
        ({"epcList": [f"urn:{n}" for n in range(1001)]}, "TOO_LARGE", "1001 lines"),
    ],
)
def test_wrong_events_are_refused_by_element_and_rule(event: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(ConnectorError) as raised:
        one({**OBSERVED, **event})
    assert raised.value.code == code
    assert message in str(raised.value)
    assert str(raised.value).startswith("e.jsonld: ")


def test_an_empty_document_and_another_version_are_refused() -> None:
    with pytest.raises(ConnectorError, match="no event in it"):
        read(document(), "f")
    with pytest.raises(ConnectorError, match=r"EPCIS version '1\.2'"):
        read(document(OBSERVED, schemaVersion="1.2"), "f")


def test_an_event_declared_an_error_is_another_content_of_the_same_record() -> None:
    declared = one({**OBSERVED, "errorDeclaration": {"declarationTime": "2026-10-17T00:00:00Z"}})
    assert declared.number == one(OBSERVED).number
    assert declared.fields["error_declared"] == "2026-10-17T00:00:00Z"
    assert declared.notes == ("its sender declares it an error",)


_URIS = st.sampled_from(["urn:epc:id:sgtin:0614141.107346.1", "https://id.gs1.org/01/1", "urn:x:1"])
_QUANTITIES = st.lists(
    st.fixed_dictionaries(
        {"epcClass": _URIS}, optional={"quantity": st.decimals(0, 10**6, places=3).map(float), "uom": st.just("KGM")}
    ),
    min_size=1,
    max_size=3,
)
_EVENTS = st.fixed_dictionaries(
    {
        **{key: st.just(value) for key, value in COMMON.items()},
        "type": st.just("ObjectEvent"),
        "action": st.sampled_from(["OBSERVE", "DELETE", "ADD"]),
        "epcList": st.lists(_URIS, max_size=3, unique=True),
    },
    optional={
        "eventID": st.just("urn:uuid:0"),
        "bizStep": st.sampled_from(["shipping", "receiving"]),
        "disposition": st.just("in_transit"),
        "quantityList": _QUANTITIES,
        "readPoint": st.just({"id": "urn:epc:id:sgln:0614141.07346.0"}),
        "bizTransactionList": st.lists(
            st.fixed_dictionaries(
                {"bizTransaction": _URIS}, optional={"type": st.sampled_from(["po", "inv", "bol"])}
            ),
            max_size=3,
        ),
    },
)


@needs_samples
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_EVENTS)
def test_whatever_the_schema_allows_is_read_and_nothing_is_filled_that_it_lacks(event: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(json.loads((FOLDER / "EPCIS-JSON-Schema.json").read_text())).validate(
        json.loads(document(event))
    )
    draft = one(event, OWN)
    assert ("business_step" in draft.fields) == ("bizStep" in event)
    assert ("disposition" in draft.fields) == ("disposition" in event)
    assert ("location" in draft.fields) == ("readPoint" in event)
    assert ("lines" in draft.fields) == bool(event["epcList"] or event.get("quantityList"))
    linked = {item["type"] for item in event.get("bizTransactionList", []) if item.get("type") in ("po", "inv")}
    assert {relation for relation, _, _ in draft.links} == {
        {"po": "order", "inv": "invoice"}[kind] for kind in linked
    }
    assert conformity(draft) in ("3/5", "4/5", "5/5")
