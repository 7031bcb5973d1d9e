"""Lists by pages, as ``tally query`` takes and shows them: filters, the moment a time stands for, the cursor."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from cli.command import Settings
from cli.errors import CliError
from cli.output import moment, show, table
from cli.session import Session

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
ROWS: Final = 50

AT: Final = click.option("--at", type=click.IntRange(min=0), metavar="HEIGHT", help="as of this consortium block")
_OPTIONS: Final = (
    click.option("--from", "since", metavar="TIME", help="from this block time on: 2026-11-24 or 2026-11-24T10:30Z"),
    click.option("--to", "until", metavar="TIME", help="up to this block time; a date includes that day"),
    click.option("--from-block", type=click.IntRange(min=0), metavar="HEIGHT", help="from this block on"),
    click.option("--oldest", is_flag=True, help="oldest first, instead of newest first"),
    click.option("--limit", type=click.IntRange(1, 500), default=ROWS, show_default=True, help="rows of a page"),
    click.option("--after", metavar="CURSOR", help="the page behind one shown before, with the same filters"),
)


def list_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every list; they come as keyword arguments that ``filters`` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def filters(
    *,
    since: str | None,
    until: str | None,
    from_block: int | None,
    oldest: bool,
    limit: int,
    after: str | None,
    at: int | None = None,
) -> dict[str, Any]:
    """What ``tallystick.Client.page`` takes. Raises CliError for a time that is none."""
    return {
        "from_ms": None if since is None else time_ms(since, "--from"),
        "to_ms": None if until is None else time_ms(until, "--to", end=True),
        "from_block": from_block,
        "at": at,
        "order": "oldest" if oldest else "newest",
        "limit": limit,
        "after": after,
    }


def time_ms(text: str, option: str, *, end: bool = False) -> int:
    """A moment in ms since 1970 UTC; a date is its first, or with ``end`` its last, ms. Raises CliError."""
    try:
        when = datetime.fromisoformat(text)
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        found = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        raise CliError(f"{option} {text[:40]!r} is no time: write 2026-11-24, or 2026-11-24T10:30:00Z")
    return found + 86_400_000 - 1 if end and _DATE.fullmatch(text) else found


def show_page(settings: Settings, page: dict[str, Any], headers: Sequence[str], rows: list[list[Any]]) -> None:
    """A page as a table, and how to go on."""
    lines = table(headers, rows)
    lines.append(f"as of block {page['began']}" + ("" if page["next"] is None else f"; more: --after {page['next']}"))
    show(settings, page, lines)


def show_records(settings: Settings, **wanted: Any) -> None:
    """A list of sealed record versions."""
    with Session(settings) as session:
        page = session.client.page("records", **wanted)
    rows = [
        [moment(row["time"]), row["height"], row["chain"], row["kind"], row["number"], row["enterprise"], row["id"]]
        for row in page["rows"]
    ]
    show_page(settings, page, ["sealed", "block", "chain", "kind", "number", "enterprise", "record"], rows)


def show_transactions(settings: Settings, **wanted: Any) -> None:
    """A list of transactions."""
    with Session(settings) as session:
        page = session.client.page("transactions", **wanted)
    rows = [
        [
            moment(row["time"]),
            row["height"],
            row["chain"],
            f"{row['contract']}.{row['method']}",
            row["records"] or "",
            "done" if row["status"] == 0 else f"failed: {row['code']}",
            row["id"],
        ]
        for row in page["rows"]
    ]
    show_page(settings, page, ["ordered", "block", "chain", "did", "records", "outcome", "transaction"], rows)


def show_blocks(settings: Settings, **wanted: Any) -> None:
    """A list of consortium blocks."""
    with Session(settings) as session:
        page = session.client.page("blocks", **wanted)
    rows = [
        [row["height"], moment(row["time"]), row["proposer"], row["transactions"] or "", row["digest"]]
        for row in page["rows"]
    ]
    show_page(settings, page, ["block", "time", "proposer", "transactions", "hash"], rows)
