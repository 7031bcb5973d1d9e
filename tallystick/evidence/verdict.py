"""What checking a bundle comes to: for a program, and for a lawyer in English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

PASS: Final = "pass"
FAIL: Final = "fail"
UNANCHORED: Final = "UNANCHORED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended. status: PASS, FAIL or UNANCHORED; lines: what was found, or the one line that fails."""

    name: str
    status: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BundleVerdict:
    """The whole verdict. ``facts``: what the bundle states, proved only where ``status`` is PASS or UNANCHORED."""

    status: str
    outcomes: tuple[Outcome, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    existed: tuple[dict[str, Any], ...] = ()
    development: bool = False

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed, in order."""
        return tuple(outcome.name for outcome in self.outcomes if outcome.status == FAIL)
