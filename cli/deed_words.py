"""A deed of enforceable notarization in words: its content, and what was done with it."""

from __future__ import annotations

from typing import Any, Final

from cli.output import facts, moment, money, percent, short, table

WAYS: Final = {
    "letter": "by letter to",
    "telephone": "by telephone at",
    "message": "by message to",
    "email": "by e-mail to",
    "visit": "by a visit at",
    "chain": "by notice on the chain",
}


def content_in_words(deed: dict[str, Any]) -> list[str]:
    """What consents are about, one line each; nothing of it is left out."""
    unit = (deed["scale"], deed["currency"])
    terms, verification = deed["terms"], deed["verification"]
    kind, issuer, number = deed["contract"]
    way = f"{WAYS[verification['method']]} {verification['address']}".rstrip()
    guarantors = [
        f"{row['id']} ({row['owner']}), {row['kind']}, "
        f"{'all' if row['covers'] is None else 'at most ' + money(row['covers'], *unit)}"
        f"{', asked at ' + row['address'] if row['address'] else ''}"
        for row in deed["guarantors"]
    ]
    called = "may be called in" if terms["acceleration"] else "is not called in"
    pairs: list[tuple[str, Any]] = [
        ("deed", deed["id"]),
        ("digest", deed["digest"]),
        ("application", deed["application"]),
        ("contract", f"{kind} {number} of {issuer}"),
        ("creditor", deed["creditor"]),
        ("debtor", deed["debtor"]),
        ("notary", deed["notary"]),
        *(("guarantor", text) for text in guarantors),
        ("principal", f"at most {money(deed['ceiling'], *unit)}"),
        ("penalty interest", f"{percent(terms['penalty_bp'])} a year on overdue principal"),
        ("compound interest", f"{percent(terms['compound_bp'])} a year on overdue interest"),
        ("a year", f"{terms['day_count']} days"),
        ("after a default", f"what is not due yet {called}"),
        ("verification", f"{way}; {verification['answer_days']} days to answer"),
        *(
            ("record", f"{row['kind']} {row['number']} on {row['chain']}, {short(row['record'])}")
            for row in deed["records"]
        ),
        ("time zone", f"{deed['zone']} minutes east of UTC"),
        ("text", f"sha256 {deed['text_hash'].hex()}, language {deed['language']}"),
    ]
    return facts(pairs)


def deed_in_words(deed: dict[str, Any], steps: list[dict[str, Any]], limitation: dict[str, Any]) -> list[str]:
    """State, steps in order, and how long the court may be asked."""
    rows = [[step["step"], step["by"], step["height"], moment(step["time"]), _said(deed, step)] for step in steps]
    until = "does not run yet: nothing is paid out"
    if limitation["last_day"]:
        over = "was over with" if limitation["passed"] else "until"
        until = f"{over} {limitation['last_day']}, two years from {limitation['start']} ({limitation['cause']})"
    return [
        *facts([("state", deed["state"]), ("number", deed["number"] or None), ("court may be asked", until)]),
        "",
        *table(["step", "by", "block", "time", ""], rows),
    ]


def claim_in_words(claim: dict[str, Any], scale: int, currency: str) -> list[str]:
    """The amounts of a claim, line by line and together."""
    rows = [
        [
            line["rule"].lower(),
            line["due"],
            f"{line['first']} to {line['last']}" if line["first"] else "",
            money(line["base"], scale, ""),
            percent(line["rate_bp"]) if line["rate_bp"] else "",
            line["days"] or "",
            money(line["amount"], scale, ""),
        ]
        for line in claim["lines"]
    ]
    parts = ("principal", "interest", "penalty", "compound", "costs", "total")
    return [
        *table(["rule", "due", "days counted", "of", "a year", "days", "amount"], rows),
        "",
        *facts([(part, money(claim[part], scale, currency)) for part in parts]),
        *facts([("each further day", money(claim["daily"], scale, currency)), ("as of", claim["as_of"])]),
    ]


def _said(deed: dict[str, Any], step: dict[str, Any]) -> str:
    unit = (deed["scale"], deed["currency"])
    match step["step"]:
        case "consent":
            return "with a CA signature" if step["ca"] else ""
        case "countersignature":
            return f"number {step['number']}"
        case "demand":
            return f"on {step['on']}: {step['text']}"
        case "default":
            return f"{money(step['claim']['total'], *unit)} as of {step['as_of']}"
        case "answer":
            return f"{'admits' if step['admits'] else 'denies'}: {step['text']}"
        case "verification":
            return f"{step['outcome']}: {step['text']}"
        case "certificate":
            total = money(step["claim"]["total"], *unit)
            return f"number {step['number']}: {total} as of {step['as_of']}, against {len(step['respondents'])}"
        case "execution":
            return f"{money(step['amount'], *unit)} on {step['on']}, {step['reference']}"
    return f"{step['reason']}: {step['text']}"
