"""Distinguished Encoding Rules (ITU-T X.690 § 10), as much as time-stamp tokens and CMS signatures need, strict.

Small on purpose: an offline verifier reads a token with it. Accepted are one-byte tags and definite, shortest
lengths; RFC 3161 and RFC 5652 want what is signed in this form. Certificates are read by ``cryptography``.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OID: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

MAX_ELEMENTS: Final = 4096
"""Children of one element; a token has a few."""

_LOW_TAG: Final = 0x1F
_CONSTRUCTED: Final = 0x20
_LONG: Final = 0x80
_TIME_DIGITS: Final = len("20260101000000")


class DerError(ValueError):
    """Bytes that are not DER, or an element of another kind; one line."""


class Element(NamedTuple):
    """One element. tag: the identifier octet; content: without header; raw: header and content."""

    tag: int
    content: bytes
    raw: bytes


def context(number: int, *, constructed: bool = True) -> int:
    """The identifier octet of context-specific tag ``[number]``."""
    return 0x80 | (_CONSTRUCTED if constructed else 0) | number


def read(data: bytes, tag: int | None = None) -> Element:
    """The one element the bytes are. Raises DerError, also where the tag is another or bytes follow."""
    element, end = _next(data, 0)
    if end != len(data):
        raise DerError(f"{len(data) - end} bytes follow the element")
    return element if tag is None else expect(element, tag)


def expect(element: Element, tag: int) -> Element:
    """The element, if its tag is this. Raises DerError."""
    if element.tag != tag:
        raise DerError(f"tag {element.tag:#04x} stands where {tag:#04x} belongs")
    return element


def children(element: Element) -> list[Element]:
    """The elements a constructed element holds, in order. Raises DerError."""
    if not element.tag & _CONSTRUCTED:
        raise DerError(f"tag {element.tag:#04x} holds no elements")
    found: list[Element] = []
    position = 0
    while position < len(element.content):
        child, position = _next(element.content, position)
        found.append(child)
        if len(found) > MAX_ELEMENTS:
            raise DerError(f"an element holds more than {MAX_ELEMENTS} others")
    return found


class Fields:
    """The children of one element, taken one after the other as a grammar names them."""

    def __init__(self, element: Element, tag: int = SEQUENCE) -> None:
        """Raises DerError where the element has another tag."""
        self._left = children(expect(element, tag))[::-1]

    def take(self, tag: int) -> Element:
        """The next child, which has this tag. Raises DerError."""
        if not self._left:
            raise DerError(f"an element of tag {tag:#04x} is missing")
        return expect(self._left.pop(), tag)

    def take_any(self) -> Element:
        """The next child, whatever its tag. Raises DerError."""
        if not self._left:
            raise DerError("an element is missing")
        return self._left.pop()

    def optional(self, tag: int) -> Element | None:
        """The next child if it has this tag, else None and the child stays."""
        return self._left.pop() if self._left and self._left[-1].tag == tag else None

    def end(self) -> None:
        """Raises DerError where a child is left."""
        if self._left:
            raise DerError(f"an element of tag {self._left[-1].tag:#04x} is one too many")


def to_int(element: Element, tag: int = INTEGER) -> int:
    """The value of an INTEGER in its shortest form. Raises DerError."""
    content = expect(element, tag).content
    if not content or (len(content) > 1 and content[0] in (0x00, 0xFF) and content[0] >> 7 == content[1] >> 7):
        raise DerError("an integer is not in its shortest form")
    return int.from_bytes(content, "big", signed=True)


def to_bool(element: Element) -> bool:
    """The value of a BOOLEAN. Raises DerError."""
    content = expect(element, BOOLEAN).content
    if content not in (b"\x00", b"\xff"):
        raise DerError("a truth value is one byte, all zeros or all ones")
    return content == b"\xff"


def to_oid(element: Element) -> str:
    """The dotted decimals of an OBJECT IDENTIFIER. Raises DerError."""
    content = expect(element, OID).content
    if not content or content[-1] & _LONG:
        raise DerError("an object identifier is cut short")
    arcs: list[int] = []
    value, begin = 0, True
    for byte in content:
        if begin and byte == _LONG:
            raise DerError("an object identifier is not in its shortest form")
        value = value << 7 | byte & 0x7F
        begin = not byte & _LONG
        if begin:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def to_time(element: Element) -> tuple[int, bool]:
    """(whole seconds since 1970, whether a fraction follows) of a GeneralizedTime as RFC 3161 § 2.4.2 has it.

    Raises DerError for any form but ``YYYYMMDDhhmmss[.s…]Z``, the fraction without trailing zeros.
    """
    text = expect(element, GENERALIZED_TIME).content.decode("ascii", "replace")
    whole, dot, fraction = text.removesuffix("Z").partition(".")
    digits = len(whole) == _TIME_DIGITS and whole.isascii() and whole.isdecimal()
    fits = not dot or (fraction.isascii() and fraction.isdecimal() and not fraction.endswith("0"))
    if not text.endswith("Z") or not digits or not fits:
        raise DerError("a time is written YYYYMMDDhhmmss[.s…]Z")
    try:
        moment = datetime.strptime(whole, "%Y%m%d%H%M%S")
    except ValueError:
        raise DerError("a time is no time of the calendar") from None
    return timegm(moment.timetuple()), bool(dot)


def write(tag: int, content: bytes) -> bytes:
    """The element of this tag and content."""
    length = len(content)
    if length < _LONG:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, _LONG | len(size)]) + size + content


def write_sequence(parts: Iterable[bytes]) -> bytes:
    """A SEQUENCE of encoded elements."""
    return write(SEQUENCE, b"".join(parts))


def write_int(value: int) -> bytes:
    """An INTEGER."""
    bits = (value if value >= 0 else ~value).bit_length()
    return write(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))


def write_oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER of dotted decimals."""
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (40 * first + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | _LONG)
        content += bytes(septets[::-1])
    return write(OID, content)


def _next(data: bytes, start: int) -> tuple[Element, int]:
    """The element that begins at ``start``, and where it ends."""
    if len(data) < start + 2:
        raise DerError("an element is cut short")
    tag, first, begin = data[start], data[start + 1], start + 2
    if tag & _LOW_TAG == _LOW_TAG:
        raise DerError("a tag has more than one byte")
    length = first
    if first >= _LONG:
        size = data[begin : begin + first - _LONG]
        begin += first - _LONG
        length = int.from_bytes(size, "big")
        if first == _LONG or begin > len(data) or size[:1] == b"\x00" or length < _LONG:
            raise DerError("a length is not definite and in its shortest form")
    end = begin + length
    if end > len(data):
        raise DerError("an element is cut short")
    return Element(tag, data[begin:end], data[start:end]), end
