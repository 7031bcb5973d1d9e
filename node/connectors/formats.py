"""The one table of formats: how a document is recognised by its content, and which connector reads it.

A file's name is used in errors and for nothing else. A new format is one module beside this one and one row here:
``_xml``, ``_json``, ``_zip`` and ``_bytes`` make its last two columns of a test over the XML root, the JSON value,
the archive or the bytes, and of a reader over the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

from lxml import etree

from node.connectors import (
    cii,
    csv_table,
    e_invoice,
    edifact,
    edifact_syntax,
    epcis,
    factur_x,
    iso20022,
    mapping,
    ocds,
    ocel,
    ofd,
    tabular,
    ubl,
    ubl_billing,
    ubl_delivery,
    ubl_guarantee,
    ubl_order,
    ubl_order_cancellation,
    ubl_order_response,
    ubl_qualification,
    ubl_remittance,
    xes,
    xlsx,
)
from node.connectors.content import Content
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError, shown
from node.connectors.events import Identity
from node.connectors.mapping import Mapping
from node.connectors.strict_json import JsonDocument
from node.connectors.strict_zip import Archive

T = TypeVar("T")
Test: TypeAlias = Callable[[T], bool]
Reader: TypeAlias = Callable[[T], Iterable[RecordDraft]]
LogReader: TypeAlias = Callable[[T, Identity], Iterable[RecordDraft]]
Pair: TypeAlias = tuple[Test[Content], Reader[Content]]


@dataclass(frozen=True, slots=True)
class Connector:
    """One row of the table.

    name, version: go into the source of every record it reads. version is raised when the same file would give
    another record. format: for people. kinds: of the records it can give. matches: whether a file is of this format.
    drafts_of: its drafts, one at a time where it may hold many; ConnectorError where it cannot. reading: what else
    decides how a file is read (a table's mapping); the version of its records names it.
    """

    name: str
    version: str
    format: str
    kinds: tuple[str, ...]
    matches: Test[Content]
    drafts_of: Reader[Content]
    reading: Callable[[Content], str] | None = None

    def read(self, data: bytes, name: str, mapping: Mapping | None = None) -> list[RecordDraft]:
        """The drafts of a file, at least one. Raises ConnectorError, naming the file."""
        try:
            content = Content.of(data, mapping)
            if not self.matches(content):
                raise _another()
            return list(self.drafts_of(content))
        except ConnectorError as error:
            raise error.in_file(name) from None


def recognise(data: bytes, name: str, mapping: Mapping | None = None) -> tuple[Connector, Iterator[RecordDraft]]:
    """The connector of a file and its drafts one by one: a table of 100,000 rows is never held as drafts.

    mapping: what the member says of its tables and event logs (``mapping.load``). Raises ConnectorError, naming the
    file; so does the iterator.
    """
    try:
        content = Content.of(data, mapping)
        connector = _connector(content)
    except ConnectorError as error:
        raise error.in_file(name) from None
    return connector, _named(connector, content, name)


def detect(data: bytes, name: str, mapping: Mapping | None = None) -> Connector:
    """The connector for a file's content. Raises ConnectorError, naming the file: UNKNOWN_FORMAT, NOT_SUPPORTED …"""
    return recognise(data, name, mapping)[0]


def read(data: bytes, name: str, mapping: Mapping | None = None) -> list[RecordDraft]:
    """Detect and read in one call. Raises ConnectorError, naming the file."""
    return list(recognise(data, name, mapping)[1])


def _named(connector: Connector, content: Content, name: str) -> Iterator[RecordDraft]:
    try:
        yield from connector.drafts_of(content)
    except ConnectorError as error:
        raise error.in_file(name) from None


def _connector(content: Content) -> Connector:
    for connector in FORMATS:
        if connector.matches(content):
            if connector.reading is None:
                return connector
            return replace(connector, version=f"{connector.version}+{connector.reading(content)}")
    raise _unknown(content)


def _xml(matches: Test[etree._Element], reader: Reader[etree._Element]) -> Pair:
    """For XML: test and reader get the root element."""
    return _over(lambda content: content.xml, matches, reader)


def _json(matches: Test[JsonDocument], reader: Reader[JsonDocument]) -> Pair:
    """For JSON: test and reader get the array or object."""
    return (
        lambda content: content.json is not None and matches(content.json),
        lambda content: reader(_there(content.json)),
    )


def _zip(matches: Test[Archive], reader: Reader[Archive]) -> Pair:
    """For ZIP archives: test and reader get the archive."""
    return _over(lambda content: content.archive, matches, reader)


def _bytes(matches: Test[bytes], reader: Reader[bytes]) -> Pair:
    """For what is neither XML nor JSON nor a ZIP archive: test and reader get the bytes."""
    return _over(lambda content: content.data if content.is_plain else None, matches, reader)


def _over(part: Callable[[Content], T | None], matches: Test[T], reader: Reader[T]) -> Pair:
    def test(content: Content) -> bool:
        found = part(content)
        return found is not None and matches(found)

    return test, lambda content: reader(_there(part(content)))


def _there(part: T | None) -> T:
    if part is None:
        raise _another()
    return part


def _json_log(matches: Test[JsonDocument], reader: LogReader[JsonDocument]) -> Pair:
    """For event logs in JSON: the reader is also told whose the log is."""
    return _json(matches, lambda _: ())[0], lambda content: reader(_there(content.json), content.identity)


def _xml_log(matches: Test[etree._Element], reader: LogReader[etree._Element]) -> Pair:
    """For event logs in XML: the reader is also told whose the log is."""
    return _xml(matches, lambda _: ())[0], lambda content: reader(_there(content.xml), content.identity)


def _another() -> ConnectorError:
    return ConnectorError("UNKNOWN_FORMAT", "it is of another format", "let its content decide which reads it")


def _ubl(document: str, reader: Reader[etree._Element]) -> Pair:
    """For one UBL document type."""
    expected = (f"{ubl.NAMESPACE}{document}-2", document)
    return _xml(lambda root: ubl.local_name(root) == expected, reader)


FORMATS: Final[tuple[Connector, ...]] = (
    Connector(
        "ocds-contract",
        "1",
        "OCDS 1.1 JSON: release, release package, record, record package",
        ("contract",),
        *_json(ocds.matches, ocds.read),
    ),
    Connector("ubl-order", "1", "UBL 2.0/2.1 Order", ("order",), *_ubl("Order", ubl_order.read)),
    Connector(
        "ubl-despatch",
        "1",
        "UBL 2.0/2.1 DespatchAdvice",
        ("despatch",),
        *_ubl("DespatchAdvice", ubl_delivery.read_despatch),
    ),
    Connector(
        "ubl-receipt",
        "1",
        "UBL 2.0/2.1 ReceiptAdvice",
        ("receipt",),
        *_ubl("ReceiptAdvice", ubl_delivery.read_receipt),
    ),
    Connector(
        "ubl-invoice",
        "1",
        "UBL 2.0/2.1 Invoice, EN 16931 too",
        ("invoice",),
        *_ubl("Invoice", ubl_billing.read_invoice),
    ),
    Connector(
        "ubl-credit-note",
        "1",
        "UBL 2.0/2.1 CreditNote, EN 16931 too",
        ("credit_note",),
        *_ubl("CreditNote", ubl_billing.read_credit_note),
    ),
    Connector(
        "ubl-guarantee",
        "1",
        "UBL 2.1 GuaranteeCertificate",
        ("guarantee",),
        *_ubl("GuaranteeCertificate", ubl_guarantee.read),
    ),
    Connector(
        "ubl-qualification",
        "1",
        "UBL 2.1 TendererQualification",
        ("qualification",),
        *_ubl("TendererQualification", ubl_qualification.read),
    ),
    Connector(
        "ubl-order-response",
        "1",
        "UBL 2.0/2.1 OrderResponse",
        ("order_response",),
        *_ubl("OrderResponse", ubl_order_response.read),
    ),
    Connector(
        "ubl-order-response-simple",
        "1",
        "UBL 2.0/2.1 OrderResponseSimple",
        ("order_response",),
        *_ubl("OrderResponseSimple", ubl_order_response.read),
    ),
    Connector(
        "ubl-order-cancellation",
        "1",
        "UBL 2.0/2.1 OrderCancellation",
        ("order_cancellation",),
        *_ubl("OrderCancellation", ubl_order_cancellation.read),
    ),
    Connector(
        "ubl-remittance",
        "1",
        "UBL 2.0/2.1 RemittanceAdvice",
        ("remittance",),
        *_ubl("RemittanceAdvice", ubl_remittance.read),
    ),
    Connector(
        "cii-invoice",
        "1",
        "UN/CEFACT Cross Industry Invoice D16B: EN 16931, Factur-X and ZUGFeRD 2 XML",
        ("invoice", "credit_note"),
        *_xml(cii.matches, cii.read),
    ),
    Connector(
        "factur-x",
        "1",
        "Factur-X and ZUGFeRD 2: the Cross Industry Invoice inside a PDF",
        ("invoice", "credit_note"),
        *_bytes(factur_x.looks_like_pdf, factur_x.read_bytes),
    ),
    Connector(
        "edifact",
        "1",
        "UN/EDIFACT INVOIC and ORDERS",
        ("order", "invoice", "credit_note"),
        *_bytes(edifact_syntax.looks_like_edifact, edifact.read_bytes),
    ),
    Connector(
        "ofd",
        "1",
        "OFD (GB/T 33190) e-invoice",
        ("invoice", "credit_note"),
        *_zip(ofd.matches, ofd.read_archive),
    ),
    Connector(
        "e-invoice",
        "1",
        "China's fully digital e-invoice XML",
        ("invoice", "credit_note"),
        *_xml(e_invoice.matches, e_invoice.read),
    ),
    Connector(
        "iso20022-undertaking",
        "1",
        "ISO 20022 tsrv.001, 002, 003: an undertaking's issuance, advice, notification",
        ("guarantee",),
        *_xml(iso20022.matches, iso20022.read),
    ),
    Connector("epcis", "1", "EPCIS 2.0 JSON and JSON-LD", ("event",), *_json_log(epcis.matches, epcis.read)),
    Connector("ocel", "1", "OCEL 2.0 JSON", ("event",), *_json_log(ocel.matches, ocel.read)),
    Connector("ocel-xml", "1", "OCEL 2.0 XML", ("event",), *_xml_log(ocel.matches_xml, ocel.read_xml)),
    Connector("xes", "1", "XES (IEEE 1849) event log", ("event",), *_xml_log(xes.matches, xes.read)),
    Connector(
        "xlsx",
        "1",
        "XLSX with a mapping: one table of a workbook",
        mapping.KINDS,
        lambda content: content.archive is not None and xlsx.matches(content.archive),
        tabular.read,
        tabular.reference,
    ),
    Connector(
        "csv",
        "1",
        "CSV and other separated text with a mapping",
        mapping.KINDS,
        lambda content: content.is_plain and csv_table.looks_like_table(content.data),
        tabular.read,
        tabular.reference,
    ),
)
"""Tried in this order; the first that matches reads the file."""

_UBL_TYPES: Final = ", ".join(c.format.split()[2].rstrip(",") for c in FORMATS if c.name.startswith("ubl-"))
_ADVICE: Final = "export it in a format of docs/data-exchange.md"


def _unknown(content: Content) -> ConnectorError:
    """Why no row matches, as near as can be said."""
    if content.xml is not None:
        return _unknown_xml(content.xml)
    if content.json is not None:
        return ConnectorError("UNKNOWN_FORMAT", "JSON of no format that is read", _ADVICE)
    if content.archive is not None:
        return ConnectorError("UNKNOWN_FORMAT", "a ZIP archive of no format that is read", "take in the files in it")
    if not content.data.strip():
        return ConnectorError("UNKNOWN_FORMAT", "the file is empty", "get a whole copy from its sender")
    return ConnectorError("UNKNOWN_FORMAT", "neither XML nor JSON in UTF-8", _ADVICE)


def _unknown_xml(root: etree._Element) -> ConnectorError:
    namespace, name = ubl.local_name(root)
    if namespace == f"{ubl.NAMESPACE}{name}-2":
        return ConnectorError(
            "NOT_SUPPORTED", f"UBL {shown(name)} is not supported yet", f"take in one of {_UBL_TYPES}"
        )
    place = f"in the namespace {shown(namespace)}" if namespace else "without a namespace"
    return ConnectorError("UNKNOWN_FORMAT", f"the root element is {shown(name)} {place}", _ADVICE)
