"""Outer forms that no bundle has, each holding the very files of an honest one: (name, code, the altered bytes)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.evidence.zip_maker import DEFLATED, SYMLINK, Archive, Entry, like

INNER: Final = "case.json"
"""A file that every bundle has, in the middle of it."""


def _added(archive: Archive, *entries: Entry) -> bytes:
    return replace(archive, entries=(*archive.entries, *entries)).encode()


def _swapped(archive: Archive) -> bytes:
    first, second, *others = archive.entries
    return replace(archive, entries=(second, first, *others)).encode()


def _unicode_name(archive: Archive) -> bytes:
    """A second name in the extra field of Info-ZIP, which `unzip` prefers and Python does not read."""
    name = b"documents/other.pdf"
    extra = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, zlib.crc32(INNER.encode())) + name
    return archive.changed(INNER, extra=extra, local_extra=extra).encode()


def _hidden(archive: Archive) -> bytes:
    """A whole file with its local header between two others: programs that read from the front find it."""
    inner = Archive((Entry("documents/hidden.pdf", b"%PDF hidden"),)).encode()
    local = inner[: inner.index(b"PK\1\2")]
    return replace(archive, gaps={INNER: local}).encode()


def _nested(_archive: Archive) -> bytes:
    """Entries whose data holds the local headers of the next: a bomb that compresses nothing."""
    body, rows = b"x" * 200_000, []
    for number in reversed(range(200)):
        name = f"originals/{number:04}.bin"
        numbers = (20, 0, 0, 0, 0x21, zlib.crc32(body), len(body), len(body), len(name), 0)
        rows.append((name, body))
        body = struct.pack("<4s5H3L2H", b"PK\3\4", *numbers) + name.encode() + body
    header = 30 + len("originals/0000.bin")
    entries = [Entry(name, data, offset=header * place) for place, (name, data) in enumerate(reversed(rows))]
    return Archive(tuple(entries), before=body).encode()


def _bomb(archive: Archive) -> bytes:
    return archive.changed(INNER, data=bytes(5_000_000), method=DEFLATED).encode()


BAD: Final[tuple[tuple[str, str, Callable[[Archive], bytes]], ...]] = (
    ("cut short by one byte", "NOT_A_BUNDLE", lambda a: a.encode()[:-1]),
    ("cut short by half", "NOT_A_BUNDLE", lambda a: a.encode()[: len(a.encode()) // 2]),
    ("empty", "NOT_A_BUNDLE", lambda _a: b""),
    ("something else", "NOT_A_BUNDLE", lambda _a: b"%PDF-1.7 not a bundle"),
    ("bytes before", "NOT_CANONICAL", lambda a: replace(a, before=b"#!/bin/sh\n").encode()),
    ("bytes after", "NOT_CANONICAL", lambda a: a.encode() + b"\n"),
    ("bytes before the directory", "NOT_CANONICAL", lambda a: replace(a, between=b"here").encode()),
    ("a hidden file", "NOT_CANONICAL", _hidden),
    ("a comment", "NOT_CANONICAL", lambda a: replace(a, comment=b"approved by the court").encode()),
    ("a comment of one file", "NOT_CANONICAL", lambda a: a.changed(INNER, comment=b"true").encode()),
    ("another order", "NOT_CANONICAL", _swapped),
    ("another date", "NOT_CANONICAL", lambda a: a.changed(INNER, stamp=(0, 0x5C21)).encode()),
    ("executable", "NOT_CANONICAL", lambda a: a.changed(INNER, attributes=0o100755 << 16).encode()),
    ("another system", "NOT_CANONICAL", lambda a: a.changed(INNER, made_by=0x0014).encode()),
    ("an extra field", "NOT_CANONICAL", lambda a: a.changed(INNER, extra=b"\x99\x99\x01\x00x").encode()),
    ("a local extra field", "NOT_CANONICAL", lambda a: a.changed(INNER, local_extra=b"\x99\x99\x01\x00x").encode()),
    ("a second name for unzip", "NOT_CANONICAL", _unicode_name),
    ("a name per program", "NOT_A_BUNDLE", lambda a: a.changed(INNER, local_name="casf.json").encode()),
    ("a size per program", "NOT_CANONICAL", lambda a: a.changed(INNER, local_size=3).encode()),
    ("a wrong checksum", "NOT_A_BUNDLE", lambda a: a.changed(INNER, crc=1).encode()),
    ("encrypted", "ENCRYPTED", lambda a: a.changed(INNER, flags=1).encode()),
    ("compressed", "COMPRESSED", lambda a: a.changed(INNER, method=DEFLATED).encode()),
    ("a bomb", "COMPRESSED", _bomb),
    ("a bomb of nested files", "COMPRESSED", _nested),
    ("an unknown compression", "COMPRESSED", lambda a: a.changed(INNER, method=99).encode()),
    ("a symbolic link", "BAD_NAME", lambda a: a.changed(INNER, data=b"/etc/passwd", attributes=SYMLINK).encode()),
    ("an absolute path", "BAD_NAME", lambda a: _added(a, Entry("/etc/cron.d/tally", b"x"))),
    ("a way out", "BAD_NAME", lambda a: _added(a, Entry("states/../../etc/passwd", b"x"))),
    ("a drive", "BAD_NAME", lambda a: _added(a, Entry("C:/tally.txt", b"x"))),
    ("backslashes", "BAD_NAME", lambda a: _added(a, Entry("states\\..\\x", b"x"))),
    ("a folder entry", "BAD_NAME", lambda a: _added(a, Entry("states/", b""))),
    ("a name with a zero byte", "NOT_CANONICAL", lambda a: _added(a, Entry("states/x\0y", b"x"))),
    ("a name with a newline", "BAD_NAME", lambda a: _added(a, Entry("states/x\ny", b"x"))),
    ("a name in another script", "BAD_NAME", lambda a: _added(a, Entry("states/ｘ.proof", b"x"))),
    ("a dot file", "BAD_NAME", lambda a: _added(a, Entry("states/.htaccess", b"x"))),
    ("an unknown folder", "BAD_NAME", lambda a: _added(a, Entry("scripts/run.sh", b"x"))),
    ("one entry twice", "DUPLICATE", lambda a: _added(a, Entry(INNER, b"{}"))),
    ("a count that is wrong", "NOT_CANONICAL", lambda a: replace(a, count=1).encode()),
    ("several disks", "NOT_CANONICAL", lambda a: replace(a, disk=1).encode()),
)  # fmt: skip


def archives(bundle: bytes) -> dict[str, tuple[str, bytes]]:
    """Every bad form of a bundle: name to (code, bytes)."""
    honest = like(bundle)
    return {name: (code, make(honest)) for name, code, make in BAD}
