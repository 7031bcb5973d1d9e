"""What of a node outlives a height: who it is, what its clock last said, and the effects of the current step."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.events import Effect, Halt


@dataclass(slots=True)
class Local:
    """Shared by the core and the height it works on. ``now`` in ms; ``halted``: the reason, once and for good."""

    member: str
    network_id: bytes
    now: int = 0
    halted: str | None = None
    effects: list[Effect] = field(default_factory=list)

    def emit(self, effect: Effect) -> None:
        """Append to this step's effects; after a Halt nothing more comes out."""
        if self.halted is None:
            self.effects.append(effect)

    def halt(self, reason: str) -> None:
        """R13: stop for good."""
        self.emit(Halt(reason))
        self.halted = self.halted or reason

    def take(self) -> list[Effect]:
        """This step's effects, in order."""
        effects, self.effects = self.effects, []
        return effects
