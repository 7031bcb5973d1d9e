"""A case before a court as the chain holds it: finding, storing, its steps, and who is told of them.

State, on the consortium chain, in the court contract's namespace:
    ("case", id)                 -> the case:
        {id: tx id of court.open, application, creditor: member, enterprise: party, respondents: sorted ids,
         route: "A"|"B", reasons: [[code, text]], deed: id or b"", certificate: id or b"",
         court: member id or "", court_name: text, "" before it is filed,
         delivery: "" | "custody" | "hand_in", state: see STATES, number: the court's own docket number or "",
         filings: [{bundle: 32 B sha256, size, height, time, transaction, acknowledged: None or what
             `Acknowledged` says}], the first and each supplement,
         steps: [{step, text, by, height, time, transaction}], all that happened, oldest first,
         height, time, by, transaction: of court.open}
    ("open_case", application, route) -> id of the case that is not over
    ("cases", application)            -> ids of all cases, oldest first
    ("docket_count", member), ("docket", member, n), n from 0 -> ids of the cases of a creditor or court member
    ("enforcement_refused", deed)     -> id of the case in which a court refused to enforce a deed

An acknowledgement is
    {way: "record", record: 32 B id, number: of the record on the court's chain, by, height, time, transaction}, or
    {way: "paper", text: the signed text, key: 32 B or b"", signature: bytes, ca: None or {certificates: [DER],
     signature, algorithm}, by: member that took it back, height, time, transaction}
"""

from __future__ import annotations

from typing import Final

OPENED: Final = "opened"
FILED: Final = "filed"
ACKNOWLEDGED: Final = "acknowledged"
ASKED: Final = "asked"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
WITHDRAWN: Final = "withdrawn"
STATES: Final = (OPENED, FILED, ACKNOWLEDGED, ASKED, ACCEPTED, REJECTED, WITHDRAWN)
OVER: Final = (ACCEPTED, REJECTED, WITHDRAWN)

CUSTODY: Final = "custody"
HAND_IN: Final = "hand_in"

# Why a court rejects. The first of them ends the way of enforcement: the creditor may sue from then on.
NOT_ENFORCEABLE: Final = "NOT_ENFORCEABLE"
REJECTIONS: Final = (NOT_ENFORCEABLE, "NOT_COMPETENT", "INCOMPLETE", "NO_CLAIM", "OTHER")

MAX_FILINGS: Final = 32
MAX_STEPS: Final = 128
