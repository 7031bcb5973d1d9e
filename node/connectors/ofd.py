"""OFD (GB/T 33190), the page format of Chinese e-invoices → one "invoice", or "credit_note" for a red one.

An OFD is a ZIP archive of pages and seals. The figures are read from the invoice's own XML, which the archive has
as an attachment, never from the drawn pages. The seals are not verified: what is taken in is the document, as it is.
"""

from __future__ import annotations

import posixpath
from typing import Final

from lxml import etree

from node.connectors import e_invoice, fapiao, strict_xml
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError, shown
from node.connectors.markup import Markup
from node.connectors.reading import Reading
from node.connectors.strict_zip import Archive

NAMESPACE: Final = "http://www.edrm.org.cn/schema/e-invoice/2019"
ROOT: Final = "eInvoice"
ENTRY: Final = "OFD.xml"
"""What makes a ZIP archive an OFD (GB/T 33190, 7.2)."""
ATTACHMENT: Final = "original_invoice.xml"

_XML: Final = Markup({"fp": NAMESPACE})
_GOODS: Final = "fp:GoodsInfos/fp:GoodsInfo"


def matches(archive: Archive) -> bool:
    """Whether an archive is an OFD."""
    return ENTRY in archive.names


def read_archive(archive: Archive) -> list[RecordDraft]:
    """The draft of the invoice in an OFD. Raises ConnectorError."""
    found = [
        name
        for name in archive.names
        if posixpath.basename(name) == ATTACHMENT and posixpath.basename(posixpath.dirname(name)) == "Attachs"
    ]
    if len(found) != 1:
        raise ConnectorError(
            "MISSING" if not found else "BAD_VALUE",
            f"the OFD has {len(found)} attachments Attachs/{ATTACHMENT}",
            "take in the invoice's XML, or the OFD as the tax office delivered it",
        )
    return read(strict_xml.parse(archive.read(found[0], strict_xml.MAX_BYTES)))


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of an original_invoice.xml: eInvoice (2019), or EInvoice in newer files. Raises ConnectorError."""
    name = etree.QName(root).localname
    if name == e_invoice.ROOT:
        return e_invoice.read(root)
    if name != ROOT:
        raise ConnectorError("NOT_SUPPORTED", f"the attachment is {shown(name)}, no {ROOT}", "take in its XML")
    reading = Reading()
    seller = fapiao.taxpayer(
        reading, _XML.text(root, "fp:Seller/fp:SellerTaxID"), _XML.text(root, "fp:Seller/fp:SellerName"), "seller"
    )
    buyer = fapiao.taxpayer(
        reading, _XML.text(root, "fp:Buyer/fp:BuyerTaxID"), _XML.text(root, "fp:Buyer/fp:BuyerName"), "buyer"
    )
    issued = reading.issue_date(fapiao.day(_XML.text(root, "fp:IssueDate"), "fp:IssueDate"), "fp:IssueDate")
    reading.put("type_code", _XML.text(root, "fp:TypeCode"))
    for field, path in (
        ("total_excl_tax", "fp:TaxExclusiveTotalAmount"),
        ("tax", "fp:TaxTotalAmount"),
        ("total", "fp:TaxInclusiveTotalAmount"),
    ):
        reading.put(field, fapiao.figure(reading, _XML.text(root, path), path))
    reading.put("buyer_name", buyer.name)
    reading.put("seller_name", seller.name)
    reading.put("payee_account", _XML.text(root, "fp:Seller/fp:SellerFinancialAccount"))
    reading.put("check_code", _XML.text(root, "fp:InvoiceCheckCode"))
    reading.put_lines(fapiao.rows([_line(reading, line) for line in _XML.all_of(root, _GOODS)]))
    number = fapiao.joined(_XML.text(root, "fp:InvoiceCode"), _XML.text(root, "fp:InvoiceNo"))
    return [fapiao.bill(reading, number, issued, seller, buyer, remark=_XML.text(root, "fp:Note"))]


def _line(reading: Reading, element: etree._Element) -> list[str]:
    """The lines have no numbers, and goods have names only: line_id and item_id stay empty."""
    return [
        "",
        "",
        fapiao.figure(reading, _XML.text(element, "fp:Quantity"), "fp:Quantity"),
        _XML.text(element, "fp:MeasurementDimension"),
        fapiao.figure(reading, _XML.text(element, "fp:Price"), "fp:Price"),
        fapiao.figure(reading, _XML.text(element, "fp:Amount"), "fp:Amount"),
    ]
