"""UBL 2.0/2.1 Invoice and CreditNote (EN 16931 too) → one "invoice" or "credit_note" record of the seller."""

from __future__ import annotations

from typing import NamedTuple

from lxml import etree

from node.connectors import ubl, values
from node.connectors.draft import RecordDraft
from node.connectors.errors import shown

_TOTALS = "cac:LegalMonetaryTotal"


class _Bill(NamedTuple):
    kind: str
    line: str
    quantity: str
    type_code: str


_INVOICE = _Bill("invoice", "cac:InvoiceLine", "cbc:InvoicedQuantity", "cbc:InvoiceTypeCode")
_CREDIT_NOTE = _Bill("credit_note", "cac:CreditNoteLine", "cbc:CreditedQuantity", "cbc:CreditNoteTypeCode")


def read_invoice(root: etree._Element) -> list[RecordDraft]:
    """The draft of an Invoice. Raises ConnectorError."""
    return _read(root, _INVOICE)


def read_credit_note(root: etree._Element) -> list[RecordDraft]:
    """The draft of a CreditNote. Its amounts are positive, as in the file. Raises ConnectorError."""
    return _read(root, _CREDIT_NOTE)


def _read(root: etree._Element, bill: _Bill) -> list[RecordDraft]:
    reading = ubl.Reading(root)
    seller = ubl.party(root, ["cac:AccountingSupplierParty"], "seller (AccountingSupplierParty)")
    debtor = ubl.party(root, ["cac:AccountingCustomerParty"], "buyer (AccountingCustomerParty)")
    buyer = ubl.optional_party(root, ["cac:BuyerCustomerParty"], "buyer") or debtor
    issued = reading.issue_date()
    amounts = (
        f"{_TOTALS}/cbc:PayableAmount",
        f"{_TOTALS}/cbc:TaxExclusiveAmount",
        f"{bill.line}/cbc:LineExtensionAmount",
        f"{bill.line}/cac:Price/cbc:PriceAmount",
    )
    currency = ubl.currency(root, amounts)
    reading.put("due_date", _due_date(reading))
    reading.put("type_code", ubl.text(root, bill.type_code))
    reading.put("currency", currency)
    reading.put("total_excl_tax", ubl.decimal(root, f"{_TOTALS}/cbc:TaxExclusiveAmount"))
    reading.put("tax", _tax(reading, currency))
    reading.put("total", ubl.decimal(root, f"{_TOTALS}/cbc:PayableAmount"))
    reading.put("buyer_name", debtor.name)
    reading.put("seller_name", seller.name)
    ubl.put_payment(reading)
    ubl.put_private(reading, "buyer", ["cac:AccountingCustomerParty"])
    ubl.put_private(reading, "seller", ["cac:AccountingSupplierParty"])
    reading.put_lines(
        [ubl.line(reading, line, bill.quantity, "cbc:LineExtensionAmount") for line in ubl.all_of(root, bill.line)]
    )
    return [
        RecordDraft(
            kind=bill.kind,
            issuer=seller.id,
            number=reading.number(),
            enterprise=seller,
            counterparty=debtor,
            occurred_at=issued,
            links=ubl.trade_links(root, bill.line, buyer.id, seller.id),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]


def _due_date(reading: ubl.Reading) -> str:
    """cbc:DueDate (2.1), else the first due date of the payment means or terms."""
    if due := reading.date(reading.root, "cbc:DueDate"):
        return due
    for path in ("cac:PaymentMeans", "cac:PaymentTerms"):
        for element in ubl.all_of(reading.root, path):
            if due := reading.date(element, "cbc:PaymentDueDate"):
                return due
    return ""


def _tax(reading: ubl.Reading, currency: str) -> str:
    """The one tax total in the document's currency; left out where there are several (no sum is made up)."""
    found = [
        values.decimal_text(amount.text or "", "TaxAmount")
        for amount in ubl.all_of(reading.root, "cac:TaxTotal/cbc:TaxAmount")
        if amount.get("currencyID", currency) == currency
    ]
    if len(found) > 1:
        reading.notes.append(f"{len(found)} tax totals in {shown(currency)}: tax left out")
    return found[0] if len(found) == 1 else ""
