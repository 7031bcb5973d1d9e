"""DOMAIN 1-6 in rational numbers, written from the text: the other side of `tests.exact.credit`.

Shares no code with the contracts. Papers are plain values as they were sealed; template and model are the JSON
documents. Numbers are `Fraction`; rounding happens where the text says so, always against the borrower. Sums are
taken over all papers each time, nothing is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

B = 10_000
DAY_MS = 86_400_000
COLUMNS = ("line_id", "item_id", "quantity", "unit", "price", "amount")
ENDED = ("cancelled", "terminated", "unsuccessful", "withdrawn")
RATINGS = ("conformity", "timeliness", "accuracy", "truth")


@dataclass(frozen=True)
class Paper:
    """One record in force. fate: what is true of a bill, by how the history was made; backed: fields stood for."""

    id: bytes
    chain: str
    kind: str
    fields: dict[str, Any]
    occurred: str
    sealed_ms: int
    counterparty: str
    contract: tuple[str, str] | None  # issuer and number of the contract it links
    covers: tuple[str, ...] = ()  # numbers of the contracts a guarantee names
    fate: str = ""
    backed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Case:
    """Everything an assessment follows from."""

    template: dict[str, Any]
    model: dict[str, Any]
    onboarded_ms: int
    now_ms: int
    contract: Paper
    contract_number: str
    papers: tuple[Paper, ...]

    def of(self, *categories: str) -> list[Paper]:
        kinds = self.template["kinds"]
        return [paper for paper in self.papers if kinds[paper.kind]["category"] in categories]

    def asked(self, paper: Paper) -> dict[str, dict[str, Any]]:
        """The open fields of a paper's kind."""
        fields = self.template["kinds"][paper.kind]["fields"]
        return {name: rule for name, rule in fields.items() if rule.get("open", True)}

    def end(self, text: str) -> Fraction:
        """The last second of an event, UTC: a date alone is the end of that day in the template's time zone."""
        if "T" in text:
            return Fraction(int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()))
        midnight = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
        return Fraction(int(midnight.timestamp()) - 60 * self.template["time_zone_minutes"])


def number(text: Any) -> Fraction | None:
    return Fraction(text) if isinstance(text, str) and text else None


def share(part: Fraction | int, whole: Fraction | int) -> int | None:
    return None if whole == 0 else math.floor(B * Fraction(part) / Fraction(whole))


# ratings ---------------------------------------------------------------------------------------------------------


def conformity(case: Case) -> int | None:
    present = asked = 0
    for paper in case.of("process", "bill"):
        rules = case.asked(paper)
        asked += sum(rule["weight"] for rule in rules.values())
        present += sum(rule["weight"] for name, rule in rules.items() if name in paper.fields)
    return share(present, asked)


def is_historical(case: Case, paper: Paper) -> bool:
    window = case.model["import_window_days"] * DAY_MS
    before = case.end(paper.occurred) * 1_000 <= case.onboarded_ms
    return before and case.onboarded_ms < paper.sealed_ms <= case.onboarded_ms + window


def timeliness(case: Case) -> int | None:
    weighted: list[tuple[int, int]] = []
    for category in ("process", "bill"):
        late = [
            max(Fraction(0), math.ceil(Fraction(paper.sealed_ms, 1_000)) - case.end(paper.occurred))
            for paper in case.of(category)
            if not is_historical(case, paper)
        ]
        weight = case.model["delay_weights"][category]
        if late and weight:
            weighted.append((weight, math.ceil(sum(late, Fraction(0)) / len(late))))
    if not weighted:
        return None
    total = sum(weight for weight, _ in weighted)
    return math.ceil(sum(Fraction(weight * mean, total) for weight, mean in weighted))


def ranged_values(case: Case, paper: Paper) -> list[bool]:
    """For each value that has a range: whether it lies within."""
    found = []
    for name, rule in case.asked(paper).items():
        if name not in paper.fields:
            continue
        rules = {"": rule} if rule["type"] != "lines" else rule.get("columns", {})
        for column, bounds in rules.items():
            low, high = (number(bounds.get(end)) for end in ("min", "max"))
            if low is None and high is None:
                continue
            values = values_of(paper, name, column)
            found += [(low is None or low <= value) and (high is None or value <= high) for value in values]
    return found


def values_of(paper: Paper, name: str, column: str) -> list[Fraction]:
    given = paper.fields[name]
    texts = [given] if not column else [row[COLUMNS.index(column)] for row in given]
    return [value for value in map(number, texts) if value is not None]


def fluctuation(case: Case) -> list[bool]:
    """For each value of each series but the first: whether its step from the one before it is small enough."""
    series: dict[tuple[Any, ...], list[tuple[Fraction, bytes, int, Fraction]]] = {}
    rules: dict[tuple[Any, ...], dict[str, Any]] = {}
    for paper in case.of("process"):
        for name, rule in case.asked(paper).items():
            if name not in paper.fields:
                continue
            columns = {"": rule} if rule["type"] != "lines" else rule.get("columns", {})
            for column, bounds in columns.items():
                if "fluctuation_bp" not in bounds:
                    continue
                for position, (product, value) in enumerate(products(paper, name, column)):
                    currency = paper.fields.get("currency", "")
                    key = (paper.chain, paper.kind, name, column, currency, product)
                    rules[key] = bounds
                    series.setdefault(key, []).append((case.end(paper.occurred), paper.id, position, value))
    passed = []
    for key, values in series.items():
        theta, epsilon = Fraction(rules[key]["fluctuation_bp"], B), Fraction(rules[key].get("epsilon", "0"))
        ordered = [value for _, _, _, value in sorted(values)]
        for before, after in pairwise(ordered):
            passed.append(abs(after - before) <= theta * max(abs(before), epsilon))
    return passed


def products(paper: Paper, name: str, column: str) -> list[tuple[Any, Fraction]]:
    """Values with what each is of: the item, else the contract, else the other side."""
    deal = ("contract", *paper.contract) if paper.contract else ("counterparty", paper.counterparty)
    if not column:
        value = number(paper.fields[name])
        return [] if value is None else [(deal, value)]
    found: list[tuple[Any, Fraction]] = []
    for row in paper.fields[name]:
        value = number(row[COLUMNS.index(column)])
        if value is not None:
            found.append((("item", row[1], row[3]) if row[1] else (*deal, row[3]), value))
    return found


def accuracy(case: Case) -> int | None:
    judged = [ranged for paper in case.of("process") if (ranged := ranged_values(case, paper))]
    in_range = share(sum(all(ranged) for ranged in judged), len(judged))
    steps = fluctuation(case)
    steady = share(sum(steps), len(steps))
    weights = case.model["accuracy_weights"]
    parts = [(in_range, weights["range"]), (steady, weights["fluctuation"])]
    counted = [(value, weight) for value, weight in parts if value is not None and weight]
    if not counted:
        return None
    return math.floor(Fraction(sum(value * weight for value, weight in counted), sum(w for _, w in counted)))


def truth(case: Case) -> int | None:
    everything = matched = Fraction(0)
    for paper in case.of("bill"):
        if paper.fields.get("currency", "") in ("", case.contract.fields["currency"]):
            amount = abs(number(paper.fields["total"]) or Fraction(0))
            everything += amount
            matched += amount if paper.fate == "matched" else 0
    return share(matched, everything)


# grades and limit ------------------------------------------------------------------------------------------------


def band(rows: list[dict[str, Any]], value: int) -> dict[str, Any]:
    (found,) = (row for row in rows if row["low"] <= value and (row["high"] is None or value < row["high"]))
    return found


def graded(case: Case, name: str, value: int | None) -> dict[str, Any] | None:
    """The band of a measure; without data the fallback's, or None."""
    rows = case.model["bands"][name]
    if value is not None:
        return band(rows, value)
    fallback = case.model["fallback"].get(name)
    return next((row for row in rows if row["grade"] == fallback), None)


def strength(case: Case, paper: Paper) -> int:
    """Completeness times corroborated share, each rounded down."""
    rules = case.asked(paper)
    asked = sum(rule["weight"] for rule in rules.values())
    present = sum(rule["weight"] for name, rule in rules.items() if name in paper.fields)
    backed = sum(rule["weight"] for name, rule in rules.items() if name in paper.fields and name in paper.backed)
    return math.floor(Fraction((share(present, asked) or 0) * (share(backed, present) or 0), B))


def in_force(case: Case, paper: Paper, field: str) -> bool:
    until = paper.fields.get(field)
    return until is None or case.end(until) >= case.now_ms // 1_000


def guarantees(case: Case, scale: int) -> int:
    total = 0
    for paper in case.of("guarantee"):
        gamma = case.model["haircuts"].get(paper.fields.get("grade"))
        same = paper.fields["currency"] == case.contract.fields["currency"]
        mine = not paper.covers or case.contract_number in paper.covers
        if gamma is not None and same and mine and in_force(case, paper, "expiry_date"):
            minor = math.floor(Fraction(paper.fields["amount"]) * 10**scale)
            total += math.floor(Fraction(max(0, minor) * gamma, B))
    return total


def assess(case: Case) -> dict[str, Any]:
    """What the assessment of a case must say."""
    measures = {"conformity": conformity, "timeliness": timeliness, "accuracy": accuracy, "truth": truth}
    values = {name: measures[name](case) for name in RATINGS}
    bands = {name: graded(case, name, values[name]) for name in RATINGS}
    rated = {
        name: (values[name], found["grade"] if found else None, found["points"] if found else None)
        for name, found in bands.items()
    }
    weights = case.model["weights"]
    composite = None
    if all(bands.values()):
        points = sum(weights[name] * found["points"] for name, found in bands.items() if found)
        composite = math.floor(Fraction(points, sum(weights.values())))
    held = [paper for paper in case.of("qualification") if in_force(case, paper, "valid_until")]
    newest = max(held, key=lambda paper: (case.end(paper.occurred), paper.id), default=None)
    q = None if newest is None else strength(case, newest)
    deal = strength(case, case.contract)
    currency = case.contract.fields["currency"]
    scale = case.template["currencies"].get(currency)
    net = None
    if scale is not None:
        value = math.floor(Fraction(case.contract.fields["value"]) * 10**scale)
        prepaid = math.ceil(Fraction(case.contract.fields.get("prepayment", "0")) * 10**scale)
        net = max(0, value - prepaid)
    formula = None
    if net is not None and composite is not None and q is not None:
        advance = band(case.model["composite"], composite)["advance_bp"]
        formula = math.floor(Fraction(net * advance * q, B * B)) + guarantees(case, scale or 0)
        formula = min(formula, net, case.model["obligor_caps"].get(currency, formula))
    ended = case.contract.fields.get("status") in ENDED
    allowed = formula is not None and not ended and deal >= case.model["contract_floor_bp"]
    return {
        "ratings": rated,
        "composite": composite,
        "qualification": q,
        "contract_strength": deal,
        "formula_limit": formula,
        "limit": formula if allowed else 0,
    }
