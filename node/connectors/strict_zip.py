"""ZIP archives from strangers: few entries, no paths that lead out, no bombs; nothing is ever written to a disk."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Final

from node.connectors.errors import ConnectorError, shown

MAX_BYTES: Final = 16 * 1024 * 1024
"""Of the archive as it came."""
MAX_ENTRIES: Final = 2_000
MAX_UNPACKED: Final = 64 * 1024 * 1024
"""Of all entries together, by their own account; a single one is read up to the limit its reader names."""

_ADVICE: Final = "get a whole copy from its sender"
# What zipfile raises for damaged, encrypted, oddly compressed or contradictory archives.
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError, OverflowError,
    IndexError,
)  # fmt: skip


def looks_like_zip(data: bytes) -> bool:
    """Whether the file starts as a ZIP archive with an entry does."""
    return data.startswith(b"PK\x03\x04")


class Archive:
    """An archive whose list of entries has been checked.

    names: of its files, as they stand, each once. Raises ConnectorError TOO_LARGE or BAD_ZIP.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_BYTES:
            raise ConnectorError("TOO_LARGE", f"{len(data)} bytes", f"split it: at most {MAX_BYTES} bytes are read")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            entries = self._zip.infolist()
        except _DAMAGE as error:
            raise _damaged(str(error)) from None
        if len(entries) > MAX_ENTRIES:
            raise ConnectorError("TOO_LARGE", f"{len(entries)} entries in it", f"at most {MAX_ENTRIES} are read")
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > MAX_UNPACKED:
            raise ConnectorError("TOO_LARGE", f"it unpacks to {unpacked} bytes", f"at most {MAX_UNPACKED} are read")
        for entry in entries:
            _check_name(entry.filename)
        self.names = tuple(entry.filename for entry in entries if not entry.is_dir())
        if len(set(self.names)) != len(self.names):
            raise _damaged("one name stands twice")

    def read(self, name: str, limit: int) -> bytes:
        """One entry, at most limit bytes of it. Raises ConnectorError TOO_LARGE or BAD_ZIP."""
        try:
            with self._zip.open(name) as stream:
                data = stream.read(limit + 1)
        except KeyError:
            raise _damaged(f"{shown(name)} is not in it") from None
        except _DAMAGE as error:
            raise _damaged(f"{shown(name)}: {error}") from None
        if len(data) > limit:
            raise ConnectorError("TOO_LARGE", f"{shown(name)} holds more than {limit} bytes", "split it")
        return data


def _check_name(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in parts[0] or "\\" in name or not name.isprintable():
        raise ConnectorError("BAD_ZIP", f"the entry {shown(name)} leads out of the archive", _ADVICE)


def _damaged(what: str) -> ConnectorError:
    return ConnectorError("BAD_ZIP", f"the ZIP archive is damaged ({shown(what, quote=False)[:120]})", _ADVICE)
