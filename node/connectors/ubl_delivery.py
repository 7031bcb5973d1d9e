"""UBL 2.0/2.1 DespatchAdvice → one "despatch" record of the seller; ReceiptAdvice → one "receipt" of the buyer.

Goods often go to a third place: where a document names buyer and seller beside the delivery's parties, these
are the parties of the record.
"""

from __future__ import annotations

from lxml import etree

from node.connectors import ubl, values
from node.connectors.draft import RecordDraft
from node.connectors.errors import shown

_BUYER = ["cac:BuyerCustomerParty", "cac:DeliveryCustomerParty"]
_SELLER = ["cac:SellerSupplierParty", "cac:DespatchSupplierParty"]
_DELIVERY = "cac:Shipment/cac:Delivery"


def read_despatch(root: etree._Element) -> list[RecordDraft]:
    """The draft of a DespatchAdvice. It occurred at the actual despatch, where the file tells, else when issued."""
    reading = ubl.Reading(root)
    buyer = ubl.party(root, _BUYER, "buyer or delivery customer")
    seller = ubl.party(root, _SELLER, "seller or despatch supplier")
    issued = reading.issue_date()
    sent = reading.date(
        root,
        f"{_DELIVERY}/cac:Despatch/cbc:ActualDespatchDate",
        f"{_DELIVERY}/cac:Despatch/cbc:ActualDespatchTime",
    )
    reading.put("delivery_date", _expected(reading))
    reading.put("carrier", _carrier(root))
    _put_private(reading)
    reading.put_lines(
        [ubl.line(reading, line, "cbc:DeliveredQuantity", None) for line in ubl.all_of(root, "cac:DespatchLine")]
    )
    return [
        RecordDraft(
            kind="despatch",
            issuer=seller.id,
            number=reading.number(),
            enterprise=seller,
            counterparty=buyer,
            occurred_at=sent or issued,
            links=ubl.trade_links(root, "cac:DespatchLine", buyer.id, seller.id),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]


def read_receipt(root: etree._Element) -> list[RecordDraft]:
    """The draft of a ReceiptAdvice. It occurred when the goods came, where the file tells, else when issued."""
    reading = ubl.Reading(root)
    buyer = ubl.party(root, _BUYER, "buyer or delivery customer")
    seller = ubl.party(root, _SELLER, "seller or despatch supplier")
    issued = reading.issue_date()
    received = _received(reading)
    reading.put("received_date", received)
    _put_private(reading)
    reading.put_lines([_receipt_line(reading, line) for line in ubl.all_of(root, "cac:ReceiptLine")])
    return [
        RecordDraft(
            kind="receipt",
            issuer=buyer.id,
            number=reading.number(),
            enterprise=seller,
            counterparty=buyer,
            occurred_at=received or issued,
            links=ubl.trade_links(root, "cac:ReceiptLine", buyer.id, seller.id),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]


def _put_private(reading: ubl.Reading) -> None:
    ubl.put_private(reading, "buyer", _BUYER)
    ubl.put_private(reading, "seller", _SELLER)
    reading.put("delivery_address", ubl.address(ubl.first(reading.root, f"{_DELIVERY}/cac:DeliveryAddress")))


def _expected(reading: ubl.Reading) -> str:
    """When the goods arrived or should arrive: actual, then estimated, promised, requested."""
    return reading.first_date(
        reading.root,
        [
            (f"{_DELIVERY}/cbc:ActualDeliveryDate", f"{_DELIVERY}/cbc:ActualDeliveryTime"),
            *(
                (f"{_DELIVERY}/cac:{period}/cbc:EndDate", f"{_DELIVERY}/cac:{period}/cbc:EndTime")
                for period in ("EstimatedDeliveryPeriod", "PromisedDeliveryPeriod", "RequestedDeliveryPeriod")
            ),
        ],
    )


def _received(reading: ubl.Reading) -> str:
    """The delivery's actual date and time, else the latest date that a line was received on."""
    actual = reading.date(reading.root, f"{_DELIVERY}/cbc:ActualDeliveryDate", f"{_DELIVERY}/cbc:ActualDeliveryTime")
    lines = ubl.all_of(reading.root, "cac:ReceiptLine")
    return actual or max((reading.date(line, "cbc:ReceivedDate") for line in lines), default="")


def _receipt_line(reading: ubl.Reading, element: etree._Element) -> list[str]:
    """The quantity accepted: received less rejected, so that no one invoices what went back."""
    row = ubl.line(reading, element, "cbc:ReceivedQuantity", None)
    rejected = ubl.decimal(element, "cbc:RejectedQuantity")
    if row[2] and rejected and not values.is_zero(rejected):
        reading.notes.append(f"line {shown(row[0])}: {row[2]} received, {rejected} of them rejected")
        row[2] = values.difference(row[2], rejected)
    return row


def _carrier(root: etree._Element) -> str:
    paths = (
        f"{_DELIVERY}/cac:CarrierParty",
        f"{_DELIVERY}/cac:Despatch/cac:CarrierParty",
        "cac:Shipment/cac:ShipmentStage/cac:CarrierParty",
        "cac:Shipment/cac:Consignment/cac:CarrierParty",
    )
    for path in paths:
        found = ubl.first(root, path)
        if found is not None and (name := ubl.party_name(found)):
            return name
    return ""
