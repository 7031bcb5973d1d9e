"""UBL 2.0/2.1 OrderResponse and OrderResponseSimple → one "order_response" record, issued by the seller."""

from __future__ import annotations

from typing import Final

from lxml import etree

from node.connectors import ubl
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError, shown

_TOTAL: Final = "cac:LegalMonetaryTotal/cbc:PayableAmount"
_LINE: Final = "cac:OrderLine/cac:LineItem"
_BOOLEAN: Final = {"true": "true", "1": "true", "false": "false", "0": "false"}


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of an OrderResponse or an OrderResponseSimple. Only the simple one says accepted or not."""
    reading = ubl.Reading(root)
    seller = ubl.party(root, ["cac:SellerSupplierParty"], "seller")
    buyer = ubl.party(root, ["cac:BuyerCustomerParty"], "buyer")
    issued = reading.issue_date()
    amounts = (_TOTAL, f"{_LINE}/cbc:LineExtensionAmount", f"{_LINE}/cac:Price/cbc:PriceAmount")
    reading.put("response_code", ubl.text(root, "cbc:OrderResponseCode"))
    reading.put("accepted", _accepted(root))
    reading.put("currency", ubl.currency(root, amounts))
    reading.put("total", ubl.decimal(root, _TOTAL))
    reading.put("reason", ubl.first_text(root, "cbc:RejectionNote"))
    reading.put_lines(
        [ubl.line(reading, item, "cbc:Quantity", "cbc:LineExtensionAmount") for item in ubl.all_of(root, _LINE)]
    )
    return [
        RecordDraft(
            kind="order_response",
            issuer=seller.id,
            number=reading.number(),
            enterprise=seller,
            counterparty=buyer,
            occurred_at=issued,
            links=ubl.trade_links(root, _LINE, buyer.id, seller.id),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]


def _accepted(root: etree._Element) -> str:
    """cbc:AcceptedIndicator (xsd:boolean) as "true" or "false"; "" where the document has none."""
    text = ubl.text(root, "cbc:AcceptedIndicator")
    if text and text not in _BOOLEAN:
        raise ConnectorError("BAD_VALUE", f"AcceptedIndicator is {shown(text)}", "write true or false")
    return _BOOLEAN.get(text, "")
