"""UBL 2.0/2.1 RemittanceAdvice → one "remittance" record, issued by the payer: which bills a payment is for."""

from __future__ import annotations

from typing import Final

from lxml import etree

from node.connectors import ubl, values
from node.connectors.draft import Link, RecordDraft, identifier, sorted_links
from node.connectors.errors import shown

_LINE: Final = "cac:RemittanceAdviceLine"
_BILL: Final = "cac:BillingReference/cac:InvoiceDocumentReference"
_CREDIT: Final = "cac:BillingReference/cac:CreditNoteDocumentReference"


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of a RemittanceAdvice. The accounting customer pays, the accounting supplier is the enterprise."""
    reading = ubl.Reading(root)
    payer = ubl.party(root, ["cac:AccountingCustomerParty"], "payer (AccountingCustomerParty)")
    payee = ubl.party(root, ["cac:AccountingSupplierParty", "cac:PayeeParty"], "payee (AccountingSupplierParty)")
    issued = reading.issue_date()
    amounts = (
        "cbc:TotalPaymentAmount",
        "cbc:TotalDebitAmount",
        f"{_LINE}/cbc:DebitLineAmount",
        f"{_LINE}/cbc:CreditLineAmount",
    )
    reading.put("currency", ubl.currency(root, amounts))
    reading.put("total", ubl.decimal(root, "cbc:TotalPaymentAmount"))
    reading.put("payer_name", payer.name)
    reading.put("payee_name", payee.name)
    for role in ("payer", "payee"):
        path = f"cac:PaymentMeans/cac:{role.capitalize()}FinancialAccount/cbc:ID"
        reading.put(f"{role}_account", ubl.first_text(root, path))
    reading.put("payment_reference", ubl.first_text(root, "cac:PaymentMeans/cbc:PaymentID"))
    reading.put_lines([_line(reading, line) for line in ubl.all_of(root, _LINE)])
    links: list[Link] = []
    for path, relation in ((_BILL, "invoice"), (_CREDIT, "credit_note")):
        links += ubl.references(root, path, relation, payee.id)
        links += ubl.references(root, f"{_LINE}/{path}", relation, payee.id)
    return [
        RecordDraft(
            kind="remittance",
            issuer=payer.id,
            number=reading.number(),
            enterprise=payee,
            counterparty=payer,
            occurred_at=issued,
            links=sorted_links(links),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]


def _line(reading: ubl.Reading, element: etree._Element) -> list[str]:
    """[line_id, number of the bill, "", "", "", amount]: what is debited for it, less what is credited."""
    own = identifier(ubl.text(element, "cbc:ID"), "a line's number (cbc:ID)")
    bills = [ubl.text(found, "cbc:ID") for path in (_BILL, _CREDIT) for found in ubl.all_of(element, path)]
    if len(bills) > 1:
        reading.notes.append(f"line {shown(own)}: {len(bills)} bills: which amount is whose cannot be told")
    debit = ubl.decimal(element, "cbc:DebitLineAmount")
    credit = ubl.decimal(element, "cbc:CreditLineAmount")
    if debit and credit and not values.is_zero(credit):
        reading.notes.append(f"line {shown(own)}: {debit} debited less {credit} credited")
        debit = values.difference(debit, credit)
    elif credit and not debit:
        debit = values.difference("0", credit)
    return [own, bills[0] if len(bills) == 1 else "", "", "", "", debit]
