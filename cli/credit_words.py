"""Applications, assessments, decisions in words: what a lender, an enterprise or a clerk reads.

Works on decoded values of the credit contract, as a node or a proof gives them (bytes or hex alike).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cli.output import facts, moment, money, percent, plain, short, table

RATINGS: Final = ("conformity", "timeliness", "accuracy", "truth")
DAY_S: Final = 86_400


def assessment(found: Mapping[str, Any]) -> list[str]:
    """An assessment: limit, grade, ratings, reasons, bills."""
    scale, currency = found["scale"], found["currency"]
    limit = money(found["limit"], scale, currency)
    kind, issuer, number = found["contract"]
    lines = facts(
        [
            ("assessment", found["id"]),
            ("enterprise", found["enterprise"]),
            ("contract", f"{kind} {number} of {issuer}"),
            ("lender", found["lender"] or "none chosen yet"),
            ("initial limit", limit),
            ("no limit because", list(found["no_limit"]) or None),
            ("formula would give", _other_limit(found)),
            ("composite", f"{percent(found['composite'])}, grade {found['grade'] or 'none'}"),
            ("qualification", percent(found["qualification"])),
            ("contract strength", percent(found["contract_strength"])),
            ("buyers confirmed", percent(found["corroboration"])),
            ("model", f"{found['model'][0]} version {found['model'][1]}"),
            ("assessed", f"block {found['height']}, {moment(found['time'])}"),
        ]
    )
    rows = [[name, *_rating(name, found["ratings"][name])] for name in RATINGS if name in found["ratings"]]
    lines += ["", *table(["rating", "value", "grade", "points"], rows), "", "Reasons:"]
    lines += [f"  {number}. {row['text']} [{row['code']}]" for number, row in enumerate(found["reasons"], 1)]
    hidden = found["reason_count"] - len(found["reasons"])
    lines += [f"  … and {hidden} more"] if hidden > 0 else []
    lines += ["  (none: nothing lowers it)"] if not found["reasons"] else []
    if found["bills"]:
        lines += ["", *_bills(found)]
    for row in found["limit_without"]:
        what = row["change"] if "bill" not in row else f"{row['change']}: {row['bill'][0]} {row['bill'][2]}"
        lines.append(f"If {what}: truth {percent(row['truth'])}, limit {money(row['limit'], scale, currency)}")
    return lines


def steps(found: Mapping[str, Any]) -> list[str]:
    """Every step to a number: name, formula, inputs, value; in the order they were computed."""
    lines = []
    for number, step in enumerate(found["steps"], 1):
        value = _valued(step["value"], step["unit"], found)
        inputs = ", ".join(f"{name} = {plain(item)}" for name, item in step["inputs"].items() if item is not None)
        lines.append(f"{number:3}. {step['name']}: {value}")
        lines.append(f"     {step['formula']}")
        lines += [f"     with {inputs}"] if inputs else []
    return lines


def application(found: Mapping[str, Any]) -> list[str]:
    """An application and where it stands."""
    kind, issuer, number = found["contract"]
    return facts(
        [
            ("application", found["id"]),
            ("enterprise", found["enterprise"]),
            ("contract", f"{kind} {number} of {issuer}, on the chain of {found['contract_chain']}"),
            ("lender", found["lender"] or "none chosen yet"),
            ("state", found["state"]),
            ("by", " ".join(found["by"])),
            ("asked for", f"{found['amount']} minor units" if found["amount"] else None),
            ("approved", f"{found['approved']} minor units" if found["approved"] else None),
            ("disbursed", f"{found['disbursed']} minor units" if found["disbursed"] else None),
            ("applied", f"block {found['height']}, {moment(found['time'])}"),
            ("assessments", [short(item) for item in found["assessments"]] or None),
        ]
    )


def entry(kind: str, found: Mapping[str, Any]) -> list[str]:
    """A decision or disbursement."""
    pairs = [(kind, found["id"]), *((name, value) for name, value in found.items() if name not in ("id", "time"))]
    return facts([*((name, plain(value)) for name, value in pairs), ("time", moment(found["time"]))])


def _other_limit(found: Mapping[str, Any]) -> str | None:
    formula = found["formula_limit"]
    if formula is None or formula == found["limit"]:
        return None
    return money(formula, found["scale"], found["currency"])


def _rating(name: str, rating: Mapping[str, Any]) -> list[str]:
    value = rating["value"]
    if value is None:
        shown = "no data" + (", fallback" if rating["fallback"] else "")
    elif name == "timeliness":
        shown = f"{value // DAY_S} d {value % DAY_S // 3600} h late" if value else "no delay"
    else:
        shown = percent(value)
    return [shown, rating["grade"] or "", "" if rating["points"] is None else str(rating["points"])]


def _bills(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for bill in found["bills"]:
        finding = bill["findings"][0]["text"] if bill["findings"] else ""
        rows.append(
            [f"{bill['bill'][0]} {bill['bill'][2]}", bill["amount"], bill["currency"], bill["status"], finding]
        )
    lines = table(["bill", "amount", "currency", "status", "finding"], rows)
    others = found["bill_count"] - len(found["bills"])
    return lines + ([f"and {others} other bills"] if others > 0 else [])


def _valued(value: Any, unit: str, found: Mapping[str, Any]) -> str:
    if value is None:
        return "no data"
    if unit == "minor":
        return money(value, found["scale"], found["currency"])
    if unit == "bp":
        return f"{value} bp ({percent(value)})"
    return f"{value} {unit}"
