"""Disputes over bills: who says that a bill is not owed, and what came of it ([20]; DOMAIN 7, "dispute upheld").

A dispute is about a bill as a paper, whichever members hold a copy. While it is open the bill is no collateral; once
it is upheld the bill leaves truth's matched share and the progress of its contract. The methods that open and resolve
one are in disputing.py; this file holds the state, so that whoever judges bills can read it without them.

State, on the consortium chain, in the credit contract's namespace:
    ("dispute", kind, issuer party key, number) -> {status, bill, by: [[owner, id]], reason, note, final,
        opened, height, time, rounds}; the party key is that of documents.party_key. final: an authority decided
"""

from __future__ import annotations

from typing import Any, Final

from contracts.context import Context

NONE: Final = "none"
OPEN: Final = "open"
UPHELD: Final = "upheld"
DISMISSED: Final = "dismissed"


def status_of(ctx: Context, kind: str, issuer_party_key: str, number: str) -> str:
    """Where a bill's dispute stands: none, open, upheld or dismissed. One read of the state."""
    found = entry_of(ctx, kind, issuer_party_key, number)
    return NONE if found is None else str(found["status"])


def entry_of(ctx: Context, kind: str, issuer_party_key: str, number: str) -> dict[str, Any] | None:
    """A bill's newest dispute, or None."""
    found: dict[str, Any] | None = ctx.get("dispute", kind, issuer_party_key, number)
    return found


def store(ctx: Context, kind: str, issuer_party_key: str, number: str, entry: dict[str, Any]) -> None:
    """Write a bill's dispute."""
    ctx.put("dispute", kind, issuer_party_key, number, value=entry)
