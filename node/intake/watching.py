"""A watched folder: a file that stands still is taken, and ends in ``done/`` or ``refused/`` with its receipt.

    <folder>/NAME                         written by another system
    <folder>/done/<hash>-NAME             every record is sealed, known or corrected; <hash>-NAME.json is the receipt
    <folder>/refused/<hash>-NAME          something was refused; the receipt says what and why, and what went in

A file is taken where it lies and moved at the very end, the receipt first. So after a crash it lies there still and
is taken again: what was sealed is known. Names that begin with a point or end as unfinished downloads do are left
alone; a writer that renames from such a name needs no time of standing still.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from node.config_intake import Folder
from node.documents import sync_folder
from node.intake.desk import Desk, LaterError, Pause, Status
from node.intake.outcomes import GOOD, FileReport
from node.intake.reading import MAX_FILE, Source
from node.intake.receipts import kept_name, receipt, write_receipt

DONE: Final = "done"
REFUSED: Final = "refused"
TOGETHER: Final = 200
"""Files of one run."""
LOCK: Final = ".tally.lock"
UNFINISHED: Final = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".swp", "~")


class _Signature(NamedTuple):
    """A file that is the same one, as long and as old is the same file."""

    inode: int
    size: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class _Sight:
    signature: _Signature
    since: float


class FolderWatch:
    """One folder. ``step`` looks once and takes what is ready; ``now`` is monotonic, in seconds."""

    def __init__(self, feed: Folder, desk: Desk, status: Status) -> None:
        self._feed = feed
        self._desk = desk
        self._status = status
        self._seen: dict[str, _Sight] = {}
        self._pause = Pause()
        self._lock: int | None = None

    def step(self, now: float) -> None:
        """Look, and take the files that have stood still long enough, oldest first. Problems go into the status."""
        if not self._pause.over(now):
            return
        try:
            self._open()
            ready = self._look(now)
            for group in self._groups(ready):
                self._take(group)
        except (LaterError, OSError) as error:
            said = str(error) if isinstance(error, LaterError) else _advice(error, self._feed.path)
            self._status.say(self._feed.name, problem=said)
            self._pause.failed(now)
        else:
            self._status.say(self._feed.name, problem="")
            self._pause.succeeded()

    def _open(self) -> None:
        """Make the folders, and be the only one that watches. Raises LaterError, OSError."""
        for name in (DONE, REFUSED):
            (self._feed.path / name).mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            descriptor = os.open(self._feed.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise LaterError(f"another node watches {self._feed.path}: give each its own folder") from None
            self._lock = descriptor

    def _look(self, now: float) -> list[str]:
        """Files that are ready, oldest first; what still changes, or is new, is looked at again."""
        found: dict[str, _Sight] = {}
        ready: list[tuple[int, str]] = []
        for name in os.listdir(self._feed.path):
            signature = self._signature(name)
            if signature is None:
                continue
            known = self._seen.get(name)
            sight = known if known is not None and known.signature == signature else _Sight(signature, now)
            found[name] = sight
            if now - sight.since >= self._feed.still_s:
                ready.append((signature.changed_ns, name))
        self._seen = found
        self._status.say(self._feed.name, backlog=len(found))
        return [name for _, name in sorted(ready)]

    def _signature(self, name: str) -> _Signature | None:
        """Of a regular file that may be taken; links, folders and unfinished names are none."""
        if name.startswith(".") or name.lower().endswith(UNFINISHED):
            return None
        try:
            found = os.lstat(self._feed.path / name)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return _Signature(found.st_ino, found.st_size, found.st_mtime_ns)

    def _groups(self, names: list[str]) -> Iterator[list[str]]:
        """Files that share one run, and so batches; one that may have killed the reader is alone."""
        group: list[str] = []
        size = 0
        for name in names:
            length = self._seen[name].signature.size
            alone = self._desk.is_suspect(self._feed, name)
            if group and (alone or len(group) >= TOGETHER or size + length > MAX_FILE):
                yield group
                group, size = [], 0
            group.append(name)
            size += length
            if alone:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _take(self, names: list[str]) -> None:
        """Some files to their end. Raises LaterError, OSError: they stay where they are."""
        still = [name for name in names if self._signature(name) == self._seen[name].signature]
        if not still:
            return
        reports = self._desk.take(self._feed, [self._source(name) for name in still])
        for name, report in zip(still, reports, strict=True):
            self._move(name, report)

    def _source(self, name: str) -> Source:
        signature, path = self._seen[name].signature, self._feed.path / name

        def load() -> tuple[bytes, int]:
            with path.open("rb") as file:
                return file.read(MAX_FILE + 1), max(0, signature.changed_ns // 1_000_000)

        return Source(name, load, signature.size)

    def _move(self, name: str, report: FileReport) -> None:
        """The receipt, then the file; one that was written to meanwhile stays until it is still again."""
        signature = self._seen[name].signature
        if self._signature(name) != signature:
            return
        folder = self._feed.path / (DONE if report.outcome in GOOD else REFUSED)
        kept = kept_name(report.sha256, name)
        written = folder / f"{kept}.json"
        if folder.name == REFUSED or not written.exists():  # else a crash came before the move: that one says more
            write_receipt(written, receipt(self._feed, report, file=name, bytes=signature.size))
        (self._feed.path / name).rename(folder / kept)
        sync_folder(folder)
        sync_folder(self._feed.path)
        self._seen.pop(name, None)
        self._status.say(self._feed.name, backlog=len(self._seen))

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None


def _advice(error: OSError, folder: Path) -> str:
    return f"cannot use {error.filename or folder} ({error.strerror}): correct its path or its mode"
