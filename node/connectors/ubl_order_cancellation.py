"""UBL 2.0/2.1 OrderCancellation → one "order_cancellation" record, issued by the buyer."""

from __future__ import annotations

from lxml import etree

from node.connectors import ubl
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of an OrderCancellation. Raises ConnectorError, also where it names no order to cancel."""
    reading = ubl.Reading(root)
    buyer = ubl.party(root, ["cac:BuyerCustomerParty"], "buyer")
    seller = ubl.party(root, ["cac:SellerSupplierParty"], "seller")
    issued = reading.issue_date()
    reading.put("reason", ubl.first_text(root, "cbc:CancellationNote"))
    links = ubl.trade_links(root, "cac:OrderLine", buyer.id, seller.id)
    if not any(relation == "order" for relation, _, _ in links):
        raise ConnectorError("MISSING", "cac:OrderReference is missing", "ask the sender which order it cancels")
    return [
        RecordDraft(
            kind="order_cancellation",
            issuer=buyer.id,
            number=reading.number(),
            enterprise=seller,
            counterparty=buyer,
            occurred_at=issued,
            links=links,
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]
