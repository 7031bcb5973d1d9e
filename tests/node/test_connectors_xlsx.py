"""Workbooks: written by another program (openpyxl), and by hand where that program would not."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import random
import re
import time
import zipfile
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

from node.connectors import ConnectorError, RecordDraft, detect, mapping, read, recognise
from node.connectors.mapping import Mapping
from node.connectors.strict_zip import Archive
from node.connectors.xlsx import grids
from node.connectors.xlsx_cells import Reader

HEADER = ["No", "Date", "Customer", "Total", "Cur", "Text"]
ROW: list[Any] = ["I1", datetime.date(2026, 10, 16), "C1", 12.5, "EUR", "x"]


def made(**table: Any) -> Mapping:
    document = {
        "name": "m",
        "own": {"id": "OWN"},
        "table": {
            "kind": "invoice",
            "number": "No",
            "issuer": "enterprise",
            "enterprise": "own",
            "counterparty": {"column": "Customer"},
            "occurred_at": "Date",
            "fields": {"issue_date": "Date", "total": "Total", "currency": "Cur"},
            **table,
        },
    }
    return mapping.parse(json.dumps(document).encode(), "m.json")


def workbook(*rows: list[Any], change: Callable[[openpyxl.Workbook, Worksheet], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = "Bills"
    for row in (HEADER, *rows):
        sheet.append(row)
    if change is not None:
        change(book, sheet)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def repacked(data: bytes, change: Callable[[str, bytes], bytes | None], **added: bytes) -> bytes:
    """The archive with each part changed, or dropped where ``change`` gives None, and parts added."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            part = change(name, old.read(name))
            if part is not None:
                new.writestr(name, part)
        for name, part in added.items():
            new.writestr(name, part)
    return stream.getvalue()


def stored(cells: str) -> bytes:
    """A workbook whose second row is this XML."""

    def change(name: str, part: bytes) -> bytes:
        if name != "xl/worksheets/sheet1.xml":
            return part
        head, _, rest = part.partition(b'<row r="2"')
        return head + b'<row r="2">' + cells.encode() + rest[rest.index(b"</row>") :]

    return repacked(workbook(ROW), change)


def refusal(data: bytes, how: Mapping | None = None) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        read(data, "b.xlsx", how or made())
    assert str(raised.value).startswith("b.xlsx: ")
    assert "\n" not in str(raised.value)
    return raised.value


def only(data: bytes, how: Mapping | None = None) -> RecordDraft:
    (draft,) = read(data, "b.xlsx", how or made())
    return draft


def test_a_workbook_is_read_like_a_table() -> None:
    connector, drafts = recognise(workbook(ROW, [None] * 6, ["I2", *ROW[1:]]), "b", made())
    first, second = drafts
    assert (connector.name, connector.version) == ("xlsx", f"1+{made().reference}")
    assert first.fields == {"issue_date": "2026-10-16", "total": "12.5", "currency": "EUR"}
    assert (first.number, second.number) == ("I1", "I2")
    assert detect(workbook(ROW), "bill.pdf", made()).name == "xlsx", "its name means nothing"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1.1000000000000001", "1.1"),
        ("0.30000000000000004", "0.3"),
        ("1234567.8900000001", "1234567.89"),
        ("100", "100"),
        ("12.50", "12.50"),
        ("1.5E-3", "0.0015"),
        ("1E+20", "100000000000000000000"),
        ("-0.1", "-0.1"),
        ("123456789012345", "123456789012345"),
        ("999999999999999.9", "1000000000000000"),
    ],
)
def test_numbers_are_the_stored_text_without_the_noise_of_binary_fractions(number: str, expected: str) -> None:
    assert Reader([], frozenset(), False).cell("n", "0", number) == expected


@settings(max_examples=200, deadline=None)
@given(st.decimals(-(10**9), 10**9, places=4))
def test_what_a_program_stores_as_a_binary_fraction_comes_out_as_it_was_typed(value: Decimal) -> None:
    cell = Reader([], frozenset(), False).cell("n", "", format(float(value), ".17g"))
    assert Decimal(cell) == value


@pytest.mark.parametrize(
    ("serial", "from_1904", "expected"),
    [
        ("1", False, "1900-01-01"),
        ("59", False, "1900-02-28"),
        ("61", False, "1900-03-01"),
        ("25569", False, "1970-01-01"),
        ("46311", False, "2026-10-16"),
        ("46311.4375", False, "2026-10-16 10:30:00"),
        ("46311.430555555555", False, "2026-10-16 10:20:00"),
        ("46311.999999", False, "2026-10-17"),
        ("2958465", False, "9999-12-31"),
        ("0.4375", False, "10:30:00"),
        ("0", True, "1904-01-01"),
        ("44849", True, "2026-10-16"),
    ],
)
def test_serials_of_both_calendars(serial: str, from_1904: bool, expected: str) -> None:
    assert Reader([], frozenset({3}), from_1904).cell("n", "3", serial) == expected


@pytest.mark.parametrize("serial", ["0", "60", "-1", "2958466", "1E+9"])
def test_serials_of_no_day_are_refused(serial: str) -> None:
    with pytest.raises(ConnectorError, match="it holds no date"):
        Reader([], frozenset({3}), False).cell("n", "3", serial)


def test_dates_are_told_by_their_format_and_times_by_the_zone_of_the_mapping() -> None:
    moment = datetime.datetime(2026, 10, 16, 9, 30)
    row = ["I1", moment, *ROW[2:]]
    assert only(workbook(row)).occurred_at == "2026-10-16"
    assert only(workbook(row), made(dates={"zone": "+08:00"})).occurred_at == "2026-10-16T01:30:00Z"

    def custom(_: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet["B2"] = 46311
        sheet["B2"].number_format = '[$-804]yyyy"年"m"月"d"日";@'

    assert only(workbook(ROW, change=custom)).occurred_at == "2026-10-16"

    def plain(_: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet["B2"] = 46311
        sheet["B2"].number_format = '0.00 "days"'

    assert refusal(workbook(ROW, change=plain)).what == "sheet 'Bills', row 2: 'date' is '46311'"

    def epoch(book: openpyxl.Workbook, sheet: Worksheet) -> None:
        book.epoch = CALENDAR_MAC_1904
        sheet["B2"] = datetime.date(2026, 10, 16)

    assert only(workbook(ROW, change=epoch)).occurred_at == "2026-10-16"


def test_a_formula_is_refused_by_sheet_cell_and_rule() -> None:
    def formula(_: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet["D2"] = "=SUM(1,2)"

    error = refusal(workbook(ROW, change=formula))
    assert (error.code, error.what) == ("HAS_FORMULA", "sheet 'Bills', cell D2 holds a formula")
    cached = stored('<c r="A2" t="str"><f>"I"&amp;1</f><v>I1</v></c>')
    assert refusal(cached).what == "sheet 'Bills', cell A2 holds a formula"


def test_a_formula_in_a_sheet_that_is_not_read_does_not_matter() -> None:
    def summary(book: openpyxl.Workbook, _: Worksheet) -> None:
        book.create_sheet("Sums", 0)["A1"] = "=SUM(Bills!D2:D9)"

    assert only(workbook(ROW, change=summary)).number == "I1"


@pytest.mark.parametrize("part", ["xl/vbaProject.bin", "xl/macrosheets/sheet1.xml", "xl/activeX/activeX1.bin"])
def test_macros_and_controls_are_refused(part: str) -> None:
    assert refusal(repacked(workbook(ROW), lambda _, data: data, **{part: b"x"})).code == "HAS_MACROS"


def test_a_workbook_that_says_it_may_have_macros_is_refused() -> None:
    def change(name: str, part: bytes) -> bytes:
        return part.replace(b"sheet.main+xml", b"x").replace(
            b"officedocument.spreadsheetml.x", b"ms-excel.sheet.macroEnabled.main+xml"
        ) if name == "[Content_Types].xml" else part  # fmt: skip

    assert refusal(repacked(workbook(ROW), change)).code == "HAS_MACROS"


def test_hidden_sheets_are_noted_and_read_only_by_name() -> None:
    def hide(book: openpyxl.Workbook, _: Worksheet) -> None:
        hidden = book.create_sheet("Old")
        hidden.sheet_state = "veryHidden"
        for row in (HEADER, ["I0", *ROW[1:]]):
            hidden.append(row)

    data = workbook(ROW, change=hide)
    draft = only(data)
    assert draft.number == "I1"
    assert "the workbook has hidden sheets: 'Old'" in draft.notes
    assert only(data, made(sheet="Old")).number == "I0"
    assert refusal(data, made(sheet="Nowhere")).what == "there is no sheet 'Nowhere'"


def test_two_sheets_that_fit_are_told_apart_by_the_mapping() -> None:
    def copy(book: openpyxl.Workbook, _: Worksheet) -> None:
        more = book.create_sheet("More")
        for row in (["Other"], HEADER, ["I2", *ROW[1:]]):
            more.append(row)

    data = workbook(ROW, change=copy)
    assert refusal(data).what == "the sheets 'Bills' and 'More' fit the mapping"
    assert only(data, made(sheet="More")).number == "I2"


def test_links_to_other_workbooks_are_noted() -> None:
    data = repacked(workbook(ROW), lambda _, part: part, **{"xl/externalLinks/externalLink1.xml": b"<x/>"})
    assert "the workbook refers to other workbooks" in only(data).notes


def test_texts_numbers_and_truths_of_every_stored_form() -> None:
    data = stored(
        '<c r="A2" t="inlineStr"><is><r><t>I</t></r><r><t>9</t></r><rPh sb="0" eb="1"><t>ai</t></rPh></is></c>'
        '<c r="B2" t="d"><v>2026-10-16T09:30:00</v></c><c r="C2"><v>4500000001.0</v></c>'
        '<c r="D2"><v>1.1000000000000001</v></c><c r="F2" t="b"><v>1</v></c>'
    )
    draft = only(data)
    assert (draft.number, draft.occurred_at) == ("I9", "2026-10-16")
    assert draft.counterparty is not None
    assert draft.counterparty.id == "4500000001"
    assert draft.fields == {"issue_date": "2026-10-16", "total": "1.1"}


def test_a_prefix_to_every_name_changes_nothing() -> None:
    def change(name: str, part: bytes) -> bytes:
        if not name.startswith(("xl/worksheets/", "xl/sharedStrings")):
            return part
        start = part.index(b"<", part.index(b"?>") if part.startswith(b"<?xml") else 0)
        body = re.sub(rb"<(/?)([A-Za-z])", rb"<\1x:\2", part[start:])
        return body.replace(b" xmlns=", b" xmlns:x=", 1)

    assert only(repacked(workbook(ROW), change)) == only(workbook(ROW))


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ('<c r="D2" t="e"><v>#N/A</v></c>', "sheet 'Bills', cell D2: it holds the error '#N/A'"),
        ('<c r="D2" t="s"><v>999</v></c>', "sheet 'Bills', cell D2: its text is missing in the workbook"),
        (f'<c r="D2" t="s"><v>{"9" * 5000}</v></c>', "sheet 'Bills', cell D2: its text is missing in the workbook"),
        ('<c r="D2" t="s"><v>\u0661</v></c>', "sheet 'Bills', cell D2: its text is missing in the workbook"),
        (f'<c r="D2" s="{"9" * 5000}"><v>{"9" * 5000}</v></c>', "sheet 'Bills', cell D2: it holds the number '999"),
        ('<c r="D2"><v>1x</v></c>', "sheet 'Bills', cell D2: it holds the number '1x'"),
        ('<c r="D2"><v>1E+300</v></c>', "sheet 'Bills', cell D2: it holds the number 1E+300"),
        ('<c r="D2"><v>1</v></c><c r="D2"><v>2</v></c>', "sheet 'Bills', cell D2 stands twice"),
        ('<c r="ZZZ2"><v>1</v></c>', "sheet 'Bills', cell ZZZ2: too many columns"),
        (f'<c r="A2" t="str"><v>{"x" * 40_000}</v></c>', "a cell has more than 32767 characters"),
        ("<c><v>", "sheet 'Bills' is damaged (mismatched tag"),
    ],
)
def test_cells_that_cannot_be_read_are_refused_by_sheet_and_cell(cells: str, what: str) -> None:
    head = '<c r="A2" t="str"><v>I1</v></c>' if 'r="A2"' not in cells else ""
    assert refusal(stored(head + cells)).what.startswith(what)


def test_a_dtd_in_a_part_is_refused() -> None:
    def change(name: str, part: bytes) -> bytes:
        if not name.endswith(("sheet1.xml", "sharedStrings.xml")):
            return part
        body = part.partition(b"?>")[2] if part.startswith(b"<?xml") else part
        return b'<!DOCTYPE x [<!ENTITY a "b">]>' + body

    assert refusal(repacked(workbook(ROW), change)).code == "BAD_XML"


def test_bombs_and_broken_archives_are_refused() -> None:
    bomb = repacked(workbook(ROW), lambda name, part: b" " * 80_000_000 if name.endswith("sheet1.xml") else part)
    assert len(bomb) < 200_000
    started = time.monotonic()
    assert refusal(bomb).code == "TOO_LARGE"
    assert time.monotonic() - started < 5
    whole = workbook(ROW)
    for length in range(4, len(whole), len(whole) // 20):
        assert refusal(whole[:length]).code == "BAD_ZIP"
    missing = repacked(whole, lambda name, part: None if name.endswith("sheet1.xml") else part)
    assert refusal(missing).code == "BAD_ZIP"


def test_a_workbook_that_no_mapping_knows_and_one_of_a_ready_mapping() -> None:
    with pytest.raises(ConnectorError) as raised:
        read(workbook(ROW), "b.xlsx")
    assert raised.value.code == "UNKNOWN_TABLE"

    def sap(_: openpyxl.Workbook, sheet: Worksheet) -> None:
        header = ["Billing Document", "Billing Type", "Billing Date", "Payer", "Net Value", "Document Currency"]
        for column, cell in enumerate(header, 1):
            sheet.cell(1, column, cell)
        values: list[Any] = [90000001, "F2", datetime.date(2026, 11, 16), 1001, 1000.1, "EUR"]
        for column, value in enumerate(values, 1):
            sheet.cell(2, column, value)

    own = mapping.parse(b'{"own": {"id": "OWN"}}', "m.json")
    draft = only(workbook(ROW, change=sap), own)
    assert (draft.kind, draft.number, draft.occurred_at) == ("invoice", "90000001", "2026-11-16")
    assert draft.fields["total_excl_tax"] == "1000.1"


_CELLS = st.one_of(
    st.text(
        st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f=_"), min_size=1, max_size=9
    ),
    st.integers(-(10**12), 10**12),
    st.decimals(-(10**6), 10**6, places=2).map(float),
    st.dates(datetime.date(1900, 3, 1), datetime.date(2200, 1, 1)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(_CELLS, min_size=6, max_size=6), min_size=1, max_size=4))
def test_cells_come_out_as_another_program_wrote_them(rows: list[list[Any]]) -> None:
    (grid,) = grids(Archive(workbook(*rows)))
    found = [row.cells for row in grid.rows()][1:]
    for cells, written in zip(found, rows, strict=True):
        for cell, value in zip(cells, written, strict=True):
            if isinstance(value, str | datetime.date):
                assert cell == str(value)
            else:
                assert Decimal(cell) == Decimal(str(value))


def test_mutated_workbooks_are_read_or_refused_but_never_crash_or_hang() -> None:
    chooser = random.Random(11)
    whole = workbook(ROW, ["I2", *ROW[1:]])
    noise = (b"<", b">", b'"', b"\x00", b"9" * 40, b"<f/>", b"</c>", b'r="', b"&amp;")
    started = time.monotonic()
    for _ in range(150):
        target = chooser.choice(
            ["sheet1.xml", "sharedStrings.xml", "styles.xml", "workbook.xml", "workbook.xml.rels"]
        )

        def change(name: str, part: bytes, target: str = target) -> bytes:
            if not name.endswith(target):
                return part
            at = chooser.randrange(len(part))
            return part[:at] + chooser.choice(noise) + part[at + chooser.randint(0, 4) :]

        with contextlib.suppress(ConnectorError):
            assert read(repacked(whole, change), "b", made())
    for _ in range(150):
        data = bytearray(whole)
        data[chooser.randrange(len(data))] ^= 1 << chooser.randrange(8)
        with contextlib.suppress(ConnectorError):
            assert read(bytes(data), "b", made())
    assert time.monotonic() - started < 30
