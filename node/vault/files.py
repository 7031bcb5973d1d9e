"""Whole files under one fsspec URL: a local folder, or S3-compatible storage and whatever else fsspec speaks.

A file is there whole or not at all. What writing has returned for is durable: synced on a local folder, acknowledged
by the server elsewhere.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from node.documents import DocumentError, is_full, make_folder, remove_leftovers, sync_folder, write_whole

_REMOTE_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    # What others (or this node before a restart) wrote must be seen; sessions are not shared between vaults.
    "s3": {"use_listings_cache": False, "skip_instance_cache": True},
    "s3a": {"use_listings_cache": False, "skip_instance_cache": True},
}


class Files:
    """Files by their paths relative to one URL. Blocking; safe from many threads at once."""

    def __init__(self, url: str, **options: Any) -> None:
        """``options`` go to fsspec. Raises DocumentError STORE_FAILED."""
        self.url = url
        defaults = _REMOTE_OPTIONS.get(url.partition("://")[0], {})
        try:
            self._fs, root = fsspec.core.url_to_fs(url, **{**defaults, **options})
            self.local = Path(root) if isinstance(self._fs, LocalFileSystem) else None
            if self.local is not None:
                make_folder(self.local)
        except Exception as error:  # a back end raises what it likes
            raise self._failed("cannot be opened", error) from None
        self._root = root.rstrip("/")

    def write(self, name: str, *parts: bytes) -> None:
        """Write a file whole, over an earlier one if there is one. Raises DocumentError STORE_FULL, STORE_FAILED."""
        try:
            if self.local is not None:
                write_whole(self.local / name, *parts)
            else:
                self._fs.pipe_file(f"{self._root}/{name}", parts[0] if len(parts) == 1 else b"".join(parts))
        except Exception as error:
            raise self._failed("cannot be written", error) from None

    def take(self, name: str, source: Path) -> None:
        """A finished local file becomes this file; the source is gone then. Raises DocumentError."""
        try:
            if self.local is not None:
                self._take_local(self.local / name, source)
            else:
                self._fs.put_file(str(source), f"{self._root}/{name}")
                source.unlink()
        except Exception as error:
            raise self._failed("cannot be written", error) from None

    def read(self, name: str, offset: int, size: int) -> bytes:
        """``size`` bytes from an offset, fewer at the end of the file.

        Raises DocumentError DOCUMENT_MISSING where there is no such file, STORE_FAILED.
        """
        if size <= 0:
            return b""
        try:
            if self.local is not None:
                with (self.local / name).open("rb", buffering=0) as file:
                    file.seek(offset)
                    return _read_all(file.fileno(), size)
            data: bytes = self._fs.cat_file(f"{self._root}/{name}", start=offset, end=offset + size)
            return data
        except FileNotFoundError:
            raise DocumentError(
                "DOCUMENT_MISSING", f"{name} is not in {self.url}: restore a backup, or run `tally custody restore`"
            ) from None
        except Exception as error:
            raise self._failed("cannot be read", error) from None

    def exists(self, name: str) -> bool:
        """Whether the file is there. Raises DocumentError STORE_FAILED."""
        try:
            if self.local is not None:
                return (self.local / name).is_file()
            # Not isfile, which says "no" of a server that does not answer; none of our files is empty.
            self._fs.cat_file(f"{self._root}/{name}", start=0, end=1)
            return True
        except FileNotFoundError:
            return False
        except Exception as error:
            raise self._failed("cannot be read", error) from None

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted; none where there is no folder. For starts only: what a killed
        writer left unfinished is removed. Raises DocumentError STORE_FAILED."""
        try:
            if self.local is not None:
                place = self.local / folder
                found = list(place.iterdir()) if place.is_dir() else []
                remove_leftovers(path for path in found if path.name.startswith("."))
                return sorted(path.name for path in found if not path.name.startswith("."))
            return sorted(
                entry.rstrip("/").rpartition("/")[2] for entry in self._fs.ls(f"{self._root}/{folder}", detail=False)
            )
        except FileNotFoundError:
            return []
        except Exception as error:
            raise self._failed("cannot be read", error) from None

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none. Raises DocumentError STORE_FAILED."""
        try:
            if self.local is not None:
                (self.local / name).unlink(missing_ok=True)
            else:
                self._fs.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._failed("cannot be changed", error) from None

    def _take_local(self, path: Path, source: Path) -> None:
        make_folder(path.parent)
        if source.stat().st_dev != path.parent.stat().st_dev:
            beside = path.with_name(f".{path.name}.taking")
            shutil.copyfile(source, beside)
            _sync_file(beside)
            beside.replace(path)
            source.unlink()
        else:
            _sync_file(source)
            source.replace(path)
        sync_folder(path.parent)

    def _failed(self, what: str, error: Exception) -> DocumentError:
        if is_full(error):
            return DocumentError(
                "STORE_FULL", f"documents at {self.url}: no space left: free some, then take the documents in again"
            )
        reason = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
        said = f"documents at {self.url} {what} ({reason[:200]}): check the address, its permissions and free space"
        return DocumentError("STORE_FAILED", said)


def _read_all(descriptor: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.read(descriptor, size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
