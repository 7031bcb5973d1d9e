"""The strict DER reader: known encodings, and the many other ones of the same values that BER allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import der
from chain.der import DerError, Element, Fields


@given(st.integers(-(2**200), 2**200))
def test_integers_come_back(value: int) -> None:
    assert der.to_int(der.read(der.write_int(value))) == value


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**70), max_size=6))
def test_object_identifiers_come_back(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, [first, second, *rest]))
    assert der.to_oid(der.read(der.write_oid(dotted))) == dotted


@given(st.binary(max_size=300), st.integers(0, 30))
def test_elements_come_back_inside_each_other(content: bytes, tag: int) -> None:
    inner = der.write(tag, content)
    outer = der.write_sequence([inner, inner])
    assert der.children(der.read(outer, der.SEQUENCE)) == [Element(tag, content, inner)] * 2


def test_known_encodings() -> None:
    assert der.write_oid("1.2.840.113549.1.7.2").hex() == "06092a864886f70d010702"
    assert der.write_oid("2.999.1").hex() == "0603883701"
    assert der.write_int(128).hex() == "02020080"
    assert der.write_int(-1).hex() == "0201ff"
    assert der.write(der.OCTET_STRING, bytes(200))[:3].hex() == "0481c8"
    assert der.to_bool(der.read(bytes.fromhex("0101ff"))) is True


@pytest.mark.parametrize(
    "text",
    [
        "", "30", "3001", "300200", "3000ff",  # nothing, cut, more than announced
        "3080", "30800000",  # indefinite length
        "308100", "30817f" + "00" * 127, "3082007f" + "00" * 127, "30820001",  # longer than needed
        "30ff", "3088ffffffffffffffff",  # beyond all bounds
        "1f0100", "3f0100", "bf2100",  # tags of several bytes
    ],
)  # fmt: skip
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(DerError):
        der.read(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["0200", "02020001", "0202ffff", "0202007f", "020200", "040101"])
def test_integers_in_other_forms_are_refused(text: str) -> None:
    with pytest.raises(DerError):
        der.to_int(der.read(bytes.fromhex(text)))


@pytest.mark.parametrize("text", ["0600", "060180", "06022a80", "0603808001", "06032a8001", "0401aa"])
def test_object_identifiers_in_other_forms_are_refused(text: str) -> None:
    with pytest.raises(DerError):
        der.to_oid(der.read(bytes.fromhex(text)))


@pytest.mark.parametrize("text", ["010101", "0100", "0102ffff"])
def test_truth_values_in_other_forms_are_refused(text: str) -> None:
    with pytest.raises(DerError):
        der.to_bool(der.read(bytes.fromhex(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260301120000Z", (1_772_366_400, False)),
        ("20260301120000.5Z", (1_772_366_400, True)),
        ("19700101000000Z", (0, False)),
        ("20000229235959Z", (951_868_799, False)),
    ],
)
def test_times(text: str, expected: tuple[int, bool]) -> None:
    assert der.to_time(der.read(der.write(der.GENERALIZED_TIME, text.encode()))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "20260301120000", "202603011200Z", "20260301120000+0800", "20260301120000.Z", "20260301120000.50Z",
        "20260301120000,5Z", "20260229120000Z", "20261301120000Z", "20260301240000Z", "2026030112000 Z",
        "20260301120000.-5Z", "２０260301120000Z", "20260301120000ZZ",
    ],
)  # fmt: skip
def test_times_in_other_forms_are_refused(text: str) -> None:
    with pytest.raises(DerError):
        der.to_time(der.read(der.write(der.GENERALIZED_TIME, text.encode())))


def test_fields_are_taken_in_order_and_none_is_left() -> None:
    element = der.read(der.write_sequence([der.write_int(1), der.write(der.BOOLEAN, b"\xff")]))
    fields = Fields(element)
    assert fields.optional(der.BOOLEAN) is None
    assert der.to_int(fields.take(der.INTEGER)) == 1
    with pytest.raises(DerError, match="one too many"):
        fields.end()
    assert fields.take_any().tag == der.BOOLEAN
    fields.end()
    for ask in (fields.take_any, lambda: fields.take(der.INTEGER)):
        with pytest.raises(DerError, match="missing"):
            ask()
    with pytest.raises(DerError, match="stands where"):
        Fields(element, der.SET)
    with pytest.raises(DerError, match="holds no elements"):
        der.children(der.read(der.write_int(1)))


def test_a_crowd_of_elements_is_refused() -> None:
    with pytest.raises(DerError, match="more than"):
        der.children(der.read(der.write_sequence([b"\x05\x00"] * (der.MAX_ELEMENTS + 1))))
