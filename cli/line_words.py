"""A credit line in words: limit, milestones, schedule, pledged bills, what is available."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.output import facts, money, percent, table


def line_in_words(found: Mapping[str, Any]) -> list[str]:
    """A line as `tally credit line` shows it; found also holds its schedule, pledges and room."""
    scale, currency, room = found["scale"], found["currency"], found["room"]

    def said(minor: int) -> str:
        return money(minor, scale, currency)

    kind, issuer, number = found["contract"]
    lines = facts(
        [
            ("line", found["application"]),
            ("enterprise", found["enterprise"]),
            ("contract", f"{kind} {number} of {issuer}"),
            ("lender", found["lender"]),
            ("state", found["state"]),
            ("initial limit", said(found["L0"])),
            ("increments", f"{said(found['granted'])} of at most {said(found['M'])}"),
            ("limit", said(room["limit"])),
            ("borrowing base", said(room["base"])),
            ("approved", said(found["approved"])),
            ("paid out", said(found["drawn"])),
            ("outstanding", said(found["outstanding"])),
            ("available", said(room["available"])),
            ("to decide", f"the increment of period {found['undecided']}" if found["undecided"] else None),
        ]
    )
    grants = [
        [
            row["id"],
            f"{percent(row['share_bp'])} {row['stage']}",
            row["weight"],
            "not granted" if row["granted"] is None else said(row["granted"]),
            "" if row["granted"] is None else f"period {row['period']}, E {percent(row['credibility'])}",
        ]
        for row in found["milestones"]
    ]
    lines += ["", *table(["milestone", "attained at", "weight", "granted", "by"], grants)]
    owed = [[row[0], said(row[3] - row[5]), said(row[4] - row[6]), row[2].hex()[:12]] for row in found["schedule"]]
    lines += ["", *table(["due", "principal", "interest", "disbursement"], owed)]
    bills = [[_bill(row), said(row["amount"]), row["due"], _assignment(row)] for row in found["pledges"]]
    return [*lines, "", *table(["pledged bill", "amount", "due", "assignment"], bills)]


def _bill(pledge: Mapping[str, Any]) -> str:
    kind, _, number = pledge["bill"]
    return f"{kind} {number}"


def _assignment(pledge: Mapping[str, Any]) -> str:
    if pledge["acknowledged"] is not None:
        return f"acknowledged by {pledge['acknowledged']['by']}"
    if pledge["notice"] is not None:
        return f"notified {pledge['notice']['date']}"
    return f"registered {pledge['registration']}" if pledge["registration"] else "not notified"
