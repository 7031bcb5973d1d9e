"""What a comparison of documents can find, and how far apart they may lie."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contracts import decimal_text
from contracts.decimal_text import DecimalError, Scaled
from contracts.documents import Document
from contracts.errors import ContractError
from contracts.statistics import B

EVIDENCE = 8  # record ids a finding keeps
MAX_RATE_BP = 10 * B
REQUIRABLE = ("order", "despatch", "receipt")

NO_TOLERANCE: Final[dict[str, Any]] = {
    "quantity_bp": 0,
    "price_bp": 0,
    "amount_bp": 0,
    "amount_slack": "0",
    "date_days": 0,
    "required": list(REQUIRABLE),
}


class Tolerances(NamedTuple):
    """How far two documents may lie apart. Rates in basis points, slack in currency units, dates in days."""

    quantity_bp: int
    price_bp: int
    amount_bp: int
    amount_slack: Scaled
    date_days: int
    required: tuple[str, ...]


class Finding(NamedTuple):
    """One rule that failed (contradicts) or could not be settled (a doubt). ours, theirs: the two values."""

    rule: str
    contradicts: bool
    text: str
    ours: str
    theirs: str
    evidence: tuple[bytes, ...]

    def entry(self) -> dict[str, Any]:
        """As it is stored and emitted."""
        return {
            "rule": self.rule,
            "contradicts": self.contradicts,
            "text": self.text,
            "ours": self.ours,
            "theirs": self.theirs,
            "evidence": list(self.evidence),
        }


def contradiction(rule: str, text: str, ours: str, theirs: str, *docs: Document) -> Finding:
    """The documents cannot all be true."""
    return Finding(rule, True, text, ours, theirs, tuple(doc.id for doc in docs[:EVIDENCE]))


def doubt(rule: str, text: str, ours: str, theirs: str, *docs: Document) -> Finding:
    """The rule could not be settled: a document or a figure is missing, or its own arithmetic fails."""
    return Finding(rule, False, text, ours, theirs, tuple(doc.id for doc in docs[:EVIDENCE]))


def tolerances(template: dict[str, Any]) -> Tolerances:
    """A template's tolerances; one that names none allows none. Raises ContractError WRONG_TEMPLATE."""
    given = template.get("tolerances", NO_TOLERANCE)
    if type(given) is not dict:
        raise _wrong("tolerances is a map")
    required = given.get("required")
    if type(required) is not list or any(kind not in REQUIRABLE for kind in required):
        raise _wrong(f"tolerances.required lists kinds of {', '.join(REQUIRABLE)}")
    slack = given.get("amount_slack")
    try:
        parsed = decimal_text.parse(slack if type(slack) is str else "")
    except DecimalError as error:
        raise _wrong(f"tolerances.amount_slack: {error}") from None
    if parsed.units < 0:
        raise _wrong("tolerances.amount_slack is not negative")
    return Tolerances(
        _integer(given, "quantity_bp", MAX_RATE_BP),
        _integer(given, "price_bp", MAX_RATE_BP),
        _integer(given, "amount_bp", MAX_RATE_BP),
        parsed,
        _integer(given, "date_days", 3_650),
        tuple(required),
    )


class Watch(NamedTuple):
    """From when on something is suspicious: template["alerts"]. Times in days, shares in basis points."""

    phantom_days: int  # after a bill's sealing and date, until its buyer must have shown a receipt
    backdated_days: int  # a date may run so far against the order of numbers or of events
    alike_days: int  # two bills of one amount whose dates lie so close are likely one
    circular_days: int  # within which goods or money come back to their seller
    circular_parties: int  # through at most so many
    circular_bp: int  # how far quantities or amounts along the way may differ


WATCH: Final = Watch(30, 7, 3, 60, 5, 500)
_WATCH_MOST: Final = Watch(3_650, 3_650, 3_650, 3_650, 5, B)


def watch(template: dict[str, Any]) -> Watch:
    """A template's thresholds of suspicion; WATCH where it names none. Raises ContractError WRONG_TEMPLATE."""
    given = template.get("alerts", {})
    if type(given) is not dict:
        raise _wrong("alerts is a map")
    unknown = sorted(set(given) - set(Watch._fields), key=str)
    if unknown:
        raise _wrong(f"alerts has no {str(unknown[0])[:40]!r}; it has {', '.join(Watch._fields)}")
    found = WATCH._replace(**given)
    for name, value, most in zip(Watch._fields, found, _WATCH_MOST, strict=True):
        if type(value) is not int or not 0 <= value <= most:
            raise _wrong(f"alerts.{name} is an integer from 0 to {most}")
    return found


def _integer(given: dict[str, Any], name: str, high: int) -> int:
    value = given.get(name)
    if type(value) is not int or not 0 <= value <= high:
        raise _wrong(f"tolerances.{name} is an integer from 0 to {high}")
    return value


def _wrong(rule: str) -> ContractError:
    return ContractError("WRONG_TEMPLATE", rule)
