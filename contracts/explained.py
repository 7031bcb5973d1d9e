"""Ratings with their explanation: each function adds the steps that a reader needs to recompute it by hand.

A step is {name, formula, inputs, value, unit}: formula in the letters of docs/credit.md, inputs by those letters,
value None for NO_DATA. unit: bp (basis points), s (seconds), weight, records, points, minor (minor units).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from contracts import ratings, reasons
from contracts.decimal_text import NOTHING, Scaled, add, at_scale, render
from contracts.model import Model
from contracts.progress import Progress
from contracts.ratings import Band, Delay, Graded
from contracts.reasons import Reason, Severity
from contracts.statistics import B
from contracts.verdicts import Truth

_REASON_CODES = {
    "conformity": reasons.CONFORMITY,
    "timeliness": reasons.TIMELINESS,
    "accuracy": reasons.ACCURACY,
    "truth": reasons.TRUTH,
}


class Rating(NamedTuple):
    """One rating. value None is NO_DATA; band None gives no limit; fallback: the model named the grade."""

    name: str
    value: int | None
    band: Band | None
    better: Band | None
    fallback: bool


class Steps:
    """The ordered list of steps of one assessment."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(self, name: str, formula: str, unit: str, value: int | None, /, **inputs: int | str | None) -> int | None:
        """Append a step; gives its value back."""
        self.entries.append({"name": name, "formula": formula, "inputs": inputs, "value": value, "unit": unit})
        return value


def conformity(sums: dict[str, int], steps: Steps) -> int | None:
    """N over the running sums of process and bill records."""
    present, asked = sums["weight_present"], sums["weight_total"]
    value = ratings.conformity([(present, asked)])
    return steps.add("conformity", "N = B * present // asked", "bp", value, present=present, asked=asked, B=B)


def timeliness(sums: dict[str, int], model: Model, steps: Steps) -> int | None:
    """D over the running sums; historical records have left them."""
    process = Delay(sums["process_delay_sum"], sums["process_delay_count"])
    bill = Delay(sums["bill_delay_sum"], sums["bill_delay_count"])
    for name, delay in (("process", process), ("bill", bill)):
        mean = None if delay.records == 0 else -(-delay.seconds // delay.records)
        formula = "D_k = ceil(seconds / records)"
        steps.add(f"delay_{name}", formula, "s", mean, seconds=delay.seconds, records=delay.records)
    w_p, w_b = model.delay_weights
    value = ratings.timeliness(process, bill, w_p, w_b)
    formula = "D = ceil((w_p * D_p + w_b * D_b) / (w_p + w_b)), a class without records left out"
    return steps.add(
        "timeliness", formula, "s", value, w_p=w_p, w_b=w_b, historical_left_out=sums["historical_count"]
    )


def accuracy(sums: dict[str, int], model: Model, steps: Steps) -> int | None:
    """A from V1 and V2 over the running sums of process records."""
    within, judged = sums["range_within"], sums["range_total"]
    v1 = ratings.share(within, judged)
    steps.add("in_range", "V1 = B * within // judged", "bp", v1, within=within, judged=judged, B=B)
    passed, moves = sums["steps_passed"], sums["steps_judged"]
    v2 = ratings.share(passed, moves)
    steps.add("fluctuation", "V2 = B * passed // judged", "bp", v2, passed=passed, judged=moves, B=B)
    w1, w2 = model.accuracy_weights
    value = ratings.accuracy(v1, v2, w1, w2)
    formula = "A = (w1 * V1 + w2 * V2) // (w1 + w2), a share without data left out"
    return steps.add("accuracy", formula, "bp", value, V1=v1, V2=v2, w1=w1, w2=w2)


def truth(found: Truth, steps: Steps) -> int | None:
    """V over the bills in the contract's currency, with how many of them have which status."""
    return steps.add(
        "truth",
        "V = B * matched_amount // all_amount",
        "bp",
        truth_share(found),
        matched_amount=render(found.matched),
        all_amount=render(found.all),
        B=B,
        **found.counts,
    )


def truth_share(found: Truth, besides: Scaled = NOTHING) -> int | None:
    """V, exact. besides: an amount taken as if it were matched, too."""
    matched = add(found.matched, besides)
    scale = max(matched.scale, found.all.scale)
    return ratings.share(at_scale(matched, scale), at_scale(found.all, scale))


def corroboration(progress: Progress, steps: Steps) -> int | None:
    """Share of what is billed truly on the contract that its debtor has confirmed with its own key."""
    invoiced = progress.stages["invoiced"]
    confirmed = min(progress.stages["confirmed"], invoiced)
    value = ratings.share(confirmed, invoiced)
    formula = "B * confirmed // invoiced, matched bills of this contract"
    return steps.add("corroboration", formula, "bp", value, confirmed=confirmed, invoiced=invoiced, B=B)


def rate(name: str, value: int | None, model: Model, steps: Steps) -> Rating:
    """The grade and points of a measure, or the model's fallback grade where there is no data."""
    bands = model.bands[name]
    if value is not None:
        graded = ratings.grade(value, bands)
        steps.add(
            f"grade_{name}",
            f"{graded.band.grade} for {graded.band.low} <= value"
            + ("" if graded.band.high is None else f" < {graded.band.high}"),
            "points",
            graded.band.points,
            value=value,
            grade=graded.band.grade,
        )
        return Rating(name, value, graded.band, graded.better, False)
    fallback = model.fallback.get(name)
    if fallback is None:
        steps.add(f"grade_{name}", "NO_DATA, and the model names no fallback grade", "points", None)
        return Rating(name, None, None, None, False)
    band = next(band for band in bands if band.grade == fallback)
    formula = f"NO_DATA: the model's fallback grade {fallback}"
    steps.add(f"grade_{name}", formula, "points", band.points, grade=fallback)
    return Rating(name, None, band, None, True)


def composite(rated: tuple[Rating, ...], model: Model, steps: Steps) -> int | None:
    """R, or None while a rating has neither data nor a fallback."""
    formula = "R = sum(w * p) // sum(w)"
    inputs: dict[str, int | None] = {}
    points: list[tuple[int, int]] = []
    for rating in rated:
        weight = model.weights[rating.name]
        inputs[f"w_{rating.name}"] = weight
        inputs[f"p_{rating.name}"] = rating.band.points if rating.band else None
        if rating.band is not None:
            points.append((weight, rating.band.points))
    value = ratings.composite(points) if len(points) == len(rated) else None
    return steps.add("composite", formula, "bp", value, **inputs)


def rating_reason(rating: Rating, weight: int, evidence: tuple[bytes, ...], historical: int) -> Reason | None:
    """Why a rating is not the best: NO_DATA, a fallback, or a band below the top."""
    code = _REASON_CODES[rating.name]
    if rating.band is None:
        text = f"{rating.name}: there is no data to rate, and the model names no fallback grade"
        return Reason(Severity.FORBIDS, weight * B, reasons.NO_DATA, text)
    lost = weight * (B - rating.band.points)
    if rating.fallback:
        historic = rating.name == "timeliness" and historical > 0
        fallback_code = reasons.HISTORICAL if historic else reasons.NO_DATA
        why = f"all {historical} records are from before onboarding" if historic else "there is no data to rate"
        text = f"{rating.name}: {why}; the model's fallback grade {rating.band.grade} counts"
        severity = Severity.LOWERS if lost else Severity.NOTES
        return Reason(severity, lost, fallback_code, text, evidence, historical)
    if rating.better is None or rating.value is None:
        return None
    graded = Graded(rating.value, rating.band, rating.better)
    band = next_band(graded)
    unit = "s" if rating.name == "timeliness" else "bp"
    said = f"{rating.name}: {rating.value} {unit} is grade {rating.band.grade}"
    text = f"{said}; {band['rule']} would be {band['grade']}"
    return Reason(Severity.LOWERS, lost, code, text, evidence, rating.value, band["threshold"], band)


def next_band(graded: Graded) -> dict[str, Any]:
    """What would reach the next better band: {grade, threshold, rule, points}."""
    better = graded.better
    if better is None:
        raise ValueError("the best band has no better one")
    if better.low > graded.value:
        threshold, rule = better.low, f"at least {better.low}"
    else:
        threshold = (better.high or 0) - 1
        rule = f"at most {threshold}"
    return {"grade": better.grade, "threshold": threshold, "rule": rule, "points": better.points}
