"""Receipts of deliveries as files: what became of a document, beside it or where nobody else keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from node.documents import write_whole
from node.intake.desk import Feed, taken_json
from node.intake.outcomes import FileReport

FORMAT: Final = ["tally/intake_receipt", 1]
NAME_BYTES: Final = 180
"""Of a name that is kept: a file name has at most 255 bytes, and there is more in it."""


def receipt(feed: Feed, report: FileReport, **more: Any) -> dict[str, Any]:
    """The receipt of a delivery: format, feed, system, template, what is given, and what became of it."""
    about = {"format": FORMAT, "feed": feed.name, "system": feed.source_system, "template": feed.template}
    return {**about, **more, **taken_json([report])}


def write_receipt(path: Path, value: dict[str, Any]) -> None:
    """Whole and on the disk, or not there."""
    write_whole(path, json.dumps(value, indent=1).encode())


def kept_name(digest: bytes, name: str) -> str:
    """The name of a document that was taken: its content's hash before its own, so that a name may come again."""
    text = name.encode("utf-8", "surrogateescape")[-NAME_BYTES:].decode("utf-8", "ignore")
    return f"{digest.hex()[:16]}-{text.replace('/', '_').replace(chr(0), '_')}"
