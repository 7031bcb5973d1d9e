"""The bundle's outer form: a ZIP file with one spelling for each content.

Members are stored, never compressed, in the order of their names, all with one date and one mode; nothing stands
before, between or after them. So the same files are the same bytes, made anywhere, by any version of any library,
and the strict reader is one comparison: what was read, packed again, must be what was given. That leaves no room for
symbolic links, a second entry of one name, hidden bytes, encryption, or a bomb: nothing grows when it is unpacked.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Mapping
from typing import Final

from chain.verification import VerificationError

MAX_BUNDLE: Final = 256 * 1024 * 1024
"""Bytes of a whole bundle."""
MAX_FILES: Final = 4_096
MAX_PROOFS: Final = 32 * 1024 * 1024
"""Bytes of what is decoded and checked item by item, all together; of fifty documents it is 1 MB."""
MAX_FILE: Final = MAX_BUNDLE + MAX_FILES * 1_024
"""Bytes of the ZIP file: its content and what ZIP adds."""
MAX_NAME: Final = 100
DATE: Final = (1980, 1, 1, 0, 0, 0)
"""Of each member: the first that ZIP knows, because the time of packing is no part of the evidence."""
MODE: Final = 0o100644 << 16

FOLDERS: Final = (
    "anchors", "disclosures", "documents", "hand", "originals", "records", "rules", "states", "transactions",
)  # fmt: skip
TOP: Final = (
    "README.txt", "SHA256SUMS", "case.json", "index.html", "manifest.json", "manifest.sig",
)  # fmt: skip
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_BULK: Final = ("originals/", "documents/", "hand/")
"""Folders that are only hashed and compared."""
_BOMB: Final = "a bundle is not compressed: what grows when it is unpacked is no bundle"


class ArchiveError(VerificationError):
    """The file is no bundle in its one form; ``code`` for programs, one line that says what is wrong."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def pack(files: Mapping[str, bytes]) -> bytes:
    """The one ZIP file that holds ``files`` (name to content). Raises ArchiveError BAD_NAME, TOO_LARGE."""
    check_names(files)
    _check_sizes({name: len(data) for name, data in files.items()})
    return _packed(files)


def unpack(data: bytes) -> dict[str, bytes]:
    """The files of a bundle in its one form, by name. Raises ArchiveError, which names what is wrong."""
    files = read(data)
    check_form(data, files)
    return files


def read(data: bytes) -> dict[str, bytes]:
    """The files of a ZIP file as far as they can be read safely; `check_form` says whether it is a bundle's form.

    Of a name that stands twice the last one counts. Raises ArchiveError NOT_A_BUNDLE, TOO_LARGE, COMPRESSED,
    ENCRYPTED.
    """
    if len(data) > MAX_FILE:
        raise ArchiveError("TOO_LARGE", f"a bundle has at most {MAX_BUNDLE} bytes, this file has more")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as whole:
            entries = whole.infolist()
            if len(entries) > MAX_FILES:
                raise ArchiveError("TOO_LARGE", f"a bundle has at most {MAX_FILES} files, this one {len(entries)}")
            for entry in entries:
                _check_entry(entry)
            if sum(entry.file_size for entry in entries) > len(data):  # entries that lie inside one another
                raise ArchiveError("COMPRESSED", _BOMB)
            _check_sizes({entry.filename: entry.file_size for entry in entries})
            return {entry.filename: whole.read(entry) for entry in entries}
    except ArchiveError:
        raise
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, struct.error):
        raise ArchiveError("NOT_A_BUNDLE", "the file is cut short or damaged: ask for it again") from None


def check_form(data: bytes, files: Mapping[str, bytes]) -> None:
    """Whether ``data`` is the one form of ``files``. Raises ArchiveError BAD_NAME, DUPLICATE, NOT_CANONICAL."""
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        entries = whole.infolist()
    for entry in entries:
        if (entry.external_attr >> 16) & 0o170000 == 0o120000:
            raise ArchiveError("BAD_NAME", f"{entry.filename[:MAX_NAME]!r} is a symbolic link: a bundle holds files")
    names = [entry.filename for entry in entries]
    check_names(names)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArchiveError("DUPLICATE", f"{twice} stands in the bundle twice")
    if _packed(files) != data:
        raise ArchiveError(
            "NOT_CANONICAL", "the file holds more than its entries, or they are packed otherwise than a bundle's"
        )


def check_names(names: Mapping[str, bytes] | list[str]) -> None:
    """Raise ArchiveError BAD_NAME for a name that a bundle does not have: no path leads out of it."""
    for name in names:
        folder, _, file = name.rpartition("/")
        fits = len(name) <= MAX_NAME and all(_PART.fullmatch(part) for part in name.split("/"))
        if not fits or not (name in TOP or (file and folder.split("/")[0] in FOLDERS)):
            raise ArchiveError("BAD_NAME", f"{name[:MAX_NAME]!r} is no name of a file in a bundle")


def _check_sizes(sizes: Mapping[str, int]) -> None:
    if sum(sizes.values()) > MAX_BUNDLE:
        raise ArchiveError("TOO_LARGE", f"the files have more than {MAX_BUNDLE} bytes together: leave originals out")
    if sum(size for name, size in sizes.items() if not name.startswith(_BULK)) > MAX_PROOFS:
        raise ArchiveError(
            "TOO_LARGE", f"proofs, pages and lists have more than {MAX_PROOFS} bytes together: choose fewer records"
        )


def _check_entry(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 1:
        raise ArchiveError("ENCRYPTED", f"{entry.filename[:MAX_NAME]!r} is encrypted: a bundle is open")
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise ArchiveError("COMPRESSED", f"{entry.filename[:MAX_NAME]!r}: {_BOMB}")


def _packed(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=False) as whole:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system = 3
            entry.external_attr = MODE
            whole.writestr(entry, files[name])
    return out.getvalue()
