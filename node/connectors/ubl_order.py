"""UBL 2.0/2.1 Order → one "order" record, issued by the buyer."""

from __future__ import annotations

from lxml import etree

from node.connectors import ubl
from node.connectors.draft import RecordDraft

_TOTAL = "cac:AnticipatedMonetaryTotal/cbc:PayableAmount"
_LINE = "cac:OrderLine/cac:LineItem"


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of an Order. Raises ConnectorError."""
    reading = ubl.Reading(root)
    buyer = ubl.party(root, ["cac:BuyerCustomerParty"], "buyer")
    seller = ubl.party(root, ["cac:SellerSupplierParty"], "seller")
    issued = reading.issue_date()
    amounts = (_TOTAL, f"{_LINE}/cbc:LineExtensionAmount", f"{_LINE}/cac:Price/cbc:PriceAmount")
    reading.put("currency", ubl.currency(root, amounts))
    reading.put("total", ubl.decimal(root, _TOTAL))
    reading.put("delivery_date", _delivery_date(reading))
    reading.put("buyer_name", buyer.name)
    reading.put("seller_name", seller.name)
    ubl.put_payment(reading)
    ubl.put_private(reading, "buyer", ["cac:BuyerCustomerParty"])
    ubl.put_private(reading, "seller", ["cac:SellerSupplierParty"])
    reading.put("delivery_address", _delivery_address(root))
    reading.put_lines(
        [ubl.line(reading, item, "cbc:Quantity", "cbc:LineExtensionAmount") for item in ubl.all_of(root, _LINE)]
    )
    return [
        RecordDraft(
            kind="order",
            issuer=buyer.id,
            number=reading.number(),
            enterprise=seller,
            counterparty=buyer,
            occurred_at=issued,
            links=ubl.trade_links(root, _LINE, buyer.id, seller.id),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]


def _delivery_address(root: etree._Element) -> str:
    paths = ("cac:Delivery/cac:DeliveryLocation/cac:Address", "cac:Delivery/cac:DeliveryAddress")
    return next((found for path in paths if (found := ubl.address(ubl.first(root, path)))), "")


def _delivery_date(reading: ubl.Reading) -> str:
    """The last day on which delivery is asked for."""
    delivery = ubl.first(reading.root, "cac:Delivery")
    if delivery is None:
        return ""
    return reading.first_date(
        delivery,
        [
            ("cbc:LatestDeliveryDate", "cbc:LatestDeliveryTime"),
            ("cac:RequestedDeliveryPeriod/cbc:EndDate", "cac:RequestedDeliveryPeriod/cbc:EndTime"),
            ("cac:PromisedDeliveryPeriod/cbc:EndDate", "cac:PromisedDeliveryPeriod/cbc:EndTime"),
        ],
    )
