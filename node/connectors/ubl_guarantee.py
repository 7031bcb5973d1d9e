"""UBL 2.1 GuaranteeCertificate → one "guarantee" record, issued by the guarantor.

UBL has no element for the guarantor's grade; a consortium writes it as a UBL extension, which validators of
UBL let pass: ``ext:ExtensionContent`` holding ``GuarantorGrade`` in the namespace ``urn:tallystick:ubl:1``.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from node.connectors import ubl
from node.connectors.draft import RecordDraft, sorted_links

EXTENSION: Final = "urn:tallystick:ubl:1"
_GRADE = f"ext:UBLExtensions/ext:UBLExtension/ext:ExtensionContent/{{{EXTENSION}}}GuarantorGrade"


def read(root: etree._Element) -> list[RecordDraft]:
    """The draft of a GuaranteeCertificate: the interested party is the enterprise. Raises ConnectorError."""
    reading = ubl.Reading(root)
    guarantor = ubl.party(root, ["cac:GuarantorParty"], "guarantor")
    enterprise = ubl.party(root, ["cac:InterestedParty"], "interested party (the enterprise)")
    beneficiary = ubl.optional_party(root, ["cac:BeneficiaryParty"], "beneficiary")
    issued = reading.issue_date()
    reading.put("amount", ubl.decimal(root, "cbc:LiabilityAmount"))
    reading.put("currency", ubl.currency(root, ["cbc:LiabilityAmount"]))
    reading.put(
        "expiry_date", reading.date(root, "cac:ApplicablePeriod/cbc:EndDate", "cac:ApplicablePeriod/cbc:EndTime")
    )
    reading.put("grade", ubl.text(root, _GRADE))
    reading.put("guarantor_name", guarantor.name)
    reading.put("beneficiary_name", beneficiary.name if beneficiary else "")
    reading.put("purpose", ubl.first_text(root, "cbc:Purpose"))
    ubl.put_private(reading, "guarantor", ["cac:GuarantorParty"])
    ubl.put_private(reading, "enterprise", ["cac:InterestedParty"])
    ubl.put_private(reading, "beneficiary", ["cac:BeneficiaryParty"])
    links = ubl.typed_references(root, "cac:GuaranteeDocumentReference", {})
    return [
        RecordDraft(
            kind="guarantee",
            issuer=guarantor.id,
            number=reading.number(),
            enterprise=enterprise,
            counterparty=beneficiary,
            occurred_at=issued,
            links=sorted_links(links),
            fields=reading.fields,
            notes=tuple(reading.notes),
        )
    ]
