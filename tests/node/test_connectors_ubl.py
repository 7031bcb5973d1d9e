"""UBL connectors on the public OASIS and EN 16931 samples; expectations were counted by hand in the files."""

from __future__ import annotations

import pytest

from node.connectors import ConnectorError, RecordDraft, detect, read
from tests.connector_samples import NO_SAMPLES, SHARED, company, invoice, party, private, public, ubl

needs_samples = pytest.mark.skipif(not (SHARED / "ubl").is_dir(), reason=NO_SAMPLES)

BUYER = "12356478"
SELLER = "175 269 2355"


def sample(name: str) -> RecordDraft:
    (draft,) = read((SHARED / name).read_bytes(), name)
    return draft


@needs_samples
def test_how_it_is_paid_and_who_is_spoken_to_is_read_and_sealed() -> None:
    parties = {
        "buyer_contact": "Mr Fred Churchill, 0127 2653214, fred@iytcorporation.gov.uk",
        "buyer_address": "Avon Way, 56A, ZZ99 1ZZ, Bridgtow, Avon, 3rd Floor, Room 5, GB",
        "seller_contact": "Mrs Bouquet, 0158 1233714, bouquet@fpconsortial.co.uk",
        "seller_address": "Busy Street, 56A, AA99 1BB, Farthing, Heremouthshire, The Roundabout, GB",
    }
    there = {"delivery_address": parties["buyer_address"]}
    assert private(sample("ubl/UBL-Order-2.0-Example.xml")) == {**parties, **there}
    assert private(sample("ubl/UBL-DespatchAdvice-2.0-Example.xml")) == {**parties, **there}
    assert private(sample("ubl/UBL-ReceiptAdvice-2.0-Example.xml")) == parties
    assert private(sample("ubl/UBL-Invoice-2.0-Example.xml")) == {
        **parties,
        "payment_terms": "Payable within 1 calendar month from the invoice date",
        "payee_account": "12345678",
        "payee_bank": "10-26-58",
    }
    assert private(sample("en16931/ubl/ubl-tc434-example1.xml")) == {
        "payment_reference": "Deb. 10202 / Fact. 12115118",
        "payee_account": "NL57 RABO 0107307510",
        "buyer_contact": "Dhr. J BLOKKER",
        "buyer_address": "POSTBUS 367, 1960 AJ, HEEMSKERK, NL",
        "seller_address": "Postbus 7l, 1950 AB, Velsen-Noord, NL",
    }


@needs_samples
def test_the_story_order() -> None:
    order = sample("ubl/UBL-Order-2.0-Example.xml")
    assert (order.kind, order.issuer, order.number) == ("order", BUYER, "AEG012345")
    assert (order.enterprise.id, order.enterprise.name) == (SELLER, "Consortial")
    assert order.counterparty is not None
    assert (order.counterparty.id, order.counterparty.name) == (BUYER, "IYT Corporation")
    assert order.occurred_at == "2005-06-20"
    assert order.links == ()
    assert public(order) == {
        "issue_date": "2005-06-20",
        "currency": "GBP",
        "total": "100.00",
        "delivery_date": "2005-06-29T09:30:47Z",
        "buyer_name": "IYT Corporation",
        "seller_name": "Consortial",
        "lines": [["1", "17589683", "100", "KGM", "100.00", "100.00"]],
    }


@needs_samples
def test_the_story_despatch() -> None:
    despatch = sample("ubl/UBL-DespatchAdvice-2.0-Example.xml")
    assert (despatch.kind, despatch.issuer, despatch.number) == ("despatch", SELLER, "565899")
    assert despatch.links == (("order", BUYER, "AEG012345"),)
    assert despatch.occurred_at == "2005-06-20"
    assert public(despatch) == {
        "issue_date": "2005-06-20",
        "delivery_date": "2005-06-21T10:30:47Z",
        "lines": [["1", "17589683", "90", "KGM", "", ""]],
    }


@needs_samples
def test_the_story_receipt_happened_when_the_goods_came_not_when_it_was_written() -> None:
    receipt = sample("ubl/UBL-ReceiptAdvice-2.0-Example.xml")
    assert (receipt.kind, receipt.issuer, receipt.number) == ("receipt", BUYER, "658398")
    assert receipt.links == (("despatch", SELLER, "565899"), ("order", BUYER, "AEG012345"))
    assert receipt.occurred_at == "2005-06-20T11:30:00Z"
    assert public(receipt) == {
        "issue_date": "2005-06-21",
        "received_date": "2005-06-20T11:30:00Z",
        "lines": [["1", "17589683", "90", "KGM", "", ""]],
    }


@needs_samples
def test_the_story_invoice() -> None:
    bill = sample("ubl/UBL-Invoice-2.0-Example.xml")
    assert (bill.kind, bill.issuer, bill.number) == ("invoice", SELLER, "A00095678")
    assert bill.links == (("order", BUYER, "AEG012345"),)
    assert bill.occurred_at == "2005-06-21"
    assert public(bill) == {
        "issue_date": "2005-06-21",
        "due_date": "2005-07-21",
        "type_code": "SalesInvoice",
        "currency": "GBP",
        "total_excl_tax": "90.00",
        "tax": "17.50",
        "total": "107.50",
        "buyer_name": "IYT Corporation",
        "seller_name": "Consortial",
        # Its own line is "A"; it names order line 1, and that is what the row is called.
        "lines": [["1", "17589683", "100", "KGM", "1.00", "100.00"]],
    }


@needs_samples
def test_the_story_credit_note_names_its_invoice_on_the_line() -> None:
    note = sample("ubl/UBL-CreditNote-2.0-Example.xml")
    assert (note.kind, note.issuer, note.number) == ("credit_note", SELLER, "CN758494")
    assert note.links == (("invoice", SELLER, "A00095678"),)
    assert note.fields["total"] == "107.50"
    assert note.fields["lines"] == [["1", "17589683", "100", "KGM", "1.00", "100.00"]]
    assert sorted(public(note)) == [
        "buyer_name", "currency", "issue_date", "lines", "seller_name", "tax", "total", "total_excl_tax",
    ]  # fmt: skip


@needs_samples
def test_one_party_and_one_item_have_one_identifier_through_the_whole_story() -> None:
    story = [
        sample(f"ubl/UBL-{name}-2.0-Example.xml")
        for name in ("Order", "DespatchAdvice", "ReceiptAdvice", "Invoice", "CreditNote")
    ]
    assert {draft.enterprise.id for draft in story} == {SELLER}
    assert {draft.counterparty.id if draft.counterparty else None for draft in story} == {BUYER}
    assert {(row[0], row[1]) for draft in story for row in draft.fields["lines"]} == {("1", "17589683")}


@needs_samples
def test_an_order_without_any_number_of_its_parties_is_identified_by_names() -> None:
    order = sample("ubl/UBL-Order-2.0-Example-International.xml")
    assert (order.issuer, order.number, order.enterprise.id) == ("IYT Corporation", "AEG012345", "Consortial")
    assert order.fields["currency"] == "USD"
    assert order.fields["delivery_date"] == "2005-06-30T18:00:00Z"
    assert order.fields["lines"] == [["1", "17589683", "100", "KGM", "10.00", "1000.00"]]


@needs_samples
def test_the_2_1_order() -> None:
    order = sample("ubl/UBL-Order-2.1-Example.xml")
    assert order.issuer == "SE:ORGNR:5532331183"
    assert order.counterparty is not None
    assert order.counterparty.identifiers == ("GLN:7300070011115", "SE1234567801", "PartyID123")
    assert (order.enterprise.id, order.enterprise.name) == ("SE:ORGNR:5532332283", "Moderna Produkter AB")
    assert order.occurred_at == "2010-01-20", "12:30:00 has no zone: the date alone is kept"
    assert order.links == (("contract", "SE:ORGNR:5532331183", "34322"),)
    assert order.fields["currency"] == "SEK"
    assert order.fields["total"] == "6225"
    assert order.fields["delivery_date"] == "2010-02-25"
    assert order.fields["lines"] == [
        ["1", "SItemNo001", "120", "LTR", "50", "6000"],
        ["2", "SItemNo011", "15", "C62", "15", "225"],
    ]


@needs_samples
def test_the_2_1_invoice() -> None:
    bill = sample("ubl/UBL-Invoice-2.1-Example.xml")
    assert (bill.issuer, bill.number) == ("CVR:5402697509", "TOSL108")
    assert bill.links == (("contract", "ZZZ:5645342123", "Contract321"), ("order", "ZZZ:5645342123", "123"))
    assert bill.fields["due_date"] == "2009-12-31"
    assert bill.fields["total_excl_tax"] == "1436.5"
    assert bill.fields["tax"] == "292.20"
    assert bill.fields["total"] == "729", "what is still payable: 1729 less 1000 prepaid"
    assert bill.fields["payee_account"] == "DK1212341234123412"
    assert bill.fields["lines"] == [
        ["1", "JB007", "1", "C62", "1273", "1273"],
        ["5", "JB008", "-1", "C62", "3.96", "-3.96"],
        ["3", "JB009", "2", "C62", "2.48", "4.96"],
        ["2", "JB010", "-1", "C62", "25", "-25"],
        ["4", "JB011", "250", "C62", "0.75", "187.5"],
    ]


@needs_samples
def test_the_trivial_invoice_gets_nothing_that_it_lacks() -> None:
    bill = sample("ubl/UBL-Invoice-2.1-Example-Trivial.xml")
    assert (bill.issuer, bill.number, bill.occurred_at) == ("Custom Cotter Pins", "123", "2011-09-22")
    assert public(bill) == {
        "issue_date": "2011-09-22",
        "currency": "CAD",
        "total": "100.00",
        "buyer_name": "North American Veeblefetzer",
        "seller_name": "Custom Cotter Pins",
        "lines": [["1", "", "", "", "", "100.00"]],
    }


@needs_samples
@pytest.mark.parametrize(
    ("name", "issuer", "debtor", "total", "due", "lines", "fields"),
    [
        ("example1", "57151520", "10202", "250.33", "2015-01-09", 20, 10),
        ("example2", "123456789", "987654321", "801.78", "2013-07-20", 5, 10),
        ("example3", "DK16356706", "987654321", "2005.00", "2013-05-10", 2, 10),
        ("example4", "DK16356706", "0088:5790000436057", "4675.00", "2013-05-10", 3, 10),
        ("creditnote1", "0000000196", "0000000295", "100.11", None, 1, 9),
    ],
)
def test_the_en16931_samples(
    name: str, issuer: str, debtor: str, total: str, due: str | None, lines: int, fields: int
) -> None:
    bill = sample(f"en16931/ubl/ubl-tc434-{name}.xml")
    assert bill.issuer == issuer
    assert bill.counterparty is not None
    assert bill.counterparty.id == debtor
    assert bill.fields["total"] == total
    assert bill.fields.get("due_date") == due
    assert len(bill.fields["lines"]) == lines
    assert len(public(bill)) == fields


@needs_samples
def test_every_other_ubl_sample_is_refused_by_name() -> None:
    refused = {}
    for path in sorted((SHARED / "ubl").glob("*.xml")):
        try:
            read(path.read_bytes(), path.name)
        except ConnectorError as error:
            refused[path.name] = error
    assert [name.split("-")[1] for name in refused] == [
        "OrderChange", "Statement", "TransportationStatus", "Waybill",
    ]  # fmt: skip
    for name, refusal in refused.items():
        assert refusal.code == "NOT_SUPPORTED"
        assert str(refusal).startswith(
            f"{name}: UBL '{name.split('-')[1]}' is not supported yet: take in one of Order, "
        )


@needs_samples
def test_detection_looks_at_the_content_and_not_at_the_name() -> None:
    data = (SHARED / "ubl/UBL-Order-2.0-Example.xml").read_bytes()
    assert detect(data, "invoice.json").name == "ubl-order"
    assert read(data, "a") == read(data, "b")


def test_times_with_a_zone_become_utc_and_zones_of_pure_dates_are_noted() -> None:
    head = (
        "<cbc:ID>I1</cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate><cbc:IssueTime>01:30:59.9+02:00</cbc:IssueTime>"
    )
    (draft,) = read(invoice(head + "<cbc:DueDate>2026-11-30+01:00</cbc:DueDate>"), "x")
    assert draft.occurred_at == "2026-10-15T23:30:59Z"
    assert draft.fields["due_date"] == "2026-11-30"
    assert draft.notes == ("DueDate: the time zone of '2026-11-30+01:00' was dropped, the date kept",)


def test_a_price_for_a_base_quantity_is_divided_only_where_that_is_exact() -> None:
    def price(amount: str, base: str, unit: str = "C62") -> tuple[object, int]:
        line = (
            f'<cac:Price><cbc:PriceAmount currencyID="GBP">{amount}</cbc:PriceAmount>'
            f'<cbc:BaseQuantity unitCode="{unit}">{base}</cbc:BaseQuantity></cac:Price>'
        )
        (draft,) = read(invoice(line=line), "x")
        return draft.fields["lines"][0][4], len(draft.notes)

    assert price("250.00", "100") == ("2.5", 0)
    assert price("250.00", "1.00") == ("250.00", 0)
    assert price("10", "3") == ("", 1)
    assert price("10", "0") == ("", 1)
    assert price("250.00", "100", unit="KGM") == ("", 1)


def test_rejected_goods_are_not_received_goods() -> None:
    (draft,) = read(
        ubl(
            "ReceiptAdvice",
            "<cbc:ID>R1</cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate>"
            + party("DeliveryCustomerParty", company("1"))
            + party("DespatchSupplierParty", company("2"))
            + "<cac:ReceiptLine><cbc:ID>7</cbc:ID><cbc:ReceivedQuantity>100.0</cbc:ReceivedQuantity>"
            "<cbc:RejectedQuantity>12.5</cbc:RejectedQuantity><cbc:ReceivedDate>2026-10-15</cbc:ReceivedDate>"
            "</cac:ReceiptLine>",
        ),
        "x",
    )
    assert draft.fields["lines"] == [["7", "", "87.5", "", "", ""]]
    assert draft.occurred_at == "2026-10-15"
    assert draft.notes == ("line '7': 100.0 received, 12.5 of them rejected",)


def test_the_buyer_goes_before_the_place_of_delivery() -> None:
    (draft,) = read(
        ubl(
            "DespatchAdvice",
            "<cbc:ID>D1</cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate>"
            + party("DespatchSupplierParty", company("22"))
            + party("DeliveryCustomerParty", company("11"))
            + party("BuyerCustomerParty", company("1"))
            + party("SellerSupplierParty", company("2")),
        ),
        "x",
    )
    assert draft.counterparty is not None
    assert (draft.issuer, draft.enterprise.id, draft.counterparty.id) == ("GB-COH:2", "GB-COH:2", "GB-COH:1")


def test_references_of_all_kinds_become_links_once_each() -> None:
    reference = (
        "<cac:OrderReference><cbc:ID>O1</cbc:ID></cac:OrderReference>"
        "<cac:DespatchDocumentReference><cbc:ID>D1</cbc:ID></cac:DespatchDocumentReference>"
        "<cac:DespatchDocumentReference><cbc:ID>D2</cbc:ID></cac:DespatchDocumentReference>"
        "<cac:ReceiptDocumentReference><cbc:ID>R1</cbc:ID></cac:ReceiptDocumentReference>"
        "<cac:ContractDocumentReference><cbc:ID>C1</cbc:ID><cac:IssuerParty>"
        f"{company('9')}</cac:IssuerParty></cac:ContractDocumentReference>"
        "<cac:AdditionalDocumentReference><cbc:ID>D2</cbc:ID><cbc:DocumentTypeCode>351</cbc:DocumentTypeCode>"
        "</cac:AdditionalDocumentReference>"
        "<cac:AdditionalDocumentReference><cbc:ID>T1</cbc:ID></cac:AdditionalDocumentReference>"
    )
    (draft,) = read(invoice(references=reference), "x")
    assert draft.links == (
        ("contract", "GB-COH:9", "C1"),
        ("despatch", "GB-COH:2", "D1"),
        ("despatch", "GB-COH:2", "D2"),
        ("order", "GB-COH:1", "O1"),
        ("receipt", "GB-COH:1", "R1"),
    )


def test_two_tax_totals_are_not_added_up() -> None:
    taxes = "".join(
        f'<cac:TaxTotal><cbc:TaxAmount currencyID="{currency}">{amount}</cbc:TaxAmount></cac:TaxTotal>'
        for currency, amount in (("GBP", "1.00"), ("GBP", "2.00"), ("EUR", "3.00"))
    )
    (draft,) = read(invoice(middle=taxes), "x")
    assert "tax" not in draft.fields
    assert draft.notes == ("2 tax totals in 'GBP': tax left out",)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (invoice("<cbc:IssueDate>2026-10-16</cbc:IssueDate>"), "the document's number (cbc:ID) is missing"),
        (invoice("<cbc:ID>I1</cbc:ID>"), "cbc:IssueDate is missing"),
        (invoice("<cbc:ID>I1</cbc:ID><cbc:IssueDate>2026-02-30</cbc:IssueDate>"), "IssueDate is '2026-02-30'"),
        (invoice("<cbc:ID>I1</cbc:ID><cbc:IssueDate>16.10.2026</cbc:IssueDate>"), "IssueDate is '16.10.2026'"),
        (
            invoice("<cbc:ID>I1</cbc:ID><cbc:ID>I2</cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate>"),
            "cbc:ID stands 2 times",
        ),
        (
            invoice("<cbc:ID><cbc:ID>x</cbc:ID></cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate>"),
            "ID holds elements where text belongs",
        ),
        (invoice().replace(b">12.50<", b">12,50<"), "PayableAmount is '12,50'"),
        (invoice().replace(b">12.50<", b">1e3<"), "PayableAmount is '1e3'"),
        (invoice().replace(b">12.50<", b">NaN<"), "PayableAmount is 'NaN'"),
        (
            invoice().replace(
                b'<cbc:LineExtensionAmount currencyID="GBP"', b'<cbc:LineExtensionAmount currencyID="EUR"'
            ),
            "amounts in 'GBP' and 'EUR'",
        ),
        (
            ubl("Invoice", "<cbc:ID>I1</cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate>"),
            "the seller (AccountingSupplierParty) is missing",
        ),
        (
            invoice().replace(company("1").encode(), b""),
            "an identifier or name of the buyer (AccountingCustomerParty) is missing",
        ),
        (invoice(f"<cbc:ID>{'I' * 300}</cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate>"), "has 300 characters"),
        (ubl("TendererQualification", "<cbc:ID>Q1</cbc:ID>"), "no MainQualifyingParty in it"),
    ],
)
def test_a_wrong_document_is_refused_in_one_line_that_names_the_file(document: bytes, message: str) -> None:
    with pytest.raises(ConnectorError) as raised:
        read(document, "there/bad\nname.xml")
    text = str(raised.value)
    assert message in text
    assert text.startswith("there/bad?name.xml: ")
    assert "\n" not in text
    assert text.count(": ") >= 2, "file, what is wrong, what to do"
