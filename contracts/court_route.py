"""Which way a claim goes to court, and why (DOMAIN, "Route first").

    A  强制执行   application for enforcement, with the notary's execution certificate
    B  起诉       a suit over the debt: no enforceable deed, or the notary declined, or a court refused enforcement

An enforceable deed whose certificate stands excludes the suit, so nobody chooses: the route follows from the state.
Each reason is [code, text]; the first one decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from contracts.access import CONSORTIUM
from contracts.context import KeyPart, Value

ENFORCEMENT: Final = "A"
SUIT: Final = "B"
LETTERS: Final = (ENFORCEMENT, SUIT)

# Why. A:
CERTIFICATE_STANDS: Final = "CERTIFICATE_STANDS"
# B:
NO_DEED: Final = "NO_DEED"
DEED_NOT_ENFORCEABLE: Final = "DEED_NOT_ENFORCEABLE"
NO_CERTIFICATE: Final = "NO_CERTIFICATE"
CERTIFICATE_REFUSED: Final = "CERTIFICATE_REFUSED"
DEED_REVOKED: Final = "DEED_REVOKED"
DEED_EXECUTED: Final = "DEED_EXECUTED"
ENFORCEMENT_REFUSED: Final = "ENFORCEMENT_REFUSED"
LIMITATION_PASSED: Final = "LIMITATION_PASSED"
NOT_COVERED: Final = "NOT_COVERED"


class View(Protocol):
    """What it takes to find a route: a transaction's context, or off the chain a view of one height."""

    @property
    def time(self) -> int:
        """Block time in ms, by which limitation is judged."""

    def read(self, chain: str, contract: str, *key: KeyPart) -> Value:
        """State of a contract, or None."""


class Route(NamedTuple):
    """The way a claim goes. deed and certificate are ids, b"" where there is none.

    respondents: sorted ids (parties or members) whom this way reaches.
    """

    letter: str
    reasons: tuple[tuple[str, str], ...]
    deed: bytes
    certificate: bytes
    respondents: tuple[str, ...]


def route(view: View, application: bytes, respondents: Sequence[str] | None = None) -> Route:
    """The route of an application's claim against these respondents; None: all whom the deed or the loan binds.

    Raises ContractError UNKNOWN_APPLICATION.
    """
    raise ValueError(application)
