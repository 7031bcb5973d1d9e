"""ZIP files by hand: every field of every header under the forger's control, which zipfile does not allow.

What `Entry` leaves alone is as an honest writer has it. Local header and central directory may differ, which is how
two programs are made to read two different files out of one archive.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

STORED, DEFLATED = 0, 8
UTF8 = 0x800
SYMLINK = 0o120777 << 16
"""External attributes of a symbolic link as Unix programs write them."""


@dataclass(frozen=True)
class Entry:
    """One file. None: as `data` has it. local_*: what the local header says where the directory says otherwise."""

    name: str
    data: bytes
    method: int = STORED
    flags: int = 0
    attributes: int = 0o100644 << 16
    stamp: tuple[int, int] = (0, 0x21)
    """DOS time and date: 1980-01-01."""
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    local_name: str | None = None
    local_extra: bytes = b""
    local_size: int | None = None
    offset: int | None = None
    """Where the directory says that the local header stands."""
    made_by: int = 0x0314

    @property
    def body(self) -> bytes:
        """The bytes behind the local header."""
        if self.packed is not None:
            return self.packed
        if self.method == DEFLATED:
            squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
            return squeezer.compress(self.data) + squeezer.flush()
        return self.data


@dataclass(frozen=True)
class Archive:
    """A whole file, with what stands before, between and after."""

    entries: tuple[Entry, ...]
    before: bytes = b""
    between: bytes = b""
    after: bytes = b""
    comment: bytes = b""
    count: int | None = None
    disk: int = 0
    gaps: dict[str, bytes] = field(default_factory=dict)
    """Bytes before an entry's local header, by name."""

    def encode(self) -> bytes:
        """The archive's bytes."""
        out = bytearray(self.before)
        directory = bytearray()
        for entry in self.entries:
            out += self.gaps.get(entry.name, b"")
            at = len(out) if entry.offset is None else entry.offset
            if entry.offset is None:
                out += _local(entry)
            directory += _central(entry, at)
        out += self.between
        start = len(out)
        out += directory
        count = len(self.entries) if self.count is None else self.count
        tail = (self.disk, self.disk, count, count, len(directory), start, len(self.comment))
        out += struct.pack("<4s4H2LH", b"PK\5\6", *tail) + self.comment
        return bytes(out) + self.after

    def changed(self, name: str, **changes: Any) -> Archive:
        """The same with one entry's parts changed."""
        entries = tuple(replace(entry, **changes) if entry.name == name else entry for entry in self.entries)
        assert entries != self.entries, f"no entry {name}"
        return replace(self, entries=entries)


def like(data: bytes) -> Archive:
    """An honest archive as something that can be changed: the same entries, order, methods and attributes."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return Archive(
            tuple(
                Entry(
                    info.filename,
                    archive.read(info),
                    info.compress_type,
                    info.flag_bits,
                    info.external_attr,
                    _stamp(info.date_time),
                    made_by=info.create_version | info.create_system << 8,
                )
                for info in archive.infolist()
            )
        )


def files_of(data: bytes) -> dict[str, bytes]:
    """The files of an honest archive by name, in their order."""
    return {entry.name: entry.data for entry in like(data).entries}


def _stamp(moment: tuple[int, int, int, int, int, int]) -> tuple[int, int]:
    year, month, day, hour, minute, second = moment
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day


def _sizes(entry: Entry) -> tuple[int, int, int]:
    crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
    return crc, len(entry.body), len(entry.data) if entry.size is None else entry.size


def _local(entry: Entry) -> bytes:
    name = (entry.name if entry.local_name is None else entry.local_name).encode()
    crc, packed, size = _sizes(entry)
    size = size if entry.local_size is None else entry.local_size
    numbers = (20, entry.flags, entry.method, *entry.stamp, crc, packed, size, len(name), len(entry.local_extra))
    return struct.pack("<4s5H3L2H", b"PK\3\4", *numbers) + name + entry.local_extra + entry.body


def _central(entry: Entry, at: int) -> bytes:
    name = entry.name.encode()
    crc, packed, size = _sizes(entry)
    numbers = (
        entry.made_by, 20, entry.flags, entry.method, *entry.stamp, crc, packed, size,
        len(name), len(entry.extra), len(entry.comment), 0, 0, entry.attributes, at,
    )  # fmt: skip
    return struct.pack("<4s6H3L5H2L", b"PK\1\2", *numbers) + name + entry.extra + entry.comment
