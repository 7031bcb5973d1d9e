"""How results are shown: plain words and tables for people, one JSON value for programs.

Everything that comes from a chain or a file may hold what a stranger wrote: control characters never reach the
terminal.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from cli.command import Settings
from cli.errors import CliError

MAX_CELL: Final = 60
"""Characters of one cell of a table."""


def show(settings: Settings, value: Any, lines: Iterable[str]) -> None:
    """Print a result: ``value`` with --json, else ``lines``."""
    if settings.json:
        click.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))
        return
    for line in lines:
        click.echo(clean(line))


def note(text: str) -> None:
    """Something to know while a command runs, on standard error."""
    click.echo(clean(text), err=True)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: bytes as lower-case hex, tuples as lists."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def clean(text: str) -> str:
    """Text that cannot move a terminal's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Aligned columns under headers; nothing at all says so."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return ["(none)"]
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [list(headers), *cells]
    ]


def facts(pairs: Iterable[tuple[str, Any]]) -> list[str]:
    """``name  value`` lines, aligned; None values are left out."""
    kept = [(name, _text(value)) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in kept), default=0)
    return [f"{name.ljust(width)}  {value}".rstrip() for name, value in kept]


def moment(milliseconds: int) -> str:
    """A block time for people, to the second, UTC."""
    try:
        when = datetime.fromtimestamp(milliseconds // 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return f"{milliseconds} ms"
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


def money(minor: int, scale: int, currency: str) -> str:
    """An amount of minor units with its currency: ``12,345.67 GBP``."""
    whole, fraction = divmod(abs(minor), 10**scale)
    decimals = f".{fraction:0{scale}d}" if scale else ""
    return f"{'-' if minor < 0 else ''}{whole:,}{decimals} {currency}".rstrip()


def percent(basis_points: int | None) -> str:
    """Basis points for people: ``87.50 %``."""
    return "no data" if basis_points is None else f"{basis_points // 100}.{basis_points % 100:02d} %"


def short(value: bytes | str) -> str:
    """The first digits of a hash, enough to recognise it."""
    text = value.hex() if isinstance(value, bytes) else value
    return f"{text[:12]}…" if len(text) > 16 else text


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file whole or not at all; ``private``: for its owner's eyes alone. Raises CliError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o600 if private else 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise CliError(f"cannot write {path} ({error.strerror}): correct the folder or free space") from None


def read_file(path: Path, limit: int) -> bytes:
    """A file of at most ``limit`` bytes. Raises CliError."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise CliError(f"cannot read {path} ({error.strerror}): correct its path or its mode") from None
    if len(data) > limit:
        raise CliError(f"{path} is longer than {limit} bytes: give the right file")
    return data


def _cell(value: Any) -> str:
    text = clean(_text(value))
    return text if len(text) <= MAX_CELL or _is_hash(text) else f"{text[: MAX_CELL - 1]}…"


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return str(value)
