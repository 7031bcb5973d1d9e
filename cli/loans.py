"""What a lender seals on its own chain for a decision, a payment out or a repayment to cite; reading credit state."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cli.errors import REJECTED, CliError, not_found
from cli.records import FIELDS, OCCURRED
from cli.session import Session, submit
from cli.values import decimal_text

CONNECTOR: Final = "tally-credit"
CONNECTOR_VERSION: Final = "1"


def number_of(application: bytes) -> str:
    """The number a loan gets unless the lender names one: it follows from the application, so a retry finds it."""
    return f"LOAN-{application.hex()[:16]}"


def stored(session: Session, kind: str, identity: bytes) -> dict[str, Any]:
    """An application, assessment, decision, disbursement or line by its id. Raises CliError NOT_FOUND."""
    found: dict[str, Any] | None = session.client.state("consortium", "credit", kind, identity)
    if found is None:
        raise not_found(f"there is no {kind} {identity.hex()}: check the id")
    return found


def require_lender(session: Session, asked: Mapping[str, Any]) -> None:
    """Refuse before anything is sealed for another lender's application. Raises CliError."""
    if session.owner["id"] != asked["lender"]:
        raise refused(
            "NOT_YOUR_APPLICATION",
            f"the application is to {asked['lender'] or 'nobody'}, not to {session.owner['id']}: that member decides",
        )


def refused(code: str, message: str) -> CliError:
    """What the contract would refuse too, said before anything is sealed or sent."""
    return CliError(message, code=code, exit_code=REJECTED)


def find(session: Session, lender: str, number: str, kind: str = "loan") -> dict[str, Any] | None:
    """The entry of a loan or repayment record of this lender, None where there is none."""
    found: dict[str, Any] | None = session.client.state(lender, "records", "record", kind, lender, number)
    return found


def seal(
    session: Session, assessment: Mapping[str, Any], number: str, fields: Mapping[str, str], template_id: str | None
) -> dict[str, Any]:
    """Seal a loan record, correct the one in force, or leave it where it says the same; gives its entry.

    template_id None: the template that the assessment's contract is held against.
    """
    lender = assessment["lender"]
    existing = find(session, lender, number)
    if existing is not None and existing["record"][FIELDS] == dict(fields):
        return existing
    link = ["contract", assessment["contract"][1], assessment["contract"][2]]
    return _seal(
        session, "loan", assessment, number, [link], fields, existing, template_id or assessment["template"][0]
    )


def seal_repayment(
    session: Session, line: Mapping[str, Any], number: str, fields: Mapping[str, str], template_id: str | None
) -> dict[str, Any]:
    """Seal a repayment record, or find the one that says the same; gives its entry. Raises CliError for another."""
    existing = find(session, line["lender"], number, "repayment")
    if existing is not None and existing["record"][FIELDS] == dict(fields):
        return existing
    if existing is not None:
        raise refused("REPAYMENT_DIFFERS", f"repayment {number} is sealed with other content: give another --number")
    return _seal(session, "repayment", line, number, [], fields, None, template_id or line["template"][0])


def _seal(
    session: Session,
    kind: str,
    of: Mapping[str, Any],
    number: str,
    links: list[list[str]],
    fields: Mapping[str, str],
    existing: Mapping[str, Any] | None,
    template_id: str,
) -> dict[str, Any]:
    from chain.codec import encode
    from chain.sealed import SALT_SIZE, RawDocument

    lender = of["lender"]
    file = json.dumps({"kind": kind, "lender": lender, "number": number, **fields}, sort_keys=True, indent=2).encode()
    raw = RawDocument(secrets.token_bytes(SALT_SIZE), file).encode()
    status = session.client.status()
    record = [
        "tally/record",
        1,
        kind,
        lender,
        number,
        _identifier(session, of["enterprise"]),
        "",
        template_id,
        _template_version(session, template_id, kind),
        _instant(status["time"]) if existing is None else existing["record"][OCCURRED],
        links,
        ["tally", CONNECTOR, CONNECTOR_VERSION, session.client.put_document(raw, [kind]), status["time"]],
        dict(fields),
        None,
        None if existing is None else existing["id"],
    ]
    submit(session, chain=lender, contract="records", method="submit", records=(encode(record),))
    sealed = find(session, lender, number, kind)
    if sealed is None:
        raise CliError(
            f"{kind} {number} was sealed but this node does not show it yet: try again", code="NODE_BEHIND"
        )
    return sealed


def _identifier(session: Session, party: str) -> str:
    """How records name a party: by an identifier of it; its id in the registry is no name that papers know."""
    entry = session.client.state("consortium", "registry", "party", party)
    return party if entry is None else str(entry["identifiers"][0])


def fields_of(assessment: Mapping[str, Any], amount: int, **optional: int | str | None) -> dict[str, str]:
    """The fields of a loan record; amount in minor units; optional ones (term_days, rate_bp, …) where not None."""
    fields = {
        "amount": decimal_text(amount, assessment["scale"]),
        "currency": assessment["currency"],
        "assessment": assessment["id"].hex(),
    }
    return fields | {name: str(value) for name, value in optional.items() if value is not None}


def today(session: Session, zone: int) -> str:
    """The date of the newest block, zone minutes east of UTC: the chain's time, not this machine's."""
    return _instant(session.client.status()["time"] + zone * 60_000)[:10]


def _template_version(session: Session, template_id: str, kind: str) -> int:
    from cli.templates import network_template

    template = network_template(session, template_id)
    if kind not in template["kinds"]:
        raise CliError(f"template {template_id!r} has no kind {kind!r}: choose another with --template")
    return int(template["version"])


def _instant(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
