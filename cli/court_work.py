"""What the commands of ``tally court`` share: reading a case, bringing a bundle to a court, the court's own record.

The bundle travels as a document of the creditor's vault, of a kind that only its court may read (custody); the court
keeps it in its own vault as the raw file of the record on its own chain.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cli.errors import REJECTED, UNVERIFIED, CliError, not_found
from cli.output import facts, moment, note, read_file, table
from cli.session import Session, submit
from cli.values import digest

CONSORTIUM: Final = "consortium"
CONTRACT: Final = "court"
CONNECTOR: Final = "tally-court"
CONNECTOR_VERSION: Final = "1"
TEMPLATE: Final = "court"
WAIT_S: Final = 30.0
POLL_S: Final = 0.5
NOT_YET: Final = ("NOT_FOUND", "NOT_HELD")
MAX_BY_NODE: Final = 64 * 1024 * 1024
"""Bytes: the largest document that a node keeps; a larger bundle is handed in."""
MAX_BY_HAND: Final = 256 * 1024 * 1024
"""Bytes: the largest bundle (tallystick/evidence/archive.py)."""


def case_of(session: Session, text: str) -> dict[str, Any]:
    """A case by its id. Raises CliError NOT_FOUND."""
    found: dict[str, Any] | None = session.client.state(CONSORTIUM, CONTRACT, "case", digest(text, "case"))
    if found is None:
        raise not_found(f"there is no case {text}: `tally court show` lists yours")
    return found


def call(session: Session, method: str, args: dict[str, Any]) -> dict[str, Any]:
    """A step of the court contract; the committed transaction."""
    return submit(session, chain=CONSORTIUM, contract=CONTRACT, method=method, args=args)


def bundle_of(path: Path, most: int = MAX_BY_NODE) -> bytes:
    """A bundle from a file. Raises CliError."""
    data = read_file(path, MAX_BY_HAND)
    if not data:
        raise CliError(f"{path} is empty: give the bundle that `tally evidence export` wrote")
    if len(data) > most:
        raise CliError(
            f"{path} has more than {most} bytes, which no node keeps: tally court hand-in, or leave originals out"
        )
    return data


def files_of(bundle: bytes) -> dict[str, bytes]:
    """The files of a bundle in its one outer form; what is in them is not looked at. Raises CliError NO_BUNDLE."""
    from chain.verification import VerificationError
    from tallystick.evidence import archive

    try:
        return archive.unpack(bundle)
    except VerificationError as error:
        raise CliError(f"no bundle ({error}): give the file of `tally evidence export`", code="NO_BUNDLE") from None


def document_kind(court: str) -> str:
    """Kind of the bundles for a court in the creditor's vault."""
    from chain.crypto import hash_value
    from contracts import court_case

    return court_case.document_kind(court, hash_value(["tally/court_kind", 1, court]))


def make_readable(session: Session, court: str) -> None:
    """Name a court as the reader of what is filed with it; the other rules stay as they are."""
    owner, kind = session.owner["id"], document_kind(court)
    entry = session.client.state(CONSORTIUM, "custody", "readers", owner) or {"rules": {}}
    if court in entry["rules"].get(kind, []):
        return
    rules = {**entry["rules"], kind: [court]}
    submit(session, chain=CONSORTIUM, contract="custody", method="name_readers", args={"rules": rules})
    note(f"{court} is named as the reader of documents of kind {kind}")


def put_bundle(session: Session, court: str, data: bytes) -> bytes:
    """Put a bundle into the creditor's vault for a court; its SHA-256."""
    return session.client.put_document(data, [document_kind(court)])


def newest_filing(case: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """Number and entry of the newest bundle of a case. Raises CliError."""
    if not case["filings"]:
        raise CliError("nothing is filed in this case yet: tally court file", code="WRONG_STATE", exit_code=REJECTED)
    return len(case["filings"]) - 1, case["filings"][-1]


def fetch(session: Session, case: Mapping[str, Any], number: int | None = None, wait_s: float = WAIT_S) -> bytes:
    """A bundle of a case as the node can have it, held against the chain.

    What was filed a moment ago is not in custody yet: asked again until it is, so many seconds. Raises CliError
    WRONG_BUNDLE, ClientError NOT_FOUND, NOT_A_READER.
    """
    newest, _ = newest_filing(case)
    wanted = newest if number is None else number
    if not 0 <= wanted <= newest:
        raise not_found(f"the case has filings 0 to {newest}: choose one of them")
    filing = case["filings"][wanted]
    data = _document(session, filing["bundle"], case["creditor"], time.monotonic() + wait_s)
    require_filed(filing, data)
    return data


def _document(session: Session, name: bytes, chain: str, until: float) -> bytes:
    from tallystick.client import ClientError

    while True:
        try:
            return session.client.document(name, chain)
        except ClientError as error:
            if error.code not in NOT_YET or time.monotonic() >= until:
                raise
        time.sleep(POLL_S)


def require_filed(filing: Mapping[str, Any], data: bytes) -> None:
    """These bytes are what was filed. Raises CliError WRONG_BUNDLE (exit code 6)."""
    from chain.crypto import sha256

    if len(data) != filing["size"] or sha256(data) != filing["bundle"]:
        raise CliError(
            f"the bundle filed has SHA-256 {filing['bundle'].hex()} and {filing['size']} bytes, this one {len(data)} "
            "bytes or another hash: fetch it again",
            code="WRONG_BUNDLE",
            exit_code=UNVERIFIED,
        )


def record_number(case: Mapping[str, Any], filing: int) -> str:
    """Number of the court's own record of a filing."""
    return f"{case['id'].hex()[:24]}-{filing}"


def seal_record(session: Session, case: Mapping[str, Any], filing: int, data: bytes, template_id: str) -> str:
    """Seal the court's record of a filing on its own chain, or find it there; gives its number. Raises CliError."""
    from chain.codec import encode
    from cli.templates import network_template

    court, number = case["court"], record_number(case, filing)
    if session.client.state(court, "records", "record", "case", court, number) is not None:
        return number
    template = network_template(session, template_id)
    if "case" not in template["kinds"]:
        raise CliError(f"template {template_id!r} has no kind 'case': choose another with --template")
    raw = session.client.put_document(data, ["case"])
    status = session.client.status()
    zone = int(template.get("time_zone_minutes", 0))
    fields = {
        "case": case["id"].hex(),
        "bundle": raw.hex(),
        "size": str(len(data)),
        "filing": str(filing),
        "route": case["route"],
        "application": case["application"].hex(),
        "creditor": case["creditor"],
        "respondents": ", ".join(case["respondents"]),
        "received_on": _instant(status["time"] + zone * 60_000)[:10],
    }
    record = [
        "tally/record",
        1,
        "case",
        court,
        number,
        _identifier(session, case["enterprise"]),
        case["creditor"],
        template_id,
        int(template["version"]),
        _instant(status["time"]),
        [],
        ["tally", CONNECTOR, CONNECTOR_VERSION, raw, status["time"]],
        fields,
        None,
        None,
    ]
    submit(session, chain=court, contract="records", method="submit", records=(encode(record),))
    return number


def case_lines(case: Mapping[str, Any]) -> list[str]:
    """A case in words."""
    court = case["court"] or case["court_name"] or None
    lines = facts(
        [
            ("case", case["id"]),
            ("state", case["state"]),
            ("route", _route_words(case["route"], case["reasons"])),
            ("application", case["application"]),
            ("creditor", case["creditor"]),
            ("respondents", case["respondents"]),
            ("court", court and f"{court}{', by hand' if case['delivery'] == 'hand_in' else ''}"),
            ("its number", case["number"] or None),
            ("deed", case["deed"] or None),
            ("certificate", case["certificate"] or None),
        ]
    )
    rows = [
        [number, row["bundle"], row["size"], moment(row["time"]), _acknowledged(row["acknowledged"])]
        for number, row in enumerate(case["filings"])
    ]
    if rows:
        lines += ["", *table(["filing", "bundle", "bytes", "filed", "acknowledged"], rows)]
    steps = [[step["step"], step["by"], moment(step["time"]), step["text"]] for step in case["steps"]]
    return [*lines, "", *table(["step", "by", "time", "says"], steps)]


def route_lines(
    letter: str, reasons: list[Any] | tuple[Any, ...], respondents: list[str] | tuple[str, ...]
) -> list[str]:
    """A route and why, in words."""
    lines = facts([("route", _route_words(letter, reasons)), ("against", list(respondents))])
    return [*lines, *(f"{code}: {text}" for code, text in reasons)]


def _route_words(letter: str, reasons: Any) -> str:
    words = {"A": "A, enforcement (强制执行)", "B": "B, a suit (起诉)"}
    return f"{words[letter]}, because {reasons[0][0]}"


def _acknowledged(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "not yet"
    return f"{moment(entry['time'])}, {'on paper' if entry['way'] == 'paper' else 'record ' + entry['number']}"


def _identifier(session: Session, party: str) -> str:
    entry = session.client.state(CONSORTIUM, "registry", "party", party)
    return party if entry is None else str(entry["identifiers"][0])


def _instant(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
