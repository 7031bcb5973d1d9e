"""``tally ingest``: documents onto their members' chains, each sealed, known, corrected or refused with a reason."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.command import EXISTING_FILE, Settings, TallyCommand
from cli.errors import DONE, FAILED, NODE_EXTRA, REJECTED, UNKNOWN, CliError
from cli.output import clean, note, show, table
from cli.session import Session
from cli.templates import unknown_template

if TYPE_CHECKING:
    from chain.crypto import SigningKey
    from node.connectors.routing import Member
    from node.intake.engine import Progress, Run
    from node.intake.gateway import Gateway
    from node.intake.outcomes import FileReport
    from node.intake.reading import Rules

GENESIS_FILE: Final = "genesis.json"
MAX_ROWS: Final = 1_000
"""Rows of the table; --json lists more."""

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
@click.option("--mapping", default="", metavar="FILE|NAME", help="for tables and event logs: what their columns mean")
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
    mapping: str,
    system: str,
) -> None:
    """Take documents in: detect each one's format by its content, read it, seal its records on the member's chain.

    Only kinds that the member's role may upload are taken. Raw files are kept in the node's document store. Run it
    again after a break: what is sealed is known. After `tally keys rotate`, --sealing-key OLD keeps the same document
    the same record where it has sealed fields. Exit code 4 if the chain refused something, 3 if something was
    refused before, 5 if an outcome is unknown.
    """
    _require_node_extra()
    from node.intake import engine
    from node.intake.reading import files_of, source_of

    sources = [source_of(path) for path in files_of(paths)]
    reports: list[FileReport] = []
    with ExitStack() as stack:
        session = stack.enter_context(Session(settings))
        gateway_of: Callable[[str], Gateway] | None = None
        if dry_run:
            rules = _rules_offline(settings, template, genesis_file, all_members, system, mapping)
        else:
            rules = _rules_online(session, template, all_members, sealing_key, system, mapping)
            gateway_of = _gateways(session, stack, all_members=all_members, timeout_s=timeout)
        done = engine.run(sources, rules, gateway_of, correct=correct, on_file=reports.append, on_progress=_progress)
    _report(settings, reports, done)
    click.get_current_context().exit(_exit_code(done))


def _gateways(session: Session, stack: ExitStack, *, all_members: bool, timeout_s: float) -> Callable[[str], Gateway]:
    """The way onto a chain: the acting member's, or each member's own where all are at hand."""
    from node.intake.gateway import Gateway

    def gateway_of(chain: str) -> Gateway:
        acting = stack.enter_context(session.acting_as(chain)) if all_members else session
        return Gateway(acting.client, acting.keys, timeout_s=timeout_s)

    return gateway_of


def _rules_online(
    session: Session, template: str, all_members: bool, sealing_key: Path | None, system: str, mapping: str
) -> Rules:
    """Template and members of the running network; who acts, from the key."""
    from chain import keys
    from node.intake import network

    if all_members:

        def key_of(member: str) -> SigningKey:
            return session.acting_as(member).key

        return network.home_rules(session.client, template, system, key_of, mapping)
    session.unlock()
    seal = None if sealing_key is None else keys.load(sealing_key, session.passphrase(sealing_key))
    return network.own_rules(session.client, session.key, template, system, seal, mapping)


def _rules_offline(
    settings: Settings, template: str, genesis_file: Path | None, all_members: bool, system: str, mapping: str
) -> Rules:
    """Template and members of a genesis file, else a shipped template and one member for each role."""
    from contracts.access import ROLES
    from genesis import ceremony, library
    from node.connectors.routing import Member
    from node.intake.reading import Rules, mapping_of

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
    return Rules(found, members, own, lambda _member: bytes(32), system, mapping_of(mapping))


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


def _progress(progress: Progress) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{clean(str(progress))}  ", nl=False, err=True)
    else:
        note(str(progress))


def _report(settings: Settings, reports: list[FileReport], done: Run) -> None:
    from node.intake.outcomes import OUTCOMES

    if sys.stderr.isatty():
        click.echo("", err=True)
    counts = {outcome: done.files[outcome] for outcome in OUTCOMES if done.files[outcome]}
    if settings.json:
        value = {"files": [report.to_json() for report in reports], "counts": counts, "records": dict(done.counts)}
        show(settings, value, [])
        return
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    rows, reasons = _rows(reports)
    left_out = len(rows) - MAX_ROWS
    more = [f"… and {left_out} more records: --json lists them"] if left_out > 0 else []
    shown = table(["record", "chain", "outcome", "file"], rows[:MAX_ROWS])
    records = ", ".join(f"{count} {outcome}" for outcome, count in done.counts.items())
    lines = [*shown, *more, "", *reasons, *([""] if reasons else []), f"{len(reports)} files: {said}"]
    show(settings, None, [*lines, *([f"records: {records}"] if len(rows) > len(reports) else [])])


def _rows(reports: list[FileReport]) -> tuple[list[list[str]], list[str]]:
    """The table of records, and the reasons for what did not go in."""
    from node.intake.outcomes import REFUSED

    rows: list[list[str]] = []
    reasons: list[str] = []
    for report in reports:
        name = Path(report.name).name
        entries = sorted(report.rows, key=lambda entry: entry.index)
        rows += [["", "", REFUSED, name] for _ in report.refusals[:1] if not entries]
        rows += [[f"{e.kind} {e.number}", e.chain, e.outcome, name] for e in entries]
        reasons += [f"{report.name}: {reason} [{code}]" for code, reason in report.refusals]
        reasons += [f"{report.name}: {e.reason}{f' [{e.code}]' if e.code else ''}" for e in entries if e.reason]
    return rows, reasons


def _exit_code(done: Run) -> int:
    from node.intake import outcomes

    outcome: Counter[str] = done.counts
    if outcome[outcomes.UNKNOWN]:
        return UNKNOWN
    if outcome[outcomes.REFUSED_BY_CHAIN]:
        return FAILED
    return REJECTED if done.refused or outcome[outcomes.REFUSED] or outcome[outcomes.NOT_SENT] else DONE
