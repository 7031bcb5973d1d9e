"""The table of formats: every file finds its row by its content alone, and no mutation of one crashes a reader."""

from __future__ import annotations

import contextlib
import json
import random
import time
from pathlib import Path

import pytest

from node.connectors import FORMATS, ConnectorError, detect, mapping, read, recognise
from tests.connector_samples import EXAMPLE, NO_SAMPLES, SHARED, invoice

needs_samples = pytest.mark.skipif(not SHARED.exists(), reason=NO_SAMPLES)
OWN = mapping.parse(b'{"own": {"id": "GB-COH:1"}}', "m.json")

EVENT = {"type": "ObjectEvent", "action": "ADD", "eventTime": "2026-10-16T09:30:00Z", "epcList": ["urn:x:1"]}
OCEL = {
    "objectTypes": [],
    "eventTypes": [],
    "objects": [{"id": "o", "type": "order"}],
    "events": [{"id": "e", "type": "t", "time": "2026-10-16T09:30:00Z", "relationships": [{"objectId": "o"}]}],
}
TABLE = (
    "Billing Document;Billing Type;Billing Date;Payer;Net Value\n"
    "90000001;F2;16.11.2026;C-1;1,000.00\n90000002;G2;17.11.2026;C-1;5.00-\n"
)


def sample_files() -> list[Path]:
    return sorted(path for path in SHARED.rglob("*") if path.suffix in {".jsonld", ".jsonocel"})


def test_names_are_given_once_and_kinds_are_those_of_a_template() -> None:
    names = [connector.name for connector in FORMATS]
    assert len(set(names)) == len(names)
    for connector in FORMATS:
        assert set(connector.kinds) <= set(mapping.KINDS)
        assert connector.version == "1"


def test_every_row_is_passed_over_by_what_is_not_its_own() -> None:
    contents = {
        "epcis": json.dumps(EVENT).encode(),
        "ocel": json.dumps(OCEL).encode(),
        "csv": TABLE.encode(),
        "ubl-invoice": invoice(),
    }
    for name, data in contents.items():
        assert detect(data, "claims-to-be.pdf", OWN).name == name
        assert detect(b"\xef\xbb\xbf" + data, "claims-to-be.xml", OWN).name == name
        for connector in FORMATS:
            if connector.name != name:
                with pytest.raises(ConnectorError) as raised:
                    connector.read(data, "f", OWN)
                assert raised.value.code == "UNKNOWN_FORMAT"


def test_xml_in_utf16_with_a_mark_is_the_same_document() -> None:
    plain = invoice()
    body = plain.decode().replace("UTF-8", "UTF-16")
    assert read(body.encode("utf-16"), "f") == read(plain, "f")
    without = body.partition("?>")[2].strip()
    assert read(without.encode("utf-16"), "f") == read(plain, "f")
    for wrong in (plain.decode().encode("utf-16"), body.encode("utf-16")[:-1]):
        with pytest.raises(ConnectorError) as raised:
            read(wrong, "f")
        assert raised.value.code == "NOT_UTF8"
    with pytest.raises(ConnectorError, match="DTD"):
        read(("<!DOCTYPE Invoice>" + without).encode("utf-16"), "f")


def test_json_in_utf16_is_refused_by_its_encoding() -> None:
    with pytest.raises(ConnectorError) as raised:
        read(json.dumps(EVENT).encode("utf-16"), "f", OWN)
    assert raised.value.code == "NOT_UTF8"


def test_a_mapping_changes_nothing_for_files_that_say_what_they_are() -> None:
    table = mapping.ready("sap-vf05").model_copy(update={"own": mapping.PartyValue(id="GB-COH:1")})
    for path in sorted(EXAMPLE.iterdir()):
        data = path.read_bytes()
        assert read(data, path.name, table) == read(data, path.name)
        assert recognise(data, path.name, table)[0] == recognise(data, path.name)[0]


def test_drafts_come_one_by_one_and_errors_name_the_file() -> None:
    connector, drafts = recognise(TABLE.encode(), "list.csv", OWN)
    assert connector.version.startswith("1+sap-vf05/1/")
    assert [draft.kind for draft in drafts] == ["invoice", "credit_note"]
    _, broken = recognise(TABLE.replace("17.11.2026", "x").encode(), "list.csv", OWN)
    with pytest.raises(
        ConnectorError, match=r"^list\.csv: line 3: 'billing date' is 'x': write dates as DD\.MM\.YYYY"
    ):
        next(broken)


@needs_samples
def test_the_event_logs_among_the_samples_are_all_read() -> None:
    found = {path.name: len(read(path.read_bytes(), path.name, OWN)) for path in sample_files()}
    assert found == {
        "Example-TransactionEvents-2020_07_03y.jsonld": 2,
        "Example_9.6.1-ObjectEvent.jsonld": 2,
        "Example_9.6.2-ObjectEvent.jsonld": 1,
        "Example_9.6.3-AggregationEvent.jsonld": 1,
        "ocel20_example.jsonocel": 13,
    }


def test_mutated_event_logs_are_read_or_refused_but_never_crash_or_hang() -> None:
    chooser = random.Random(3)
    samples = [json.dumps(EVENT).encode(), json.dumps(OCEL).encode(), *(path.read_bytes() for path in sample_files())]
    replacements: tuple[bytes, ...] = (
        b"null",
        b"[]",
        b"{}",
        b'""',
        b"0",
        b"true",
        b'"x"',
        b"-1e9",
        b"\x00",
        b'"\\ud800"',
    )
    started = time.monotonic()
    for data in samples:
        tokens = list(json_tokens(data))
        for _ in range(80):
            start, end = chooser.choice(tokens)
            mutated = data[:start] + chooser.choice(replacements) + data[end:]
            for how in (OWN, None):
                with contextlib.suppress(ConnectorError):
                    assert read(mutated, "f", how)
    assert time.monotonic() - started < 30


def json_tokens(data: bytes) -> list[tuple[int, int]]:
    """Places of texts and numbers in a JSON file: what a mutation puts something else for."""
    places, at = [], 0
    while at < len(data):
        if data[at : at + 1] == b'"':
            end = data.index(b'"', at + 1) + 1
            places.append((at, end))
            at = end
        else:
            at += 1
    return places
