"""``tally intake``: what connects the member's systems to a node: tokens to push with, and how the ways in stand."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import click

from cli.command import Settings, group
from cli.output import facts, moment, show, table
from cli.session import Session

command = group("intake", "Connected systems: token, status.")

TOKEN_BYTES: Final = 32


@command.command("token", example="tally intake token")
@click.pass_obj
def token(settings: Settings) -> None:
    """Make a bearer token for a push endpoint, and the hash of it for node.toml: all that the node keeps of it."""
    made = secrets.token_urlsafe(TOKEN_BYTES)
    digest = hashlib.sha256(made.encode()).hexdigest()
    lines = facts([("token", made), ("tokens_sha256", digest)])
    advice = "Give the token to the system that pushes; put the hash into [[intake.pushes]] of node.toml."
    show(settings, {"token": made, "sha256": digest}, [*lines, advice])


@command.command("status", reads=True, example="tally intake status --node http://127.0.0.1:27101")
@click.pass_obj
def status(settings: Settings) -> None:
    """Show how a node's watched folders, pulls and push endpoints stand: what went in, what waits, what fails."""
    with Session(settings) as session:
        found = session.client.intake_status()
    counted = ("files", "files_refused", "sealed", "known", "corrected", "records_refused", "backlog")
    rows = [[name, *(way.get(column, 0) for column in counted)] for name, way in found["ways"].items()]
    lines = table(["way in", "files", "refused", "sealed", "known", "corrected", "records refused", "wait"], rows)
    problems = [f"{name}: {way['problem']}" for name, way in found["ways"].items() if way["problem"]]
    about = facts([("as of", moment(found["time"]) if found["time"] else None), ("starts", found["starts"])])
    show(settings, found, [*lines, "", *problems, *about])
