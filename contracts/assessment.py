"""One assessment: from an enterprise's evidence to the initial limit, every number explained (DOMAIN 1-6).

Pure: the same evidence gives the same assessment on every node, and the evidence is running sums: an assessment costs
the same whatever the history. evidence.py and book.py keep the sums, credit.py stores the result; explained.py holds
the ratings' own steps, standing.py those of contract, qualification and guarantees.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from contracts import decimal_text, reasons, standing
from contracts.decimal_text import NOTHING, Scaled
from contracts.documents import Document
from contracts.explained import (
    Rating,
    Steps,
    accuracy,
    composite,
    conformity,
    corroboration,
    rate,
    rating_reason,
    timeliness,
    truth,
    truth_share,
)
from contracts.limits import Guarantee, InitialLimit, initial_limit
from contracts.model import Model, advance
from contracts.progress import Progress
from contracts.ratings import grade
from contracts.reasons import Reason, Severity
from contracts.standing import Facts, Money
from contracts.statistics import B
from contracts.trades import Place
from contracts.truth import DUPLICATE, INELIGIBLE, MATCHED, PARTIAL, UNMATCHED
from contracts.verdicts import Truth

COMPARISONS = 4


class Bill(NamedTuple):
    """A bill that is not matched, as the book judges it: where it lies, and its verdict."""

    place: Place
    verdict: dict[str, Any]

    @property
    def id(self) -> bytes:
        return bytes(self.verdict["id"])

    @property
    def status(self) -> str:
        return str(self.verdict["status"])

    @property
    def amount(self) -> Scaled:
        text = self.verdict["amount"]
        return decimal_text.parse(text) if text else NOTHING


class Inputs(NamedTuple):
    """All that an assessment depends on. now: UTC seconds of the block."""

    model: Model
    contract: Facts
    qualification: Facts | None
    guarantees: tuple[Document, ...]  # each once, whatever chains hold copies of it
    guarantee_copies: tuple[Document, ...]
    used_guarantees: frozenset[bytes]  # ids that back another approved application
    sums: dict[str, int]  # by aggregates.KEYS, over all chains and identifiers of the enterprise
    samples: dict[str, tuple[bytes, ...]]  # ids of records that lower a measure
    truth: Truth  # over the bills in the contract's currency, and those that name none
    bills: tuple[Bill, ...]  # false ones first, then doubtful ones; in any currency, a bounded number
    progress: Progress  # of the contract
    now: int


class _Base(NamedTuple):
    """What the limit formula needs beside the composite."""

    money: Money
    q: int | None
    guarantees: tuple[Guarantee, ...]
    forbidden: bool


def assess(inputs: Inputs) -> dict[str, Any]:
    """The assessment as it is stored: limit, ratings, steps, reasons, bills, comparisons. See docs/credit.md."""
    steps = Steps()
    found: list[Reason] = []
    model, contract = inputs.model, inputs.contract.document
    money = standing.contract_money(contract, steps, found)
    rated = _ratings(inputs, steps)
    combined = composite(rated, model, steps)
    corroborated = corroboration(inputs.progress, steps)
    own = tuple(bill for bill in inputs.bills if bill.verdict["currency"] in ("", money.currency))
    found += _rating_reasons(rated, inputs, own) + _bill_reasons(inputs, own)
    strength = standing.contract_strength(inputs.contract, model.contract_floor_bp, steps, found)
    q = standing.qualification(inputs.qualification, steps, found)
    counted = standing.guarantees(
        inputs.guarantees, contract, inputs.used_guarantees, money, model, inputs.now, steps, found
    )
    found += standing.left_out(inputs.guarantee_copies, "another copy of it counts")
    forbidden = any(reason.severity == Severity.FORBIDS for reason in found)
    base = _Base(money, q, tuple(guarantee for _, guarantee in counted), forbidden)
    result = _limit(model, base, combined, steps)
    found += _limit_reasons(inputs, combined, result)
    granted = 0 if forbidden or result is None else result.limit
    steps.add("limit", "0 if a reason forbids a limit, else L0", "minor", granted, forbidden=int(forbidden))
    return {
        "limit": granted,
        "formula_limit": None if result is None else result.limit,
        "bound": None if result is None else result.bound,
        "currency": money.currency,
        "scale": money.scale,
        "composite": combined,
        "grade": None if combined is None else advance(model, combined).grade,
        "ratings": {rating.name: _rating_entry(rating) for rating in rated},
        "qualification": q,
        "contract_strength": strength,
        "corroboration": corroborated,
        "guarantees": [doc.id for doc, _ in counted],
        "no_limit": sorted({reason.code for reason in found if reason.severity == Severity.FORBIDS}),
        "reasons": [reason.entry() for reason in reasons.leading(found)],
        "reason_count": len(found),
        "bills": [_bill_entry(bill) for bill in inputs.bills],
        "bill_count": sum(inputs.truth.counts.values()),
        "limit_without": _comparisons(inputs, base, rated, own),
        "steps": steps.entries,
    }


def _ratings(inputs: Inputs, steps: Steps) -> tuple[Rating, ...]:
    sums, model = inputs.sums, inputs.model
    measures = {
        "conformity": conformity(sums, steps),
        "timeliness": timeliness(sums, model, steps),
        "accuracy": accuracy(sums, model, steps),
        "truth": truth(inputs.truth, steps),
    }
    return tuple(rate(name, value, model, steps) for name, value in measures.items())


def _limit(model: Model, base: _Base, combined: int | None, steps: Steps) -> InitialLimit | None:
    """L0 with its steps; None while a term has no data."""
    if base.money.net is None or combined is None or base.q is None:
        return None
    band = advance(model, combined)
    cap = model.obligor_caps.get(base.money.currency)
    result = initial_limit(base.money.net, band.advance_bp, base.q, base.guarantees, cap)
    steps.add("advance", "adv(R)", "bp", band.advance_bp, R=combined, grade=band.grade)
    terms = {"C_net": base.money.net, "adv": band.advance_bp, "q": base.q}
    steps.add("from_contract", "C' * adv * q // B**2", "minor", result.from_contract, **terms)
    count = len(base.guarantees)
    steps.add("from_guarantees", "sum(G * gamma // B)", "minor", result.from_guarantees, guarantees=count)
    steps.add(
        "initial_limit",
        "L0 = min(from_contract + from_guarantees, C', obligor_cap)",
        "minor",
        result.limit,
        from_contract=result.from_contract,
        from_guarantees=result.from_guarantees,
        C_net=base.money.net,
        obligor_cap=cap,
    )
    return result


def _rating_reasons(rated: tuple[Rating, ...], inputs: Inputs, own: tuple[Bill, ...]) -> list[Reason]:
    evidence = {**inputs.samples, "truth": tuple(bill.id for bill in own)}
    historical = inputs.sums["historical_count"]
    weights = inputs.model.weights
    found = (
        rating_reason(rating, weights[rating.name], evidence.get(rating.name, ()), historical) for rating in rated
    )
    return [reason for reason in found if reason is not None]


def _bill_reasons(inputs: Inputs, own: tuple[Bill, ...]) -> list[Reason]:
    """One reason for each false bill; one each for those without an order, in part, in another currency."""
    found = []
    for bill in inputs.bills:
        if bill.status in INELIGIBLE:
            first = bill.verdict["findings"][0]
            code = reasons.DUPLICATE if bill.status == DUPLICATE else reasons.CONTRADICTED
            found.append(Reason(Severity.FALSE, B, code, first["text"], tuple(first["evidence"])))
    unmatched = inputs.truth.counts[UNMATCHED]
    if unmatched:
        text = f"{unmatched} bills have no order on any chain"
        evidence = tuple(bill.id for bill in own if bill.status == UNMATCHED)
        found.append(Reason(Severity.LOWERS, B, reasons.UNMATCHED, text, evidence, unmatched, 0))
    partial = inputs.truth.counts[PARTIAL]
    if partial:
        shown = [bill for bill in own if bill.status == PARTIAL]
        why = f": {shown[0].verdict['findings'][0]['text']}" if shown else ""
        text = f"{partial} bills are matched in part{why}"
        evidence = tuple(bill.id for bill in shown)
        found.append(Reason(Severity.LOWERS, B, reasons.PARTIAL, text, evidence, partial, 0))
    foreign = inputs.sums["bill_count"] - sum(inputs.truth.counts.values())
    if foreign > 0:
        text = (
            f"{foreign} bills leave truth: in another currency than the contract, or not followed by their template"
        )
        evidence = tuple(bill.id for bill in inputs.bills if bill not in own)
        found.append(Reason(Severity.NOTES, 0, reasons.BILLS_IN_OTHER_CURRENCY, text, evidence, foreign, 0))
    return found


def _limit_reasons(inputs: Inputs, combined: int | None, result: InitialLimit | None) -> list[Reason]:
    found: list[Reason] = []
    model, evidence = inputs.model, (inputs.contract.document.id,)
    if combined is None or result is None:
        return found
    if advance(model, combined).advance_bp == 0:
        text = f"composite {combined} bp earns no advance"
        reason = Reason(Severity.LOWERS, 100 * B, reasons.GRADE_WITHOUT_ADVANCE, text, (), combined)
        paying = next((band for band in model.composite if band.advance_bp > 0), None)
        if paying is not None:
            band = {"grade": paying.grade, "threshold": paying.low, "rule": f"at least {paying.low}"}
            reason = reason._replace(threshold=paying.low, next_band=band)
        found.append(reason)
    asked = result.from_contract + result.from_guarantees
    if result.bound == "obligor_cap":
        text = f"one obligor may carry {result.obligor_cap} minor units at most"
        code = reasons.CAPPED_BY_OBLIGOR
        found.append(Reason(Severity.LOWERS, 50 * B, code, text, evidence, asked, result.obligor_cap))
    if result.bound == "contract":
        text = "advance and guarantees together would exceed the contract amount less prepayment"
        code = reasons.CAPPED_BY_CONTRACT
        found.append(Reason(Severity.NOTES, 0, code, text, evidence, asked, result.contract_net))
    return found


def _comparisons(
    inputs: Inputs, base: _Base, rated: tuple[Rating, ...], own: tuple[Bill, ...]
) -> list[dict[str, Any]]:
    """The limit as it would be if every bill were matched, and if each false one were: what a contradiction costs."""
    model, counts = inputs.model, inputs.truth.counts
    if counts[MATCHED] == sum(counts.values()):
        return []

    def limit_at(value: int) -> dict[str, Any]:
        band = grade(value, model.bands["truth"]).band
        changed = tuple(r._replace(value=value, band=band) if r.name == "truth" else r for r in rated)
        combined = composite(changed, model, Steps())
        result = _limit(model, base, combined, Steps())
        return {
            "truth": value,
            "truth_grade": band.grade,
            "composite": combined,
            "limit": 0 if base.forbidden or result is None else result.limit,
            "formula_limit": None if result is None else result.limit,
        }

    entries: list[dict[str, Any]] = [{"change": "every bill matched", **limit_at(B)}]
    for bill in [bill for bill in own if bill.status in INELIGIBLE][:COMPARISONS]:
        value = truth_share(inputs.truth, bill.amount)
        if value is not None:
            entries.append(
                {"change": "this bill matched", "bill": list(bill.place[1:]), "id": bill.id, **limit_at(value)}
            )
    return entries


def _rating_entry(rating: Rating) -> dict[str, Any]:
    return {
        "value": rating.value,
        "grade": rating.band.grade if rating.band else None,
        "points": rating.band.points if rating.band else None,
        "fallback": rating.fallback,
    }


def _bill_entry(bill: Bill) -> dict[str, Any]:
    """A bill with its verdict, as the book holds it: at most four findings, and the papers it was held against."""
    return {"bill": list(bill.place[1:]), "chain": bill.place[0], **bill.verdict}
