"""What the chain does not know and the forms ask for: addresses, representatives, accounts, the claimant's own words.

A JSON file of the claimant's, checked strictly::

    {"court": "上海金融法院",
     "parties": {"lender": {"name": …, "identifier": …, "address": …, "representative": …, "position": …, "phone": …,
                            "agent": {"name": …, "organisation": …, "position": …, "phone": …, "power": "special"},
                            "account": {"holder": …, "bank": …, "number": …}},
                 "supplier": {…}, "guarantor": {"kind": "person", …}},
     "loan": {"title": …, "number": …, "signed_on": "2026-02-26", "amount": 300000000, "rate_bp": 680, …},
     "guarantees": {"guarantor": {"contract": …, "signed_on": …, "ceiling": null, "liability": "joint"}},
     "collateral": [{"kind": "receivables", "description": …, …}],
     "evidence": [{"name": …, "source": …, "proves": …, "sha256": hex, …}],
     "preservation": …, "mediation": "yes", "electronic_service": "yes", "doubled_interest": true, "facts_text": …,
     "other_claims": […], "copies": 2}

Everything may be left out: a party is then called as the chain calls it, and the form says "none".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tallystick.litigation import facts
from tallystick.litigation.facts import LitigationError

MAX_FILE: Final = 1_000_000
Text = Annotated[str, Field(max_length=4_000)]
Name = Annotated[str, Field(min_length=1, max_length=400)]
Day = Annotated[str, Field(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]
Money = Annotated[int, Field(ge=0, lt=2**63)]
Hash = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AgentEntry(_Strict):
    """Who acts for a party."""

    name: Name
    organisation: Text = ""
    position: Text = ""
    phone: Text = ""
    power: Literal["general", "special"] = "general"


class AccountEntry(_Strict):
    """Where a party is paid."""

    holder: Name
    bank: Name
    number: Name


class PartyEntry(_Strict):
    """A party of the case; without a name it is called as the chain calls it."""

    name: Text = ""
    identifier: Text = ""
    kind: Literal["organisation", "person"] = "organisation"
    address: Text = ""
    representative: Text = ""
    position: Text = ""
    phone: Text = ""
    agent: AgentEntry | None = None
    account: AccountEntry | None = None


class LoanEntry(_Strict):
    """The credit agreement; amount in minor units, 0: what was approved."""

    title: Text = ""
    number: Text = ""
    signed_on: Day = ""
    amount: Money = 0
    rate_bp: Annotated[int, Field(ge=0, le=10_000)] | None = None
    term: Text = ""
    purpose: Text = ""
    repayment_method: Text = ""
    jurisdiction: Text = ""


class GuaranteeEntry(_Strict):
    """A guarantee agreement. ceiling and liability count only where no deed states them."""

    contract: Text = ""
    signed_on: Day = ""
    ceiling: Money | None = None
    liability: Literal["joint", "general"] = "joint"


class CollateralEntry(_Strict):
    """A right in things or receivables."""

    kind: Literal["mortgage", "pledge", "receivables"]
    description: Name
    contract: Text = ""
    ceiling: Money | None = None
    registration: Text = ""
    registered_on: Day = ""


class EvidenceEntry(_Strict):
    """An item that is on no chain."""

    name: Name
    source: Name
    proves: Name
    content: Text = ""
    pages: Text = ""
    original: Literal["original", "copy", "electronic"] = "copy"
    sha256: Hash = ""
    file: Text = ""


class Particulars(_Strict):
    """The whole file."""

    court: Text = ""
    parties: dict[str, PartyEntry] = Field(default_factory=dict)
    loan: LoanEntry = LoanEntry()
    guarantees: dict[str, GuaranteeEntry] = Field(default_factory=dict)
    collateral: Annotated[list[CollateralEntry], Field(max_length=64)] = Field(default_factory=list)
    evidence: Annotated[list[EvidenceEntry], Field(max_length=256)] = Field(default_factory=list)
    other_claims: Annotated[list[Name], Field(max_length=16)] = Field(default_factory=list)
    preservation: Text = ""
    mediation: Literal["yes", "no", "undecided"] = "undecided"
    electronic_service: Literal["yes", "no", ""] = ""
    doubled_interest: bool = True
    facts_text: Text = ""
    copies: Annotated[int, Field(ge=0, le=64)] | None = None

    def party(self, identity: str, called: str) -> facts.Party:
        """A party of the case; called: what the chain calls it."""
        entry = self.parties.get(identity, PartyEntry())
        said: dict[str, Any] = entry.model_dump(exclude={"agent", "account", "name"})
        agent = None if entry.agent is None else facts.Agent(**entry.agent.model_dump())
        account = None if entry.account is None else facts.BankAccount(**entry.account.model_dump())
        return facts.Party(name=entry.name or called, chain_id=identity, agent=agent, account=account, **said)


def load(path: Path) -> Particulars:
    """Read a file of particulars. Raises LitigationError PARTICULARS_WRONG."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LitigationError("PARTICULARS_WRONG", f"{path} cannot be read: {error.strerror}") from None
    return parse(data, str(path))


def parse(data: bytes, what: str = "the particulars") -> Particulars:
    """Particulars from JSON. Raises LitigationError PARTICULARS_WRONG, naming the first place that is wrong."""
    if len(data) > MAX_FILE:
        raise LitigationError("PARTICULARS_WRONG", f"{what}: more than {MAX_FILE} bytes: leave out what is no fact")
    try:
        return Particulars.model_validate(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise LitigationError("PARTICULARS_WRONG", f"{what}: {_first(error)}") from None


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"])) or "the file"
        return f"{place}: {found['msg']}"
    return f"is no JSON: {error}"
