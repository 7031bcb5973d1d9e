"""``tally node``: operate one node: run it, ask how it is, examine it from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from cli.command import Settings, group
from cli.errors import UNVERIFIED, CliError
from cli.output import facts, moment, show
from cli.session import CONFIG_FILE, Session

command = group("node", "Operate a node: run, status, doctor.")

_CONFIG: Final = click.argument(
    "config", required=False, type=click.Path(path_type=Path, dir_okay=False), metavar="[NODE.TOML]"
)


@command.command("run", reads=True, example="tally node run erp/node.toml\ntally node run --home net --as erp")
@_CONFIG
@click.pass_obj
def run(settings: Settings, config: Path | None) -> None:
    """Run a node until it is stopped (SIGINT or SIGTERM). It logs to standard error, or as its node.toml says."""
    path = _config_path(settings, config)
    from node import config as configuration
    from node import main

    loaded = configuration.load(path)
    passphrase = configuration.passphrase(loaded)
    if passphrase is None:
        passphrase = Session(settings).passphrase(loaded.keys.network)
    click.get_current_context().exit(main.run(path, passphrase))


@command.command("status", reads=True, example="tally node status --node http://127.0.0.1:27101")
@click.pass_obj
def status(settings: Settings) -> None:
    """Show where a running node stands: height, peers, pending transactions."""
    with Session(settings) as session:
        found = session.client.status()
        url = session.url
    lines = facts(
        [
            ("member", found["member"]),
            ("node", url),
            ("network id", found["network_id"]),
            ("block", f"{found['height']}, {moment(found['time'])}"),
            ("votes", found["validator"]),
            ("validators", found["validators"]),
            ("connected to", found["connected"] or "nobody"),
            ("pending", found["pending"]),
            ("evidence of misbehaviour", found["evidence"] or None),
            *((f"intake {name}", _way(way)) for name, way in _ways(found).items()),
        ]
    )
    show(settings, found, lines)


@command.command(
    "doctor", reads=True, example="tally node doctor erp/node.toml\ntally node doctor --home net --as erp"
)
@_CONFIG
@click.pass_obj
def doctor(settings: Settings, config: Path | None) -> None:
    """Examine a node's configuration, keys, genesis, ledger, journal, ports, disk, peers and clock.

    One line a check: ok, or what to do. Nothing is written; the node may run meanwhile. Exit code 6 if a check fails.
    """
    from cli import checkup

    path = _config_path(settings, config)
    findings = checkup.examine(path, lambda key_file: Session(settings).passphrase(key_file))
    value: list[dict[str, Any]] = [
        {"check": finding.check, "ok": finding.ok, "text": finding.text} for finding in findings
    ]
    width = max(len(finding.check) for finding in findings)
    lines = [f"{'ok  ' if f.ok else 'FAIL'}  {f.check.ljust(width)}  {f.text}" for f in findings]
    show(settings, value, lines)
    if not all(finding.ok for finding in findings):
        click.get_current_context().exit(UNVERIFIED)


def _ways(status: dict[str, Any]) -> dict[str, Any]:
    """The ways in of connected systems, by name."""
    intake = status.get("intake")
    return {} if intake is None else dict(intake["ways"])


def _way(way: dict[str, Any]) -> str:
    """How one of them stands, in a line."""
    taken = sum(way.get(name, 0) for name in ("sealed", "known", "corrected"))
    said = f"{way.get('files', 0)} files, {taken} records in, {way['backlog']} wait"
    refused = way.get("files_refused", 0)
    problem = way["problem"]
    return said + (f", {refused} files refused" if refused else "") + (f"; failing: {problem}" if problem else "")


def _config_path(settings: Settings, config: Path | None) -> Path:
    """The node.toml given, or that of --home and --as."""
    if config is not None:
        return config
    if settings.home is None or settings.acting is None:
        raise CliError("which node? give its NODE.TOML, or --home DIR --as MEMBER")
    return settings.home / settings.acting / CONFIG_FILE
