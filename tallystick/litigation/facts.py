"""What the documents of a case state: plain data, gathered by whoever opens the case.

Nothing here reads a chain or a file. Amounts are minor units of `CaseFacts.currency`, days YYYY-MM-DD, instants UTC
milliseconds. An empty text means that there is nothing to state: the forms then say "none".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from contracts.claims import Claim, Terms

ENFORCEMENT: Final = "A"
SUIT: Final = "B"


class LitigationError(ValueError):
    """Documents that cannot be written or signed; ``code`` for programs, one line that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Agent:
    """Who acts for a party before the court."""

    name: str
    organisation: str = ""
    position: str = ""
    phone: str = ""
    power: Literal["general", "special"] = "general"


@dataclass(frozen=True)
class BankAccount:
    """Where a party is paid."""

    holder: str
    bank: str
    number: str


@dataclass(frozen=True)
class Party:
    """A party, or a guarantor, as the forms name it."""

    name: str
    identifier: str = ""  # unified social credit code, or the number of an identity document
    kind: Literal["organisation", "person"] = "organisation"
    address: str = ""
    representative: str = ""  # of an organisation
    position: str = ""  # the representative's
    phone: str = ""
    agent: Agent | None = None
    account: BankAccount | None = None
    chain_id: str = ""  # party or member id on the chain


@dataclass(frozen=True)
class Guarantor:
    """A guarantor and what its guarantee covers. covered: it consented to enforcement itself (route A)."""

    party: Party
    contract: str = ""  # the guarantee contract's title and number
    signed_on: str = ""
    ceiling: int | None = None  # None: all of the debt
    liability: Literal["joint", "general"] = "joint"
    covered: bool = True


@dataclass(frozen=True)
class Collateral:
    """A right in things or receivables that secures the debt."""

    kind: Literal["mortgage", "pledge", "receivables"]
    description: str
    contract: str = ""
    ceiling: int | None = None
    registration: str = ""  # number in the public register
    registered_on: str = ""


@dataclass(frozen=True)
class Loan:
    """The credit agreement. amount: agreed; rate_bp: yearly, basis points."""

    title: str
    number: str
    signed_on: str
    amount: int
    rate_bp: int | None = None
    term: str = ""  # as agreed, in words; empty: from the first payment out to the last due day
    purpose: str = ""
    repayment_method: str = ""  # in words; empty: by the instalments of the schedule
    jurisdiction: str = ""  # the court agreed on, or how it is found


@dataclass(frozen=True)
class Disbursement:
    """A payment out as the chain holds it."""

    id: bytes
    day: str
    amount: int
    number: str  # of the loan record
    record: bytes = b""  # its record id


@dataclass(frozen=True)
class Deed:
    """The notarized deed with enforcement, and its execution certificate where there is one."""

    id: bytes
    number: str
    notary: str
    signed_on: str  # day of the notary's countersignature
    certificate_number: str = ""
    certificate_id: bytes = b""
    issued_on: str = ""
    time_limit: str = ""  # last day on which enforcement may be asked for
    operative_text: str = ""  # empty: the form states the amounts
    verification: str = ""  # how performance was verified, in words


@dataclass(frozen=True)
class Event:
    """One line of the chronology. code names a text in the forms' words, values fill it; see chronology.py."""

    at: int
    code: str
    values: tuple[tuple[str, str | int], ...] = ()
    chain: str = ""
    height: int = 0
    transaction: bytes = b""
    record: bytes = b""


@dataclass(frozen=True)
class Evidence:
    """One item of the evidence list. source and proves: text, or "@" and a code that the forms' words know."""

    name: str
    source: str
    proves: str
    kind: str = ""  # of a record or step; the forms' words for it come before the name
    content: str = ""
    issuer: str = ""
    pages: str = ""  # as in the bundle, such as "1-3"
    original: Literal["original", "copy", "electronic"] = "electronic"
    sha256: bytes = b""
    chain: str = ""
    height: int = 0
    transaction: bytes = b""
    record: bytes = b""
    file: str = ""  # path inside the bundle


@dataclass(frozen=True)
class CaseFacts:
    """All that the documents of one case state.

    claim and agreed come from contracts/claims.py. scale: decimal places of the minor unit. zone: minutes east of UTC
    of the days. network: the genesis hash, 32 B. other_claims, preservation, facts_text: the claimant's own words.
    """

    route: Literal["A", "B"]
    case: bytes
    network: bytes
    application: bytes
    court: str
    creditor: Party
    debtor: Party
    loan: Loan
    claim: Claim
    agreed: Terms
    currency: str
    scale: int
    zone: int
    guarantors: tuple[Guarantor, ...] = ()
    collateral: tuple[Collateral, ...] = ()
    disbursements: tuple[Disbursement, ...] = ()
    deed: Deed | None = None
    accelerated_on: str = ""
    against: tuple[str, ...] = ()  # chain ids of those the case is against; empty: all
    reasons: tuple[tuple[str, str], ...] = ()  # of the route: (code, text)
    events: tuple[Event, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    other_claims: tuple[str, ...] = ()
    preservation: str = ""
    mediation: Literal["yes", "no", "undecided"] = "undecided"
    electronic_service: Literal["yes", "no", ""] = ""
    doubled_interest: bool = True  # for late performance of what is enforced (route A)
    facts_text: str = ""  # what the claimant adds to the facts, in its own words
    copies: int = 1  # of the evidence list, one for each opponent
    extra: dict[str, str] = field(default_factory=dict)  # for another country's forms
