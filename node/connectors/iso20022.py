"""ISO 20022 undertakings (tsrv.001 to 003) → one "guarantee" record, issued by the guarantor.

tsrv.001 UndertakingIssuance is the guarantee itself; tsrv.002 (advice, through the advising bank) and tsrv.003
(notification to the applicant) carry it inside. Element names follow the message definitions of iso20022.org. Other
messages of the family change, demand or end an undertaking that exists: they are no guarantee, and refused by name.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from node.connectors import values
from node.connectors.draft import Link, Party, RecordDraft, identifier, sorted_links
from node.connectors.errors import ConnectorError, shown
from node.connectors.markup import Markup, attribute
from node.connectors.reading import Reading, choose_party

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:tsrv."
"""Of every message of trade services management, before its number and version."""

_UNDERTAKING: Final = {
    "001": "t:UdrtkgIssnc/t:UdrtkgIssncDtls",
    "002": "t:UdrtkgIssncAdvc/t:UdrtkgIssncAdvcDtls/t:UdrtkgIssncMsg/t:UdrtkgDtls",
    "003": "t:UdrtkgIssncNtfctn/t:UdrtkgIssncNtfctnDtls/t:UdrtkgIssncMsg/t:UdrtkgDtls",
}
_OTHERS: Final = {
    "004": "an amendment request", "005": "an amendment", "006": "an amendment's advice",
    "007": "an amendment's notification", "008": "an amendment's response", "009": "an amendment's response",
    "010": "a non-extension request", "011": "a non-extension notice", "012": "a termination", "013": "a demand",
    "014": "an extend-or-pay request", "015": "an extend-or-pay response", "016": "a demand's refusal",
    "017": "a demand's withdrawal", "018": "a status report", "019": "a status report",
}  # fmt: skip

_ORGANISATION: Final = "t:Id/t:OrgId/t:Othr"
# ExternalOrganisationIdentification1Code, and LEI, which senders write beside it.
_LEGAL: Final = frozenset({"LEI", "COID", "CINC", "SREN", "SRET"})
_TAX: Final = frozenset({"TXID"})
_SOMEBODYS_OWN: Final = frozenset({"BANK", "CUST", "EMPL"})
# ExternalUnderlyingTradeTransactionType1Code
_UNDERLYING: Final = {"CONT": "contract", "PUOR": "order"}


def matches(root: etree._Element) -> bool:
    """Whether a document is a message of trade services management, an undertaking or not."""
    name = etree.QName(root)
    return name.localname == "Document" and (name.namespace or "").startswith(NAMESPACE)


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of an undertaking: the applicant is the enterprise. Raises ConnectorError."""
    namespace = etree.QName(root).namespace or ""
    message = namespace.removeprefix(NAMESPACE)[:3]
    if message not in _UNDERTAKING:
        what = _OTHERS.get(message, "a message that is not known here")
        raise ConnectorError(
            "NOT_SUPPORTED", f"tsrv.{shown(message, quote=False)} is {what}, no guarantee", "take in tsrv.001 to 003"
        )
    xml = Markup({"t": namespace})
    undertaking = xml.needed(root, _UNDERTAKING[message])
    reading = Reading()
    guarantor = _party(xml, reading, xml.needed(undertaking, "t:Issr"), "issuer (Issr)")
    applicants = xml.all_of(undertaking, "t:Applcnt")
    if len(applicants) != 1:
        raise ConnectorError(
            "MISSING" if not applicants else "BAD_VALUE",
            f"{len(applicants)} applicants (Applcnt): the enterprise is not known",
            "ask the guarantor for an undertaking that names one",
        )
    enterprise = _party(xml, reading, applicants[0], "applicant (Applcnt)")
    beneficiary = _beneficiary(xml, reading, undertaking)
    issued = reading.issue_date(_date(reading, xml.text(undertaking, "t:DtOfIssnc"), "DtOfIssnc"), "DtOfIssnc")
    amount = xml.needed(undertaking, "t:UdrtkgAmt/t:Amt")
    reading.put("amount", _amount(xml.decimal(undertaking, "t:UdrtkgAmt/t:Amt")))
    reading.put("currency", attribute(amount, "Ccy"))
    reading.put("expiry_date", _expiry(xml, reading, undertaking))
    reading.put("guarantor_name", guarantor.name)
    reading.put("beneficiary_name", beneficiary.name)
    reading.put("purpose", xml.text(undertaking, "t:Tp/t:Cd") or xml.text(undertaking, "t:Tp/t:Prtry/t:Id"))
    return [
        RecordDraft(
            kind="guarantee",
            issuer=guarantor.id,
            number=identifier(xml.text(undertaking, "t:Id"), "the undertaking's number (Id)"),
            enterprise=enterprise,
            counterparty=beneficiary,
            occurred_at=issued,
            links=_links(xml, undertaking),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]


def _party(xml: Markup, reading: Reading, element: etree._Element, what: str) -> Party:
    """A register's number → BIC and other schemes → tax number → a number without a scheme → name."""
    legal: list[str] = []
    schemed: list[str] = [f"BIC:{bic}" for bic in xml.texts(element, "t:Id/t:OrgId/t:AnyBIC")]
    tax: list[str] = []
    bare: list[str] = []
    for other in xml.all_of(element, _ORGANISATION):
        number = xml.text(other, "t:Id")
        code = xml.text(other, "t:SchmeNm/t:Cd")
        scheme = code or xml.text(other, "t:SchmeNm/t:Prtry")
        if code in _TAX:
            tax.append(number)
        elif not scheme or not number or code in _SOMEBODYS_OWN:
            bare.append(number)
        else:
            (legal if code in _LEGAL else schemed).append(f"{scheme}:{number}")
    return reading.check_identifier(choose_party(legal, schemed, tax, bare, xml.text(element, "t:Nm"), what))


def _beneficiary(xml: Markup, reading: Reading, undertaking: etree._Element) -> Party:
    found = xml.all_of(undertaking, "t:Bnfcry")
    if not found:
        raise ConnectorError("MISSING", "the beneficiary (Bnfcry) is missing", "ask the guarantor for it")
    if len(found) > 1:
        reading.notes.append(f"{len(found)} beneficiaries: the first is kept")
    return _party(xml, reading, found[0], "beneficiary (Bnfcry)")


def _amount(text: str) -> str:
    """ActiveCurrencyAndAmount is never negative (ISO 20022 data dictionary)."""
    if text.startswith("-"):
        raise ConnectorError("BAD_VALUE", f"Amt is {text}: an undertaking's amount is 0 or more", "ask the guarantor")
    if not text:
        raise ConnectorError("MISSING", "UdrtkgAmt/Amt is empty", "ask the guarantor for the amount")
    return text


def _expiry(xml: Markup, reading: Reading, undertaking: etree._Element) -> str:
    """The expiry date or instant; "" where the undertaking ends by a condition, or is open-ended."""
    terms = xml.one(undertaking, "t:XpryDtls/t:XpryTerms")
    if terms is None:
        return ""
    if date := xml.text(terms, "t:DtTm/t:Dt"):
        return _date(reading, date, "Dt")
    instant = xml.text(terms, "t:DtTm/t:DtTm")
    return values.json_moment(instant, "DtTm").text if instant else ""


def _date(reading: Reading, text: str, what: str) -> str:
    if not text:
        return ""
    moment = values.moment(text, None, what)
    if moment.zone_dropped:
        reading.notes.append(f"{what}: the time zone of {shown(text)} was dropped, the date kept")
    return moment.text


def _links(xml: Markup, undertaking: etree._Element) -> tuple[Link, ...]:
    """The contracts and purchase orders that the undertaking secures; it does not say who numbered them."""
    links: list[Link] = []
    for transaction in xml.all_of(undertaking, "t:UndrlygTx"):
        relation = _UNDERLYING.get(xml.text(transaction, "t:Tp/t:Cd"))
        number = xml.text(transaction, "t:Id")
        if relation and number:
            links.append((relation, "", identifier(number, "a reference")))
    return sorted_links(links)
