"""``tally up``: every node of a development consortium on this machine, until ^C."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import click

from cli.command import FOLDER, Settings, TallyCommand
from cli.errors import BUG
from cli.output import note, show, table

LOOK_S = 0.5


@click.command("up", cls=TallyCommand, example="tally genesis dev net && tally up net")
@click.argument("directory", type=FOLDER)
@click.option("--only", multiple=True, metavar="MEMBER", help="start only this member's node; repeat")
@click.option("--timeout", type=click.IntRange(min=1), default=60, show_default=True, help="seconds to become ready")
@click.pass_obj
def command(settings: Settings, directory: Path, only: tuple[str, ...], timeout: int) -> None:
    """Start every node of a development consortium, show where they answer, and stop them on ^C.

    Each node writes to DIRECTORY/<member>/node.log.
    """
    from node.processes import LocalNodes

    with LocalNodes(directory, only or None) as nodes:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            nodes.start()
            note(f"starting {len(nodes.nodes)} nodes of {directory} …")
            nodes.wait_ready(timeout_s=timeout)
            rows = [
                [node.member, node.api, node.process.pid if node.process else "", node.log]
                for node in nodes.nodes.values()
            ]
            value = [{"member": member, "api": api, "pid": pid, "log": str(log)} for member, api, pid, log in rows]
            show(settings, value, [*table(["member", "API", "pid", "log"], rows), "Ready. ^C stops them all."])
            _watch(nodes)
        except KeyboardInterrupt:
            note("stopping …")


def _watch(nodes: Any) -> None:
    """Until interrupted; a node that ends is told, and when none is left the command ends too."""
    told: set[str] = set()
    while True:
        time.sleep(LOOK_S)
        ended = nodes.ended()
        for node in ended:
            if node.member not in told:
                told.add(node.member)
                note(f"tally: the node of {node.member} ended: {node.last_words()} (see {node.log})")
        if len(ended) == len(nodes.nodes):
            click.get_current_context().exit(BUG)


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt
