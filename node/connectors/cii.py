"""UN/CEFACT Cross Industry Invoice (D16B and D22B; EN 16931, Factur-X, ZUGFeRD 2) → one "invoice" or "credit_note".

Element names after the CII schema, business terms (BT) after EN 16931-1. The rules are those of the UBL invoice, so
that one bill written in either syntax gives one record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lxml import etree

from node.connectors import bill_types, coded_dates, values
from node.connectors.draft import Link, Party, RecordDraft, identifier, sorted_links
from node.connectors.errors import ConnectorError, shown
from node.connectors.markup import Markup, attribute, content, scoped
from node.connectors.reading import Reading, choose_party, one_currency
from node.connectors.ubl import DOCUMENT_TYPES

ROOT: Final = "CrossIndustryInvoice"
NAMESPACE: Final = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
_UNCEFACT: Final = "urn:un:unece:uncefact:data:standard:"
_XML: Final = Markup(
    {
        "rsm": NAMESPACE,
        "ram": _UNCEFACT + "ReusableAggregateBusinessInformationEntity:100",
        "udt": _UNCEFACT + "UnqualifiedDataType:100",
        "qdt": _UNCEFACT + "QualifiedDataType:100",
    }
)
_TRADE: Final = "rsm:SupplyChainTradeTransaction"
_AGREEMENT: Final = f"{_TRADE}/ram:ApplicableHeaderTradeAgreement"
_DELIVERY: Final = f"{_TRADE}/ram:ApplicableHeaderTradeDelivery"
_SETTLEMENT: Final = f"{_TRADE}/ram:ApplicableHeaderTradeSettlement"
_TOTALS: Final = f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementHeaderMonetarySummation"
_LINES: Final = f"{_TRADE}/ram:IncludedSupplyChainTradeLineItem"
_LINE_NUMBER: Final = "ram:AssociatedDocumentLineDocument/ram:LineID"
_LINE_ORDER: Final = "ram:SpecifiedLineTradeAgreement/ram:BuyerOrderReferencedDocument"
_PRICE: Final = "ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice"
_QUANTITY: Final = "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity"
_LINE_AMOUNT: Final = (
    "ram:SpecifiedLineTradeSettlement/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"
)
_NO_LINE: Final = frozenset({"GROUP", "INFORMATION"})
"""Line status reasons of Factur-X EXTENDED: a heading over other lines, a remark; neither is a line of its own."""


def matches(root: etree._Element) -> bool:
    """Whether a document is a Cross Industry Invoice."""
    name = etree.QName(root)
    return (name.namespace, name.localname) == (NAMESPACE, ROOT)


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of a CrossIndustryInvoice. Raises ConnectorError."""
    reading = Reading()
    document = _XML.needed(root, "rsm:ExchangedDocument")
    _XML.needed(root, _TRADE)
    type_code = _XML.text(document, "ram:TypeCode")
    kind = bill_types.kind_of(type_code, "ExchangedDocument/TypeCode")
    seller = _party(reading, root, f"{_AGREEMENT}/ram:SellerTradeParty", "seller (SellerTradeParty)")
    buyer = _party(reading, root, f"{_AGREEMENT}/ram:BuyerTradeParty", "buyer (BuyerTradeParty)")
    issued = reading.issue_date(_date(reading, document, "ram:IssueDateTime"), "IssueDateTime")
    currency = _currency(root)
    reading.put("due_date", _due_date(reading, root))
    reading.put("type_code", type_code)
    reading.put("currency", currency)
    reading.put("total_excl_tax", _XML.decimal(root, f"{_TOTALS}/ram:TaxBasisTotalAmount"))
    reading.put("tax", _tax(reading, root, currency))
    reading.put("total", _XML.decimal(root, f"{_TOTALS}/ram:DuePayableAmount"))
    reading.put("buyer_name", buyer.name)
    reading.put("seller_name", seller.name)
    _put_private(reading, root)
    reading.put_lines([_line(reading, line) for line in _XML.all_of(root, _LINES) if _is_line(reading, line)])
    return [
        RecordDraft(
            kind=kind,
            issuer=seller.id,
            number=identifier(_XML.text(document, "ram:ID"), "the document's number (ExchangedDocument/ID)"),
            enterprise=seller,
            counterparty=buyer,
            occurred_at=issued,
            links=_links(root, buyer.id, seller.id),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]


def _party(reading: Reading, root: etree._Element, path: str, what: str) -> Party:
    """Legal organisation → global identifier → tax number (VAT, then others) → somebody's own number → name."""
    element = _XML.one(root, path)
    if element is None:
        raise ConnectorError("MISSING", f"the {what} is missing", "ask the sender for a document that names it")
    taxes = _XML.all_of(element, "ram:SpecifiedTaxRegistration/ram:ID")
    organisation = "ram:SpecifiedLegalOrganization"
    own = _XML.all_of(element, "ram:ID")
    party = choose_party(
        legal=[scoped(found) for found in _XML.all_of(element, f"{organisation}/ram:ID")],
        with_scheme=[
            *(scoped(found) for found in _XML.all_of(element, "ram:GlobalID")),
            *(scoped(found) for found in own if found.get("schemeID")),
        ],
        # "VA" and "FC" say what the number is, not who gave it: it stands bare, as in UBL.
        tax=[content(found) for found in sorted(taxes, key=lambda found: found.get("schemeID") != "VA")],
        bare=[content(found) for found in own if not found.get("schemeID")],
        name=_XML.text(element, f"{organisation}/ram:TradingBusinessName") or _XML.text(element, "ram:Name"),
        what=what,
    )
    return reading.check_identifier(party)


def _date(reading: Reading, element: etree._Element, path: str) -> str:
    """The date inside a DateTime element: a coded string, or xsd:dateTime; "" where there is none."""
    holder = _XML.one(element, path)
    if holder is None:
        return ""
    label = path.rpartition(":")[2]
    for name in ("udt:DateTimeString", "qdt:DateTimeString"):
        coded = _XML.one(holder, name)
        if coded is not None and (value := content(coded)):
            found = coded_dates.read(value, attribute(coded, "format") or "102", label)
            if found.note:
                reading.notes.append(found.note)
            return found.text
    plain = _XML.text(holder, "udt:DateTime")
    return values.json_moment(plain, label).text if plain else ""


def _due_date(reading: Reading, root: etree._Element) -> str:
    """The due date of the first payment terms that have one."""
    for terms in _XML.all_of(root, f"{_SETTLEMENT}/ram:SpecifiedTradePaymentTerms"):
        if due := _date(reading, terms, "ram:DueDateDateTime"):
            return due
    return ""


def _currency(root: etree._Element) -> str:
    """InvoiceCurrencyCode, else the currencyID of the amounts that are read; two of them are refused."""
    amounts = (
        f"{_TOTALS}/ram:DuePayableAmount",
        f"{_TOTALS}/ram:TaxBasisTotalAmount",
        f"{_LINES}/{_PRICE}/ram:ChargeAmount",
        f"{_LINES}/{_LINE_AMOUNT}",
    )
    stated = _XML.text(root, f"{_SETTLEMENT}/ram:InvoiceCurrencyCode")
    carried = [attribute(found, "currencyID") for path in amounts for found in _XML.all_of(root, path)]
    accounting = _XML.text(root, f"{_SETTLEMENT}/ram:TaxCurrencyCode")
    taxes = [attribute(found, "currencyID") for found in _XML.all_of(root, f"{_TOTALS}/ram:TaxTotalAmount")]
    # EN 16931 BT-111: the tax once more in the currency of the seller's accounts is no second currency of the bill.
    return one_currency([stated, *carried, *(found for found in taxes if found != accounting or found == stated)])


def _tax(reading: Reading, root: etree._Element, currency: str) -> str:
    """The one tax total in the document's currency; left out where there are several (no sum is made up)."""
    found = [
        values.decimal_text(text, "TaxTotalAmount")
        for amount in _XML.all_of(root, f"{_TOTALS}/ram:TaxTotalAmount")
        if (attribute(amount, "currencyID") or currency) == currency and (text := content(amount))
    ]
    if len(found) > 1:
        reading.notes.append(f"{len(found)} tax totals in {shown(currency)}: tax left out")
    return found[0] if len(found) == 1 else ""


def _account(root: etree._Element) -> str:
    holder = f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementPaymentMeans/ram:PayeePartyCreditorFinancialAccount"
    return _XML.first_text(root, f"{holder}/ram:IBANID") or _XML.first_text(root, f"{holder}/ram:ProprietaryID")


def _put_private(reading: Reading, root: etree._Element) -> None:
    """How it is to be paid, and whom to speak to: what every template seals. The same text as out of a UBL bill."""
    means = f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementPaymentMeans"
    terms = f"{_SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:Description"
    reading.put("payment_terms", _XML.first_text(root, terms))
    reading.put("payment_reference", _XML.first_text(root, f"{_SETTLEMENT}/ram:PaymentReference"))
    reading.put("payee_account", _account(root))
    bank = f"{means}/ram:PayeeSpecifiedCreditorFinancialInstitution/ram:BICID"
    reading.put("payee_bank", _XML.first_text(root, bank))
    for role in ("buyer", "seller"):
        party = f"{_AGREEMENT}/ram:{role.capitalize()}TradeParty"
        contact = f"{party}/ram:DefinedTradeContact/ram:"
        numbers = ("TelephoneUniversalCommunication/ram:CompleteNumber", "EmailURIUniversalCommunication/ram:URIID")
        reading.put(f"{role}_contact", _joined(root, contact, ("PersonName", *numbers)))
        lines = ("LineOne", "LineTwo", "PostcodeCode", "CityName", "CountrySubDivisionName", "LineThree", "CountryID")
        reading.put(f"{role}_address", _joined(root, f"{party}/ram:PostalTradeAddress/ram:", lines))


def _joined(root: etree._Element, path: str, parts: Sequence[str]) -> str:
    return ", ".join(filter(None, (_XML.first_text(root, path + part) for part in parts)))


def _is_line(reading: Reading, element: etree._Element) -> bool:
    reason = _XML.text(element, "ram:AssociatedDocumentLineDocument/ram:LineStatusReasonCode")
    if reason in _NO_LINE:
        reading.notes.append(f"line {shown(_XML.text(element, _LINE_NUMBER))} is a {reason} line: left out")
    return reason not in _NO_LINE


def _line(reading: Reading, element: etree._Element) -> list[str]:
    """[line_id, item_id, quantity, unit, price, amount]; line_id is the order's line where one is referred to."""
    own = _XML.text(element, _LINE_NUMBER)
    quantity = _XML.one(element, _QUANTITY)
    unit = attribute(quantity, "unitCode")
    price = _XML.decimal(element, f"{_PRICE}/ram:ChargeAmount")
    base = _XML.decimal(element, f"{_PRICE}/ram:BasisQuantity")
    base_unit = attribute(_XML.one(element, f"{_PRICE}/ram:BasisQuantity"), "unitCode")
    return [
        identifier(_XML.text(element, f"{_LINE_ORDER}/ram:LineID") or own, "a line's number (LineID)"),
        _item(element),
        _XML.decimal(element, _QUANTITY),
        unit,
        reading.unit_price(own, price, base, base_unit, unit),
        _XML.decimal(element, _LINE_AMOUNT),
    ]


def _item(element: etree._Element) -> str:
    """Seller's number → global number with its scheme → buyer's number; "" where the product has none."""
    product = _XML.one(element, "ram:SpecifiedTradeProduct")
    if product is None:
        return ""
    for path in ("ram:SellerAssignedID", "ram:GlobalID", "ram:BuyerAssignedID"):
        if found := scoped(_XML.first(product, path)):
            return identifier(found, "an item's number")
    return ""


def _links(root: etree._Element, buyer: str, seller: str) -> tuple[Link, ...]:
    issuers = {"contract": buyer, "order": buyer, "receipt": buyer, "despatch": seller, "invoice": seller}
    links: list[Link] = []
    for path, relation in (
        (f"{_AGREEMENT}/ram:BuyerOrderReferencedDocument", "order"),
        (f"{_AGREEMENT}/ram:ContractReferencedDocument", "contract"),
        (f"{_DELIVERY}/ram:DespatchAdviceReferencedDocument", "despatch"),
        (f"{_DELIVERY}/ram:ReceivingAdviceReferencedDocument", "receipt"),
        (f"{_SETTLEMENT}/ram:InvoiceReferencedDocument", "invoice"),
        (f"{_LINES}/{_LINE_ORDER}", "order"),
        (f"{_LINES}/ram:SpecifiedLineTradeAgreement/ram:ContractReferencedDocument", "contract"),
        (f"{_LINES}/ram:SpecifiedLineTradeDelivery/ram:DespatchAdviceReferencedDocument", "despatch"),
        (f"{_LINES}/ram:SpecifiedLineTradeDelivery/ram:ReceivingAdviceReferencedDocument", "receipt"),
        (f"{_LINES}/ram:SpecifiedLineTradeSettlement/ram:InvoiceReferencedDocument", "invoice"),
    ):
        numbers = _XML.texts(root, f"{path}/ram:IssuerAssignedID")
        links += [(relation, issuers[relation], identifier(number, "a reference")) for number in numbers]
    for reference in _XML.all_of(root, f"{_AGREEMENT}/ram:AdditionalReferencedDocument"):
        typed = DOCUMENT_TYPES.get(_XML.text(reference, "ram:TypeCode"))
        number = _XML.text(reference, "ram:IssuerAssignedID")
        if typed and number:
            links.append((typed, issuers[typed], identifier(number, "a reference")))
    return sorted_links(links)
