"""``tally ingest``: documents onto their members' chains, each sealed, known, corrected or refused with a reason."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import intake, sending
from cli.command import EXISTING_FILE, Settings, TallyCommand
from cli.errors import DONE, FAILED, NODE_EXTRA, REJECTED, UNKNOWN, CliError
from cli.intake import Document, Rules
from cli.output import clean, note, show, table
from cli.session import Session
from cli.templates import network_template, unknown_template

if TYPE_CHECKING:
    from node.connectors.routing import Member

GENESIS_FILE: Final = "genesis.json"

_EXAMPLE: Final = """\
tally ingest invoices/ --home net --as erp
tally ingest genesis/example/documents --home net --all-members
tally ingest contract.json --dry-run"""


@click.command("ingest", cls=TallyCommand, signs=True, example=_EXAMPLE)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="FILE|DIR…")
@click.option("--dry-run", is_flag=True, help="read and validate only; needs no node and no key")
@click.option("--template", default="general-trade", show_default=True, help="industry template to hold records to")
@click.option(
    "--genesis", "genesis_file", type=EXISTING_FILE, help="with --dry-run: take template and members from here"
)
@click.option("--all-members", is_flag=True, help="with --home: hand each kind to the member of its role")
@click.option("--correct", is_flag=True, help="where another content is sealed already, send a correction of it")
@click.option(
    "--sealing-key", type=EXISTING_FILE, help="signer key whose secret seals fields; default the one that signs"
)
@click.option(
    "--timeout", type=click.IntRange(min=1), default=30, show_default=True, help="seconds to wait for a batch"
)
@click.option("--system", default="file", show_default=True, help="name of the system the files come from")
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[Path, ...],
    dry_run: bool,
    template: str,
    genesis_file: Path | None,
    all_members: bool,
    correct: bool,
    sealing_key: Path | None,
    timeout: int,
    system: str,
) -> None:
    """Take documents in: detect each one's format by its content, read it, seal its records on the member's chain.

    Only kinds that the member's role may upload are taken. Raw files are kept in the node's document store. Run it
    again after a break: what is sealed is known. After `tally keys rotate`, --sealing-key OLD keeps the same document
    the same record where it has sealed fields. Exit code 4 if the chain refused something, 3 if something was
    refused before, 5 if an outcome is unknown.
    """
    _require_node_extra()
    files = intake.files_of(paths)
    with Session(settings) as session:
        if dry_run:
            rules = _rules_offline(settings, template, genesis_file, all_members, system)
        else:
            rules = _rules_online(session, template, all_members, sealing_key, system)
        documents = list(intake.read(files, rules))
        intake.settle_repeats(documents, correct=correct)
        exit_code = DONE if dry_run else _send(session, documents, rules, correct=correct, timeout_s=timeout)
    _report(settings, documents)
    click.get_current_context().exit(max(exit_code, _exit_code(documents)))


def _send(session: Session, documents: list[Document], rules: Rules, *, correct: bool, timeout_s: float) -> int:
    """All chains, one after the other; what cannot be sent any more says so."""
    for chain in sorted({entry.chain for document in documents for entry in document.entries}):
        acting = session if rules.own is not None else session.acting_as(chain)
        try:
            sender = sending.Sender(acting, chain, correct=correct, timeout_s=timeout_s, progress=_progress)
            sender.send(documents)
        except sending.StoppedError as stopped:
            sending.stop(documents, str(stopped))
            return UNKNOWN if stopped.unknown else REJECTED
        finally:
            if acting is not session:
                acting.__exit__(None, None, None)
    return DONE


def _rules_online(session: Session, template: str, all_members: bool, sealing_key: Path | None, system: str) -> Rules:
    """Template and members of the running network; who acts, from the key."""
    from chain import keys
    from node.connectors.routing import Member

    members = tuple(Member(row["id"], row["role"]) for row in session.client.members())
    found = network_template(session, template)
    if all_members:
        secrets: dict[str, bytes] = {}

        def secret_of(member: str) -> bytes:
            if member not in secrets:
                secrets[member] = intake.sealing_secret(session.acting_as(member).key.seed)
            return secrets[member]

        return Rules(found, members, None, secret_of, system)
    owner = session.owner
    own = next((member for member in members if member.id == owner["id"]), None)
    if owner["owner"] != "member" or own is None:
        raise CliError(f"{owner['id']} is no member: only members take documents in")
    seed = session.key.seed if sealing_key is None else keys.load(sealing_key, session.passphrase(sealing_key)).seed
    secret = intake.sealing_secret(seed)
    return Rules(found, members, own, lambda _member: secret, system)


def _rules_offline(
    settings: Settings, template: str, genesis_file: Path | None, all_members: bool, system: str
) -> Rules:
    """Template and members of a genesis file, else a shipped template and one member for each role."""
    from contracts.access import ROLES
    from genesis import ceremony, library
    from node.connectors.routing import Member

    beside = None if settings.home is None else settings.home / GENESIS_FILE
    source = genesis_file or (beside if beside is not None and beside.exists() else None)
    if source is None:
        if template not in library.template_ids():
            raise unknown_template(template, list(library.template_ids()))
        found = library.template(template)
        members = tuple(Member(role, role) for role in ROLES)
    else:
        document = ceremony.load(source).document
        rows = [row for row in document["templates"] if row["id"] == template]
        if not rows:
            raise unknown_template(template, sorted({row["id"] for row in document["templates"]}))
        found = max(rows, key=lambda row: int(row["version"]))
        members = tuple(Member(row["id"], row["role"]) for row in document["members"])
    own = None if all_members else _acting(settings, members)
    return Rules(found, members, own, lambda _member: bytes(32), system)


def _acting(settings: Settings, members: Iterable[Member]) -> Member | None:
    """Whom --as names; without it a dry run says whose the records would be."""
    if settings.acting is None:
        return None
    own = next((member for member in members if member.id == settings.acting), None)
    if own is None:
        raise CliError(f"--as {settings.acting} is no member: use one of {', '.join(m.id for m in members)}")
    return own


def _require_node_extra() -> None:
    try:
        importlib.import_module("node.connectors")  # the readers of documents are the node's
    except ModuleNotFoundError as error:
        raise CliError(f"{NODE_EXTRA} ({error.name} is missing)", code="NOT_INSTALLED") from None


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{clean(text)}  ", nl=False, err=True)
    else:
        note(text)


def _report(settings: Settings, documents: list[Document]) -> None:
    if sys.stderr.isatty():
        click.echo("", err=True)
    counts = Counter(document.outcome for document in documents)
    value = {
        "files": [_value(document) for document in documents],
        "counts": {outcome: counts[outcome] for outcome in intake.OUTCOMES if counts[outcome]},
        "records": dict(Counter(entry.outcome for document in documents for entry in document.entries)),
    }
    rows: list[list[str]] = []
    reasons: list[str] = []
    for document in documents:
        rows += [["", "", intake.REFUSED, document.path.name] for _ in document.refusals[:1] if not document.entries]
        rows += [[f"{e.kind} {e.number}", e.chain, e.outcome, document.path.name] for e in document.entries]
        reasons += [f"{document.path}: {reason} [{code}]" for code, reason in document.refusals]
        reasons += [
            f"{document.path}: {e.reason}{f' [{e.code}]' if e.code else ''}" for e in document.entries if e.reason
        ]
    said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in intake.OUTCOMES if counts[outcome])
    lines = [*table(["record", "chain", "outcome", "file"], rows), "", *reasons]
    show(settings, value, [*lines, *([""] if reasons else []), f"{len(documents)} files: {said}"])


def _value(document: Document) -> dict[str, Any]:
    return {
        "file": str(document.path),
        "format": document.format,
        "outcome": document.outcome,
        "refused": [{"code": code, "reason": reason} for code, reason in document.refusals],
        "records": [
            {
                "kind": entry.kind,
                "issuer": entry.issuer,
                "number": entry.number,
                "chain": entry.chain,
                "id": entry.prepared.id,
                "outcome": entry.outcome,
                "code": entry.code,
                "reason": entry.reason,
                "transaction": entry.transaction,
            }
            for entry in document.entries
        ],
    }


def _exit_code(documents: list[Document]) -> int:
    outcomes = {entry.outcome for document in documents for entry in document.entries}
    if intake.UNKNOWN in outcomes:
        return UNKNOWN
    if intake.REFUSED_BY_CHAIN in outcomes:
        return FAILED
    refused = outcomes & {intake.REFUSED, intake.NOT_SENT} or any(document.refusals for document in documents)
    return REJECTED if refused else DONE
