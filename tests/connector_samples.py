"""Where the sample and example documents are, and a small UBL writer for bad and odd input."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contracts.record import FieldValue
from genesis import library
from node.connectors import RecordDraft

ROOT: Final = Path(__file__).resolve().parents[1]
SHARED: Final = ROOT.parent / "shared" / "data"
EXAMPLE: Final = ROOT / "genesis" / "example" / "documents"

NO_SAMPLES: Final = "the shared sample data is not beside this checkout"

_TEMPLATE: Final = library.template("general-trade")
UBL: Final = "urn:oasis:names:specification:ubl:schema:xsd:"


def ubl(root: str, body: str) -> bytes:
    """A UBL document with the usual prefixes around a body."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{UBL}{root}-2"'
        f' xmlns:cac="{UBL}CommonAggregateComponents-2" xmlns:cbc="{UBL}CommonBasicComponents-2">{body}</{root}>'
    ).encode()


def party(tag: str, inner: str) -> str:
    """A CustomerParty or SupplierParty around the content of its Party."""
    return f"<cac:{tag}><cac:Party>{inner}</cac:Party></cac:{tag}>"


def company(number: str, scheme: str = "GB-COH") -> str:
    """A legal entity with a number."""
    return f'<cac:PartyLegalEntity><cbc:CompanyID schemeID="{scheme}">{number}</cbc:CompanyID></cac:PartyLegalEntity>'


def invoice(
    head: str = "<cbc:ID>I1</cbc:ID><cbc:IssueDate>2026-10-16</cbc:IssueDate>",
    references: str = "",
    middle: str = "",
    line: str = "",
) -> bytes:
    """A short invoice from GB-COH:2 to GB-COH:1 over 12.50 GBP."""
    return ubl(
        "Invoice",
        head
        + references
        + party("AccountingSupplierParty", company("2"))
        + party("AccountingCustomerParty", company("1"))
        + middle
        + '<cac:LegalMonetaryTotal><cbc:PayableAmount currencyID="GBP">12.50</cbc:PayableAmount>'
        + "</cac:LegalMonetaryTotal>"
        + '<cac:InvoiceLine><cbc:ID>1</cbc:ID><cbc:InvoicedQuantity unitCode="C62">5</cbc:InvoicedQuantity>'
        + f'<cbc:LineExtensionAmount currencyID="GBP">12.50</cbc:LineExtensionAmount>{line}</cac:InvoiceLine>',
    )


def public(draft: RecordDraft) -> dict[str, FieldValue]:
    """The fields that the template general-trade leaves open."""
    rules = _TEMPLATE["kinds"][draft.kind]["fields"]
    return {name: value for name, value in draft.fields.items() if rules[name]["open"]}


def private(draft: RecordDraft) -> dict[str, FieldValue]:
    """Those it seals: each is named in it."""
    return {name: value for name, value in draft.fields.items() if name not in public(draft)}
