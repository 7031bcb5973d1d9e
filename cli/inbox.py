"""``tally inbox``: what waits for a member or party, and what it was told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from cli import inbox_work
from cli.command import FILE, Settings, TallyCommand
from cli.errors import CliError
from cli.output import moment, read_file, show, table, write_file
from cli.session import Session

PAGE: Final = 100
WAIT_S: Final = 20.0
START: Final = "0.0"
MAX_CURSOR: Final = 64
"""Bytes of a cursor file."""

_EXAMPLE: Final = """\
tally --as lender inbox
tally --as lender inbox --after 812.0 --json
tally inbox lender --node http://127.0.0.1:27101 --follow
tally --as lender inbox --cursor-file lender.cursor --json"""


@click.command("inbox", cls=TallyCommand, reads=True, example=_EXAMPLE)
@click.argument("recipient", required=False)
@click.option("--after", metavar="CURSOR", help="the notices after this one, oldest first; 0.0 is the beginning")
@click.option("--cursor-file", type=FILE, help="go on after the cursor kept in this file, and keep the new one there")
@click.option("--follow", is_flag=True, help="wait for more, until interrupted")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="notices to show")
@click.pass_obj
def command(
    settings: Settings, recipient: str | None, after: str | None, cursor_file: Path | None, follow: bool, limit: int
) -> None:
    """Show the work queue of a member or party, and its newest notices.

    RECIPIENT is its id; default the one of --as. With --after, --cursor-file or --follow only notices are shown,
    oldest first. A cursor is the place of a notice on the chain, the same at every node.
    """
    name = recipient or settings.acting
    if not name:
        raise CliError("whose inbox? give an id, or --as ID")
    if after is not None and cursor_file is not None:
        raise CliError("--after and --cursor-file both say where to go on: give one of them")
    with Session(settings) as session:
        if after is None and cursor_file is None and not follow:
            _overview(settings, session, name, limit)
            return
        place = after or (START if cursor_file is None else _kept(cursor_file))
        if follow and after is None and cursor_file is None:
            place = session.client.inbox(name, newest=True, limit=1)["cursor"]
        for notices in _pages(session, name, place, limit, follow=follow):
            value: Any = notices
            show(settings, value, _lines(notices))
            if cursor_file is not None and notices:
                write_file(cursor_file, f"{notices[-1]['cursor']}\n".encode())


def _overview(settings: Settings, session: Session, name: str, limit: int) -> None:
    newest = session.client.inbox(name, newest=True, limit=limit)
    work = inbox_work.open_work(session.client, name)
    lines = ["To do", *table(["what", "id", "about", "amount", "with"], work), "", "Newest notices"]
    show(
        settings,
        {"recipient": name, "work": [item._asdict() for item in work], **newest},
        [*lines, *_lines(newest["notices"])],
    )


def _pages(session: Session, name: str, place: str, limit: int, *, follow: bool) -> Iterator[list[dict[str, Any]]]:
    wait = WAIT_S if follow else 0.0
    while True:
        answer = session.client.inbox(name, after=place, limit=limit, wait_s=wait)
        if answer["notices"] or not follow:
            yield answer["notices"]
        place = answer["cursor"]
        if not follow:
            return


def _lines(notices: list[dict[str, Any]]) -> list[str]:
    rows = [[n["cursor"], moment(n["time"]), n["name"], inbox_work.said(n["name"], n["data"])] for n in notices]
    return table(["cursor", "block time", "notice", "says"], rows)


def _kept(path: Path) -> str:
    if not path.exists():
        return START
    return read_file(path, MAX_CURSOR).decode("ascii", "replace").strip() or START
