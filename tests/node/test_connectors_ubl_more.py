"""Order responses, cancellations and remittances in UBL; the conformity of every UBL sample, from a hand count."""

from __future__ import annotations

import pytest

from node.connectors import ConnectorError, RecordDraft, read
from tests.connector_conformity import as_record, by_hand, survives
from tests.connector_samples import NO_SAMPLES, SHARED, company, invoice, party, ubl

needs_samples = pytest.mark.skipif(not (SHARED / "ubl").is_dir(), reason=NO_SAMPLES)

BUYER, SELLER = "12356478", "175 269 2355"
BILL = (
    "issue_date", "due_date", "currency", "total_excl_tax", "tax", "total", "buyer_name", "seller_name", "lines"
)  # fmt: skip
CREDIT = tuple(name for name in BILL if name != "due_date")  # a credit note is not asked for a due date
ORDER = ("issue_date", "currency", "total", "delivery_date", "buyer_name", "seller_name", "lines")

HEAD = "<cbc:ID>X1</cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate>"
ORDER_REFERENCE = "<cac:OrderReference><cbc:ID>O1</cbc:ID></cac:OrderReference>"
TRADERS = party("SellerSupplierParty", company("2")) + party("BuyerCustomerParty", company("1"))
PAYERS = party("AccountingCustomerParty", company("1")) + party("AccountingSupplierParty", company("2"))

# What somebody counted in each file, by the names of the template's fields that have a weight.
COUNTED: dict[str, tuple[str, tuple[str, ...], int]] = {
    "ubl/UBL-Order-2.0-Example.xml": ("order", ORDER, 10_000),
    "ubl/UBL-Order-2.0-Example-International.xml": ("order", ORDER, 10_000),
    "ubl/UBL-Order-2.1-Example.xml": ("order", ORDER, 10_000),
    "ubl/UBL-OrderResponse-2.1-Example.xml": ("order_response", ("issue_date",), 6_000),
    "ubl/UBL-OrderResponseSimple-2.0-Example.xml": ("order_response", ("issue_date", "accepted"), 10_000),
    "ubl/UBL-OrderResponseSimple-2.1-Example.xml": ("order_response", ("issue_date", "accepted"), 10_000),
    "ubl/UBL-OrderCancellation-2.1-Example.xml": ("order_cancellation", ("issue_date", "reason"), 10_000),
    "ubl/UBL-DespatchAdvice-2.0-Example.xml": ("despatch", ("issue_date", "delivery_date", "lines"), 10_000),
    "ubl/UBL-ReceiptAdvice-2.0-Example.xml": ("receipt", ("issue_date", "received_date", "lines"), 10_000),
    "ubl/UBL-Invoice-2.0-Example.xml": ("invoice", BILL, 10_000),
    "ubl/UBL-Invoice-2.1-Example.xml": ("invoice", BILL, 10_000),
    "ubl/UBL-Invoice-2.1-Example-Trivial.xml": (
        "invoice", ("issue_date", "currency", "total", "buyer_name", "seller_name", "lines"), 8_333,
    ),
    "ubl/UBL-CreditNote-2.0-Example.xml": ("credit_note", CREDIT, 10_000),
    "ubl/UBL-CreditNote-2.1-Example.xml": ("credit_note", CREDIT, 10_000),
    "ubl/UBL-RemittanceAdvice-2.0-Example.xml": (
        "remittance", ("issue_date", "currency", "total", "payer_name", "payee_name", "lines"), 10_000,
    ),
    "en16931/ubl/ubl-tc434-example1.xml": ("invoice", BILL, 10_000),
    "en16931/ubl/ubl-tc434-example2.xml": ("invoice", BILL, 10_000),
    "en16931/ubl/ubl-tc434-example3.xml": ("invoice", BILL, 10_000),
    "en16931/ubl/ubl-tc434-example4.xml": ("invoice", BILL, 10_000),
    "en16931/ubl/ubl-tc434-creditnote1.xml": ("credit_note", CREDIT, 10_000),
}  # fmt: skip
REFUSED = {"OrderChange", "Statement", "TransportationStatus", "Waybill"}


def one(data: bytes) -> RecordDraft:
    (draft,) = read(data, "f")
    return draft


def sample(name: str) -> RecordDraft:
    return one((SHARED / name).read_bytes())


def refusal(data: bytes) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        read(data, "f")
    assert str(raised.value).startswith("f: ")
    assert str(raised.value).count(": ") >= 2
    return raised.value


@needs_samples
@pytest.mark.parametrize("name", COUNTED)
def test_conformity_is_that_of_the_hand_count(name: str) -> None:
    kind, present, expected = COUNTED[name]
    data = (SHARED / name).read_bytes()
    draft = one(data)
    assert draft.kind == kind
    assert as_record(draft, data) == by_hand(kind, present) == expected


@needs_samples
def test_every_sample_is_counted_or_refused_by_name() -> None:
    found = [*(SHARED / "ubl").glob("*.xml"), *(SHARED / "en16931/ubl").glob("*.xml")]
    left = {path.relative_to(SHARED).as_posix() for path in found} - COUNTED.keys()
    assert {name.split("-")[1] for name in left} == REFUSED
    for name in left:
        assert refusal((SHARED / name).read_bytes()).code == "NOT_SUPPORTED"


@needs_samples
def test_the_story_response() -> None:
    draft = sample("ubl/UBL-OrderResponseSimple-2.0-Example.xml")
    assert (draft.kind, draft.issuer, draft.number) == ("order_response", SELLER, "66890-9-09")
    assert draft.enterprise.id == SELLER
    assert draft.counterparty is not None
    assert draft.counterparty.id == BUYER
    assert draft.links == (("order", BUYER, "AEG012345"),)
    assert draft.fields == {"issue_date": "2005-06-20", "accepted": "true"}


@needs_samples
def test_a_response_that_does_not_say_accepted_or_not() -> None:
    draft = sample("ubl/UBL-OrderResponse-2.1-Example.xml")
    assert (draft.issuer, draft.number) == ("SellerPartyID123", "7")
    assert draft.links == (("order", "GLN:7300070011115", "34"),)
    assert draft.fields == {
        "issue_date": "2010-01-21",
        "currency": "SEK",
        "lines": [["1", "", "", "", "", ""], ["2", "", "", "", "", ""]],
    }


@needs_samples
def test_the_cancellation_is_the_buyers() -> None:
    draft = sample("ubl/UBL-OrderCancellation-2.1-Example.xml")
    assert (draft.kind, draft.issuer, draft.number) == ("order_cancellation", "GLN:7300070011115", "7")
    assert draft.enterprise.id == "SellerPartyID123"
    assert draft.occurred_at == "2010-01-21", "12:30:00 has no zone: the date alone is kept"
    assert draft.links == (("order", "GLN:7300070011115", "34"),)
    assert draft.fields == {"issue_date": "2010-01-21", "reason": "With reference to phone call"}


@needs_samples
def test_the_story_remittance_pays_the_story_invoice() -> None:
    draft = sample("ubl/UBL-RemittanceAdvice-2.0-Example.xml")
    invoice = sample("ubl/UBL-Invoice-2.0-Example.xml")
    assert (draft.kind, draft.issuer, draft.number) == ("remittance", BUYER, "6577884")
    assert draft.enterprise.id == invoice.issuer
    assert draft.links == (("invoice", invoice.issuer, invoice.number),)
    assert draft.fields == {
        "issue_date": "2005-06-22",
        "currency": "GBP",
        "total": "107.50",
        "payer_name": "IYT Corporation",
        "payee_name": "Consortial",
        "payee_account": "12345678",
        "lines": [["1", "A00095678", "", "", "", "107.50"]],
    }


def test_a_response_with_everything() -> None:
    line = (
        "<cac:OrderLine><cac:LineItem><cbc:ID>1</cbc:ID><cbc:Quantity unitCode='C62'>8</cbc:Quantity>"
        "<cbc:LineExtensionAmount currencyID='GBP'>80.00</cbc:LineExtensionAmount>"
        "<cac:Price><cbc:PriceAmount currencyID='GBP'>10.00</cbc:PriceAmount></cac:Price>"
        "</cac:LineItem></cac:OrderLine>"
    )
    payable = "<cbc:PayableAmount currencyID='GBP'>80.00</cbc:PayableAmount>"
    total = f"<cac:LegalMonetaryTotal>{payable}</cac:LegalMonetaryTotal>"
    body = HEAD + "<cbc:OrderResponseCode>AP</cbc:OrderResponseCode>" + ORDER_REFERENCE + TRADERS + total + line
    draft = one(ubl("OrderResponse", body))
    assert draft.fields == {
        "issue_date": "2026-10-16",
        "response_code": "AP",
        "currency": "GBP",
        "total": "80.00",
        "lines": [["1", "", "8", "C62", "10.00", "80.00"]],
    }


@pytest.mark.parametrize(("text", "accepted"), [("1", "true"), ("true", "true"), ("0", "false"), ("false", "false")])
def test_a_boolean_of_xml_schema_is_true_or_false(text: str, accepted: str) -> None:
    body = (
        f"{HEAD}<cbc:AcceptedIndicator>{text}</cbc:AcceptedIndicator><cbc:RejectionNote>no stock</cbc:RejectionNote>"
    )
    draft = one(ubl("OrderResponseSimple", body + ORDER_REFERENCE + TRADERS))
    assert draft.fields == {"issue_date": "2026-10-16", "accepted": accepted, "reason": "no stock"}


def remittance(lines: str, currency: str = "GBP") -> bytes:
    total = f"<cbc:TotalPaymentAmount currencyID='{currency}'>90.00</cbc:TotalPaymentAmount>"
    return ubl("RemittanceAdvice", HEAD + total + PAYERS + lines)


def paid(number: str, debit: str, credit: str, *bills: tuple[str, str]) -> str:
    references = "".join(
        f"<cac:BillingReference><cac:{kind}DocumentReference><cbc:ID>{bill}</cbc:ID></cac:{kind}DocumentReference>"
        "</cac:BillingReference>"
        for kind, bill in bills
    )
    amounts = "".join(
        f"<cbc:{name}LineAmount currencyID='GBP'>{amount}</cbc:{name}LineAmount>"
        for name, amount in (("Debit", debit), ("Credit", credit))
        if amount
    )
    return f"<cac:RemittanceAdviceLine><cbc:ID>{number}</cbc:ID>{amounts}{references}</cac:RemittanceAdviceLine>"


def test_what_is_credited_is_taken_from_what_is_debited() -> None:
    draft = one(
        remittance(
            paid("1", "100.00", "0.00", ("Invoice", "I1"))
            + paid("2", "", "10.00", ("CreditNote", "C1"))
            + paid("3", "50.0", "49.25", ("Invoice", "I2"))
            + paid("4", "1.00", "", ("Invoice", "I3"), ("Invoice", "I4"))
            + paid("5", "", "")
        )
    )
    assert draft.fields["lines"] == [
        ["1", "I1", "", "", "", "100.00"],
        ["2", "C1", "", "", "", "-10"],
        ["3", "I2", "", "", "", "0.75"],
        ["4", "", "", "", "", "1.00"],
        ["5", "", "", "", "", ""],
    ]
    assert draft.links == (
        ("credit_note", "GB-COH:2", "C1"),
        *(("invoice", "GB-COH:2", number) for number in ("I1", "I2", "I3", "I4")),
    )
    assert draft.notes == (
        "line '3': 50.0 debited less 49.25 credited",
        "line '4': 2 bills: which amount is whose cannot be told",
    )


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (ubl("OrderCancellation", HEAD + TRADERS), "MISSING", "cac:OrderReference is missing"),
        (ubl("OrderCancellation", HEAD + ORDER_REFERENCE), "MISSING", "the buyer is missing"),
        (ubl("OrderResponse", ORDER_REFERENCE + TRADERS), "MISSING", "cbc:IssueDate is missing"),
        (ubl("OrderResponseSimple", HEAD + "<cbc:AcceptedIndicator>yes</cbc:AcceptedIndicator>" + TRADERS),
         "BAD_VALUE", "AcceptedIndicator is 'yes'"),
        (invoice("<cbc:ID>I1</cbc:ID><cbc:IssueDate>1969-12-31</cbc:IssueDate>"), "BAD_VALUE",
         "cbc:IssueDate is 1969-12-31, before 1970"),
        (ubl("RemittanceAdvice", HEAD), "MISSING", "the payer (AccountingCustomerParty) is missing"),
        (remittance(paid("1", "ten", "")), "BAD_VALUE", "DebitLineAmount is 'ten'"),
        (remittance(paid("", "1", "")), "MISSING", "a line's number (cbc:ID) is missing"),
        (remittance(paid("1", "1", ""), currency="EUR"), "BAD_VALUE", "amounts in 'EUR' and 'GBP'"),
    ],
)  # fmt: skip
def test_wrong_documents_are_refused_by_element_and_rule(data: bytes, code: str, message: str) -> None:
    error = refusal(data)
    assert message in str(error)
    assert error.code == code


def test_mutated_files_are_read_or_refused_and_nothing_else() -> None:
    accepted, refused = survives(remittance(paid("1", "100.00", "0.00", ("Invoice", "I1"))), 300)
    assert accepted > 20
    assert refused > 50
    survives(ubl("OrderCancellation", HEAD + ORDER_REFERENCE + TRADERS), 150)
    survives(ubl("OrderResponse", HEAD + ORDER_REFERENCE + TRADERS), 150)
