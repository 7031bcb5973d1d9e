"""What the forgeries start from: the honest bundle, what its verifier trusts, all that a forger may hold besides."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from chain.anchor import Trusted
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.proof import prove_state
from tests.evidence.forger import Forger
from tests.evidence_bundle import Publics, anchor, bundle, told
from tests.evidence_case import CaseWorld
from tests.evidence_publics import log_of


class Unrepaid(CaseWorld):
    """The same consortium with a second history, in which the later repayment never was."""

    def repay(self, number: str, amount: str, day: str) -> None:
        """See CaseWorld."""
        if number != "P-2":
            super().repay(number, amount, day)

    def repayments(self) -> list[str]:
        """See CaseWorld."""
        return ["repay P-1"]


class Scene:
    """Worlds are told when they are first asked for; nothing here is changed by a forgery."""

    def __init__(self) -> None:
        self.publics = Publics()
        self.world = told(self.publics)
        self.checkpoint = anchor(self.world, self.publics)
        self.height = self.checkpoint.size
        self.log = log_of(self.world.ledger)
        self.network_id = self.world.network_id
        self.honest = self.opened(bundle(self.world, self.height))

    @property
    def trusted(self) -> Trusted:
        """What the court's trust file says: of what was really published, nothing of the forger's own."""
        return self.publics.trusted()

    def opened(self, data: bytes, label: str | None = None) -> Forger:
        """A bundle opened by the bank of a consortium."""
        world = self.world if label is None else self.stranger
        return Forger.of(data, world.signer("bank"))

    @cached_property
    def forger(self) -> Publics:
        """Public places of the forger's own making, which nobody else trusts."""
        return Publics("forger")

    @cached_property
    def stranger(self) -> CaseWorld:
        """A whole second consortium: the same members by name, the same papers, keys of the forger's own."""
        world = told(self.forger, "forged")
        anchor(world, self.forger)
        return world

    @cached_property
    def rewritten(self) -> CaseWorld:
        """The same consortium's second history, certified by its real validators."""
        world = told(self.publics, kind=Unrepaid)
        for _ in range(20):
            world.tell()
        return world

    def stale_state(self, height: int, *key: Any, chain: str = "consortium") -> bytes:
        """A true proof of what a key held after an earlier block."""
        return prove_state(self.world.ledger, chain, encode(list(key)), height)

    def path(self, height: int) -> dict[str, Any]:
        """The honest path of a block to the first anchor, as anchors/paths.json has it."""
        nodes = self.log.inclusion(height - 1, self.checkpoint.size)
        return {"anchor": "001", "height": height, "path": [node.hex() for node in nodes]}

    def block_of(self, name: str) -> int:
        """Height of the block with a transaction of the story."""
        place = self.world.ledger.locate(self.world.transactions[name])
        assert place is not None
        return place.height

    def other_checkpoint(self) -> Checkpoint:
        """An earlier state of the honest log."""
        return self.log.checkpoint(self.network_id, self.checkpoint.size - 5)
