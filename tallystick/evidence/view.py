"""Where a dossier is read from: a node's state of one height, or the proofs of a bundle. Both remember what was read.

The walk through a case (walk.py) is one function over this interface. The export runs it over a node and keeps a
proof of everything it touched; the verifier runs it over those proofs. So what is missing shows as a read that no
proof answers, and what is superfluous as a proof that no read asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from chain.codec import encode
from chain.crypto import sha256
from contracts.context import KeyPart, Value
from tallystick.evidence.contents import Done

if TYPE_CHECKING:
    from tallystick.evidence.case import Case

Entry: TypeAlias = tuple[str, tuple[Any, ...]]
"""Chain, and the decoded key: (contract, part …)."""


class Source(Protocol):
    """Reads as of one consortium block."""

    @property
    def height(self) -> int:
        """That block's height."""

    @property
    def time(self) -> int:
        """Its time, ms."""

    @property
    def network_id(self) -> bytes:
        """The genesis hash."""

    def read(self, chain: str, contract: str, *key: KeyPart) -> Value:
        """State of a contract after that block, or None."""

    def transaction(self, tx_id: bytes) -> Done | None:
        """A committed transaction, None where there is none."""


def hash_value(value: Value) -> bytes:
    """SHA-256 of the canonical encoding: what a contract's ``ctx.hash`` gives."""
    return sha256(encode(value))


class Proved:
    """A bundle as a source. ``missing``: what was asked for and is not proved; an absent answer counts as None."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.network_id = case.network_id
        self.height: int = case.manifest["height"]
        self.used: set[Entry] = set()
        self.used_transactions: set[bytes] = set()
        self.missing: list[str] = []

    @property
    def time(self) -> int:
        """Of the states' block, as their proofs say; 0 where there is no state."""
        return max((entry.block.time for entry in self._case.states.values()), default=0)

    def read(self, chain: str, contract: str, *key: KeyPart) -> Value:
        """See Source."""
        place = (chain, (contract, *key))
        found = self._case.states.get(place)
        if found is None:
            self.missing.append(f"state {chain} {contract} {' '.join(map(shown, key))}")
            return None
        self.used.add(place)
        return found.value

    def transaction(self, tx_id: bytes) -> Done | None:
        """See Source."""
        found = self._case.transactions.get(tx_id)
        if found is None:
            self.missing.append(f"transaction {shown(tx_id)}")
            return None
        self.used_transactions.add(tx_id)
        return found


def shown(part: Any) -> str:
    """A part of a key for people."""
    return part.hex()[:16] if isinstance(part, bytes) else str(part)[:64]
