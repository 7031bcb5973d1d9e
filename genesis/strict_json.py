"""JSON as the consortium's files need it: no floats, no repeated names, errors in one line.

A float would round differently elsewhere and a repeated name would be read differently by two programs; both
would end as two networks where one was meant.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import ValidationError

MAX_FILE_SIZE: Final = 16 * 1024 * 1024
"""Bytes of one file."""


class GenesisError(Exception):
    """A genesis file or document that cannot stand; the message is one line that says what to do."""


def parse(data: bytes, what: str) -> Any:
    """The value of JSON text; `what` names it in errors. Raises GenesisError."""
    try:
        return json.loads(
            data.decode("utf-8"),
            parse_float=_refuse_float,
            parse_constant=_refuse_float,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError:
        raise GenesisError(f"{what} is not UTF-8 text: give the JSON file") from None
    except json.JSONDecodeError as error:
        raise GenesisError(
            f"{what} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}): correct it there"
        ) from None
    except RecursionError:
        raise GenesisError(f"{what} is nested too deep: give the JSON file") from None
    except ValueError as error:
        raise GenesisError(f"{what}: {error}") from None


def read(path: Path) -> Any:
    """The value of a JSON file. Raises GenesisError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except FileNotFoundError:
        raise GenesisError(f"no file at {path}: give its path") from None
    except OSError as error:
        raise GenesisError(f"cannot read {path} ({error.strerror}): correct its path or its mode") from None
    if len(data) > MAX_FILE_SIZE:
        raise GenesisError(f"{path} is longer than {MAX_FILE_SIZE} bytes: give the right file")
    return parse(data, str(path))


def write(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all. Raises GenesisError."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise GenesisError(f"cannot write {path} ({error.strerror}): correct the folder or free space") from None


def one_line(error: ValidationError) -> str:
    """The first finding of a pydantic model as 'where: what', and how many more there are."""
    findings = error.errors(include_url=False, include_context=False, include_input=False)
    first = findings[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    what = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{where}: {what}{more}" if where else f"{what}{more}"


def _refuse_float(text: str) -> NoReturn:
    raise ValueError(f"{text} is a fraction where only whole numbers or text stand: write it in quotes")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        repeated = next(name for name, _ in pairs if sum(other == name for other, _ in pairs) > 1)
        raise ValueError(f"the name {repeated!r} stands twice in one object: keep one")
    return names
