"""What the API says of records: where one is sealed, and a list of them."""

from __future__ import annotations

import pytest

from chain import query
from chain.crypto import sha256
from chain.query import Filters
from node.queries_api import record_page
from node.views import find_record, record_places
from tests.chain.chain_builder import Consortium, record

RECORDS = [record(f"D-{number}") for number in range(6)]
CORRECTION = record("D-1", corrects=sha256(RECORDS[1]), quantity="13")


@pytest.fixture(scope="module")
def consortium() -> Consortium:
    """D-0 to D-5 on one chain, two a transaction; D-1 corrected; D-0 on another chain too."""
    made = Consortium("views")
    made.seal(made.submit("erp", *RECORDS[:2]), made.submit("erp", *RECORDS[2:4]), made.submit("lender", RECORDS[0]))
    made.seal(made.submit("erp", *RECORDS[4:]), made.submit("erp", CORRECTION, RECORDS[5]))
    return made


def test_a_record_id_leads_to_every_chain_that_sealed_it(consortium: Consortium) -> None:
    places = record_places(consortium.ledger, sha256(RECORDS[0]))
    assert [(place["chain"], place["kind"], place["issuer"], place["number"]) for place in places] == [
        ("erp", "delivery", "GB-COH:1", "D-0"),
        ("lender", "delivery", "GB-COH:1", "D-0"),
    ]
    assert all(place["record_id"] == sha256(RECORDS[0]).hex() for place in places)
    assert record_places(consortium.ledger, bytes(32)) == []


def test_a_superseded_version_still_leads_to_its_record(consortium: Consortium) -> None:
    [place] = record_places(consortium.ledger, sha256(RECORDS[1]))
    [entry] = find_record(consortium.ledger, place["kind"], place["number"], None, None)
    assert (entry["id"], entry["superseded"]) == (sha256(CORRECTION).hex(), [sha256(RECORDS[1]).hex()])
    assert find_record(consortium.ledger, "delivery", "D-1", "somebody else", None) == []


def test_a_page_of_records_as_json(consortium: Consortium) -> None:
    filters = Filters(chains=("erp",), enterprise="GB-COH:1", newest_first=False)
    page = record_page(consortium.ledger, query.records(consortium.ledger, filters, 100))
    listed = [row["id"] for row in page["rows"]]
    assert listed == [sha256(data).hex() for data in (*RECORDS, CORRECTION)]  # what was known is not listed again
    assert (page["began"], page["next"]) == (2, None)
    assert page["rows"][0] == {
        "chain": "erp",
        "kind": "delivery",
        "issuer": "GB-COH:1",
        "number": "D-0",
        "enterprise": "GB-COH:1",
        "id": sha256(RECORDS[0]).hex(),
        "transaction": page["rows"][1]["transaction"],
        "height": 1,
        "time": consortium.ledger.header(1).time,
    }
