"""Strangers' bytes: every one of them is a one-line refusal, and nothing is fetched, expanded or run away with."""

from __future__ import annotations

import contextlib
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import decimal_text as contract_decimals
from contracts import record
from node.connectors import ConnectorError, read, strict_json, strict_xml, values
from tests.connector_samples import EXAMPLE, invoice

GOOD = invoice()
BODY = GOOD.partition(b"\n")[2]
LAUGHS = b"".join(
    b'<!ENTITY l%d "%s">' % (level, b"".join([b"&l%d;" % (level - 1)] * 10) if level else b"ha")
    for level in range(10)
)


def refusal(data: bytes) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        read(data, "f")
    text = str(raised.value)
    assert text.startswith("f: ")
    assert text.count(": ") >= 2
    assert text.isprintable()
    return raised.value


@pytest.mark.parametrize(
    "prolog",
    [
        b"<!DOCTYPE Invoice>",
        b'<!DOCTYPE Invoice SYSTEM "http://127.0.0.1:9/x.dtd">',
        b'<!DOCTYPE Invoice [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        b"<!DOCTYPE Invoice [" + LAUGHS + b"]>",
        b'<?xml version="1.0"?><!-- harmless --><?pi?>\n <!DOCTYPE Invoice>',
        b"\xef\xbb\xbf<!DOCTYPE Invoice>",
        b"<!-- --><!doctype Invoice>",
    ],
)
def test_a_dtd_is_refused_before_the_parser_sees_it(prolog: bytes) -> None:
    started = time.monotonic()
    error = refusal(prolog + BODY.replace(b">I1<", b">&x;&l9;<"))
    assert time.monotonic() - started < 1
    assert error.code == "BAD_XML"
    assert "DTD" in str(error)


def test_the_word_doctype_in_a_comment_or_a_text_is_no_dtd() -> None:
    commented = b"<!-- <!DOCTYPE x> -->" + BODY.replace(b">I1<", b"><![CDATA[<!DOCTYPE y>]]><")
    (draft,) = read(commented, "f")
    assert draft.number == "<!DOCTYPE y>"


def test_an_entity_without_a_dtd_is_refused() -> None:
    error = refusal(GOOD.replace(b">I1<", b">&secret;<"))
    assert "entities are refused" in str(error)


def test_the_five_predefined_entities_and_character_references_are_text() -> None:
    (draft,) = read(GOOD.replace(b">I1<", b">&lt;&gt;&amp;&apos;&quot;&#xe9;<"), "f")
    assert draft.number == "<>&'\"é"


def test_an_xinclude_is_left_alone() -> None:
    include = b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname" parse="text"/>'
    error = refusal(GOOD.replace(b">I1<", b">" + include + b"<"))
    assert "holds elements where text belongs" in str(error)


@pytest.mark.parametrize("path", sorted(EXAMPLE.iterdir()), ids=lambda path: path.suffix + path.stem[:9])
def test_a_truncated_file_is_refused_wherever_it_breaks_off(path: Path) -> None:
    data = path.read_bytes().rstrip()
    for length in [1, 2, 5, 40, *range(60, len(data), len(data) // 23), len(data) - 1]:
        refusal(data[:length])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "UNKNOWN_FORMAT"),
        (b" \r\n\t ", "UNKNOWN_FORMAT"),
        (b"\x00" * 100, "UNKNOWN_FORMAT"),
        (b"id;amount\n1;2\n", "UNKNOWN_TABLE"),
        (b"%PDF-1.7 ...", "BAD_PDF"),
        (b"PK\x03\x04....", "BAD_ZIP"),
        (b"UNA:+.? 'UNB+UNOC:3", "BAD_EDIFACT"),
        (b"<Invoice/>", "UNKNOWN_FORMAT"),
        (b'<Invoice xmlns="urn:example:mine"/>', "UNKNOWN_FORMAT"),
        (b'<Order xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"/>', "UNKNOWN_FORMAT"),
        (b"<a><b></a>", "BAD_XML"),
        (b"<a/><a/>", "BAD_XML"),
        (GOOD + b"trailing", "BAD_XML"),
        (GOOD.decode().encode("utf-16"), "NOT_UTF8"),
        (GOOD.replace(b"UTF-8", b"ISO-8859-1"), "NOT_UTF8"),
        (GOOD.replace(b">I1<", b">\xe9<"), "NOT_UTF8"),
        (b"[]", "UNKNOWN_FORMAT"),
        (b'{"type": "EPCISDocument"}', "BAD_VALUE"),
        (b'{"ocid": "\xff"}', "NOT_UTF8"),
        (b'{"ocid": "a", "ocid": "b", "tag": []}', "BAD_JSON"),
        (b'{"ocid": "a", "tag": [], "x": {"k": 1, "k": 1}}', "BAD_JSON"),
        (b'{"ocid": "a", "tag": [], "x": NaN}', "BAD_JSON"),
        (b'{"ocid": "a", "tag": [], "x": -Infinity}', "BAD_JSON"),
        (b'{"ocid": "a", "tag": []} {}', "BAD_JSON"),
        (b'{"ocid": "a", "tag": [], "contracts": [{"id": "\\ud800"}]}', "BAD_VALUE"),
        (b"[" * 1_000_000, "BAD_JSON"),
        (b'{"a":' * 100_000, "BAD_JSON"),
    ],
)
def test_other_bytes_are_refused_with_their_code(data: bytes, code: str) -> None:
    assert refusal(data).code == code


def test_a_long_unclosed_json_text_is_refused_in_linear_time() -> None:
    started = time.monotonic()
    assert refusal(b'{"a": "' + b'\\"' * 2_000_000).code == "BAD_JSON"
    assert refusal(b'{"a": "' + b"\\" * 4_000_001).code == "BAD_JSON"
    assert refusal(b"<" + b"?x " * 1_000_000).code == "BAD_XML"
    assert refusal(b"<!--" * 1_000_000).code == "BAD_XML"
    assert time.monotonic() - started < 10


def test_brackets_inside_json_text_do_not_nest() -> None:
    assert strict_json.parse(b'{"a": "' + b"[{" * 100 + b'\\"[["}') == {"a": "[{" * 100 + '"[['}


def test_size_depth_and_element_count_are_capped() -> None:
    assert refusal(b"<" + b" " * strict_xml.MAX_BYTES).code == "TOO_LARGE"
    assert refusal(b"{" + b" " * strict_json.MAX_BYTES).code == "TOO_LARGE"
    deep = b"<a>" * (strict_xml.MAX_DEPTH + 1) + b"</a>" * (strict_xml.MAX_DEPTH + 1)
    assert "nest deeper" in str(refusal(deep))
    assert refusal(b"<a>" * 100_000).code == "BAD_XML"
    assert refusal(b"<a>" + b"<b/>" * strict_xml.MAX_ELEMENTS + b"</a>").code == "TOO_LARGE"


def test_more_lines_than_a_record_holds_are_refused() -> None:
    line = GOOD[GOOD.index(b"<cac:InvoiceLine>") : GOOD.index(b"</Invoice>")]
    many = GOOD.replace(line, line * (record.MAX_LINES + 1))
    assert "1001 lines" in str(refusal(many))
    (draft,) = read(GOOD.replace(line, line * record.MAX_LINES), "f")
    assert len(draft.fields["lines"]) == record.MAX_LINES


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_read_but_never_crash(data: bytes) -> None:
    for start in (b"", b"<", b"{"):
        with contextlib.suppress(ConnectorError):
            assert read(start + data, "f")


@given(st.text(alphabet="0123456789.+-eE", min_size=1, max_size=45))
def test_numbers_come_out_as_the_contracts_read_them_or_not_at_all(text: str) -> None:
    try:
        result = values.json_decimal(text, "n")
    except ConnectorError:
        return
    scaled = contract_decimals.parse(result)
    assert Fraction(scaled.units, 10**scaled.scale) == Fraction(text)


@given(st.dates(), st.times(), st.sampled_from(["Z", "+00:00", "-05:30", "+14:00", ""]))
def test_moments_come_out_as_the_contracts_read_them(day: object, clock: object, zone: str) -> None:
    try:
        result = values.moment(str(day), f"{clock}{zone}", "d")
    except ConnectorError:
        assert str(day) in {"0001-01-01", "9999-12-31"}, "only where UTC has no such year"
        return
    first, last = record.moment(result.text)
    assert (first == last) == bool(zone)
    assert len(result.text) == (20 if zone else 10)


@pytest.mark.parametrize(
    ("day", "clock"),
    [
        ("2026-13-01", None),
        ("2026-2-01", None),
        ("2026-02-29", None),
        ("20260201", None),
        ("2026-02-01T00:00:00Z", None),
        ("２０２６-02-01", None),
        ("2026-02-01", "24:00:00Z"),
        ("2026-02-01", "10:61:00Z"),
        ("2026-02-01", "10:00Z"),
        ("2026-02-01", "10:00:00+15:00"),
        ("2026-02-01", "10:00:00+0100"),
    ],
)
def test_dates_that_do_not_exist_are_refused(day: str, clock: str | None) -> None:
    with pytest.raises(ConnectorError):
        values.moment(day, clock, "d")
