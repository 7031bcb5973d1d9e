"""XML from strangers: no DTD, no entities, no network; size, depth and element count capped.

UTF-8, UTF-16 with a byte order mark, and GB 18030 for Chinese files that declare GB 2312, GBK or GB 18030.

A document type declaration can stand only before the root element (XML 1.0 § 2.8), so the prolog is read by
hand first and no DTD ever reaches libxml2. What is left for the parser has no entities but the five
predefined ones.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from lxml import etree

from node.connectors.errors import ConnectorError, shown

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 40
"""Nesting of elements; a UBL 2.1 invoice needs 9."""
MAX_ELEMENTS: Final = 400_000

_BOM: Final = "\ufeff"
_PROLOG_ITEM = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->)", re.DOTALL)
_WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DECLARATION = re.compile(r"<\?xml\s.*?\?>", re.DOTALL)
_ENCODING = re.compile(r"""encoding\s*=\s*["']([^"']*)["']""")
_SAFE_ENCODINGS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_CHINESE: Final = re.compile(
    rb"""(\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["'])(?:gb2312|gbk|gb18030)(?=["'])""", re.IGNORECASE
)


def looks_like_xml(data: bytes) -> bool:
    """Whether the first thing in the file that is not white space is '<'."""
    if data.startswith(_WIDE_MARKS):
        return data[:256].decode("utf-16", "ignore").lstrip()[:1] == "<"
    return data[:256].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def parse(data: bytes) -> etree._Element:
    """The root element. Raises ConnectorError TOO_LARGE, NOT_UTF8 or BAD_XML."""
    if len(data) > MAX_BYTES:
        raise ConnectorError("TOO_LARGE", f"{len(data)} bytes", f"split it: at most {MAX_BYTES} bytes are read")
    text = _decode(data)
    _check_prolog(text)
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise _syntax_error(error) from None
    _check_shape(root)
    return root


def _decode(data: bytes) -> str:
    if chinese := _CHINESE.match(data):
        try:
            return chinese[1].decode("ascii") + "UTF-8" + data[chinese.end() :].decode("gb18030")
        except UnicodeDecodeError as error:
            raise ConnectorError(
                "NOT_UTF8",
                f"byte {error.start + chinese.end()} is not of the encoding it declares",
                "save the file as UTF-8 and take it in again",
            ) from None
    if data.startswith(_WIDE_MARKS):
        return _decode_wide(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConnectorError(
            "NOT_UTF8", f"byte {error.start} is not UTF-8", "save the file as UTF-8 and take it in again"
        ) from None
    return text.removeprefix(_BOM)


def _decode_wide(data: bytes) -> str:
    """UTF-16, which every reader of XML must take (XML 1.0 § 2.2); its declaration may name no other encoding."""
    try:
        text = data.decode("utf-16")
    except UnicodeDecodeError as error:
        raise ConnectorError(
            "NOT_UTF8", f"byte {error.start} is not UTF-16", "save the file as UTF-8 and take it in again"
        ) from None
    declaration = _DECLARATION.match(text)
    if declaration is None:
        return text
    named = _ENCODING.search(declaration[0])
    if named and named[1].lower() not in ("utf-16", "utf-16le", "utf-16be"):
        raise ConnectorError(
            "NOT_UTF8",
            f"it is UTF-16 and declares the encoding {shown(named[1])}",
            "save the file as UTF-8 and take it in again",
        )
    return text[declaration.end() :]


def _check_prolog(text: str) -> None:
    position = 0
    while match := _PROLOG_ITEM.match(text, position):
        if match[0].lstrip().startswith("<?xml "):
            _check_encoding(match[0])
        position = match.end()
    head = text[position : position + 64].lstrip()
    if head[:9].upper() == "<!DOCTYPE":
        raise ConnectorError(
            "BAD_XML", "it has a document type declaration (DTD)", "remove it: DTDs and entities are refused"
        )


def _check_encoding(declaration: str) -> None:
    named = _ENCODING.search(declaration)
    if named and named[1].lower() not in _SAFE_ENCODINGS:
        raise ConnectorError(
            "NOT_UTF8", f"it declares the encoding {shown(named[1])}", "save the file as UTF-8 and take it in again"
        )


def _syntax_error(error: etree.XMLSyntaxError) -> ConnectorError:
    message = error.msg or "it is no XML"
    if "Entity" in message and "not defined" in message:
        return ConnectorError("BAD_XML", "it uses an entity", "write the text itself: entities are refused")
    return ConnectorError(
        "BAD_XML", f"not well-formed XML ({shown(message, quote=False)})", "get a whole copy from its sender"
    )


def _check_shape(root: etree._Element) -> None:
    elements = 0
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        elements += event == "start"
        if depth > MAX_DEPTH:
            raise ConnectorError(
                "BAD_XML", f"elements nest deeper than {MAX_DEPTH}", "get a plain copy from its sender"
            )
    if elements > MAX_ELEMENTS:
        raise ConnectorError("TOO_LARGE", f"{elements} elements", f"split it: at most {MAX_ELEMENTS} are read")
