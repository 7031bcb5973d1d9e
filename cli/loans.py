"""The loan record that a decision or disbursement cites, sealed on the lender's own chain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cli.errors import CliError
from cli.records import FIELDS, OCCURRED
from cli.session import Session, submit
from cli.values import decimal_text

CONNECTOR: Final = "tally-credit"
CONNECTOR_VERSION: Final = "1"


def number_of(application: bytes) -> str:
    """The number a loan gets unless the lender names one: it follows from the application, so a retry finds it."""
    return f"LOAN-{application.hex()[:16]}"


def find(session: Session, lender: str, number: str) -> dict[str, Any] | None:
    """The entry of a loan record of this lender, None where there is none."""
    found: dict[str, Any] | None = session.client.state(lender, "records", "record", "loan", lender, number)
    return found


def seal(
    session: Session, assessment: Mapping[str, Any], number: str, fields: Mapping[str, str], template_id: str
) -> dict[str, Any]:
    """Seal a loan record, correct the one in force, or leave it where it says the same; gives its entry."""
    from chain.codec import encode

    lender = assessment["lender"]
    existing = find(session, lender, number)
    if existing is not None and existing["record"][FIELDS] == dict(fields):
        return existing
    raw = json.dumps(
        {"kind": "loan", "lender": lender, "number": number, **fields}, sort_keys=True, indent=2
    ).encode()
    status = session.client.status()
    record = [
        "tally/record",
        1,
        "loan",
        lender,
        number,
        assessment["enterprise"],
        "",
        template_id,
        _template_version(session, template_id),
        _instant(status["time"]) if existing is None else existing["record"][OCCURRED],
        [["contract", assessment["contract"][1], assessment["contract"][2]]],
        ["tally", CONNECTOR, CONNECTOR_VERSION, session.client.put_document(raw), status["time"]],
        dict(fields),
        None,
        None if existing is None else existing["id"],
    ]
    submit(session, chain=lender, contract="records", method="submit", records=(encode(record),))
    sealed = find(session, lender, number)
    if sealed is None:
        raise CliError(f"loan {number} was sealed but this node does not show it yet: try again", code="NODE_BEHIND")
    return sealed


def fields_of(
    assessment: Mapping[str, Any], amount: int, term_days: int | None, rate_bp: int | None, disbursed_on: str | None
) -> dict[str, str]:
    """The fields of a loan record; amount in minor units, disbursed_on as YYYY-MM-DD."""
    fields = {
        "amount": decimal_text(amount, assessment["scale"]),
        "currency": assessment["currency"],
        "assessment": assessment["id"].hex(),
    }
    optional = {"term_days": term_days, "rate_bp": rate_bp, "disbursed_on": disbursed_on}
    return fields | {name: str(value) for name, value in optional.items() if value is not None}


def today(session: Session) -> str:
    """The date of the newest block, UTC: the chain's time, not this machine's."""
    return _instant(session.client.status()["time"])[:10]


def _template_version(session: Session, template_id: str) -> int:
    from cli.templates import network_template

    template = network_template(session, template_id)
    if "loan" not in template["kinds"]:
        raise CliError(f"template {template_id!r} has no loans: choose another with --template")
    return int(template["version"])


def _instant(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
