"""CII and Factur-X: the EN 16931 samples counted by hand, documents valid by the official XSD, and bad ones."""

from __future__ import annotations

import io
import os
import signal
import zlib
from decimal import Decimal

import pytest
from facturx import generate_from_binary, xml_check_xsd
from pypdf import PdfWriter

from node.connectors import ConnectorError, RecordDraft, detect, factur_x, read
from tests.connector_conformity import as_record, by_hand, made_up, survives, without_each_element
from tests.connector_samples import NO_SAMPLES, SHARED, private, public

needs_samples = pytest.mark.skipif(not (SHARED / "en16931/cii").is_dir(), reason=NO_SAMPLES)

UNCEFACT = "urn:un:unece:uncefact:data:standard:"
EVERYTHING = (
    "issue_date", "due_date", "currency", "total_excl_tax", "tax", "total", "buyer_name", "seller_name", "lines"
)  # fmt: skip


def line(number: str = "1", agreement: str = "", price: str = "", settlement: str = "", status: str = "") -> str:
    """An invoice line of 4 pieces at 25 EUR."""
    return (
        "<ram:IncludedSupplyChainTradeLineItem>"
        f"<ram:AssociatedDocumentLineDocument><ram:LineID>{number}</ram:LineID>{status}</ram:AssociatedDocumentLineDocument>"
        "<ram:SpecifiedTradeProduct><ram:SellerAssignedID>A-7</ram:SellerAssignedID><ram:Name>Paint</ram:Name>"
        f"</ram:SpecifiedTradeProduct><ram:SpecifiedLineTradeAgreement>{agreement}<ram:NetPriceProductTradePrice>"
        f"<ram:ChargeAmount>25.00</ram:ChargeAmount>{price}</ram:NetPriceProductTradePrice>"
        "</ram:SpecifiedLineTradeAgreement><ram:SpecifiedLineTradeDelivery>"
        '<ram:BilledQuantity unitCode="C62">4</ram:BilledQuantity></ram:SpecifiedLineTradeDelivery>'
        "<ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax><ram:TypeCode>VAT</ram:TypeCode>"
        "<ram:CategoryCode>S</ram:CategoryCode><ram:RateApplicablePercent>20</ram:RateApplicablePercent>"
        "</ram:ApplicableTradeTax><ram:SpecifiedTradeSettlementLineMonetarySummation>"
        "<ram:LineTotalAmount>100.00</ram:LineTotalAmount></ram:SpecifiedTradeSettlementLineMonetarySummation>"
        f"{settlement}</ram:SpecifiedLineTradeSettlement></ram:IncludedSupplyChainTradeLineItem>"
    )


def cii(
    lines: str = line(),
    *,
    type_code: str = "380",
    issued: str = '<udt:DateTimeString format="102">20260115</udt:DateTimeString>',
    references: str = "",
    taxes: str = '<ram:TaxTotalAmount currencyID="EUR">20.00</ram:TaxTotalAmount>',
    number: str = "<ram:ID>F-1</ram:ID>",
) -> bytes:
    """An invoice over 120 EUR, in the order of elements that the Factur-X schemas ask for."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><rsm:CrossIndustryInvoice'
        f' xmlns:rsm="{UNCEFACT}CrossIndustryInvoice:100"'
        f' xmlns:ram="{UNCEFACT}ReusableAggregateBusinessInformationEntity:100"'
        f' xmlns:udt="{UNCEFACT}UnqualifiedDataType:100"><rsm:ExchangedDocumentContext>'
        "<ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>urn:cen.eu:en16931:2017</ram:ID>"
        "</ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext><rsm:ExchangedDocument>"
        f"{number}<ram:TypeCode>{type_code}</ram:TypeCode><ram:IssueDateTime>{issued}</ram:IssueDateTime>"
        f"</rsm:ExchangedDocument><rsm:SupplyChainTradeTransaction>{lines}<ram:ApplicableHeaderTradeAgreement>"
        "<ram:SellerTradeParty><ram:Name>Seller SAS</ram:Name><ram:SpecifiedLegalOrganization>"
        '<ram:ID schemeID="0002">123456782</ram:ID></ram:SpecifiedLegalOrganization><ram:PostalTradeAddress>'
        "<ram:CountryID>FR</ram:CountryID></ram:PostalTradeAddress><ram:SpecifiedTaxRegistration>"
        '<ram:ID schemeID="VA">FR11123456782</ram:ID></ram:SpecifiedTaxRegistration></ram:SellerTradeParty>'
        "<ram:BuyerTradeParty><ram:Name>Buyer GmbH</ram:Name><ram:PostalTradeAddress>"
        "<ram:CountryID>DE</ram:CountryID></ram:PostalTradeAddress><ram:SpecifiedTaxRegistration>"
        '<ram:ID schemeID="VA">DE123456788</ram:ID>'
        f"</ram:SpecifiedTaxRegistration></ram:BuyerTradeParty>{references}</ram:ApplicableHeaderTradeAgreement>"
        "<ram:ApplicableHeaderTradeDelivery><ram:DespatchAdviceReferencedDocument>"
        "<ram:IssuerAssignedID>D-9</ram:IssuerAssignedID></ram:DespatchAdviceReferencedDocument>"
        "</ram:ApplicableHeaderTradeDelivery><ram:ApplicableHeaderTradeSettlement>"
        "<ram:InvoiceCurrencyCode>EUR</ram:InvoiceCurrencyCode><ram:SpecifiedTradeSettlementPaymentMeans>"
        "<ram:TypeCode>58</ram:TypeCode><ram:PayeePartyCreditorFinancialAccount><ram:IBANID>DE02120300000000202051"
        "</ram:IBANID></ram:PayeePartyCreditorFinancialAccount></ram:SpecifiedTradeSettlementPaymentMeans>"
        "<ram:ApplicableTradeTax><ram:CalculatedAmount>20.00</ram:CalculatedAmount><ram:TypeCode>VAT</ram:TypeCode>"
        "<ram:BasisAmount>100.00</ram:BasisAmount><ram:CategoryCode>S</ram:CategoryCode>"
        "<ram:RateApplicablePercent>20</ram:RateApplicablePercent></ram:ApplicableTradeTax>"
        '<ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime><udt:DateTimeString format="102">20260214'
        "</udt:DateTimeString></ram:DueDateDateTime></ram:SpecifiedTradePaymentTerms>"
        "<ram:SpecifiedTradeSettlementHeaderMonetarySummation><ram:LineTotalAmount>100.00</ram:LineTotalAmount>"
        f"<ram:TaxBasisTotalAmount>100.00</ram:TaxBasisTotalAmount>{taxes}<ram:GrandTotalAmount>120.00"
        "</ram:GrandTotalAmount><ram:DuePayableAmount>120.00</ram:DuePayableAmount>"
        "</ram:SpecifiedTradeSettlementHeaderMonetarySummation></ram:ApplicableHeaderTradeSettlement>"
        "</rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>"
    ).encode()


def blank_pdf() -> bytes:
    return written(PdfWriter())


def written(writer: PdfWriter) -> bytes:
    if not writer.pages:
        writer.add_blank_page(200, 200)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def one(data: bytes) -> RecordDraft:
    (draft,) = read(data, "f")
    return draft


def refusal(data: bytes) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        read(data, "f")
    assert str(raised.value).startswith("f: ")
    assert str(raised.value).count(": ") >= 2
    return raised.value


@needs_samples
@pytest.mark.parametrize(
    ("name", "key", "debtor", "figures", "due", "lines", "links", "present"),
    [
        ("CII_example1", ("57151520", "12115118"), "10202", ("229.6", "20.73", "250.33"), "2015-01-09", 20, (),
         EVERYTHING),
        ("CII_example2", ("123456789", "TOSL108"), "987654321", ("1436.5", "365.28", "801.78"), "2013-07-20", 5,
         (("contract", "987654321", "Contract321"), ("order", "987654321", "123")), EVERYTHING),
        ("CII_example3", ("DK16356706", "TOSL108"), "0088:5790000435975", ("900", "225", "1125"), "2013-05-10", 1,
         (("contract", "0088:5790000435975", "SUBSCR571"),), EVERYTHING),
        ("CII_example4", ("DK16356706", "TOSL110"), "0088:5790000436057", ("4000", "675", "4675"), "2013-05-10", 3,
         (("order", "0088:5790000436057", "123"),), EVERYTHING),
    ],
)  # fmt: skip
def test_the_samples_as_counted_by_hand(
    name: str,
    key: tuple[str, str],
    debtor: str,
    figures: tuple[str, str, str],
    due: str,
    lines: int,
    links: tuple[tuple[str, str, str], ...],
    present: tuple[str, ...],
) -> None:
    data = (SHARED / f"en16931/cii/{name}.xml").read_bytes()
    draft = one(data)
    assert detect(data, "f").name == "cii-invoice"
    assert (draft.kind, draft.issuer, draft.number) == ("invoice", *key)
    assert draft.counterparty is not None
    assert draft.counterparty.id == debtor
    assert tuple(draft.fields[name] for name in ("total_excl_tax", "tax", "total")) == figures
    assert draft.fields["due_date"] == due
    assert len(draft.fields["lines"]) == lines
    assert draft.links == links
    assert set(public(draft)) == {*present, "type_code"}
    assert "payee_account" in private(draft)
    assert as_record(draft, data) == by_hand("invoice", present) == 10_000


@needs_samples
def test_lines_are_named_by_the_order_and_priced_per_unit() -> None:
    lines = one((SHARED / "en16931/cii/CII_example2.xml").read_bytes()).fields["lines"]
    # Its own numbers are 1 to 5; the file prices each line for a base quantity equal to the price.
    assert lines == [
        ["1", "JB007", "1", "NAR", "1", "1273"],
        ["5", "JB008", "-1", "NAR", "1", "-3.96"],
        ["3", "JB009", "2", "NAR", "1", "4.96"],
        ["2", "JB010", "-1", "NAR", "1", "-25"],
        ["4", "JB011", "250", "MTR", "1", "187.5"],
    ]


@needs_samples
@pytest.mark.parametrize("number", ["1", "4"])
def test_one_bill_in_both_syntaxes_has_one_key_and_the_same_parties(number: str) -> None:
    in_cii = one((SHARED / f"en16931/cii/CII_example{number}.xml").read_bytes())
    in_ubl = one((SHARED / f"en16931/ubl/ubl-tc434-example{number}.xml").read_bytes())
    assert (in_cii.kind, in_cii.issuer, in_cii.number) == (in_ubl.kind, in_ubl.issuer, in_ubl.number)
    assert in_cii.enterprise.id == in_ubl.enterprise.id
    assert in_cii.counterparty is not None
    assert in_ubl.counterparty is not None
    assert in_cii.counterparty.id == in_ubl.counterparty.id
    assert in_cii.occurred_at == in_ubl.occurred_at
    assert Decimal(str(in_cii.fields["total"])) == Decimal(str(in_ubl.fields["total"]))
    assert [row[:2] for row in in_cii.fields["lines"]] == [row[:2] for row in in_ubl.fields["lines"]]
    for name in ("payee_account", "buyer_address", "seller_address"):
        assert in_cii.fields[name] == in_ubl.fields[name]


def test_a_document_valid_by_the_official_schema() -> None:
    references = (
        "<ram:BuyerOrderReferencedDocument><ram:IssuerAssignedID>O-1</ram:IssuerAssignedID>"
        "</ram:BuyerOrderReferencedDocument><ram:ContractReferencedDocument>"
        "<ram:IssuerAssignedID>C-1</ram:IssuerAssignedID></ram:ContractReferencedDocument>"
    )
    data = cii(references=references)
    xml_check_xsd(data, flavor="factur-x", level="en16931")
    draft = one(data)
    assert (draft.kind, draft.issuer, draft.number) == ("invoice", "0002:123456782", "F-1")
    assert (draft.enterprise.name, draft.enterprise.identifiers) == ("Seller SAS", ("FR11123456782",))
    assert draft.counterparty is not None
    assert (draft.counterparty.id, draft.counterparty.name) == ("DE123456788", "Buyer GmbH")
    assert draft.occurred_at == "2026-01-15"
    assert draft.links == (
        ("contract", "DE123456788", "C-1"),
        ("despatch", "0002:123456782", "D-9"),
        ("order", "DE123456788", "O-1"),
    )
    assert draft.fields == {
        "issue_date": "2026-01-15",
        "due_date": "2026-02-14",
        "type_code": "380",
        "currency": "EUR",
        "total_excl_tax": "100.00",
        "tax": "20.00",
        "total": "120.00",
        "buyer_name": "Buyer GmbH",
        "seller_name": "Seller SAS",
        "payee_account": "DE02120300000000202051",
        "buyer_address": "DE",
        "seller_address": "FR",
        "lines": [["1", "A-7", "4", "C62", "25.00", "100.00"]],
    }
    assert draft.notes == ()


def test_a_file_that_lacks_them_gets_no_fields() -> None:
    data = cii("", taxes="")
    for path in (
        b"DueDateDateTime",
        b"DuePayableAmount",
        b"TaxBasisTotalAmount",
        b"PayeePartyCreditorFinancialAccount",
    ):
        before, _, rest = data.partition(b"<ram:" + path + b">")
        data = before + rest.partition(b"</ram:" + path + b">")[2]
    draft = one(data)
    assert sorted(public(draft)) == ["buyer_name", "currency", "issue_date", "seller_name", "type_code"]
    assert sorted(private(draft)) == ["buyer_address", "seller_address"]
    assert as_record(draft, data) == by_hand("invoice", ["issue_date", "currency", "buyer_name", "seller_name"])


def test_a_credit_note_names_its_invoice_and_keeps_its_positive_figures() -> None:
    data = cii(type_code="381").replace(
        b"</ram:SpecifiedTradeSettlementHeaderMonetarySummation>",
        b"</ram:SpecifiedTradeSettlementHeaderMonetarySummation><ram:InvoiceReferencedDocument>"
        b"<ram:IssuerAssignedID>F-0</ram:IssuerAssignedID></ram:InvoiceReferencedDocument>",
    )
    xml_check_xsd(data, flavor="factur-x", level="en16931")
    draft = one(data)
    assert draft.kind == "credit_note"
    assert ("invoice", "0002:123456782", "F-0") in draft.links
    assert draft.fields["total"] == "120.00"


def test_headings_and_remarks_among_the_lines_are_no_goods() -> None:
    def status(reason: str) -> str:
        return f"<ram:LineStatusReasonCode>{reason}</ram:LineStatusReasonCode>"

    draft = one(cii(line("1", status=status("GROUP")) + line("1.1", status=status("DETAIL")) + line("2")))
    assert [row[0] for row in draft.fields["lines"]] == ["1.1", "2"]
    assert draft.notes == ("line '1' is a GROUP line: left out",)


def test_the_tax_in_the_sellers_own_accounts_is_no_second_currency() -> None:
    taxes = '<ram:TaxTotalAmount currencyID="EUR">20.00</ram:TaxTotalAmount>' \
            '<ram:TaxTotalAmount currencyID="SEK">224.00</ram:TaxTotalAmount>'  # fmt: skip
    accounting = b"<ram:TaxCurrencyCode>SEK</ram:TaxCurrencyCode><ram:InvoiceCurrencyCode>"
    data = cii(taxes=taxes).replace(b"<ram:InvoiceCurrencyCode>", accounting)
    xml_check_xsd(data, flavor="factur-x", level="en16931")
    assert one(data).fields["tax"] == "20.00"
    assert "amounts in 'EUR' and 'SEK'" in str(refusal(cii(taxes=taxes)))


@pytest.mark.parametrize(
    ("issued", "expected"),
    [
        ('<udt:DateTimeString format="102">20240229</udt:DateTimeString>', "2024-02-29"),
        ('<udt:DateTimeString format="203">202401312359</udt:DateTimeString>', "2024-01-31"),
        ('<udt:DateTimeString format="205">2024013123590100</udt:DateTimeString>', "2024-01-31T22:59:00Z"),
        ('<udt:DateTimeString format="304">20240131235901UTC</udt:DateTimeString>', "2024-01-31T23:59:01Z"),
        ('<udt:DateTimeString format="303">202401312359CET</udt:DateTimeString>', "2024-01-31"),
        ("<udt:DateTime>2024-01-31T23:59:00+01:00</udt:DateTime>", "2024-01-31T22:59:00Z"),
    ],
)
def test_dates_in_every_format_that_has_four_digit_years(issued: str, expected: str) -> None:
    assert one(cii(issued=issued)).occurred_at == expected


PAYABLE = "<ram:DuePayableAmount>120.00<"


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("<ram:ID>F-1</ram:ID>", "", "MISSING", "the document's number (ExchangedDocument/ID) is missing"),
        ("<ram:ID>F-1</ram:ID>", "<ram:ID>A</ram:ID><ram:ID>B</ram:ID>", "BAD_VALUE", "ram:ID stands 2 times"),
        (">380<", "><", "MISSING", "ExchangedDocument/TypeCode is missing"),
        (">380<", ">325<", "NOT_SUPPORTED", "TypeCode is '325', no invoice or credit note"),
        (">380<", "><b/>380<", "BAD_VALUE", "TypeCode holds elements"),
        (">20260115<", "><", "MISSING", "IssueDateTime is missing"),
        (">20260115<", ">20230229<", "BAD_VALUE", "IssueDateTime is '2023-02-29'"),
        (">20260115<", ">19691231<", "BAD_VALUE", "IssueDateTime is 1969-12-31, before 1970"),
        (">20260115<", ">2026-01-15<", "BAD_VALUE", "'2026-01-15' with the format code '102'"),
        ('"102">20260115<', '"101">260115<', "BAD_VALUE", "with the format code '101'"),
        (PAYABLE, "<ram:DuePayableAmount>***<", "BAD_VALUE", "DuePayableAmount is '***'"),
        (PAYABLE, "<ram:DuePayableAmount>1,20<", "BAD_VALUE", "DuePayableAmount is '1,20'"),
        (PAYABLE, "<ram:DuePayableAmount>" + "9" * 40 + "<", "BAD_VALUE", "DuePayableAmount is '999"),
        (PAYABLE, '<ram:DuePayableAmount currencyID="USD">1<', "BAD_VALUE", "amounts in 'EUR' and 'USD'"),
        ("SellerTradeParty", "PayeeTradeParty", "MISSING", "the seller (SellerTradeParty) is missing"),
        ("BuyerTradeParty>", "X>", "MISSING", "the buyer (BuyerTradeParty) is missing"),
        ("<ram:LineID>1<", "<ram:LineID><", "MISSING", "a line's number (LineID) is missing"),
        ("SupplyChainTradeTransaction", "Other", "MISSING", "SupplyChainTradeTransaction is missing"),
        ("Invoice:100", "Invoice:12", "UNKNOWN_FORMAT", "the root element is 'CrossIndustryInvoice'"),
        ("UTF-8", "UTF-16", "NOT_UTF8", "it declares the encoding 'UTF-16'"),
    ],
)
def test_wrong_documents_are_refused_by_element_and_rule(old: str, new: str, code: str, message: str) -> None:
    assert old.encode() in cii()
    error = refusal(cii().replace(old.encode(), new.encode()))
    assert message in str(error)
    assert error.code == code


def test_negative_figures_stay_as_they_are_for_the_templates_ranges_to_judge() -> None:
    data = cii().replace(b"120.00</ram:DuePayable", b"-999999999999999.99</ram:DuePayable")
    assert one(data).fields["total"] == "-999999999999999.99"


def test_a_byte_order_mark_before_utf_8_is_allowed() -> None:
    assert one(b"\xef\xbb\xbf" + cii()) == one(cii())


def test_the_invoice_inside_a_pdf_is_the_invoice() -> None:
    pdf = generate_from_binary(blank_pdf(), cii(), flavor="factur-x", level="en16931", check_xsd=True)
    assert detect(pdf, "f").name == "factur-x"
    assert read(pdf, "f") == read(cii(), "f")
    assert as_record(one(pdf), pdf) == by_hand("invoice", EVERYTHING)


def test_a_pdf_without_its_xml_is_refused() -> None:
    assert refusal(blank_pdf()).code == "MISSING"
    assert "no invoice XML" in str(refusal(blank_pdf()))
    for attachment in (b"not xml", b"<other/>", b""):
        writer = PdfWriter()
        writer.add_attachment("factur-x.xml", attachment)
        assert refusal(written(writer)).code == "MISSING"


def test_an_encrypted_a_cut_and_a_false_pdf_are_refused() -> None:
    pdf = generate_from_binary(blank_pdf(), cii(), flavor="factur-x", level="en16931", check_xsd=False)
    writer = PdfWriter(clone_from=io.BytesIO(pdf))
    writer.encrypt("secret", algorithm="AES-256")
    assert "the PDF is encrypted" in str(refusal(written(writer)))
    assert refusal(pdf[: len(pdf) // 2]).code == "BAD_PDF"
    assert refusal(b"%PDF-1.7\n" + cii()).code == "BAD_PDF"
    assert refusal(b"%PDF-" + b" " * factur_x.MAX_BYTES).code == "TOO_LARGE"


def test_xml_in_a_pdf_is_as_strange_as_any_other() -> None:
    def attached(xml: bytes) -> bytes:
        writer = PdfWriter()
        writer.add_attachment("factur-x.xml", xml)
        return written(writer)

    root = b"<rsm:CrossIndustryInvoice"
    assert "DTD" in str(refusal(attached(cii().replace(root, b'<!DOCTYPE x [<!ENTITY a "b">]>' + root))))
    older = attached(b'<x:CrossIndustryDocument xmlns:x="urn:ferd:CrossIndustryDocument:invoice:1p0"/>')
    assert refusal(older).code in {"NOT_SUPPORTED", "MISSING"}


def test_a_bomb_in_a_pdf_is_refused() -> None:
    packed = zlib.compress(b"<a>" + b" " * 90_000_000)
    writer = PdfWriter()
    writer.add_attachment("factur-x.xml", b"MARK")
    pdf = written(writer)
    start, end = pdf.index(b"stream\nMARK"), pdf.index(b"MARK\nendstream")
    head = pdf[:start].rpartition(b"/Length 4")
    bomb = (
        head[0] + b"/Filter /FlateDecode /Length %d" % len(packed) + head[2] + b"stream\n" + packed + pdf[end + 4 :]
    )
    assert len(bomb) < 200_000
    assert refusal(bomb).code == "BAD_PDF"
    assert "LimitReached" in str(refusal(bomb))


def test_a_pdf_that_takes_too_long_is_given_up_and_the_next_one_is_read() -> None:
    pdf = generate_from_binary(blank_pdf(), cii(), flavor="factur-x", level="en16931", check_xsd=False)
    assert factur_x.extract(pdf) == cii()
    for signal_ in (signal.SIGSTOP, signal.SIGKILL):
        child = factur_x._WORKER._process
        assert child is not None
        os.kill(child.pid, signal_)
        if signal_ == signal.SIGSTOP:
            with pytest.raises(ConnectorError, match=r"no end after 0\.2 s"):
                factur_x.extract(pdf, seconds=0.2)
        assert factur_x.extract(pdf) == cii()


def test_whatever_element_is_missing_nothing_is_made_up() -> None:
    whole = one(cii())
    for data in without_each_element(cii()):
        try:
            draft = one(data)
        except ConnectorError:
            continue
        assert set(draft.fields) <= set(whole.fields)
        assert made_up(draft, data) == []


def test_mutated_files_are_read_or_refused_and_nothing_else() -> None:
    accepted, refused = survives(cii(line() + line("2", agreement="")), 300)
    assert accepted > 20
    assert refused > 100
    pdf = generate_from_binary(blank_pdf(), cii(), flavor="factur-x", level="en16931", check_xsd=False)
    survives(pdf, 150)
