"""One assessment: from an enterprise's evidence to the initial limit, every number explained (DOMAIN 1-6).

Pure: the same evidence gives the same assessment on every node. credit.py gathers the evidence and stores the
result; explained.py holds the ratings' own steps, standing.py those of contract, qualification and guarantees.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from contracts import decimal_text, reasons, standing
from contracts.documents import Document, event_order
from contracts.evidence import Evidence
from contracts.explained import (
    Rating,
    Steps,
    accuracy,
    composite,
    conformity,
    rate,
    rating_reason,
    timeliness,
    truth,
    truth_share,
)
from contracts.limits import Guarantee, InitialLimit, initial_limit
from contracts.model import Model, advance
from contracts.ratings import grade
from contracts.reasons import Reason, Severity
from contracts.series import steadiness
from contracts.standing import Facts, Money
from contracts.statistics import B
from contracts.truth import DUPLICATE, INELIGIBLE, MATCHED, STATUSES, UNMATCHED, Verdict

BILLS_SHOWN = 32
FINDINGS_SHOWN = 4
REFERENCES_SHOWN = 8
COMPARISONS = 4


class Inputs(NamedTuple):
    """All that an assessment depends on. now: UTC seconds of the block."""

    model: Model
    contract: Facts
    qualification: Facts | None
    guarantees: tuple[Document, ...]
    used_guarantees: frozenset[bytes]  # ids that back another approved application
    evidence: Evidence
    verdicts: tuple[Verdict, ...]
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
    own = tuple(v for v in inputs.verdicts if v.bill.text("currency") in ("", money.currency))
    rated = _ratings(inputs, own, steps)
    combined = composite(rated, model, steps)
    found += _rating_reasons(rated, inputs, own) + _bill_reasons(inputs.verdicts, own)
    strength = standing.contract_strength(inputs.contract, model.contract_floor_bp, steps, found)
    q = standing.qualification(inputs.qualification, steps, found)
    counted = standing.guarantees(
        inputs.guarantees, contract, inputs.used_guarantees, money, model, inputs.now, steps, found
    )
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
        "guarantees": [doc.id for doc, _ in counted],
        "no_limit": sorted({reason.code for reason in found if reason.severity == Severity.FORBIDS}),
        "reasons": [reason.entry() for reason in reasons.leading(found)],
        "reason_count": len(found),
        "bills": _bill_entries(inputs.verdicts),
        "bill_count": len(inputs.verdicts),
        "limit_without": _comparisons(model, base, rated, own),
        "steps": steps.entries,
    }


def _ratings(inputs: Inputs, own: tuple[Verdict, ...], steps: Steps) -> tuple[Rating, ...]:
    sums, model = inputs.evidence.sums, inputs.model
    measures = {
        "conformity": conformity(sums, steps),
        "timeliness": timeliness(sums, model, steps),
        "accuracy": accuracy(sums, steadiness(inputs.evidence.of("process")), model, steps),
        "truth": truth(own, steps),
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


def _rating_reasons(rated: tuple[Rating, ...], inputs: Inputs, own: tuple[Verdict, ...]) -> list[Reason]:
    process = tuple(doc.id for doc in inputs.evidence.of("process"))
    bills = tuple(v.bill.id for v in own)
    evidence = {
        "conformity": process + bills,
        "timeliness": process + bills,
        "accuracy": process,
        "truth": tuple(v.bill.id for v in own if v.status != MATCHED),
    }
    historical = inputs.evidence.sums["historical_count"]
    weights = inputs.model.weights
    found = (rating_reason(rating, weights[rating.name], evidence[rating.name], historical) for rating in rated)
    return [reason for reason in found if reason is not None]


def _bill_reasons(verdicts: tuple[Verdict, ...], own: tuple[Verdict, ...]) -> list[Reason]:
    """One reason for each false bill; one for all without an order, for those in another currency, for old ones."""
    found = []
    for verdict in verdicts:
        if verdict.status in INELIGIBLE:
            first = verdict.findings[0]
            code = reasons.DUPLICATE if verdict.status == DUPLICATE else reasons.CONTRADICTED
            found.append(Reason(Severity.FALSE, B, code, first.text, first.evidence))
    unmatched = tuple(v.bill.id for v in own if v.status == UNMATCHED)
    if unmatched:
        text = f"{len(unmatched)} bills have no order on any chain"
        found.append(Reason(Severity.LOWERS, B, reasons.UNMATCHED, text, unmatched, len(unmatched), 0))
    partial = tuple(v for v in own if v.status == "partial")
    if partial:
        text = f"{len(partial)} bills are matched in part: {partial[0].findings[0].text}"
        evidence = tuple(v.bill.id for v in partial)
        found.append(Reason(Severity.LOWERS, B, reasons.PARTIAL, text, evidence, len(partial), 0))
    counted = {v.bill.id for v in own}
    foreign = tuple(v.bill.id for v in verdicts if v.bill.id not in counted)
    if foreign:
        text = f"{len(foreign)} bills are in another currency than the contract and leave truth"
        found.append(Reason(Severity.NOTES, 0, reasons.BILLS_IN_OTHER_CURRENCY, text, foreign, len(foreign), 0))
    return found


def _limit_reasons(inputs: Inputs, combined: int | None, result: InitialLimit | None) -> list[Reason]:
    found = []
    model, evidence = inputs.model, (inputs.contract.document.id,)
    left_out = inputs.evidence.left_out
    if left_out:
        text = f"{left_out} older records lie outside the window of {model.max_records}"
        found.append(Reason(Severity.NOTES, 0, reasons.WINDOW, text, (), left_out, model.max_records))
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
    model: Model, base: _Base, rated: tuple[Rating, ...], own: tuple[Verdict, ...]
) -> list[dict[str, Any]]:
    """The limit as it would be if every bill were matched, and if each false one were: what a contradiction costs."""
    if all(verdict.status == MATCHED for verdict in own):
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
    for verdict in [v for v in own if v.status in INELIGIBLE][:COMPARISONS]:
        value, _, _ = truth_share(own, verdict)
        if value is not None:
            bill = list(verdict.bill.key)
            entries.append({"change": "this bill matched", "bill": bill, "id": verdict.bill.id, **limit_at(value)})
    return entries


def _rating_entry(rating: Rating) -> dict[str, Any]:
    return {
        "value": rating.value,
        "grade": rating.band.grade if rating.band else None,
        "points": rating.band.points if rating.band else None,
        "fallback": rating.fallback,
    }


def _bill_entries(verdicts: tuple[Verdict, ...]) -> list[dict[str, Any]]:
    """Bills with their verdicts, the false ones first; at most 32, each with at most four findings."""
    ranked = sorted(verdicts, key=lambda v: (STATUSES.index(v.status), *event_order(v.bill)))
    return [
        {
            "bill": list(v.bill.key),
            "id": v.bill.id,
            "chain": v.bill.chain,
            "status": v.status,
            "amount": "" if v.amount is None else decimal_text.render(v.amount),
            "currency": v.bill.text("currency"),
            "findings": [finding.entry() for finding in v.findings[:FINDINGS_SHOWN]],
            "finding_count": len(v.findings),
            "orders": _references(v.trade.orders),
            "despatches": _references(v.trade.despatches),
            "receipts": _references(v.trade.receipts),
        }
        for v in ranked[:BILLS_SHOWN]
    ]


def _references(docs: tuple[Document, ...]) -> list[dict[str, Any]]:
    return [{"key": list(doc.key), "id": doc.id, "chain": doc.chain} for doc in docs[:REFERENCES_SHOWN]]
