"""An explanation in words: every number that made a limit, in the order it is computed, so that it can be redone by
hand from the printout alone (docs/credit.md, "By hand").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cli import credit_words
from cli.output import facts, moment, money, plain, table

B: Final = 10_000
SUMS: Final = (
    ("process records", "process_count"),
    ("bills", "bill_count"),
    ("weights present", "weight_present"),
    ("weights asked", "weight_total"),
    ("process delay, s", "process_delay_sum"),
    ("process records timed", "process_delay_count"),
    ("bill delay, s", "bill_delay_sum"),
    ("bills timed", "bill_delay_count"),
    ("historical", "historical_count"),
    ("with a ranged value", "range_total"),
    ("of them in range", "range_within"),
    ("steps judged", "steps_judged"),
    ("of them passed", "steps_passed"),
)


def whole(found: Mapping[str, Any]) -> list[str]:
    """All that was asked for, as of one block."""
    when = f"As of block {found['height']}, {moment(found['time'])}."
    lines = [f"{when} bp: basis points, 10 000 is 1. B: 10 000. Divisions (//) round down."]
    for one in found["explained"]:
        lines += explained(one)
    return lines


def explained(found: Mapping[str, Any]) -> list[str]:
    """One application: its assessment from records to limit, then its line."""
    assessment = found["assessment"]
    if assessment is None:
        return ["", *credit_words.application(found["application"]), "It has no assessment yet: tally credit assess"]
    lines = ["", *credit_words.assessment(assessment)]
    lines += _evidence(assessment)
    if found["records"] is not None:
        lines += ["", f"Records in force at block {assessment['height']}:", *_records(found["records"])]
        lines += ["", "Bills:", *_bills(found["bills"])]
    lines += ["", f"Sums at block {assessment['height']}:", *_sums(found["sums"])]
    lines += ["", f"Model {assessment['model'][0]} version {assessment['model'][1]}:", *_model(found["model"])]
    lines += ["", "How it was computed:", *credit_words.steps(assessment)]
    same = "gives the same" if found["recomputed"] else "differs: the rest of that block changed what it goes by"
    lines += ["", f"Computed again from the state of block {assessment['height']}: {same}."]
    if found["line"] is not None:
        lines += line(found["line"])
    return lines


def line(found: Mapping[str, Any]) -> list[str]:
    """A credit line: increments by milestone and period, borrowing base, what is available."""
    scale, currency = found["scale"], found["currency"]
    room = found["room"]
    lines = ["", f"Line, {found['state']}:"]
    lines += facts(
        [
            ("approved on", found["assessment"]),
            ("approved", money(found["approved"], scale, currency)),
            ("L0", money(found["L0"], scale, currency)),
            ("C'", money(found["C_net"], scale, currency)),
            ("M", f"{money(found['M'], scale, currency)}, max(0, min(C', obligor cap) - L0)"),
            ("increments", money(found["granted"], scale, currency)),
            ("limit", money(room["limit"], scale, currency)),
            ("borrowing base", money(room["base"], scale, currency)),
            ("drawn", money(found["drawn"], scale, currency)),
            ("repaid", money(found["repaid"], scale, currency)),
            ("outstanding", money(room["outstanding"], scale, currency)),
            ("available", money(room["available"], scale, currency)),
        ]
    )
    reached = {stage: value for stage, value in found["progress"].items() if value}
    lines += ["", "Progress of the contract:"]
    lines += facts((stage, money(value, scale, currency)) for stage, value in reached.items()) or ["(none)"]
    lines += ["", "Milestones, g = M * w * E // (sum of w * B):", *_milestones(found)]
    lines += ["", "Increments by period:", *_increments(found)]
    lines += ["", "What can be drawn:", *credit_words.steps({**found, "steps": room["steps"]})]
    return lines


def _increments(found: Mapping[str, Any]) -> list[str]:
    scale, currency = found["scale"], found["currency"]
    cells = []
    for row in found["increments"]:
        sums: Mapping[str, Any] = next((step["inputs"] for step in row["steps"] if step["name"] == "credibility"), {})
        new = f"{sums.get('present', '')}/{sums.get('asked', '')}"
        amounts = [money(row[name], scale, currency) for name in ("increment", "granted", "limit", "available")]
        cells.append([row["period"], row["height"], new, row["credibility"], row["completion"], *amounts])
    return table(("period", "block", "new records", "E", "K", "g", "sum of g", "limit", "available"), cells)


def _milestones(found: Mapping[str, Any]) -> list[str]:
    scale, currency = found["scale"], found["currency"]
    rows = found["milestones"]
    total = sum(row["weight"] for row in rows)
    reached = sum(row["weight"] for row in rows if row["id"] in found["attained"])
    cells: list[Sequence[Any]] = []
    for row in rows:
        granted = row["granted"]
        said = (
            ["", "", ""] if granted is None else [row["period"], row["credibility"], money(granted, scale, currency)]
        )
        share = f"{row['stage']} >= {row['share_bp']} bp of C'"
        cells.append([row["id"], share, row["weight"], "yes" if row["id"] in found["attained"] else "no", *said])
    completion = (
        "no milestones" if total == 0 else f"completion K = {B} * {reached} // {total} = {B * reached // total}"
    )
    return [*table(["milestone", "attained when", "w", "attained", "period", "E", "g"], cells), completion]


def _records(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    within = {None: "-", True: "yes", False: "no"}
    cells = [
        [
            row["id"],
            row["chain"],
            row["category"],
            row["kind"],
            row["number"],
            row["present"],
            row["asked"],
            "historical" if row["delay"] is None else row["delay"],
            within[row["within"]],
            f"{row['passed']}/{row['judged']}",
        ]
        for row in rows
    ]
    headers = ("record", "chain", "class", "kind", "number", "present", "asked", "delay s", "in range", "steps")
    return table(headers, cells)


def _bills(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [
        [row["id"], row["chain"], row["kind"], row["number"], row["amount"], row["currency"], row["status"],
         row["confirmed"]]
        for row in rows
    ]  # fmt: skip
    return table(("record", "chain", "kind", "number", "amount", "currency", "status", "confirmed"), cells)


def _sums(sums: Mapping[str, int]) -> list[str]:
    return facts((words, sums[name]) for words, name in SUMS)


def _model(model: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{name}: {'; '.join(_band(row, row['points'], 'points') for row in model['bands'][name])}"
        for name in credit_words.RATINGS
    ]
    named = ("weights", "delay_weights", "accuracy_weights", "haircuts", "obligor_caps", "fallback")
    lines += [f"{name}: {_pairs(model[name])}" for name in named]
    lines.append(f"contract_floor_bp: {model['contract_floor_bp']}")
    lines.append(f"composite: {'; '.join(_band(row, row['advance_bp'], 'bp advance') for row in model['composite'])}")
    return lines


def _pairs(values: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in values.items()) or "none"


def _band(row: Mapping[str, Any], value: int, unit: str) -> str:
    end = "and more" if row["high"] is None else f"to below {row['high']}"
    return f"{row['grade']} {row['low']} {end} {value} {unit}"


def _evidence(assessment: Mapping[str, Any]) -> list[str]:
    """The record ids behind the leading reasons, and what would reach the next band."""
    lines = []
    for number, reason in enumerate(assessment["reasons"], 1):
        if reason["next_band"]:
            band = reason["next_band"]
            lines.append(f"  {number}. next band {band['grade']}: {band['rule']}")
        lines += [f"  {number}. evidence {plain(record_id)}" for record_id in reason["evidence"]]
        hidden = reason["evidence_count"] - len(reason["evidence"])
        lines += [f"  {number}. and {hidden} more"] if hidden > 0 else []
    return ["", "Evidence of the reasons:", *lines] if lines else []
