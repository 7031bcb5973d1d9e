"""The OCDS connector on the Open Contracting Partnership's fictional process, and on odd and bad JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.connectors import ConnectorError, read
from tests.connector_samples import NO_SAMPLES, SHARED

FOLDER = SHARED / "ocds-fictional"
needs_samples = pytest.mark.skipif(not FOLDER.is_dir(), reason=NO_SAMPLES)

PROCESS = "ocds-213czf-000-00001"


def release(**changes: Any) -> dict[str, Any]:
    """A contract release; a change of None drops the key."""
    whole = {
        "ocid": "ocds-x-1",
        "id": "r1",
        "date": "2026-10-05T12:00:00Z",
        "tag": ["contract"],
        "parties": [
            {"id": "b", "name": "Buyer", "roles": ["buyer"], "identifier": {"scheme": "GB-COH", "id": "1"}},
            {"id": "s", "name": "Supplier", "roles": ["supplier"], "identifier": {"scheme": "GB-COH", "id": 2}},
        ],
        "buyer": {"id": "b"},
        "awards": [{"id": "a", "suppliers": [{"id": "s"}]}],
        "contracts": [{"id": "c", "awardID": "a", "dateSigned": "2026-10-05T10:30:00+01:00"}],
    } | changes
    return {key: value for key, value in whole.items() if value is not None}


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


@needs_samples
@pytest.mark.parametrize("suffix", ["-05-contract", "-06-implementation", "", "-withversions"])
def test_the_contract_is_read_from_release_packages_and_record_packages(suffix: str) -> None:
    name = f"{PROCESS}{suffix}.json"
    (draft,) = read((FOLDER / name).read_bytes(), name)
    assert (draft.kind, draft.issuer, draft.number) == (
        "contract",
        "GB-LAC:E09000003",
        "ocds-213czf-000-00001-contract-01",
    )
    # "11111111.0" is what the published file says; a connector does not repair it.
    assert draft.enterprise.id == "GB-COH:11111111.0"
    assert draft.enterprise.identifiers == ("GB-COH-11111111",)
    assert draft.counterparty is not None
    assert draft.counterparty.id == "GB-LAC:E09000003"
    assert draft.occurred_at == "2010-06-10T14:23:12Z"
    assert draft.fields == {
        "title": "Contract to build new cycle lanes in the centre of town.",
        "status": "active",
        "value": "11000000",
        "currency": "GBP",
        "date_signed": "2010-06-10T14:23:12Z",
        "period_start": "2010-07-01T00:00:00Z",
        "period_end": "2011-06-30T23:59:00Z",
        "buyer_name": "London Borough of Barnet",
        "supplier_name": "AnyCorp Cycle Provision",
        "ocid": PROCESS,
    }


@needs_samples
@pytest.mark.parametrize("suffix", ["-01-planning", "-02-tender", "-03-tenderAmendment", "-04-award"])
def test_releases_before_the_contract_are_refused_with_the_reason(suffix: str) -> None:
    name = f"{PROCESS}{suffix}.json"
    with pytest.raises(ConnectorError) as raised:
        read((FOLDER / name).read_bytes(), name)
    assert raised.value.code == "NO_CONTRACT"
    assert str(raised.value).startswith(f"{name}: no contract in it ")


@pytest.mark.parametrize(
    "wrapped",
    [
        release(),
        {"version": "1.1", "uri": "u", "releases": [release()]},
        {"uri": "u", "records": [{"ocid": "ocds-x-1", "compiledRelease": release()}]},
        {"uri": "u", "records": [{"ocid": "ocds-x-1", "releases": [release()]}]},
        {"ocid": "ocds-x-1", "releases": [], "compiledRelease": release()},
    ],
    ids=["release", "release package", "record package", "record package without compiled", "record"],
)
def test_every_wrapping_gives_the_same_contract(wrapped: dict[str, Any]) -> None:
    (draft,) = read(dump(wrapped), "x")
    assert (draft.issuer, draft.number, draft.enterprise.id) == ("GB-COH:1", "ocds-x-1/c", "GB-COH:2")
    assert draft.occurred_at == "2026-10-05T09:30:00Z"
    assert "value" not in draft.fields


def test_amounts_keep_their_text_and_never_pass_through_a_float() -> None:
    document = dump(release()).replace(
        b'"awardID"', b'"value": {"amount": 0.1000000000000000000001, "currency": "GBP"}, "awardID"'
    )
    (draft,) = read(document, "x")
    assert draft.fields["value"] == "0.1000000000000000000001"
    (draft,) = read(document.replace(b"0.1000000000000000000001", b"226500.00"), "x")
    assert draft.fields["value"] == "226500.00"
    (draft,) = read(document.replace(b"0.1000000000000000000001", b"1.5E+3"), "x")
    assert draft.fields["value"] == "1500"


def test_a_prepayment_is_read_where_the_publisher_gives_one() -> None:
    contract = {"id": "c", "value": {"amount": 10, "currency": "GBP"}, "prepayment": {"amount": 1, "currency": "GBP"}}
    (draft,) = read(dump(release(contracts=[contract])), "x")
    assert (draft.fields["value"], draft.fields["prepayment"]) == ("10", "1")
    contract["prepayment"] = {"amount": 1, "currency": "EUR"}
    with pytest.raises(ConnectorError, match="value in 'GBP', prepayment in 'EUR'"):
        read(dump(release(contracts=[contract])), "x")


def test_of_several_releases_the_latest_that_holds_the_contract_is_read() -> None:
    older = release(date="2026-10-06T00:00:00Z", contracts=[{"id": "c", "status": "pending"}])
    newer = release(date="2026-10-07T00:00:00+01:00", contracts=[{"id": "c", "status": "active"}])
    for order in ([older, newer], [newer, older]):
        (draft,) = read(dump({"uri": "u", "releases": order}), "x")
        assert draft.fields["status"] == "active"
        assert draft.occurred_at == "2026-10-06T23:00:00Z", "unsigned: the release's date"


def test_a_contract_without_award_takes_the_only_supplier_among_the_parties() -> None:
    (draft,) = read(dump(release(awards=None, buyer=None)), "x")
    assert (draft.enterprise.id, draft.issuer) == ("GB-COH:2", "GB-COH:1")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (release(version="2.0"), "OCDS version '2.0'"),
        (release(awards=[{"id": "a", "suppliers": [{"id": "s"}, {"id": "b"}]}]), "contract 'c' has 2 suppliers"),
        (release(awards=None, parties=[]), "no supplier in it"),
        (release(buyer=None, parties=[]), "no single buyer in it"),
        (release(date=None, contracts=[{"id": "c"}]), "neither dateSigned nor the release's date"),
        (release(contracts=[{"id": "c", "dateSigned": "5 October"}]), "dateSigned is '5 October'"),
        (release(contracts=[{"id": "c", "value": {"amount": "10"}}]), "value.amount is not a number"),
        (release(contracts=[{"id": "c", "value": [1]}]), "value is not an object"),
        (release(contracts={"id": "c"}), "contracts is not a list"),
        (release(contracts=[{"id": {"x": 1}}]), "id is not text"),
        (release(contracts=[{"title": "no id"}]), "the contract's id is missing"),
        (release(contracts=[{"id": "c\u0000"}]), "'c?' holds control characters"),
        (
            {"uri": "u", "records": [{"ocid": "o", "releases": [{"url": "https://x.example"}]}]},
            "its releases are only linked, and it has no compiledRelease",
        ),
        ({"uri": "u", "releases": []}, "no contract in it"),
    ],
)
def test_a_wrong_document_is_refused_in_one_line(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConnectorError) as raised:
        read(dump(document), "x.json")
    text = str(raised.value)
    assert text.startswith("x.json: ")
    assert message in text
    assert "\n" not in text
