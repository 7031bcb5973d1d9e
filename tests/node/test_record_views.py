"""What the API says of records: where one is sealed, and those of an enterprise in sealing order, by pages."""

from __future__ import annotations

import pytest

from chain.crypto import sha256
from node.views import find_record, record_places, records_of
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


def test_an_enterprise_is_listed_in_sealing_order_page_by_page(consortium: Consortium) -> None:
    listed: list[str] = []
    after = "0"
    pages = 0
    while True:
        page = records_of(consortium.ledger, "erp", "GB-COH:1", after, 1)
        if page["next"] is None:
            break
        listed += [row["id"] for row in page["records"]]
        after, pages = page["next"], pages + 1
    assert listed == [sha256(data).hex() for data in (*RECORDS, CORRECTION)]  # what was known is not listed again
    assert pages == 4
    assert records_of(consortium.ledger, "erp", "GB-COH:1", "0", 100)["records"][0]["height"] == 1
    assert records_of(consortium.ledger, "erp", "GB-COH:9", "0", 100) == {"records": [], "next": None}
