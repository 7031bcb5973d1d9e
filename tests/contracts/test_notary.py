"""Preservation: what exists is bound, dated and signed for, once, and found again."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import notary
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, Receipt, key
from tests.contracts.small_consortium import SUPPLIER, consortium, record, record_id, submit

ASSESSMENT = b"a" * 32


@pytest.fixture
def ledger() -> Ledger:
    ledger = consortium()
    ledger.seed(CONSORTIUM, "credit", "assessment", ASSESSMENT, value={"limit": 1})
    return ledger


def sealed(ledger: Ledger, number: str) -> bytes:
    data = record("invoice", number, {"issue_date": "2025-12-31"})
    assert submit(ledger, [data]).ok
    return record_id(data)


def named(record_id: bytes, number: str = "A1", chain: str = "erp") -> dict[str, Any]:
    """A record as a subject: one version of what is sealed under a natural key."""
    return {"chain": chain, "kind": "invoice", "issuer": SUPPLIER, "number": number, "record": record_id}


def preserve(ledger: Ledger, signer: str, subjects: Any, contract: str = "C-1") -> Receipt:
    args = {"subjects": subjects, "contract": contract}
    return ledger.call(CONSORTIUM, "notary.preserve", args, [key(signer)])


def test_records_and_assessments_are_preserved_with_height_time_and_signer(ledger: Ledger) -> None:
    invoice = sealed(ledger, "A1")
    subjects = [{"kind": "assessment", "id": ASSESSMENT}, named(invoice)]
    receipt = preserve(ledger, "office", subjects)
    assert receipt.result["known"] is False
    entry = ledger.read(CONSORTIUM, "notary", "preservation", receipt.result["id"])
    kept = [subjects[0], {"chain": "erp", "record": invoice}]
    assert sorted(entry["subjects"], key=str) == sorted(kept, key=str)
    assert entry["heads"] == [["erp", *ledger.head("erp")]]
    assert (entry["height"], entry["time"]) == (ledger.height, ledger.time)
    assert (entry["by"], entry["role"], entry["signers"]) == ("office", "notary", [key("office")])
    assert entry["contract"] == "C-1"


def test_the_same_again_is_the_first_one_whoever_asks_and_in_any_order(ledger: Ledger) -> None:
    one, two = sealed(ledger, "A1"), sealed(ledger, "A2")
    subjects = [named(one), named(two, "A2")]
    first = preserve(ledger, "office", subjects)
    height = ledger.height
    ledger.next_block()
    before = ledger.items(CONSORTIUM, "notary")
    again = preserve(ledger, "lender", subjects[::-1])
    assert again.result == {"id": first.result["id"], "height": height, "known": True}
    assert again.events == []
    assert ledger.items(CONSORTIUM, "notary") == before
    assert preserve(ledger, "office", subjects, "C-2").result["id"] != first.result["id"]


def test_a_superseded_version_can_still_be_preserved(ledger: Ledger) -> None:
    first = sealed(ledger, "A1")
    assert submit(ledger, [record("invoice", "A1", {"issue_date": "2025-12-30"}, corrects=first)]).ok
    assert preserve(ledger, "office", [named(first)]).ok


def test_what_does_not_exist_is_refused(ledger: Ledger) -> None:
    invoice = sealed(ledger, "A1")
    for subject in (named(bytes(32)), named(invoice, "A2"), named(invoice, chain="lender")):
        assert preserve(ledger, "office", [subject]).code == "UNKNOWN_RECORD"
    assert preserve(ledger, "office", [named(invoice, chain="moon")]).code == "UNKNOWN_CHAIN"
    assert preserve(ledger, "office", [{"kind": "decision", "id": ASSESSMENT}]).code == "UNKNOWN_SUBJECT"
    mixed = [named(invoice), {"kind": "decision", "id": ASSESSMENT}]
    assert preserve(ledger, "office", mixed).code == "UNKNOWN_SUBJECT"
    assert ledger.items(CONSORTIUM, "notary") == {}


def test_a_subject_leads_to_all_its_preservations(ledger: Ledger) -> None:
    invoice = sealed(ledger, "A1")
    subject = {"chain": "erp", "record": invoice}
    made = [preserve(ledger, "office", [named(invoice)], f"C-{index}").result["id"] for index in range(20)]
    context = MemoryContext(ledger, CONSORTIUM, "credit")
    assert notary.preservations_of(context, subject) == made
    assert notary.preservations_of(context, {"chain": "erp", "record": bytes(32)}) == []


@pytest.mark.parametrize(
    ("subjects", "code"),
    [
        ([], "WRONG_ARGUMENT"),
        ("all", "WRONG_ARGUMENT"),
        (["x"], "WRONG_ARGUMENT"),
        ([{"chain": "erp"}], "MISSING_ARGUMENT"),
        ([{"chain": "erp", "record": bytes(32)}], "MISSING_ARGUMENT"),
        ([{**named(bytes(32)), "record": "text"}], "WRONG_ARGUMENT"),
        ([{**named(bytes(32)), "kind": 7}], "WRONG_ARGUMENT"),
        ([{**named(bytes(32)), "id": bytes(32)}], "UNKNOWN_ARGUMENT"),
        ([{"kind": "opinion", "id": ASSESSMENT}], "WRONG_ARGUMENT"),
        ([{"kind": "assessment", "id": ASSESSMENT}] * 2, "WRONG_ARGUMENT"),
        ([{"kind": "assessment", "id": bytes([n]) * 32} for n in range(255)] * 2, "WRONG_ARGUMENT"),
    ],
)
def test_wrong_subjects(ledger: Ledger, subjects: Any, code: str) -> None:
    assert preserve(ledger, "office", subjects).code == code


def test_a_party_does_not_preserve(ledger: Ledger) -> None:
    assert preserve(ledger, "acme", [{"kind": "assessment", "id": ASSESSMENT}]).code == "ROLE_NOT_ALLOWED"
