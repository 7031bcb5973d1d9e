"""UBL 2.1 TendererQualification → a "qualification" record for each main qualifying party, issued by that party."""

from __future__ import annotations

from lxml import etree

from node.connectors import ubl, values
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError

_QUALIFYING = "cac:TendererPartyQualification/cac:MainQualifyingParty"
_LEGAL = "cac:Party/cac:PartyLegalEntity"


def read(root: etree._Element) -> list[RecordDraft]:
    """The drafts of a TendererQualification. Raises ConnectorError."""
    qualifying = ubl.all_of(root, _QUALIFYING)
    if not qualifying:
        raise ConnectorError("MISSING", "no MainQualifyingParty in it", "ask the sender whose qualification it is")
    drafts = [_read_one(root, element) for element in qualifying]
    if len({draft.issuer for draft in drafts}) != len(drafts):
        raise ConnectorError("BAD_VALUE", "it names one enterprise twice", "keep one MainQualifyingParty of each")
    return drafts


def _read_one(root: etree._Element, qualifying: etree._Element) -> RecordDraft:
    reading = ubl.Reading(root)
    enterprise = ubl.party(qualifying, ["cac:Party"], "qualifying party")
    assessor = ubl.optional_party(root, ["cac:ContractingParty"], "contracting party")
    issued = reading.date(root, "cbc:IssueDate", "cbc:IssueTime")
    if not issued:
        raise ConnectorError("MISSING", "cbc:IssueDate is missing", "ask the sender for a dated document")
    values.not_before_1970(issued, "cbc:IssueDate")
    reading.put("registered_name", ubl.first_text(qualifying, f"{_LEGAL}/cbc:RegistrationName"))
    reading.put("registration_number", ubl.first_text(qualifying, f"{_LEGAL}/cbc:CompanyID"))
    reading.put("country", _first_of(qualifying, _COUNTRY))
    reading.put("industry", _first_of(qualifying, _INDUSTRY))
    reading.put("legal_form", _first_of(qualifying, _LEGAL_FORM))
    entity = ubl.first(qualifying, _LEGAL)
    if entity is not None:
        reading.put("established_on", reading.date(entity, "cbc:RegistrationDate"))
        reading.put("valid_until", reading.date(entity, "cbc:RegistrationExpirationDate"))
        reading.put("capital", ubl.decimal(entity, "cbc:CorporateStockAmount"))
    ubl.put_private(reading, "enterprise", ["cac:Party"], within=qualifying)
    reading.put("employees", ubl.decimal(qualifying, "cbc:EmployeeQuantity"))
    return RecordDraft(
        kind="qualification",
        issuer=enterprise.id,
        number=reading.number(),
        enterprise=enterprise,
        counterparty=assessor,
        occurred_at=issued,
        links=(),
        fields=reading.fields,
        notes=tuple(reading.notes),
    )


_COUNTRY = (
    f"{_LEGAL}/cac:RegistrationAddress/cac:Country/cbc:IdentificationCode",
    f"{_LEGAL}/cac:CorporateRegistrationScheme/cac:JurisdictionRegionAddress/cac:Country/cbc:IdentificationCode",
    "cac:Party/cac:PostalAddress/cac:Country/cbc:IdentificationCode",
)
_INDUSTRY = (
    "cac:Party/cbc:IndustryClassificationCode",
    "cac:BusinessClassificationScheme/cac:ClassificationCategory/cbc:CodeValue",
)
_LEGAL_FORM = (f"{_LEGAL}/cbc:CompanyLegalForm", f"{_LEGAL}/cbc:CompanyLegalFormCode")


def _first_of(element: etree._Element, paths: tuple[str, ...]) -> str:
    return next((found for path in paths if (found := ubl.first_text(element, path))), "")
