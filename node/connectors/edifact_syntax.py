"""EDIFACT interchanges (ISO 9735, syntax 1 to 4) from strangers: character sets, service segments, messages.

``pydifact`` splits the text into segments; here the interchange is decoded by the character set it names, and held
against its own counts and references, so that a file cut short or glued together is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pydifact.control.characters import Characters
from pydifact.exceptions import EDISyntaxError
from pydifact.parser import Parser
from pydifact.tokenizer import Tokenizer

from node.connectors import values
from node.connectors.errors import ConnectorError, shown

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_MESSAGES: Final = 1_000

_BOM: Final = b"\xef\xbb\xbf"
_ADVICE: Final = "get a whole copy from its sender"
# Syntax identifiers (data element 0001) to Python's names of the character sets.
_CHARSETS: Final = {
    "UNOA": "ascii", "UNOB": "ascii", "UNOC": "iso8859-1", "UNOD": "iso8859-2", "UNOE": "iso8859-5",
    "UNOF": "iso8859-7", "UNOG": "iso8859-3", "UNOH": "iso8859-4", "UNOI": "iso8859-6", "UNOJ": "iso8859-8",
    "UNOK": "iso8859-9", "UNOL": "iso8859-15", "UNOW": "utf-8", "UNOY": "utf-8",
}  # fmt: skip
_DEFAULT_SEPARATORS: Final = ":+,? '"
_SERVICE: Final = frozenset({"UNG", "UNE"})


class Segment(NamedTuple):
    """A segment: its tag, its data elements, each a list of components. What is absent reads as ""."""

    tag: str
    elements: list[list[str]]

    def get(self, element: int, component: int = 0) -> str:
        """A cleaned component; element counts from 1, as the directories do, component from 0."""
        if element > len(self.elements) or component >= len(self.elements[element - 1]):
            return ""
        return values.clean(self.elements[element - 1][component])


class Message(NamedTuple):
    """A message between UNH and UNT: its type ("INVOIC"), its reference, its segments without these two."""

    type: str
    reference: str
    segments: list[Segment]


class Interchange(NamedTuple):
    """messages: at least one. notes: on how it was read, one line each."""

    messages: list[Message]
    notes: tuple[str, ...]


def looks_like_edifact(data: bytes) -> bool:
    """Whether the file starts as an interchange does."""
    return re.match(rb"(?:UNA(?s:.{6})\s*)?UNB[^A-Za-z0-9\s]", data.removeprefix(_BOM).lstrip()[:64]) is not None


def parse(data: bytes) -> Interchange:
    """The messages of an interchange. Raises ConnectorError TOO_LARGE, BAD_EDIFACT or NOT_SUPPORTED."""
    if len(data) > MAX_BYTES:
        raise ConnectorError("TOO_LARGE", f"{len(data)} bytes", f"split it: at most {MAX_BYTES} bytes are read")
    text, notes = _decode(data)
    segments = list(_segments(text))
    if not segments or segments[0].tag != "UNB":
        raise _bad("it does not start with UNB")
    if segments[-1].tag == "UNZ":
        closing = segments.pop()
    else:
        closing = None
        notes = (*notes, "the interchange has no UNZ: that no message is lacking cannot be told")
    messages = list(_messages(segments[1:]))
    if not messages:
        raise _bad("there is no message in it")
    if closing is not None:
        groups = sum(segment.tag == "UNG" for segment in segments)
        _check_closing(closing, groups or len(messages), segments[0].get(5))
    return Interchange(messages, notes)


def _decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    body = data.removeprefix(_BOM).strip(b" \r\n\t\x00\x1a")
    syntax = re.search(rb"UNB[^A-Za-z0-9](UNO[A-Z])", body[:64])
    name = syntax[1].decode() if syntax else ""
    if name not in _CHARSETS:
        raise ConnectorError(
            "NOT_SUPPORTED" if name else "BAD_EDIFACT",
            f"UNB names the character set {shown(name)}" if name else "UNB names no character set (UNOA, UNOC …)",
            f"send it as one of {', '.join(_CHARSETS)}",
        )
    charset = _CHARSETS[name]
    if data.startswith(_BOM) and charset != "utf-8" and not body.isascii():
        raise _bad(f"it has the byte order mark of UTF-8, but UNB says {name}")
    try:
        return body.decode(charset), ()
    except UnicodeDecodeError as error:
        raise _bad(f"byte {error.start} of the interchange is not of the character set {name}") from None


def _segments(text: str) -> Iterator[Segment]:
    """Every segment, by the separators of UNA where it stands first. Service groups (UNG, UNE) stay in."""
    characters = Characters.from_str(_DEFAULT_SEPARATORS)
    if text.startswith("UNA"):
        characters = _separators(text[3:9])
        text = text[9:].lstrip()
    if characters.segment_terminator.isspace():
        text += characters.segment_terminator  # white space at the end of the file was no part of it
    elif not text.endswith(characters.segment_terminator):
        raise _bad("it breaks off in the middle of a segment")
    try:
        for name, *elements in Parser().convert_tokens_to_raw_segments(Tokenizer().get_tokens(text, characters)):
            if not isinstance(name, str) or re.fullmatch("[A-Z]{3}", name) is None:
                raise _bad(f"{shown(str(name))} is no segment name")
            yield Segment(name, [[element] if isinstance(element, str) else element for element in elements])
    except EDISyntaxError as error:
        raise _bad(shown(str(error), quote=False)) from None


def _separators(found: str) -> Characters:
    marks = found[:2] + found[3:4] + found[5:]
    if len(found) < 6 or len(set(found[:2] + found[5:])) < 3 or any(mark.isalnum() for mark in marks.strip()):
        raise _bad(f"UNA names the separators {shown(found)}")
    return Characters.from_str(found)


def _messages(segments: Sequence[Segment]) -> Iterator[Message]:
    header: Segment | None = None
    inside: list[Segment] = []
    count = 0
    for segment in segments:
        if segment.tag == "UNH":
            if header is not None:
                raise _bad(f"message {shown(header.get(1))} has no UNT")
            header, inside = segment, []
        elif segment.tag == "UNT":
            if header is None:
                raise _bad("UNT without UNH")
            _check_trailer(header, segment, len(inside) + 2)
            count += 1
            if count > MAX_MESSAGES:
                raise ConnectorError("TOO_LARGE", f"more than {MAX_MESSAGES} messages", "split the interchange")
            yield Message(header.get(2), header.get(1), inside)
            header = None
        elif header is not None:
            inside.append(segment)
        elif segment.tag not in _SERVICE:
            raise _bad(f"{segment.tag} stands outside of a message")
    if header is not None:
        raise _bad(f"message {shown(header.get(1))} has no UNT")


def _check_trailer(header: Segment, trailer: Segment, count: int) -> None:
    reference = header.get(1)
    if trailer.get(1) != str(count):
        raise _bad(f"message {shown(reference)}: UNT counts {shown(trailer.get(1))} segments, there are {count}")
    if trailer.get(2) != reference:
        raise _bad(f"UNH has the reference {shown(reference)}, UNT {shown(trailer.get(2))}")


def _check_closing(closing: Segment, count: int, reference: str) -> None:
    if closing.get(1) != str(count):
        raise _bad(f"UNZ counts {shown(closing.get(1))} messages or groups, there are {count}")
    if closing.get(2) != reference:
        raise _bad(f"UNB has the reference {shown(reference)}, UNZ {shown(closing.get(2))}")


def _bad(what: str) -> ConnectorError:
    return ConnectorError("BAD_EDIFACT", what, _ADVICE)
