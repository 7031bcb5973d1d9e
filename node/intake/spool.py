"""Pushed files until they are taken in, and what became of them: durable, and found again by their idempotency key.

    <root>/waiting/<job>/job.json, 0, 1, …     what was pushed; complete or not there at all, each file sealed to the
                                               member's newest encryption key: its public half, then the sealed box
    <root>/done/<job>.json                     outcomes, kept for a while

A job's id is the hash of the endpoint's name and the sender's key: the same request again is the same job.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from chain.crypto import PUBLIC_KEY_SIZE, SigningKey
from chain.sealed_box import SealedBoxError, seal_to, unseal
from node.documents import sync_folder, write_whole

JOB_FILE: Final = "job.json"
ID_DIGITS: Final = 32
DAY_S: Final = 86_400


class ConflictError(Exception):
    """The idempotency key was used for other content."""


@dataclass(frozen=True, slots=True)
class PushedFile:
    """One file of a request, as it came."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """What waits: received in ms since 1970, digest over the files, and where each lies."""

    id: str
    feed: str
    received: int
    digest: str
    files: tuple[tuple[str, Path], ...]


class Spool:
    """One folder. Blocking; a node calls it from a thread. Any number of processes may use it."""

    def __init__(self, root: Path, public: bytes, keys: Sequence[SigningKey] = ()) -> None:
        """public: the encryption key, 32 bytes, that what comes is sealed to; keys: those that may open it."""
        self._public = public
        self._keys = {key.public: key for key in keys}
        self._waiting = root / "waiting"
        self._done = root / "done"
        for folder in (self._waiting, self._done):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, feed: str, key: str, files: Sequence[PushedFile], received: int) -> str:
        """Keep a request; its job's id. It is on the disk when this returns. Raises ConflictError, OSError."""
        job = job_id(feed, key)
        digest = sha256(b"".join(sha256(file.data).digest() for file in files)).hexdigest()
        earlier = self._known_digest(job)
        if earlier is not None:
            if earlier != digest:
                raise ConflictError
            return job
        draft = self._waiting / f".{job}.{secrets.token_hex(8)}"
        draft.mkdir()
        try:
            for index, file in enumerate(files):
                _write(draft / str(index), self._public + seal_to(self._public, file.data))
            about = {"feed": feed, "received": received, "digest": digest, "files": [file.name for file in files]}
            _write(draft / JOB_FILE, json.dumps(about).encode())
            sync_folder(draft)
            try:
                draft.rename(self._waiting / job)
            except OSError:  # the same request came twice at once
                if self._known_digest(job) != digest:
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_folder(self._waiting)
        return job

    def waiting(self) -> list[Job]:
        """What is to be taken in, oldest first. What is done already is cleared away."""
        found = []
        for folder in self._folders():
            if (self._done / f"{folder.name}.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                continue
            about = json.loads((folder / JOB_FILE).read_bytes())
            files = tuple((name, folder / str(index)) for index, name in enumerate(about["files"]))
            found.append(Job(folder.name, about["feed"], about["received"], about["digest"], files))
        return sorted(found, key=lambda job: (job.received, job.id))

    def opens(self, job: Job) -> bool:
        """Whether the keys given open every file of a job. Raises OSError."""
        return all(_recipient(path) in self._keys for _, path in job.files)

    def read(self, path: Path) -> bytes:
        """A file of a job that ``opens``. Raises OSError, also where it is damaged."""
        data = path.read_bytes()
        try:
            return unseal(self._keys[data[:PUBLIC_KEY_SIZE]], data[PUBLIC_KEY_SIZE:])
        except (KeyError, SealedBoxError):
            raise OSError(errno.EIO, "it is damaged on the node's disk") from None

    def backlog(self) -> int:
        """How many wait."""
        return sum(1 for _ in self._folders())

    def finish(self, job: Job, outcome: dict[str, Any]) -> None:
        """Keep what became of it; then its files go."""
        value = {"feed": job.feed, "received": job.received, "digest": job.digest, **outcome}
        write_whole(self._done / f"{job.id}.json", json.dumps(value).encode())
        shutil.rmtree(self._waiting / job.id, ignore_errors=True)

    def look(self, job: str) -> dict[str, Any] | None:
        """A job as it is told to its sender: {feed, received, state: waiting | done, …}; None where there is none."""
        for path, state in ((self._done / f"{job}.json", "done"), (self._waiting / job / JOB_FILE, "waiting")):
            try:
                about: dict[str, Any] = json.loads(path.read_bytes())
            except FileNotFoundError:
                continue
            return {"job": job, "state": state, **about}
        return None

    def look_up(self, feed: str, key: str) -> dict[str, Any] | None:
        """The job of an idempotency key, as ``look`` gives it."""
        return self.look(job_id(feed, key))

    def sweep(self, keep_days: int, now_s: float | None = None) -> None:
        """Forget outcomes that are older, and drafts that a crash left."""
        now = time.time() if now_s is None else now_s
        for path in self._done.glob("*.json"):
            if now - path.stat().st_mtime > keep_days * DAY_S:
                path.unlink(missing_ok=True)
        for path in self._waiting.glob(".*"):
            if now - path.stat().st_mtime > DAY_S:
                shutil.rmtree(path, ignore_errors=True)

    def _folders(self) -> Iterator[Path]:
        return (path for path in self._waiting.iterdir() if not path.name.startswith("."))

    def _known_digest(self, job: str) -> str | None:
        found = self.look(job)
        return None if found is None else str(found["digest"])


def job_id(feed: str, key: str) -> str:
    """The id of what an endpoint took in under an idempotency key."""
    return sha256(f"{feed}\n{key}".encode()).hexdigest()[:ID_DIGITS]


def _recipient(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(PUBLIC_KEY_SIZE)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
