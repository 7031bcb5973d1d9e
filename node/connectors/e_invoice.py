"""China's fully digital e-invoice (数电票) as XML: EInvoice → one "invoice", or "credit_note" for a red one.

The layout is the tax administration's delivery format: Header, EInvoiceData and TaxSupervisionInfo, no namespace. It
names no currency, so none is filled.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from node.connectors import fapiao
from node.connectors.draft import RecordDraft
from node.connectors.markup import Markup
from node.connectors.reading import Reading

ROOT: Final = "EInvoice"
_XML: Final = Markup({})
_SELLER: Final = "EInvoiceData/SellerInformation"
_BUYER: Final = "EInvoiceData/BuyerInformation"
_TOTALS: Final = "EInvoiceData/BasicInformation"
_LINES: Final = "EInvoiceData/IssuItemInformation"
_OFFICE: Final = "TaxSupervisionInfo"


def matches(root: etree._Element) -> bool:
    """Whether a document is a fully digital e-invoice."""
    return root.tag == ROOT


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of an EInvoice. Raises ConnectorError."""
    reading = Reading()
    _XML.needed(root, "EInvoiceData")
    seller = fapiao.taxpayer(
        reading, _XML.text(root, f"{_SELLER}/SellerIdNum"), _XML.text(root, f"{_SELLER}/SellerName"), "seller"
    )
    buyer = fapiao.taxpayer(
        reading, _XML.text(root, f"{_BUYER}/BuyerIdNum"), _XML.text(root, f"{_BUYER}/BuyerName"), "buyer"
    )
    issue_time = f"{_OFFICE}/IssueTime"
    issued = reading.issue_date(fapiao.day(_XML.text(root, issue_time), issue_time), issue_time)
    reading.put("type_code", _XML.text(root, "Header/InherentLabel/EInvoiceType/LabelCode"))
    for name, path in (
        ("total_excl_tax", f"{_TOTALS}/TotalAmWithoutTax"),
        ("tax", f"{_TOTALS}/TotalTaxAm"),
        ("total", f"{_TOTALS}/TotalTax-includedAmount"),
    ):
        reading.put(name, fapiao.figure(reading, _XML.text(root, path), path))
    reading.put("buyer_name", buyer.name)
    reading.put("seller_name", seller.name)
    reading.put("payee_account", _XML.text(root, f"{_SELLER}/SellerBankAccNum"))
    reading.put_lines(fapiao.rows([_line(reading, line) for line in _XML.all_of(root, _LINES)]))
    number = _XML.text(root, f"{_OFFICE}/InvoiceNumber") or _XML.text(root, "Header/EIid")
    remark = " ".join(_XML.texts(root, "EInvoiceData/AdditionalInformation/Remark"))
    label = _XML.text(root, "Header/InherentLabel/InIssuType/LabelCode")
    return [fapiao.bill(reading, number, issued, seller, buyer, remark=remark, label=label)]


def _line(reading: Reading, element: etree._Element) -> list[str]:
    """The lines have no numbers, and goods have names only: line_id and item_id stay empty."""
    return [
        "",
        "",
        fapiao.figure(reading, _XML.text(element, "Quantity"), "Quantity"),
        _XML.text(element, "MeaUnits"),
        fapiao.figure(reading, _XML.text(element, "UnPrice"), "UnPrice"),
        fapiao.figure(reading, _XML.text(element, "Amount"), "Amount"),
    ]
