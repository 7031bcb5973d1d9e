"""``tally node``: operate one node: run it, ask how it is, examine it from outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from cli.command import Settings, group
from cli.errors import UNVERIFIED, CliError
from cli.output import facts, moment, show
from cli.session import CONFIG_FILE, Session
from cli.values import digest

command = group("node", "Operate a node: run, join, status, prune, doctor.")

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


@command.command(
    "join",
    example="tally node join office --from http://127.0.0.1:27101 --genesis 3f9a… --as office\n"
    "each member:  tally gov admit office/member.json",
)
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--from", "url", required=True, metavar="URL", help="API of a node of the consortium, of any member")
@click.option("--genesis", required=True, metavar="HASH", help="the network id, as a member told it by other means")
@click.option("--as", "member", required=True, metavar="ID", help="id of the new member")
@click.option("--role", default="observer", show_default=True, help="the new member's role")
@click.option("--validator", is_flag=True, help="make a validator key too: the members may give it a vote")
@click.option(
    "--chains", default="all", show_default=True, metavar="all|A,B…", help="chains whose contents to follow"
)
@click.option("--p2p", metavar="HOST:PORT", help="where to listen for peers; default a free port on loopback")
@click.option("--api", metavar="HOST:PORT", help="where to answer; default a free port on loopback")
@click.option("--wait", type=click.FloatRange(min=0), help="seconds to wait for admission; default without end")
@click.option("--no-run", is_flag=True, help="end once admitted, instead of running the node")
@click.pass_obj
def join(
    settings: Settings,
    directory: Path,
    url: str,
    genesis: str,
    member: str,
    role: str,
    validator: bool,
    chains: str,
    p2p: str | None,
    api: str | None,
    wait: float | None,
    no_run: bool,
) -> None:
    """Join a consortium: make keys and folder, wait until the members have admitted this one, and run the node.

    The public half for the members is DIR/member.json. Once admitted, the node takes every block from the first on,
    executes it again and keeps following. Given again, it goes on where it was.
    """
    from cli import join as joins

    joining = joins.Joining(
        directory=directory,
        url=url,
        network_id=digest(genesis, "--genesis"),
        member=member,
        role=role,
        votes=validator,
        chains=() if chains == joins.ALL else tuple(sorted(set(chains.split(",")))),
        p2p=p2p,
        api=api,
    )
    session = Session(replace(settings, node=url))
    with session:
        passphrase = joins.prepare(joining, session.client, session)
        joins.wait_for_admission(joining, session.client, wait)
        joins.show_joined(settings, joining)
    if not no_run:
        joins.run(joining, passphrase)


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
            ("state kept from block", found.get("pruned_below") or None),
            ("votes", found["validator"]),
            ("validators", found["validators"]),
            ("connected to", found["connected"] or "nobody"),
            *_following(found["following"]),
            ("pending", found["pending"]),
            ("evidence of misbehaviour", found["evidence"] or None),
            *((f"intake {name}", _way(way)) for name, way in _ways(found).items()),
            *((f"chain {row['chain']}", _followed(row)) for row in found.get("chains", ())),
        ]
    )
    show(settings, found, lines)


@command.command(
    "prune",
    reads=True,
    example="tally node prune erp --below 120000\ntally node prune --home net --as erp --below 500",
)
@click.argument("place", required=False, type=click.Path(path_type=Path), metavar="[DIR | NODE.TOML]")
@click.option("--below", required=True, type=click.IntRange(min=1), metavar="HEIGHT", help="first block to keep")
@click.pass_obj
def prune(settings: Settings, place: Path | None, below: int) -> None:
    """Drop the state of blocks below HEIGHT, at a stopped node: what was superseded before, and old tree nodes.

    Blocks, receipts, records and the state now stay. What is asked of the state below is then answered with PRUNED.
    """
    from cli import prune as pruning

    inside = place / CONFIG_FILE if place is not None and place.is_dir() else place
    pruning.prune(settings, _config_path(settings, inside), below)


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


def _following(how: dict[str, Any]) -> list[tuple[str, Any]]:
    """How a node without a vote gets its blocks, and whom this one sends them."""
    refused = how["refused"]
    return [
        ("membership", None if how["standing"] == "member" else how["standing"]),
        ("follows", how["from"]),
        ("not served", None if refused is None else f"{refused['code']}: {refused['message']}"),
        ("followed by", how["followers"] or None),
    ]


def _followed(row: dict[str, Any]) -> str:
    """What a partial observer has of a chain, in a line."""
    if row["mode"] != "executed":
        return f"{row['mode']}, {row['height']} blocks" if "height" in row else str(row["mode"])
    said = f"executed up to block {row['executed_up_to']}, {row['executed']} of its {row['height']} blocks"
    return said + (f"; nobody gives it: {row['refused']}" if row["refused"] else "")


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
