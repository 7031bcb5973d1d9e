"""The documents of a case: application for enforcement or statement of claim, computation, evidence list, chronology.

    facts = case_facts(stated, particulars, case)       # from what the chain says and what the claimant adds
    write_documents(facts, folder, country="cn")        # FORM.LANGUAGE.pdf for each of the route's, and facts.json
    files_of(facts)                                     # the same as bytes by name, for a bundle
    sign_pdf(pdf, pkcs12, passphrase)                   # PAdES

As PDF/A; the same facts give the same bytes. Setting and signing need the extra `tallystick[court]` and the fonts
that docs/litigation.md names; what is imported here needs neither.
"""

from tallystick.litigation.documents import Written, as_json, files_of, write_documents
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
from tallystick.litigation.gather import case_facts
from tallystick.litigation.particulars import Particulars

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
    "Particulars",
    "Party",
    "Written",
    "as_json",
    "case_facts",
    "files_of",
    "write_documents",
]
