"""``tally notary``: preservation, what stood on the chains at a block; and enforceable deeds, of which the commands
are in deeds.py and deed_default.py."""

from __future__ import annotations

from typing import Any, Final

import click

from cli import deed_default, deeds
from cli.command import Settings, group
from cli.errors import CliError, not_found
from cli.output import facts, moment, show, table
from cli.session import Session, submit
from cli.values import digest

command = group("notary", "Preservation, and enforceable deeds from draft to execution certificate.")

for part in (*deeds.COMMANDS, *deed_default.COMMANDS):
    command.add_command(part)

CREDIT_SUBJECTS: Final = ("assessment", "decision", "disbursement")

_EXAMPLE = """\
tally notary preserve 9b1d… assessment:77aa… --contract MVW-2026-014 --home net --as procurement"""


@command.command("preserve", signs=True, example=_EXAMPLE)
@click.argument("subjects", nargs=-1, required=True, metavar="[KIND:]ID…")
@click.option("--contract", "reference", required=True, help="reference of the contract they belong to")
@click.pass_obj
def preserve(settings: Settings, subjects: tuple[str, ...], reference: str) -> None:
    """Preserve records, assessments, decisions and disbursements: bind them together at this block.

    KIND is record (the default), assessment, decision or disbursement. It proves that they stood on the chains no
    later than the block; it says nothing about their truth.
    """
    with Session(settings) as session:
        entries = [_subject(session, text) for text in subjects]
        state = submit(
            session,
            chain="consortium",
            contract="notary",
            method="preserve",
            args={"subjects": entries, "contract": reference},
        )
    result = state["receipt"]["result"]
    said = "was preserved before" if result["known"] else "preserved"
    lines = facts([("preservation", result["id"]), ("block", result["height"]), ("contract", reference)])
    show(
        settings,
        {**result, "contract": reference, "transaction": state},
        [f"{len(entries)} subjects, {said}", *lines],
    )


@command.command("show", reads=True, example="tally notary show 4c7e…")
@click.argument("wanted", metavar="PRESERVATION | RECORD")
@click.pass_obj
def show_preservation(settings: Settings, wanted: str) -> None:
    """Show a preservation by its id, or all that name a record."""
    identity = digest(wanted, "id")
    with Session(settings) as session:
        found = _by_id(session, identity) or _naming(session, identity)
    if not found:
        raise not_found(f"nothing preserved has or names {wanted}: check the id")
    lines: list[str] = []
    for entry in found:
        lines += facts(
            [
                ("preservation", entry["id"]),
                ("contract", entry["contract"]),
                ("block", f"{entry['height']}, {moment(entry['time'])}"),
                ("by", f"{entry['by']} ({entry['role']})"),
                ("transaction", entry["transaction"]),
            ]
        )
        rows = [
            [row.get("kind", "record"), row.get("id", row.get("record")), row.get("chain", "")]
            for row in entry["subjects"]
        ]
        lines += [*table(["subject", "id", "chain"], rows), ""]
    show(settings, found, lines[:-1])


def _subject(session: Session, text: str) -> dict[str, Any]:
    kind, colon, number = text.rpartition(":")
    kind = kind if colon else "record"
    identity = digest(number, f"{kind} id")
    if kind in CREDIT_SUBJECTS:
        return {"kind": kind, "id": identity}
    if kind != "record":
        raise CliError(f"{kind!r} cannot be preserved: use record, {', '.join(CREDIT_SUBJECTS)}")
    places = session.client.record_places(identity)
    if not places:
        raise not_found(f"no chain has record {number}: ingest it first, or write assessment:{number} if it is one")
    named = {part: places[0][part] for part in ("chain", "kind", "issuer", "number")}
    return {**named, "record": identity}


def _by_id(session: Session, identity: bytes) -> list[dict[str, Any]]:
    entry = session.client.state("consortium", "notary", "preservation", identity)
    return [] if entry is None else [entry]


def _naming(session: Session, identity: bytes) -> list[dict[str, Any]]:
    """The preservations that name a record, or an assessment, decision or disbursement, oldest first."""
    from chain.crypto import hash_value

    client = session.client
    subjects: list[dict[str, Any]] = [
        {"chain": place["chain"], "record": identity} for place in client.record_places(identity)
    ]
    subjects += [{"kind": kind, "id": identity} for kind in CREDIT_SUBJECTS]
    found = []
    for subject in subjects:
        key = hash_value(["tally/subject", 1, subject])
        pages, _ = client.state("consortium", "notary", "subject_pages", key) or (0, 0)
        for page in range(pages):
            for preservation in client.state("consortium", "notary", "subject", key, page):
                found += _by_id(session, preservation)
    return found
