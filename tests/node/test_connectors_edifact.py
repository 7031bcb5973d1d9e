"""EDIFACT: the samples counted by hand, interchanges with other separators and character sets, and bad ones."""

from __future__ import annotations

import time
from itertools import chain

import pytest

from node.connectors import ConnectorError, RecordDraft, detect, edifact_syntax, read
from tests.connector_conformity import as_record, by_hand, survives
from tests.connector_samples import NO_SAMPLES, SHARED

needs_samples = pytest.mark.skipif(not (SHARED / "edifact").is_dir(), reason=NO_SAMPLES)

INVOICE = (
    "BGM+380+R-77+9",
    "DTM+137:20260301:102",
    "RFF+ON:O-5",
    "RFF+AAK:D-6",
    "NAD+BY+4012345000009::9++Käufer AG",
    "RFF+VA:DE111",
    "NAD+SU+S1::92++Verkäufer GmbH",
    "RFF+XA:HRB 4711",
    "RFF+VA:DE222",
    "FII+RB+DE02120300000000202051",
    "CUX+2:EUR:4",
    "PAT+1",
    "DTM+13:20260331:102",
    "LIN+1++4000862141404:EN",
    "PIA+1+A-7:SA",
    "QTY+47:10:PCE",
    "MOA+203:125",
    "PRI+AAA:1250::NTP:100:PCE",
    "RFF+ON:O-5:3",
    "LIN+2++4000862141405:EN",
    "QTY+47:2,5:KGM",
    "MOA+203:25.00",
    "PRI+AAB:99",
    "UNS+S",
    "MOA+77:178.50",
    "MOA+125:150.00",
    "MOA+124:28.50",
    "TAX+7+VAT+++:::19",
    "MOA+124:28.50",
)
ORDER = (
    "BGM+220+O-5+9",
    "DTM+137:202602011200:203",
    "DTM+2:20260228:102",
    "RFF+CT:C-1",
    "NAD+BY+4012345000009::9",
    "NAD+SU+4098765000010::9",
    "CUX+2:EUR:9",
    "LIN+1++4000862141404:EN",
    "QTY+21:10:PCE",
    "PRI+AAA:12.5",
    "MOA+203:125",
    "UNS+S",
    "MOA+86:125",
)


def message(kind: str, segments: tuple[str, ...], reference: str = "1") -> list[str]:
    return [f"UNH+{reference}+{kind}:D:96A:UN", *segments, f"UNT+{len(segments) + 2}+{reference}"]


def interchange(
    *messages: list[str], charset: str = "UNOC:3", encoding: str = "latin-1", count: int | None = None
) -> bytes:
    total = len(messages) if count is None else count
    segments = [f"UNB+{charset}+A+B+260301:1200+REF1", *chain.from_iterable(messages), f"UNZ+{total}+REF1"]
    return "".join(segment + "'\n" for segment in segments).encode(encoding)


def changed(old: str, new: str, segments: tuple[str, ...] = INVOICE) -> bytes:
    """The invoice with a segment replaced, "" for left out, several split by "'"."""
    assert old in segments
    written = [part for segment in segments for part in (new.split("'") if segment == old else [segment]) if part]
    return interchange(message("INVOIC", tuple(written)))


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
def test_the_sample_invoic_is_a_credit_note_with_no_names_and_no_line_number() -> None:
    data = (SHARED / "edifact/invoice1.edi").read_bytes()
    draft = one(data)
    assert detect(data, "f").name == "edifact"
    # BGM+381; VAT numbers go before numbers that the partners gave each other (agencies 91, 92).
    assert (draft.kind, draft.issuer, draft.number) == ("credit_note", "123844750", "1060113800026")
    assert draft.enterprise.identifiers == ("2002993",)
    assert draft.counterparty is not None
    assert (draft.counterparty.id, draft.counterparty.identifiers) == ("382324067", ("VAUXHALL MOTORS LTD",))
    assert draft.occurred_at == "1999-10-06"
    assert draft.links == (("order", "382324067", "X18V00003"),)
    assert draft.fields == {
        "issue_date": "1999-10-06",
        "due_date": "1999-10-31",
        "type_code": "381",
        "currency": "EUR",
        "total": "1960.29",
        "lines": [["", "090346642", "54", "PCE", "", "1960.29"]],
    }
    assert draft.notes == (
        "DTM+137: '199910060000' has a time though its format (102) is a date: the date kept",
        "line '090346642': the quantity despatched (QTY+12) is the one invoiced",
        "line '090346642': priced per 'C62', counted in 'PCE': price left out",
    )
    counted = by_hand("credit_note", ["issue_date", "currency", "total", "lines"])
    assert as_record(draft, data) == counted == 7_500  # 3 + 2 + 4 + 3 of 16


@needs_samples
def test_the_sample_orders_has_neither_currency_nor_total_nor_names() -> None:
    data = (SHARED / "edifact/order.edi").read_bytes()
    draft = one(data)
    assert (draft.kind, draft.issuer, draft.number) == ("order", "GLN:8711576000012", "801715918011")
    assert draft.enterprise.id == "GLN:5020436000004"
    assert draft.occurred_at == "2015-08-03", "00:00 without a zone: the date alone"
    assert draft.links == ()
    assert draft.fields == {
        "issue_date": "2015-08-03",
        "delivery_date": "2015-08-06",
        "lines": [["1", "GTIN:5020436373085", "8", "", "", ""], ["2", "GTIN:5020436373108", "8", "", "", ""]],
    }
    assert draft.notes == ("the interchange has no UNZ: that no message is lacking cannot be told",)
    counted = by_hand("order", ["issue_date", "delivery_date", "lines"])
    assert as_record(draft, data) == counted == 5_714  # 3 + 1 + 4 of 14


def test_an_invoice_with_everything() -> None:
    data = interchange(message("INVOIC", INVOICE))
    draft = one(data)
    assert (draft.kind, draft.issuer, draft.number) == ("invoice", "HRB 4711", "R-77")
    assert draft.enterprise.identifiers == ("DE222", "S1")
    assert draft.counterparty is not None
    assert (draft.counterparty.id, draft.counterparty.identifiers) == ("GLN:4012345000009", ("DE111",))
    assert draft.links == (("despatch", "HRB 4711", "D-6"), ("order", "GLN:4012345000009", "O-5"))
    assert draft.fields == {
        "issue_date": "2026-03-01",
        "due_date": "2026-03-31",
        "type_code": "380",
        "currency": "EUR",
        "total_excl_tax": "150.00",
        "tax": "28.50",
        "total": "178.50",
        "buyer_name": "Käufer AG",
        "seller_name": "Verkäufer GmbH",
        "payee_account": "DE02120300000000202051",
        # Line 1 is the order's line 3; 1250 for 100 pieces. AAB is a gross price: no price of the record.
        "lines": [["3", "A-7", "10", "PCE", "12.5", "125"], ["2", "GTIN:4000862141405", "2.5", "KGM", "", "25.00"]],
    }
    assert draft.notes == ()
    assert as_record(draft, data) == 10_000


def test_addresses_and_contacts_of_the_parties() -> None:
    """NAD has street, town, region, postcode and country; the contact follows it. Templates seal them."""
    addressed = {
        "NAD+BY+4012345000009::9": ("NAD+BY+4012345000009::9+++Ring 5:Tor 2+Köln+NW+50667+DE", "CTA+IC+:Frau Abt",
                                    "COM+0221 1234:TE", "COM+abt@buyer.example:EM"),
    }  # fmt: skip
    segments = tuple(chain.from_iterable(addressed.get(segment, (segment,)) for segment in ORDER))
    fields = one(interchange(message("ORDERS", segments))).fields
    assert fields["buyer_address"] == "Ring 5, Tor 2, 50667, Köln, NW, DE"
    assert fields["buyer_contact"] == "Frau Abt, 0221 1234, abt@buyer.example"
    assert not {"seller_address", "seller_contact"} & fields.keys()


def test_an_order_with_currency_and_total() -> None:
    data = interchange(message("ORDERS", ORDER))
    draft = one(data)
    assert draft.links == (("contract", "GLN:4012345000009", "C-1"),)
    assert draft.fields == {
        "issue_date": "2026-02-01",
        "currency": "EUR",
        "total": "125",
        "delivery_date": "2026-02-28",
        "lines": [["1", "GTIN:4000862141404", "10", "PCE", "12.5", "125"]],
    }
    present = ["issue_date", "currency", "total", "delivery_date", "lines"]
    assert as_record(draft, data) == by_hand("order", present)


def test_every_message_of_an_interchange_is_a_record() -> None:
    second = tuple(segment.replace("R-77", "R-78") for segment in INVOICE)
    data = interchange(message("ORDERS", ORDER), message("INVOIC", INVOICE, "2"), message("INVOIC", second, "3"))
    assert [(draft.kind, draft.number) for draft in read(data, "f")] == [
        ("order", "O-5"), ("invoice", "R-77"), ("invoice", "R-78"),
    ]  # fmt: skip
    wrong = tuple(segment for segment in second if not segment.startswith("DTM+137"))
    data = interchange(message("ORDERS", ORDER), message("INVOIC", wrong, "M9"))
    assert "message 'M9': DTM+137 is missing" in str(refusal(data))


def test_other_separators_and_released_characters() -> None:
    plain = interchange(message("INVOIC", INVOICE))
    other = plain.decode("latin-1").translate(str.maketrans("+:'?", "*|~\\"))
    for una, text in (("UNA:+.? '", plain.decode("latin-1")), ("UNA|*.\\ ~\r\n", other)):
        assert read((una + text).encode("latin-1"), "f") == read(plain, "f")
    lines = plain.decode("latin-1").replace("'\n", "\n")
    assert read(("UNA:+.? \n" + lines).encode("latin-1"), "f") == read(plain, "f")
    released = plain.replace("Käufer AG".encode("latin-1"), b"A?+B?:C?'D??")
    assert one(released).fields["buyer_name"] == "A+B:C'D?"


@pytest.mark.parametrize(
    ("charset", "encoding", "name"),
    [
        ("UNOC:3", "latin-1", "Käufer AG"),
        ("UNOD:3", "iso8859-2", "Kupující žluť"),
        ("UNOE:3", "iso8859-5", "Покупатель"),
        ("UNOF:3", "iso8859-7", "Αγοραστής"),
        ("UNOW:4", "utf-8", "买方有限公司"),
        ("UNOY:4", "utf-8", "Käufer €"),
    ],
)
def test_the_character_set_is_the_one_that_unb_names(charset: str, encoding: str, name: str) -> None:
    segments = tuple(segment.replace("Käufer AG", name).replace("Verkäufer", "V") for segment in INVOICE)
    data = interchange(message("INVOIC", segments), charset=charset, encoding=encoding)
    assert one(data).fields["buyer_name"] == name


def test_byte_order_marks() -> None:
    mark = b"\xef\xbb\xbf"
    utf_8 = interchange(message("INVOIC", INVOICE), charset="UNOW:4", encoding="utf-8")
    assert read(mark + utf_8, "f") == read(utf_8, "f")
    plain = interchange(message("ORDERS", ORDER), charset="UNOA:2")
    assert read(mark + plain, "f") == read(plain, "f")
    error = refusal(mark + interchange(message("INVOIC", INVOICE)))
    assert "byte order mark of UTF-8, but UNB says UNOC" in str(error)


def test_a_separator_before_the_lines_is_no_end_of_them() -> None:
    assert one(changed("LIN+1++4000862141404:EN", "UNS+D'LIN+1++4000862141404:EN")).fields == one(
        interchange(message("INVOIC", INVOICE))
    ).fields  # fmt: skip


def test_a_bill_in_instalments_is_due_with_the_first() -> None:
    terms = "DTM+13:20260331:102"
    assert one(changed(terms, f"{terms}'PAT+1'DTM+13:20260430:102")).fields["due_date"] == "2026-03-31"


def test_several_taxes_without_a_total_are_not_added_up() -> None:
    draft = one(changed("MOA+124:28.50", "TAX+7+VAT'MOA+124:20'TAX+7+VAT'MOA+124:8.50"))
    assert "tax" not in draft.fields
    assert any("tax amounts and no total: tax left out" in note for note in draft.notes)


def test_a_second_currency_for_information_is_none_of_the_bill() -> None:
    assert one(changed("CUX+2:EUR:4", "CUX+2:EUR:4+3:USD:4+1.1")).fields["currency"] == "EUR"
    assert "amounts in 'EUR' and 'USD'" in str(refusal(changed("MOA+77:178.50", "MOA+77:178.50:USD")))


@pytest.mark.parametrize(
    ("old", "new", "code", "expected"),
    [
        ("BGM+380+R-77+9", "", "MISSING", "BGM stands 0 times"),
        ("BGM+380+R-77+9", "BGM+380+R-77+9'BGM+380+R-78+9", "BAD_VALUE", "BGM stands 2 times"),
        ("BGM+380+R-77+9", "BGM+380++9", "MISSING", "the document's number (BGM) is missing"),
        ("BGM+380+R-77+9", "BGM++R-77+9", "MISSING", "the code of BGM is missing"),
        ("BGM+380+R-77+9", "BGM+325+R-77+9", "NOT_SUPPORTED", "the code of BGM is '325'"),
        ("BGM+380+R-77+9", "BGM+380+R-77+1", "NOT_SUPPORTED", "BGM says that it is a cancellation"),
        ("DTM+137:20260301:102", "", "MISSING", "DTM+137 is missing"),
        ("DTM+137:20260301:102", "DTM+137:20260301:102'DTM+137:20260302:102", "BAD_VALUE", "DTM+137 stands 2 times"),
        ("DTM+137:20260301:102", "DTM+137:20260231:102", "BAD_VALUE", "DTM+137 is '2026-02-31'"),
        ("DTM+137:20260301:102", "DTM+137:19691231:102", "BAD_VALUE", "DTM+137 is 1969-12-31, before 1970"),
        ("DTM+137:20260301:102", "DTM+137:260301:101", "BAD_VALUE", "with the format code '101'"),
        ("NAD+SU+S1::92++Verkäufer GmbH", "NAD+CA+S1", "MISSING", "the seller (NAD+SU) is missing"),
        ("NAD+SU+S1::92++Verkäufer GmbH", "NAD+SU+S1'NAD+SU+S2", "BAD_VALUE", "NAD+SU stands 2 times"),
        ("NAD+BY+4012345000009::9++Käufer AG", "", "MISSING", "the buyer (NAD+IV or BY) is missing"),
        ("MOA+77:178.50", "MOA+77:1.178,50", "BAD_VALUE", "MOA+77 is '1.178,50'"),
        ("MOA+77:178.50", "MOA+77:1.178.500", "BAD_VALUE", "MOA+77 is '1.178.500'"),
        ("MOA+77:178.50", "MOA+77:***", "BAD_VALUE", "MOA+77 is '***'"),
        ("MOA+77:178.50", "MOA+77:" + "9" * 40, "BAD_VALUE", "MOA+77 is '9999"),
        ("MOA+77:178.50", "MOA+77:1'MOA+77:2", "BAD_VALUE", "MOA+77 stands 2 times"),
        ("QTY+47:10:PCE", "QTY+47:ten:PCE", "BAD_VALUE", "QTY+47 is 'ten'"),
        ("QTY+47:10:PCE", "QTY+47:1'QTY+47:2", "BAD_VALUE", "line '3': QTY+47 stands 2 times"),
        ("UNS+S", "", "MISSING", "UNS is missing"),
    ],
)
def test_wrong_messages_are_refused_by_segment_and_rule(old: str, new: str, code: str, expected: str) -> None:
    error = refusal(changed(old, new))
    assert expected in str(error)
    assert error.code == code


GOOD = interchange(message("ORDERS", ORDER))


@pytest.mark.parametrize(
    ("data", "code", "expected"),
    [
        (interchange(message("DESADV", ORDER)), "NOT_SUPPORTED", "the message is 'DESADV'"),
        (GOOD.replace(b"UNT+15+1", b"UNT+16+1"), "BAD_EDIFACT", "UNT counts '16' segments, there are 15"),
        (GOOD.replace(b"UNT+15+1", b"UNT+15+2"), "BAD_EDIFACT", "UNH has the reference '1', UNT '2'"),
        (GOOD.replace(b"UNT+15+1'", b""), "BAD_EDIFACT", "message '1' has no UNT"),
        (GOOD.replace(b"UNZ+1+", b"UNZ+2+"), "BAD_EDIFACT", "UNZ counts '2' messages or groups, there are 1"),
        (GOOD.replace(b"UNZ+1+REF1", b"UNZ+1+REF2"), "BAD_EDIFACT", "UNB has the reference 'REF1', UNZ 'REF2'"),
        (GOOD[: GOOD.index(b"LIN")], "BAD_EDIFACT", "has no UNT"),
        (GOOD[:-30], "BAD_EDIFACT", "it breaks off in the middle of a segment"),
        (GOOD[:-3], "BAD_EDIFACT", "it breaks off in the middle of a segment"),
        (GOOD.replace(b"UNH", b"BGM", 1), "BAD_EDIFACT", "BGM stands outside of a message"),
        (interchange(count=0), "BAD_EDIFACT", "there is no message in it"),
        (b"UNA:+.? 'UNH+1+ORDERS:D:96A:UN'UNT+2+1'", "UNKNOWN_FORMAT", ""),
        (GOOD.replace(b"UNOC", b"UNOX"), "NOT_SUPPORTED", "UNB names the character set 'UNOX'"),
        (GOOD.replace(b"UNOC:3", b"XYZ"), "BAD_EDIFACT", "UNB names no character set"),
        (
            GOOD.replace(b"UNOC", b"UNOA").replace(b"O-5", b"\xc4-5"),
            "BAD_EDIFACT",
            "is not of the character set UNOA",
        ),
        (
            GOOD.replace(b"UNOC", b"UNOW").replace(b"O-5", b"\xc4-5"),
            "BAD_EDIFACT",
            "is not of the character set UNOW",
        ),
        (b"UNA++++++" + GOOD, "BAD_EDIFACT", "UNA names the separators"),
        (GOOD.replace(b"LIN+1", b"L:I:N+1"), "BAD_EDIFACT", "is no segment name"),
        (GOOD.replace(b"O-5", b"O\x01-5"), "BAD_VALUE", "holds control characters"),
        (GOOD.replace(b"O-5", b"O" * 300), "BAD_VALUE", "has 300 characters"),
        (b"UNB+UNOC:3" + b" " * edifact_syntax.MAX_BYTES, "TOO_LARGE", "bytes"),
    ],
)
def test_broken_interchanges_are_refused(data: bytes, code: str, expected: str) -> None:
    error = refusal(data)
    assert expected in str(error)
    assert error.code == code


def test_a_text_that_looks_like_una_inside_a_message_changes_nothing() -> None:
    data = interchange(message("ORDERS", (*ORDER[:3], "FTX+AAI+++it?'s ?'UNA!!!!!!", *ORDER[3:])))
    assert one(data).number == "O-5"


def test_groups_are_counted_instead_of_messages() -> None:
    two = [message("ORDERS", ORDER), message("ORDERS", tuple(s.replace("O-5", "O-6") for s in ORDER), "2")]
    grouped = [["UNG+ORDERS+A+B+260301:1200+G1+UN+D:96A", *chain.from_iterable(two), "UNE+2+G1"]]
    assert [draft.number for draft in read(interchange(*grouped, count=1), "f")] == ["O-5", "O-6"]


def test_a_large_interchange_takes_seconds_and_too_many_messages_are_refused() -> None:
    lines = tuple(segment for number in range(900) for segment in (f"LIN+{number}", "QTY+21:1"))
    started = time.monotonic()
    assert len(one(interchange(message("ORDERS", (*ORDER[:7], *lines, "UNS+S")))).fields["lines"]) == 900
    assert time.monotonic() - started < 5
    many = [message("ORDERS", ORDER, str(number)) for number in range(edifact_syntax.MAX_MESSAGES + 1)]
    assert refusal(interchange(*many)).code == "TOO_LARGE"


def test_mutated_files_are_read_or_refused_and_nothing_else() -> None:
    accepted, refused = survives(interchange(message("INVOIC", INVOICE)), 400)
    assert accepted > 20
    assert refused > 100
    survives(b"UNA:+.? '" + GOOD, 200)
