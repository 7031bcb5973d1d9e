"""The documents of a case: application for enforcement or statement of claim, computation, evidence list, chronology.

    write_documents(facts: CaseFacts, folder: Path, country: str = "cn") -> tuple[Written, ...]

writes those of the case's route, in each language of the country's forms, as PDF/A; the same facts give the same
bytes. Needs the extra `tallystick[court]` and the fonts that docs/litigation.md names.
"""

from tallystick.litigation.documents import Written, write_documents
from tallystick.litigation.facts import (
    ENFORCEMENT,
    SUIT,
    Agent,
    BankAccount,
    CaseFacts,
    Collateral,
    Deed,
    Disbursement,
    Event,
    Evidence,
    Guarantor,
    LitigationError,
    Loan,
    Party,
)

__all__ = [
    "ENFORCEMENT",
    "SUIT",
    "Agent",
    "BankAccount",
    "CaseFacts",
    "Collateral",
    "Deed",
    "Disbursement",
    "Event",
    "Evidence",
    "Guarantor",
    "LitigationError",
    "Loan",
    "Party",
    "Written",
    "write_documents",
]
