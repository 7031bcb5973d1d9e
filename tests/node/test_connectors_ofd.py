"""OFD and China's fully digital e-invoices: the sample counted by hand, files made here, hostile archives."""

from __future__ import annotations

import io
import zipfile

import pytest

from node.connectors import ConnectorError, RecordDraft, detect, read, strict_zip
from tests.connector_conformity import as_record, by_hand, made_up, survives, without_each_element
from tests.connector_samples import NO_SAMPLES, SHARED

needs_samples = pytest.mark.skipif(not (SHARED / "ofd").is_dir(), reason=NO_SAMPLES)

FP = "http://www.edrm.org.cn/schema/e-invoice/2019"
ATTACHMENT = "Doc_0/Attachs/original_invoice.xml"
SELLER, BUYER = "91330106MA2CE71F65", "911101080000000007"
DIGITAL = "26337000000012345678"


def original(*, total: str = "113.00", net: str = "100.00", tax: str = "13.00", quantity: str = "4", note: str = "",
             date: str = "2026年03月05日", code: str = "033002600111", root: str = "eInvoice") -> bytes:  # fmt: skip
    """The XML inside an OFD of 2019."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><{root} xmlns:fp="{FP}" Version="1.0">'
        f"<fp:InvoiceCode>{code}</fp:InvoiceCode><fp:InvoiceNo>12345678</fp:InvoiceNo>"
        f"<fp:IssueDate>{date}</fp:IssueDate><fp:Buyer><fp:BuyerName>买方有限公司</fp:BuyerName>"
        f"<fp:BuyerTaxID>{BUYER}</fp:BuyerTaxID></fp:Buyer><fp:Seller><fp:SellerName>卖方有限公司</fp:SellerName>"
        f"<fp:SellerTaxID>{SELLER}</fp:SellerTaxID></fp:Seller>"
        f"<fp:TaxInclusiveTotalAmount>{total}</fp:TaxInclusiveTotalAmount><fp:Note>{note}</fp:Note>"
        f"<fp:TaxTotalAmount>{tax}</fp:TaxTotalAmount><fp:TaxExclusiveTotalAmount>{net}</fp:TaxExclusiveTotalAmount>"
        "<fp:GoodsInfos><fp:GoodsInfo><fp:Item>*涂料*油漆</fp:Item><fp:MeasurementDimension>桶</fp:MeasurementDimension>"
        f"<fp:Price>25</fp:Price><fp:Quantity>{quantity}</fp:Quantity><fp:Amount>{net}</fp:Amount></fp:GoodsInfo>"
        f"<fp:GoodsInfo><fp:Item></fp:Item></fp:GoodsInfo></fp:GoodsInfos></{root}>"
    ).encode()


def archive(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return file.getvalue()


def ofd(xml: bytes, **others: bytes) -> bytes:
    return archive({"OFD.xml": b"<ofd/>", ATTACHMENT: xml, **others})


def digital(*, total: str = "113.00", net: str = "100.00", label: str = "Y", remark: str = "", quantity: str = "4",
            time: str = "2026-03-05 10:11:12", number: str = DIGITAL, encoding: str = "utf-8") -> str:  # fmt: skip
    """A fully digital e-invoice."""
    sign = "-" if net.startswith("-") else ""
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<EInvoice><Header><EIid>{DIGITAL}</EIid>'
        f"<InherentLabel><InIssuType><LabelCode>{label}</LabelCode></InIssuType><EInvoiceType><LabelCode>01</LabelCode></EInvoiceType>"
        f"</InherentLabel></Header><EInvoiceData><SellerInformation><SellerIdNum>{SELLER}</SellerIdNum>"
        "<SellerName>卖方有限公司</SellerName><SellerBankAccNum>62255588</SellerBankAccNum></SellerInformation>"
        f"<BuyerInformation><BuyerIdNum>{BUYER}</BuyerIdNum><BuyerName>买方有限公司</BuyerName></BuyerInformation>"
        f"<BasicInformation><TotalAmWithoutTax>{net}</TotalAmWithoutTax><TotalTaxAm>{sign}13.00</TotalTaxAm>"
        f"<TotalTax-includedAmount>{total}</TotalTax-includedAmount></BasicInformation><IssuItemInformation>"
        "<ItemName>*涂料*油漆</ItemName><MeaUnits>桶</MeaUnits>"
        f"<Quantity>{quantity}</Quantity><UnPrice>25</UnPrice><Amount>{net}</Amount></IssuItemInformation>"
        f"<AdditionalInformation><Remark>{remark}</Remark></AdditionalInformation></EInvoiceData><TaxSupervisionInfo>"
        f"<InvoiceNumber>{number}</InvoiceNumber><IssueTime>{time}</IssueTime></TaxSupervisionInfo></EInvoice>"
    )


def one(data: bytes) -> RecordDraft:
    (draft,) = read(data, "f")
    return draft


def refusal(data: bytes) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        read(data, "f")
    assert str(raised.value).startswith("f: ")
    assert str(raised.value).isprintable()
    assert str(raised.value).count(": ") >= 2
    return raised.value


@needs_samples
def test_the_sample_has_neither_due_date_nor_currency() -> None:
    data = (SHARED / "ofd/v4signed.ofd").read_bytes()
    draft = one(data)
    assert detect(data, "f").name == "ofd"
    assert (draft.kind, draft.issuer, draft.number) == ("invoice", "91500106MA2CE71F65", "050001700111-99999951")
    assert draft.counterparty is not None
    assert (draft.counterparty.id, draft.counterparty.name) == ("9150010807MGZHI002", "科游迈利有限公司")
    assert draft.occurred_at == "2020-10-10"
    meal = ["", "", "4", "次", "25", "100.00"]
    assert draft.fields == {
        "issue_date": "2020-10-10",
        "type_code": "0",
        "total_excl_tax": "300.00",
        "tax": "18.00",
        "total": "318.00",
        "buyer_name": "科游迈利有限公司",
        "seller_name": "杭州融易算企业管理咨询有限公司",
        "payee_account": "建设银行625555888900998711",
        "check_code": "14754822929856772523",
        "lines": [meal, meal, meal],
    }
    # A vendor's test invoice: neither number has the check digit of a unified social credit code.
    assert sum("unified social credit code" in note for note in draft.notes) == 2
    present = ["issue_date", "total_excl_tax", "tax", "total", "buyer_name", "seller_name", "lines"]
    assert as_record(draft, data) == by_hand("invoice", present) == 8_333  # 3 + 1 + 1 + 4 + 1 + 1 + 4 of 18


def test_an_ofd_made_here() -> None:
    draft = one(ofd(original()))
    assert (draft.kind, draft.issuer, draft.number) == ("invoice", SELLER, "033002600111-12345678")
    assert draft.fields["lines"] == [["", "", "4", "桶", "25", "100.00"]], "the empty row is print"
    assert draft.notes == ()
    assert one(ofd(original(code=""))).number == "12345678"


def test_a_wrong_check_digit_is_noted_and_the_number_kept() -> None:
    wrong = SELLER[:-1] + "4"
    draft = one(ofd(original().replace(SELLER.encode(), wrong.encode())))
    assert draft.issuer == wrong
    assert draft.notes == (f"'{wrong}' is no valid unified social credit code (GB 32100): kept as it is",)


@pytest.mark.parametrize("date", ["2026年03月05日", "2026年3月5日", "20260305", "2026-03-05", "2026-03-05 23:59:59"])
def test_dates_as_the_systems_write_them(date: str) -> None:
    assert one(ofd(original(date=date))).occurred_at == "2026-03-05"


def test_masked_totals_are_absent_and_not_zero() -> None:
    data = ofd(original(total="***", tax="***", quantity="*"))
    draft = one(data)
    assert not {"total", "tax"} & set(draft.fields)
    assert draft.fields["lines"][0][2] == ""
    assert sum("is masked" in note for note in draft.notes) == 3
    present = ["issue_date", "total_excl_tax", "buyer_name", "seller_name", "lines"]
    assert as_record(draft, data) == by_hand("invoice", present)


@pytest.mark.parametrize(
    ("note", "link"),
    [
        ("对应正数发票代码:033002600111号码:12345677", "033002600111-12345677"),
        ("对应正数发票代码：033002600111 号码：12345677", "033002600111-12345677"),
        ("被红冲蓝字数电票号码：26337000000012345677 红字发票信息确认单编号：1", "26337000000012345677"),
        ("被红冲蓝字数电发票号码:26337000000012345677", "26337000000012345677"),
        ("", None),
    ],
)
def test_a_red_invoice_is_a_credit_note_for_the_blue_one_it_names(note: str, link: str | None) -> None:
    for data in (
        ofd(original(total="-113.00", net="-100.00", tax="-13.00", quantity="-4", note=note)),
        digital(total="-113.00", net="-100.00", label="N", quantity="-4", remark=note).encode(),
    ):
        draft = one(data)
        assert draft.kind == "credit_note"
        assert (draft.fields["total"], draft.fields["total_excl_tax"], draft.fields["tax"]) == (
            "113.00",
            "100.00",
            "13.00",
        )
        assert draft.fields["lines"] == [["", "", "4", "桶", "25", "100.00"]]
        assert draft.links == ((("invoice", SELLER, link),) if link else ())
        assert "a red invoice: its negative figures are a credit note's" in draft.notes


def test_a_fully_digital_invoice() -> None:
    data = digital().encode()
    draft = one(data)
    assert detect(data, "f").name == "e-invoice"
    assert (draft.kind, draft.issuer, draft.number) == ("invoice", SELLER, DIGITAL)
    assert draft.occurred_at == "2026-03-05", "a local time of an unknown place: the date alone"
    assert draft.fields == {
        "issue_date": "2026-03-05",
        "type_code": "01",
        "total_excl_tax": "100.00",
        "tax": "13.00",
        "total": "113.00",
        "buyer_name": "买方有限公司",
        "seller_name": "卖方有限公司",
        "payee_account": "62255588",
        "lines": [["", "", "4", "桶", "25", "100.00"]],
    }
    present = ["issue_date", "total_excl_tax", "tax", "total", "buyer_name", "seller_name", "lines"]
    assert as_record(draft, data) == by_hand("invoice", present)
    assert one(digital(number="").encode()).number == DIGITAL
    assert read(ofd(data), "f") == read(data, "f"), "newer OFDs carry it"


@pytest.mark.parametrize("encoding", ["GBK", "gb2312", "GB18030", "utf-8"])
def test_chinese_encodings_are_read_where_they_are_declared(encoding: str) -> None:
    text = digital(encoding=encoding)
    assert read(text.encode(encoding), "f") == read(digital().encode(), "f")


def test_an_encoding_that_is_not_the_declared_one_is_refused() -> None:
    assert refusal(digital(encoding="utf-8").encode("gbk")).code == "NOT_UTF8"
    assert "is not of the encoding it declares" in str(refusal(digital(encoding="GBK").encode() + b"\xff"))
    assert refusal(b"\xef\xbb\xbf" + digital(encoding="GBK").encode()).code == "NOT_UTF8"
    assert read(b"\xef\xbb\xbf" + digital().encode(), "f")
    entity = digital(encoding="GBK").replace("<EInvoice>", '<!DOCTYPE x [<!ENTITY a "b">]><EInvoice>')
    assert "DTD" in str(refusal(entity.encode("gbk")))


@pytest.mark.parametrize(
    ("data", "code", "expected"),
    [
        (digital(label="N").encode(), "BAD_VALUE", "InIssuType is N (red), the figures say the contrary"),
        (digital(net="-1", total="-1").encode(), "BAD_VALUE", "InIssuType is Y (blue), the figures say the contrary"),
        (digital(time="").encode(), "MISSING", "TaxSupervisionInfo/IssueTime is missing"),
        (digital(time="2026-02-30").encode(), "BAD_VALUE", "TaxSupervisionInfo/IssueTime is '2026-02-30'"),
        (digital(time="1969-12-31").encode(), "BAD_VALUE", "before 1970"),
        (digital(total="一百").encode(), "BAD_VALUE", "BasicInformation/TotalTax-includedAmount is '一百'"),
        (digital(total="1,130.00").encode(), "BAD_VALUE", "TotalTax-includedAmount is '1,130.00'"),
        (digital().replace("EInvoiceData>", "Other>").encode(), "MISSING", "EInvoiceData is missing"),
        (digital().replace(DIGITAL, "").encode(), "MISSING", "the invoice's number"),
        (digital().replace("</BuyerIdNum>", "</BuyerIdNum><BuyerIdNum>2</BuyerIdNum>").encode(), "BAD_VALUE",
         "BuyerInformation/BuyerIdNum stands 2 times"),
        (ofd(original(date="2026年13月05日")), "BAD_VALUE", "fp:IssueDate is '2026-13-05'"),
        (ofd(original(root="invoice")), "NOT_SUPPORTED", "the attachment is 'invoice'"),
        (ofd(b"<a>"), "BAD_XML", "not well-formed"),
        (ofd(b"<!DOCTYPE x><eInvoice/>"), "BAD_XML", "DTD"),
        (ofd(b"<eInvoice/>"), "MISSING", "an identifier or name of the seller is missing"),
        (archive({"OFD.xml": b"<ofd/>"}), "MISSING", "the OFD has 0 attachments"),
        (ofd(original(), **{"Doc_1/Attachs/original_invoice.xml": original()}), "BAD_VALUE", "has 2 attachments"),
        (archive({"other.xml": original()}), "UNKNOWN_FORMAT", "a ZIP archive of no format that is read"),
        (ofd(original(), **{"../../etc/passwd": b""}), "BAD_ZIP", "leads out of the archive"),
        (ofd(original(), **{"/etc/passwd": b""}), "BAD_ZIP", "leads out of the archive"),
        (ofd(original(), **{"C:/x": b""}), "BAD_ZIP", "leads out of the archive"),
        (ofd(original(), **{"a\\..\\b": b""}), "BAD_ZIP", "leads out of the archive"),
        (ofd(original(), **{f"{n}.txt": b"" for n in range(strict_zip.MAX_ENTRIES)}), "TOO_LARGE", "2002 entries"),
        (ofd(original())[:-30], "BAD_ZIP", "the ZIP archive is damaged"),
        (ofd(original())[:200], "BAD_ZIP", "the ZIP archive is damaged"),
        (b"PK\x03\x04" + b" " * strict_zip.MAX_BYTES, "TOO_LARGE", "bytes"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_by_element_and_rule(data: bytes, code: str, expected: str) -> None:
    error = refusal(data)
    assert expected in str(error)
    assert error.code == code


def test_bombs_and_encrypted_entries_are_refused() -> None:
    assert refusal(ofd(original(), x=b" " * (strict_zip.MAX_UNPACKED + 1))).code == "TOO_LARGE"
    assert refusal(ofd(b"<a>" + b" " * 20_000_000)).code == "TOO_LARGE"
    data = bytearray(ofd(original()))
    # An entry that unpacks to more than its header says: the header's size is what zipfile reads.
    lying = archive({"OFD.xml": b"<ofd/>", ATTACHMENT: original() + b" " * 5_000_000})
    directory = lying.rindex(b"PK\x01\x02")
    lying = lying[: directory + 24] + (100).to_bytes(4, "little") + lying[directory + 28 :]
    assert refusal(lying).code in {"BAD_ZIP", "BAD_XML"}
    for offset, mark in ((6, b"PK\x03\x04"), (8, b"PK\x01\x02")):
        start = 0
        while (start := data.find(mark, start)) >= 0:
            data[start + offset] |= 1
            start += 4
    assert "encrypted" in str(refusal(bytes(data)))


def test_whatever_element_is_missing_nothing_is_made_up() -> None:
    whole = one(digital().encode())
    for data in without_each_element(digital().encode()):
        try:
            draft = one(data)
        except ConnectorError:
            continue
        assert set(draft.fields) <= set(whole.fields)
        assert made_up(draft, data) == []


def test_mutated_files_are_read_or_refused_and_nothing_else() -> None:
    accepted, refused = survives(digital().encode(), 300)
    assert accepted > 20
    assert refused > 50
    survives(digital(encoding="GBK").encode("gbk"), 200)
    survives(ofd(original()), 200)
