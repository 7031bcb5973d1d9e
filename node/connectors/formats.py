"""The one table of formats: how a document is recognised by its content, and which connector reads it.

A file's name is used in errors and for nothing else. A new format is one module beside this one and one row here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from node.connectors import (
    ocds,
    strict_json,
    strict_xml,
    ubl,
    ubl_billing,
    ubl_delivery,
    ubl_guarantee,
    ubl_order,
    ubl_qualification,
)
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError, shown


@dataclass(frozen=True, slots=True)
class Connector:
    """One row of the table.

    name, version: go into the source of every record it reads. version is raised when the same file would give
    another record. format: for people. kinds: of the records it can give. read_bytes: a whole file to drafts,
    at least one; ConnectorError where it cannot.
    """

    name: str
    version: str
    format: str
    kinds: tuple[str, ...]
    read_bytes: Callable[[bytes], list[RecordDraft]]

    def read(self, data: bytes, name: str) -> list[RecordDraft]:
        """The drafts of a file. Raises ConnectorError, naming the file."""
        try:
            return self.read_bytes(data)
        except ConnectorError as error:
            raise error.in_file(name) from None


def detect(data: bytes, name: str) -> Connector:
    """The connector for a file's content. Raises ConnectorError, naming the file: UNKNOWN_FORMAT, NOT_SUPPORTED …"""
    try:
        if strict_xml.looks_like_xml(data):
            return _detect_xml(strict_xml.parse(data))
        if strict_json.looks_like_json(data):
            return _detect_json(strict_json.parse(data))
        raise _not_text(data)
    except ConnectorError as error:
        raise error.in_file(name) from None


def read(data: bytes, name: str) -> list[RecordDraft]:
    """Detect and read in one call. Raises ConnectorError, naming the file."""
    return detect(data, name).read(data, name)


def _xml(reader: Callable[[etree._Element], list[RecordDraft]]) -> Callable[[bytes], list[RecordDraft]]:
    return lambda data: reader(strict_xml.parse(data))


_OCDS: Final = Connector(
    "ocds-contract",
    "1",
    "OCDS 1.1 JSON: release, release package, record, record package",
    ("contract",),
    lambda data: ocds.read(strict_json.parse(data)),
)

_UBL: Final = {
    "Order": Connector("ubl-order", "1", "UBL 2.0/2.1 Order", ("order",), _xml(ubl_order.read)),
    "DespatchAdvice": Connector(
        "ubl-despatch", "1", "UBL 2.0/2.1 DespatchAdvice", ("despatch",), _xml(ubl_delivery.read_despatch)
    ),
    "ReceiptAdvice": Connector(
        "ubl-receipt", "1", "UBL 2.0/2.1 ReceiptAdvice", ("receipt",), _xml(ubl_delivery.read_receipt)
    ),
    "Invoice": Connector(
        "ubl-invoice", "1", "UBL 2.0/2.1 Invoice, EN 16931 too", ("invoice",), _xml(ubl_billing.read_invoice)
    ),
    "CreditNote": Connector(
        "ubl-credit-note",
        "1",
        "UBL 2.0/2.1 CreditNote, EN 16931 too",
        ("credit_note",),
        _xml(ubl_billing.read_credit_note),
    ),
    "GuaranteeCertificate": Connector(
        "ubl-guarantee", "1", "UBL 2.1 GuaranteeCertificate", ("guarantee",), _xml(ubl_guarantee.read)
    ),
    "TendererQualification": Connector(
        "ubl-qualification",
        "1",
        "UBL 2.1 TendererQualification",
        ("qualification",),
        _xml(ubl_qualification.read),
    ),
}

FORMATS: Final[tuple[Connector, ...]] = (_OCDS, *_UBL.values())

_CII: Final = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:"
_SIGNATURES: Final = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive (OFD, XLSX and the like)"),
    (b"UNA", "EDIFACT"),
    (b"UNB", "EDIFACT"),
)
_ADVICE: Final = "export it as UBL 2.1 XML or OCDS 1.1 JSON"


def _detect_xml(root: etree._Element) -> Connector:
    namespace, name = ubl.local_name(root)
    if namespace == f"{ubl.NAMESPACE}{name}-2":
        if name in _UBL:
            return _UBL[name]
        raise ConnectorError(
            "NOT_SUPPORTED", f"UBL {shown(name)} is not supported yet", f"take in one of {', '.join(_UBL)}"
        )
    if namespace.startswith(_CII):
        raise ConnectorError("NOT_SUPPORTED", "UN/CEFACT Cross Industry Invoice is not supported yet", _ADVICE)
    place = f"in the namespace {shown(namespace)}" if namespace else "without a namespace"
    raise ConnectorError("UNKNOWN_FORMAT", f"the root element is {shown(name)} {place}", _ADVICE)


def _detect_json(document: strict_json.Json) -> Connector:
    if ocds.matches(document):
        return _OCDS
    if isinstance(document, dict) and document.get("type") == "EPCISDocument":
        raise ConnectorError("NOT_SUPPORTED", "EPCIS is not supported yet", _ADVICE)
    raise ConnectorError("UNKNOWN_FORMAT", "JSON, but no OCDS release or record", _ADVICE)


def _not_text(data: bytes) -> ConnectorError:
    if not data.strip():
        return ConnectorError("UNKNOWN_FORMAT", "the file is empty", "get a whole copy from its sender")
    for signature, what in _SIGNATURES:
        if data.startswith(signature):
            return ConnectorError("NOT_SUPPORTED", f"{what} is not supported yet", _ADVICE)
    return ConnectorError("UNKNOWN_FORMAT", "neither XML nor JSON in UTF-8", _ADVICE)
