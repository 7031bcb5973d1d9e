"""Tables in CSV: mapping files, dialects and encodings, documents of several rows, ready mappings, wrong input."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from contracts.template import check_fields, compiled
from genesis import library
from node.connectors import ConnectorError, RecordDraft, mapping, read, recognise
from node.connectors.mapping import Mapping
from tests.connector_samples import NO_SAMPLES, ROOT, SHARED

PERMITS = SHARED / "eventlogs" / "receipt_first600rows.csv"
needs_samples = pytest.mark.skipif(not PERMITS.exists(), reason=NO_SAMPLES)

OWN: dict[str, Any] = {"id": "GB-COH:1", "name": "Us Ltd"}
INVOICES: dict[str, Any] = {
    "name": "our-invoices",
    "version": 3,
    "own": OWN,
    "table": {
        "kind": "invoice",
        "number": "No",
        "issuer": "enterprise",
        "enterprise": "own",
        "counterparty": {"column": "Customer"},
        "occurred_at": "Date",
        "fields": {"issue_date": "Date", "total": "Total", "currency": "Cur"},
        "lines": {"item_id": "Item", "quantity": "Qty", "amount": "Net"},
        "links": [{"relation": "order", "column": "Order", "issuer": "counterparty"}],
    },
}
HEADER = "No,Date,Customer,Total,Cur,Item,Qty,Net,Order"


def made(**table: Any) -> Mapping:
    document = {**INVOICES, "table": {**INVOICES["table"], **table}}
    return mapping.parse(json.dumps(document).encode(), "m.json")


def text(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def refusal(data: bytes, how: Mapping | None = None) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        read(data, "t.csv", how)
    assert str(raised.value).startswith("t.csv: ")
    assert "\n" not in str(raised.value)
    return raised.value


def conformity(draft: RecordDraft) -> str:
    kind = compiled(library.template("general-trade")).kinds[draft.kind]
    return f"{check_fields(kind, dict(draft.fields))}/{kind.asked}"


def test_rows_of_one_number_are_one_document_wherever_they_stand() -> None:
    data = text(
        "I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1",
        "I2,2026-10-17,C2,5,GBP,B,2,5,",
        "I1,2026-10-16,C1,30.00,GBP,B,2,20.00,O2",
    )
    second, first = read(data, "t.csv", made())
    assert first.fields == {
        "issue_date": "2026-10-16",
        "total": "30.00",
        "currency": "GBP",
        "lines": [["", "A", "1", "", "", "10.00"], ["", "B", "2", "", "", "20.00"]],
    }
    assert first.links == (("order", "C1", "O1"), ("order", "C1", "O2"))
    assert (first.kind, first.issuer, first.number) == ("invoice", "GB-COH:1", "I1")
    assert first.enterprise.name == "Us Ltd"
    assert "seller_name" not in first.fields, "what the member says of itself fills no field"
    assert first.notes == (
        f"read with the mapping {made().reference}",
        "the enterprise 'GB-COH:1' is the member's word: the table names none",
    )
    assert (second.number, second.links) == ("I2", ())


def test_the_source_of_a_record_names_the_mapping_and_what_it_says() -> None:
    data = text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1")
    connector, _ = recognise(data, "t.csv", made())
    assert (connector.name, connector.version) == ("csv", f"1+our-invoices/3/{made().digest}")
    other, _ = recognise(data, "t.csv", made(numbers={"thousands": ","}))
    assert other.version != connector.version
    assert made().digest == made(csv={}).digest


@needs_samples
def test_the_permit_log_is_read_with_a_mapping() -> None:
    document = {
        "name": "permits",
        "own": {"id": "NL-KVK:1"},
        "table": {
            "kind": "event",
            "number": [["case:concept:name"], ["concept:instance"]],
            "issuer": "enterprise",
            "enterprise": "own",
            "occurred_at": "time:timestamp",
            "fields": {
                "activity": "concept:name",
                "event_type": "lifecycle:transition",
                "object_id": "case:concept:name",
            },
        },
    }
    drafts = read(PERMITS.read_bytes(), "f", mapping.parse(json.dumps(document).encode(), "m"))
    assert len(drafts) == 600
    assert (drafts[0].number, drafts[0].occurred_at) == ("case-10011/task-42933", "2011-10-11T11:45:40Z")
    assert drafts[0].fields == {
        "activity": "Confirmation of receipt",
        "event_type": "complete",
        "object_id": "case-10011",
    }
    # By hand: every row has concept:name (3) and a case (1), none a place (1).
    assert {conformity(draft) for draft in drafts} == {"4/5"}


@pytest.mark.parametrize(
    "data",
    [
        text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1"),
        b"\xef\xbb\xbf" + text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1"),
        text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1").replace(b"\n", b"\r\n"),
        text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1").replace(b",", b";"),
        text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1").replace(b",", b"\t"),
        text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1").decode().encode("utf-16"),
        text('"I1","2026-10-16",C1,"30.00",GBP,A,1,10.00,"O1"'),
        b"Invoices of October\n\n" + text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1", ",,,,,,,,"),
        text(" I1 ,2026-10-16,C1,30.00,GBP,A,1,10.00,O1", header="no, DATE,customer,total,cur,item,qty,net,order"),
        b"|" + text("I1,2026-10-16,C1,30.00,GBP,A,1,10.00,O1,").replace(b",", b"|").replace(b"\nI1", b"|\n----\n|I1"),
    ],
    ids=["plain", "bom", "crlf", "semicolon", "tab", "utf-16", "quoted", "title", "capitals", "sap list"],
)
def test_dialects_and_encodings_of_one_table(data: bytes) -> None:
    (draft,) = read(data, "t.csv", made())
    assert draft.fields == {
        "issue_date": "2026-10-16",
        "total": "30.00",
        "currency": "GBP",
        "lines": [["", "A", "1", "", "", "10.00"]],
    }


def test_gb18030_is_read_where_the_mapping_says_so_and_utf8_all_the_same() -> None:
    rows = text("I1,2026-10-16,深圳市某某有限公司,30.00,人民币,A,1,10.00,O1").decode()
    how = made(csv={"encoding": "gb18030"}, fields={"currency": {"column": "Cur", "values": {"人民币": "CNY"}}})
    for encoding in ("gb18030", "utf-8", "utf-8-sig"):
        (draft,) = read(rows.encode(encoding), "t.csv", how)
        assert draft.counterparty is not None
        assert draft.counterparty.id == "深圳市某某有限公司"
        assert draft.fields["currency"] == "CNY"
    assert refusal(rows.encode("gb18030"), made()).code == "NOT_UTF8"


def test_mixed_encodings_are_refused_by_their_line() -> None:
    good = "I1,2026-10-16,Müller,1,EUR,A,1,1,"
    data = text(good) + "I2,2026-10-16,Müller,1,EUR,A,1,1,\n".encode("latin-1")
    error = refusal(data, made())
    assert (error.code, error.what) == ("NOT_UTF8", "line 3 is not UTF-8 (its byte 16)")
    odd = refusal(text(good).decode().encode("utf-16") + b"x", made())
    assert odd.code == "NOT_UTF8"
    assert "UTF-16" in odd.what


@pytest.mark.parametrize(
    ("cell", "rules", "expected"),
    [
        ("1234.50", {}, "1234.50"),
        ("1,234.50", {"thousands": ","}, "1234.50"),
        ("1.234,50", {"thousands": ".", "decimal": ","}, "1234.50"),
        ("1 234,50", {"thousands": " ", "decimal": ","}, "1234.50"),
        ("1\u00a0234,50", {"thousands": " ", "decimal": ","}, "1234.50"),
        ("-5", {}, "-5"),
        ("+5", {}, "5"),
        ("5.00-", {"trailing_minus": True}, "-5.00"),
        ("-99999999999999999999.99", {}, "-99999999999999999999.99"),
        ("", {}, None),
        ("***", {}, None),
        ("#####", {}, None),
    ],
)
def test_numbers(cell: str, rules: dict[str, Any], expected: str | None) -> None:
    data = text(f"I1|2026-10-16|C1|{cell}|EUR|A|1|1|", header=HEADER.replace(",", "|"))
    (draft,) = read(data, "t.csv", made(numbers=rules, csv={"delimiter": "|"}))
    assert draft.fields.get("total") == expected
    masked = [note for note in draft.notes if "masked" in note]
    assert masked == (["'total' is masked: left out"] if cell.strip("*#") != cell else [])


@pytest.mark.parametrize(
    ("cell", "rules"),
    [
        ("1,234.50", {}),
        ("1,23", {"thousands": ","}),
        ("12,34,567", {"thousands": ","}),
        ("1.234,50", {"thousands": ","}),
        ("5.00-", {}),
        ("1e3", {}),
        ("NaN", {}),
        ("EUR 5", {}),
        ("１２", {}),
        ("1" * 37, {}),
    ],
)
def test_what_is_no_number_by_the_mapping_is_refused_by_line_and_column(cell: str, rules: dict[str, Any]) -> None:
    data = text(f"I1|2026-10-16|C1|{cell}|EUR|A|1|1|", header=HEADER.replace(",", "|"))
    error = refusal(data, made(numbers=rules, csv={"delimiter": "|"}))
    assert error.code == "BAD_VALUE"
    assert error.what.startswith("line 2: 'total' is '")


@pytest.mark.parametrize(
    ("cell", "rules", "expected"),
    [
        ("2026-10-16", {}, "2026-10-16"),
        ("16.10.2026", {"formats": ["DD.MM.YYYY"]}, "2026-10-16"),
        ("10/16/2026", {"formats": ["DD.MM.YYYY", "MM/DD/YYYY"]}, "2026-10-16"),
        ("2026/1/6", {"formats": ["YYYY/M/D"]}, "2026-01-06"),
        ("2026年1月6日", {"formats": ["YYYY年M月D日"]}, "2026-01-06"),
        ("20260106", {"formats": ["YYYYMMDD"]}, "2026-01-06"),
        ("2026-10-16 09:30", {}, "2026-10-16"),
        ("2026-10-16 09:30", {"zone": "+08:00"}, "2026-10-16T01:30:00Z"),
        ("2026-10-16T09:30:15.999Z", {}, "2026-10-16T09:30:15Z"),
        ("2026-10-16 9:30:15+0200", {}, "2026-10-16T07:30:15Z"),
        ("2030-01-01", {}, "2030-01-01"),
    ],
)
def test_dates(cell: str, rules: dict[str, Any], expected: str) -> None:
    (draft,) = read(text(f"I1,{cell},C1,1,EUR,A,1,1,"), "t.csv", made(dates=rules))
    assert draft.occurred_at == draft.fields["issue_date"] == expected


@pytest.mark.parametrize("cell", ["2026-02-30", "16.10.2026", "1969-12-31", "46000", "2026-10-16 25:00", "today", ""])
def test_dates_that_do_not_exist_or_are_before_1970_are_refused(cell: str) -> None:
    error = refusal(text(f"I1,{cell},C1,1,EUR,A,1,1,"), made())
    assert error.code in ("BAD_VALUE", "MISSING")
    assert error.what.startswith("line 2: 'date' is ")


@pytest.mark.parametrize(
    ("rows", "code", "what"),
    [
        (["I1,2026-10-16,C1,1,EUR,A,1,1"], "BAD_VALUE", "line 2: 8 cells under 9 headers"),
        (["I1,2026-10-16,C1,1,EUR,A,1,1,O,more"], "BAD_VALUE", "line 2: 10 cells under 9 headers"),
        (['I1,2026-10-16,"C1,1,EUR,A,1,1,'], "BAD_CSV", "line 2: unexpected end of data"),
        (['I1,2026-10-16,"C"1,1,EUR,A,1,1,'], "BAD_CSV", "line 2: ',' expected after '\"'"),
        ([",2026-10-16,C1,1,EUR,A,1,1,"], "MISSING", "line 2: the document's number is missing"),
        (["I1,2026-10-16,,1,EUR,A,1,1,"], "MISSING", "line 2: an identifier or name of the counterparty is"),
        (["I1,2026-10-16,C1,1,EUR,A,1,1,", "I1,2026-10-16,C1,1,USD,A,1,1,"], "BAD_VALUE", "line 3: 'cur' is 'USD'"),
        (["I1,2026-10-16,C1,1,EUR,A,1,1,", "I1,2026-10-17,C1,1,EUR,A,1,1,"], "BAD_VALUE", "line 3: 'date' is "),
        (["I1,2026-10-16,C1,1,EUR,A,1,1,", "I1,2026-10-16,C2,1,EUR,A,1,1,"], "BAD_VALUE", "line 3: 'I1' is of 'C2'"),
        (["I1,2026-10-16,C1,1,EUR,A,1,1,"] * 1001, "TOO_LARGE", "line 1002: 'I1' has more than 1000 lines"),
        ([f"{'I' * 300},2026-10-16,C1,1,EUR,A,1,1,"], "BAD_VALUE", "line 2: the document's number 'II"),
        (
            ["I1,x,C1,1,EUR,A,1,1,", "I2,y,C1,1,EUR,A,1,1,"],
            "BAD_VALUE",
            "line 2: 'date' is 'x' (and 1 more are wrong)",
        ),
        ([], "MISSING", "no row of it is a record"),
    ],
)
def test_wrong_rows_refuse_the_file_by_line_and_rule(rows: list[str], code: str, what: str) -> None:
    error = refusal(text(*rows), made())
    assert error.code == code
    assert error.what.startswith(what)


def test_missing_and_repeated_columns_are_refused_by_name() -> None:
    assert refusal(text(header=HEADER.replace("Total", "Sum")), made()).what == "there is no column 'Total'"
    assert refusal(text(header=HEADER + ",Total"), made()).what == "the column 'Total' stands 2 times"
    assert refusal(text(header="a,b"), made()).what == "no row has the columns 'No', 'Date'"
    # An unused column may stand twice: exports have such.
    (draft,) = read(text("I1,2026-10-16,C1,1,EUR,A,1,1,,x,y", header=HEADER + ",Text,Text"), "t.csv", made())
    assert draft.number == "I1"


def test_the_mapping_says_which_of_differing_values_counts() -> None:
    rows = ["I1,2026-10-16,C1,1,EUR,A,1,1,", "I1,2026-10-18,C1,1,EUR,A,1,1,", "I1,2026-10-17,C1,1,EUR,A,1,1,"]
    date = {"column": "Date", "pick": "latest"}
    (draft,) = read(text(*rows), "t.csv", made(occurred_at=date, fields={"issue_date": {**date, "pick": "first"}}))
    assert (draft.occurred_at, draft.fields["issue_date"]) == ("2026-10-18", "2026-10-16")


def test_a_kind_by_a_column_a_currency_in_the_header_and_a_price_per_hundred() -> None:
    how = made(
        kind={"column": "Type", "values": {"RE": "invoice", "GU": "credit_note"}},
        unsigned=["credit_note"],
        fields={"total": "Total ({currency})"},
        lines={"price": "Price", "price_base": "Per"},
        links=[],
    )
    header = "No,Type,Date,Customer,Total (eur),Price,Per"
    rows = ("1,RE,2026-10-16,C,-7,12.50,100", "2,GU,2026-10-16,C,-7,1,3", "3,XX,no,C,?,1,1")
    bill, note = read(text(*rows, header=header), "f", how)
    assert (bill.kind, bill.fields["total"], bill.fields["currency"]) == ("invoice", "-7", "EUR")
    assert bill.fields["lines"] == [["", "", "", "", "0.125", ""]]
    assert (note.kind, note.fields["total"]) == ("credit_note", "7")
    assert "lines" not in note.fields
    assert "1 per 3 is no finite unit price: price left out" in note.notes
    two = made(fields={"total": "Total ({currency})", "tax": "Tax ({currency})"}, lines=None, links=[])
    error = refusal(text(header="No,Date,Customer,Total (EUR),Tax (USD)"), two)
    assert error.what == "the headers name the currencies EUR and USD"


def test_a_mapping_without_own_party_says_how_to_name_it() -> None:
    error = refusal(text(header="Billing Document,Billing Type,Billing Date,Payer,Net Value"))
    assert error.code == "BAD_MAPPING"
    assert '{"extends": "sap-vf05", "own": {"id": …}}' in str(error)


def test_a_table_that_no_mapping_knows_is_refused_with_the_way_out() -> None:
    error = refusal(text("1,2", header="a,b"))
    assert (error.code, error.advice) == ("UNKNOWN_TABLE", "name its mapping with --mapping")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"tabel": {}}, "tabel: Extra inputs are not permitted"),
        ({"own": {"id": ""}}, "own.id: String should have at least 1 character"),
        ({"extends": "sap-nothing"}, "it extends 'sap-nothing'"),
        ({"version": "one"}, "version: Input should be a valid integer"),
        (
            {"table": {**INVOICES["table"], "fields": {"lines": "x"}}},
            "table.fields: Value error, lines is not a field",
        ),
        (
            {"table": {**INVOICES["table"], "fields": {"total": {"constant": "1"}}}},
            "table.fields.total.column: Field",
        ),
        ({"table": {**INVOICES["table"], "dates": {"formats": ["YY-MM-DD"]}}}, "table.dates.formats: Value error"),
        ({"table": {**INVOICES["table"], "numbers": {"thousands": "."}}}, "table.numbers: Value error, decimal and"),
        ({"table": {**INVOICES["table"], "lines": {}}}, "table.lines: Value error, lines names no column"),
    ],
)
def test_a_wrong_mapping_is_refused_by_its_element(change: dict[str, Any], what: str) -> None:
    with pytest.raises(ConnectorError) as raised:
        mapping.parse(json.dumps({**INVOICES, **change}).encode(), "m.json")
    assert raised.value.code == "BAD_MAPPING"
    assert str(raised.value).startswith(f"m.json: {what}")
    assert "\n" not in str(raised.value)


def test_mappings_are_found_by_name_or_path(tmp_path: Path) -> None:
    assert mapping.load("sap-me2n") == mapping.ready("sap-me2n")
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"extends": "sap-me2n", "own": OWN, "table": {"numbers": {"decimal": ","}}}))
    with pytest.raises(ConnectorError, match=r"own\.json: table\.numbers: Value error, decimal and thousands"):
        mapping.load(str(path))
    path.write_text(json.dumps({"extends": "sap-me2n", "own": OWN, "table": {"csv": {"delimiter": ";"}}}))
    loaded = mapping.load(str(path))
    assert loaded.table is not None
    assert (loaded.table.csv.delimiter, loaded.table.numbers.thousands, loaded.own) == (
        ";",
        ",",
        mapping.PartyValue(**OWN),
    )
    for wrong in (b"[]", b"{", b'{"own": 1, "own": 2}', b'"x"', b"\xff"):
        path.write_bytes(wrong)
        with pytest.raises(ConnectorError) as raised:
            mapping.load(str(path))
        assert raised.value.code == "BAD_MAPPING"
    with pytest.raises(ConnectorError, match="no ready mapping and no file that can be read"):
        mapping.load(str(tmp_path / "nowhere"))


# Header, row, what the record is, and its conformity counted by hand against general-trade:
# order 17 (date 3, currency 1, total 3, delivery 1, names 1+1, lines 4 = 14), despatch and receipt 3+1+4 = 8,
# invoice 3+1+2+1+1+4+1+1+4 = 18, credit note 3+2+1+1+4+1+1+3 = 16.
READY: dict[str, tuple[str, str, tuple[str, str, str, str], str]] = {
    "sap-me2n": (
        "Purchasing Document;Item;Document Date;Supplier;Name of Supplier;Material;Order Quantity;Order Unit;"
        "Net Price;Price Unit;Currency;Delivery Date",
        "4500000001;10;16.11.2026;100023;Kestrel;M-1;1,200;EA;12.50;100;EUR;30.11.2026",
        ("order", "OWN", "4500000001", "100023"),
        "10/14",  # no total, no buyer's name
    ),
    "sap-mb51": (
        "Material Document;Material Doc. Year;Movement Type;Posting Date;Supplier;Material;Quantity;Unit of Entry;"
        "Purchase Order;Reference",
        "5000000001;2026;101;16.11.2026;100023;M-1;12.000;EA;4500000001;D-7",
        ("receipt", "OWN", "5000000001/2026", "100023"),
        "8/8",
    ),
    "sap-vf05": (
        "Billing Document;Billing Type;Billing Date;Payer;Name 1;Net Value;Tax Amount;Document Currency",
        "90000001;F2;16.11.2026;C-1;Heron plc;1,000.00;200.00;EUR",
        ("invoice", "OWN", "90000001", "OWN"),
        "8/18",  # date 3, currency 2, net 1, tax 1, buyer's name 1
    ),
    "sap-fbl5n": (
        "Document Number;Document Type;Document Date;Customer;Reference;Amount in Document Currency;"
        "Document Currency;Net Due Date",
        "1400000001;DG;16.11.2026;C-1;90000002;120.00-;EUR;16.12.2026",
        ("credit_note", "OWN", "90000002", "OWN"),
        "9/16",  # date 3, currency 2, total 4
    ),
    "kingdee-purchase-order": (
        "单据编号;采购日期;供应商;采购组织;结算币别;物料编码;采购数量;采购单位;含税单价;价税合计;交货日期",
        "CGDD000001;2026/11/16;深圳某某;广州某某;人民币;W-1;1,000;Pcs;2.5;2500;2026/11/30",
        ("order", "OWN", "CGDD000001", "深圳某某"),
        "11/14",  # all but the total
    ),
    "kingdee-purchase-receipt": (
        "单据编号;入库日期;供应商;物料编码;实收数量;库存单位;订单单号",
        "CGRK000001;2026-11-16;深圳某某;W-1;1000;Pcs;CGDD000001",
        ("receipt", "OWN", "CGRK000001", "深圳某某"),
        "8/8",
    ),
    "kingdee-sales-outbound": (
        "单据编号;日期;客户;物料编码;实发数量;库存单位;订单单号",
        "XSCK000001;2026-11-16;广州某某;W-1;1000;Pcs;CGDD000001",
        ("despatch", "OWN", "XSCK000001", "OWN"),
        "7/8",  # no day of delivery
    ),
    "kingdee-receivable": (
        "单据编号;业务日期;客户;到期日;币别;物料编码;计价数量;含税单价;价税合计",
        "AR000001;2026-11-16;广州某某;2026-12-16;人民币;W-1;1000;2.5;2500",
        ("invoice", "OWN", "AR000001", "OWN"),
        "11/18",  # date 3, due 1, currency 2, buyer's name 1, lines 4
    ),
    "yonyou-u8-purchase-order": (
        "订单编号;日期;供应商;币种;存货编码;主计量;数量;原币单价;原币金额;计划到货日期",
        "0000000001;2026-11-16;深圳某某;人民币;W-1;个;1,000.00;2.50;2,500.00;2026-11-30",
        ("order", "OWN", "0000000001", "深圳某某"),
        "10/14",  # no total, no buyer's name
    ),
    "yonyou-u8-purchase-receipt": (
        "入库单号;入库日期;供应商;存货编码;主计量单位;数量;订单号",
        "0000000002;2026-11-16;深圳某某;W-1;个;1000;0000000001",
        ("receipt", "OWN", "0000000002", "深圳某某"),
        "8/8",
    ),
    "yonyou-u8-sales-invoice": (
        "发票号;开票日期;客户简称;币种;存货编码;数量;含税单价;价税合计;发货单号",
        "0000000003;2026-11-16;广州某某;人民币;W-1;1000;2.5;2500;0000000009",
        ("invoice", "OWN", "0000000003", "OWN"),
        "10/18",  # date 3, currency 2, buyer's name 1, lines 4
    ),
    "yonyou-nc-purchase-order": (
        "订单编号;订单日期;供应商;采购组织;币种;物料编码;主数量;主单位;含税单价;价税合计",
        "CD2026110001;2026-11-16;深圳某某;广州某某;人民币;W-1;1000;个;2.5;2500",
        ("order", "OWN", "CD2026110001", "深圳某某"),
        "10/14",  # no total, no day of delivery
    ),
    "yonyou-nc-sales-invoice": (
        "发票号;开票日期;开票客户;开票组织;币种;物料编码;主数量;主单位;含税单价;价税合计",
        "SI0001;2026-11-16;广州某某;深圳某某;人民币;W-1;1000;个;2.5;2500",
        ("invoice", "OWN", "SI0001", "OWN"),
        "11/18",  # date 3, currency 2, both names 2, lines 4
    ),
}


def test_every_ready_mapping_is_tested() -> None:
    assert set(mapping.names()) == set(READY)


@pytest.mark.parametrize("name", sorted(READY))
def test_a_ready_mapping_is_recognised_by_its_columns(name: str) -> None:
    header, row, (kind, issuer, number, enterprise), expected = READY[name]
    own = mapping.parse(b'{"own": {"id": "OWN"}}', "m.json")
    for encoding in ("utf-8", "gb18030") if header[0] > "z" else ("utf-8",):
        data = f"{header}\n{row}\n".encode(encoding)
        connector, drafts = recognise(data, "export.txt", own)
        assert connector.version.startswith(f"1+{name}/1/")
        (draft,) = drafts
        assert (draft.kind, draft.issuer, draft.number, draft.enterprise.id) == (kind, issuer, number, enterprise)
        assert conformity(draft) == expected
        assert draft.fields["issue_date"] == "2026-11-16"


def test_ready_mappings_never_fill_what_the_export_lacks() -> None:
    own = mapping.parse(b'{"own": {"id": "OWN", "name": "Us"}}', "m.json")
    for name, (header, row, _, _) in READY.items():
        full = read(f"{header}\n{row}\n".encode(), name, own)[0]
        table = mapping.ready(name).table
        assert table is not None
        signature = {cell.casefold() for names in table.signature for cell in names}
        columns = header.split(";")
        for at, column in enumerate(columns):
            if column.casefold() in signature or column == "Reference":
                continue
            without = [
                ";".join(cell for place, cell in enumerate(line.split(";")) if place != at) for line in (header, row)
            ]
            (draft,) = read("\n".join(without).encode(), name, own)
            said = json.dumps([draft.fields, draft.links, str(draft.counterparty), str(draft.enterprise)])
            before = json.dumps([full.fields, full.links, str(full.counterparty), str(full.enterprise)])
            assert said != before, f"{name}: {column} is not read"
            assert len(said) < len(before) + 20


def large(rows: int) -> bytes:
    header = "Purchasing Document;Item;Document Date;Supplier;Material;Order Quantity;Order Unit;Net Price;Currency\n"
    lines = (
        f"45{row // 4:08};{row % 4}0;16.11.2026;100023;M-{row % 97};{row % 1000}.5;EA;12.50;EUR\n"
        for row in range(rows)
    )
    return (header + "".join(lines)).encode()


def test_a_long_table_is_streamed() -> None:
    own = mapping.parse(b'{"own": {"id": "OWN"}}', "m.json")
    data = large(1_200)
    tracemalloc.start()
    try:
        _, drafts = recognise(data, "f", own)
        count = sum(1 for _ in drafts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 300
    assert peak < 600_000, "as drafts they would be several times that"


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_bounded_memory() -> None:
    program = """
import resource, sys
from node.connectors import mapping, recognise
own = mapping.parse(b'{"own": {"id": "OWN"}}', "m.json")
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for _ in recognise(data, "f", own)[1])
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input=large(100_000), capture_output=True, check=True, cwd=ROOT
    )
    count, kibibytes = map(int, done.stdout.split())
    assert count == 25_000
    assert kibibytes < 24 * 1024, "the file itself is 6 MiB"


def test_a_wrong_row_at_the_end_gives_no_record_at_all() -> None:
    own = mapping.parse(b'{"own": {"id": "OWN"}}', "m.json")
    data = large(40) + b"4500009999;10;31.02.2026;100023;M;1;EA;1;EUR\n"
    _, drafts = recognise(data, "f", own)
    with pytest.raises(ConnectorError, match=r"f: line 42: 'document date' is '31\.02\.2026'"):
        next(drafts)


NOISE = (b";", b'"', b"\n", b"\x00", b"\xff", b"9" * 50)


def test_mutated_tables_are_read_or_refused_but_never_crash_or_hang() -> None:
    chooser = random.Random(7)
    own = mapping.parse(b'{"own": {"id": "OWN"}}', "m.json")
    samples = [f"{header}\n{row}\n{row}\n".encode() for header, row, _, _ in READY.values()]
    started = time.monotonic()
    for _ in range(400):
        data = bytearray(chooser.choice(samples))
        for _ in range(chooser.randint(1, 4)):
            place = chooser.randrange(len(data))
            data[place : place + chooser.randint(0, 3)] = chooser.choice(
                [b";", b'"', b"\n", b"\x00", b"\xff", b"9" * 50]
            )
        with contextlib.suppress(ConnectorError):
            assert read(bytes(data), "f", own)
    assert time.monotonic() - started < 30


def test_the_mappings_that_the_documentation_shows_are_mappings() -> None:
    page = (ROOT / "docs" / "data-exchange.md").read_text(encoding="utf-8")
    section = page.partition("### Mapping files")[2].partition("\n## ")[0]
    shown = [block.partition("\n```")[0] for block in section.split("```json\n")[1:]]
    names = [mapping.parse(block.encode(), "docs").name for block in shown]
    assert names == ["own", "sap-me2n", "our-invoices"]
    assert all(f"`{key}`" in section for key in mapping.Table.model_fields)
    assert all(f"`{name}`" in page for name in mapping.names())
