"""Reason codes: why a rating or a limit is what it is, in a form programs and lenders can read.

A reason is stored as {code, value, threshold, evidence, next_band, text}: value and threshold are integers (or
None) in the unit the code implies, evidence a list of record ids (32 bytes each), next_band what would reach
the next better band or None, text one plain sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

LEADING = 4
EVIDENCE_SHOWN = 8

NO_DATA = "NO_DATA"
HISTORICAL = "HISTORICAL"
CONTRADICTED = "CONTRADICTED"
DUPLICATE = "DUPLICATE"
UNMATCHED = "UNMATCHED"
PARTIAL = "PARTIAL"
CONFORMITY = "CONFORMITY"
TIMELINESS = "TIMELINESS"
ACCURACY = "ACCURACY"
TRUTH = "TRUTH"
QUALIFICATION_MISSING = "QUALIFICATION_MISSING"
QUALIFICATION_UNCORROBORATED = "QUALIFICATION_UNCORROBORATED"
QUALIFICATION_INCOMPLETE = "QUALIFICATION_INCOMPLETE"
CONTRACT_BELOW_FLOOR = "CONTRACT_BELOW_FLOOR"
CONTRACT_NOT_ACTIVE = "CONTRACT_NOT_ACTIVE"
CONTRACT_WITHOUT_VALUE = "CONTRACT_WITHOUT_VALUE"
CURRENCY_UNKNOWN = "CURRENCY_UNKNOWN"
GRADE_WITHOUT_ADVANCE = "GRADE_WITHOUT_ADVANCE"
GUARANTEE_LEFT_OUT = "GUARANTEE_LEFT_OUT"
CAPPED_BY_CONTRACT = "CAPPED_BY_CONTRACT"
CAPPED_BY_OBLIGOR = "CAPPED_BY_OBLIGOR"
BILLS_IN_OTHER_CURRENCY = "BILLS_IN_OTHER_CURRENCY"


class Severity(IntEnum):
    """Order in which reasons lead: what forbids a limit, then what is false, then what lowers it."""

    FORBIDS = 0
    FALSE = 1
    LOWERS = 2
    NOTES = 3


class Reason(NamedTuple):
    """One reason. weight: how much it moved the result (basis points of the composite), larger leads."""

    severity: Severity
    weight: int
    code: str
    text: str
    evidence: tuple[bytes, ...] = ()
    value: int | None = None
    threshold: int | None = None
    next_band: dict[str, Any] | None = None

    def entry(self) -> dict[str, Any]:
        """As it is stored with the assessment."""
        return {
            "code": self.code,
            "value": self.value,
            "threshold": self.threshold,
            "evidence": list(self.evidence[:EVIDENCE_SHOWN]),
            "evidence_count": len(self.evidence),
            "next_band": self.next_band,
            "text": self.text,
        }


def leading(reasons: Iterable[Reason], count: int = LEADING) -> list[Reason]:
    """The reasons that matter most, at most four, in a fixed order: severity, weight, code, text."""
    return sorted(reasons, key=lambda r: (r.severity, -r.weight, r.code, r.text))[:count]
