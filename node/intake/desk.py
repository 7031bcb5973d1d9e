"""Where the ways in meet the engine: one run for each delivery, what came of it, and what kills the reader.

A document that makes the reading process die (not merely fail) is refused after MAX_CRASHES deaths: it must not keep
all others out. Which one it was stands in a mark that is written before reading and removed after.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

from chain.crypto import SigningKey
from node.config_intake import Folder, Pull, Push
from node.documents import write_whole
from node.intake import engine, network
from node.intake.gateway import Gateway
from node.intake.outcomes import CORRECTED, GOOD, KNOWN, SEALED, FileReport, IntakeError, Listing
from node.intake.reading import Rules, Source
from tallystick.client import Client, ClientError

MAX_CRASHES: Final = 3
MAX_LISTED: Final = 200_000
FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0
RULES_S: Final = 30.0

Feed: TypeAlias = Folder | Pull | Push
"""A way in."""


class LaterError(Exception):
    """Nothing can be taken in now; whatever went in is known the next time. One line."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the process was started with. ``api``: the node's address."""

    api: str
    signer: SigningKey
    sealing: SigningKey | None
    timeout_s: float


class Status:
    """Counts by way in, for the node's metrics and its operator. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}
        self._said: dict[str, dict[str, Any]] = {}

    def add(self, feed: str, **counts: int) -> None:
        """Count something."""
        with self._lock:
            self._counts.setdefault(feed, Counter()).update(counts)

    def say(self, feed: str, **values: Any) -> None:
        """Note how a way in stands: backlog, problem …"""
        with self._lock:
            self._said.setdefault(feed, {}).update(values)

    def to_json(self) -> dict[str, Any]:
        """By way in: files, files_refused, sealed, known, corrected, records_refused, backlog, problem, taken_at."""
        with self._lock:
            names = sorted({*self._counts, *self._said})
            return {
                name: {"backlog": 0, "problem": "", **self._said.get(name, {}), **self._counts.get(name, {})}
                for name in names
            }


class Pause:
    """How long a way in waits after a failure: doubling, and one look at a time again after a success."""

    def __init__(self, first_s: float = FIRST_PAUSE_S, most_s: float = MAX_PAUSE_S) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._next_s = first_s
        self._until = 0.0

    def over(self, now: float) -> bool:
        """Whether it may try again."""
        return now >= self._until

    def failed(self, now: float, at_least_s: float = 0.0) -> None:
        """Wait, twice as long as the last time."""
        self._until = now + max(self._next_s, at_least_s)
        self._next_s = min(2 * self._next_s, self._most_s)

    def succeeded(self) -> None:
        """The next failure waits shortly again."""
        self._next_s, self._until = self._first_s, 0.0


class Marks:
    """What is being read, in files; what was being read when the process died, and how often."""

    def __init__(self, folder: Path, *, after_crash: bool) -> None:
        self._folder = folder
        self._counts = folder / "crashes.json"
        folder.mkdir(parents=True, exist_ok=True)
        known = json.loads(self._counts.read_bytes()) if self._counts.exists() else {}
        self._crashes: Counter[str] = Counter(known)
        self._lock = threading.Lock()
        for mark in folder.glob("*.mark"):
            if after_crash:
                self._crashes[mark.stem] += 1
            mark.unlink()
        self._save()

    def crashes(self, what: str) -> int:
        """How often the process died while this was being read."""
        return self._crashes[_mark(what)]

    @contextmanager
    def reading(self, whats: Sequence[str]) -> Iterator[None]:
        """Around the reading of documents. When it is over they have killed nobody."""
        marks = [self._folder / f"{_mark(what)}.mark" for what in whats]
        for mark in marks:
            mark.touch()
        try:
            yield
        finally:
            for mark in marks:
                mark.unlink(missing_ok=True)
        with self._lock:
            if sum(self._crashes.pop(mark.stem, 0) for mark in marks):
                self._save()

    def _save(self) -> None:
        write_whole(self._counts, json.dumps(self._crashes).encode())


def _mark(what: str) -> str:
    return sha256(what.encode(errors="surrogateescape")).hexdigest()


def taken_json(reports: Sequence[FileReport]) -> dict[str, Any]:
    """What became of a delivery, as plain values: counts of its records by outcome, and its files."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report.counts)
    return {
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "outcome": "taken" if all(report.outcome in GOOD for report in reports) else "refused",
        "counts": dict(counts),
        "files": [report.to_json() for report in reports],
    }


class Desk:
    """One thread's way to the node. Use ``close`` at the end."""

    def __init__(self, means: Means, marks: Marks, status: Status) -> None:
        self._means = means
        self._marks = marks
        self._status = status
        self._client = Client(means.api)
        self._gateway = Gateway(self._client, [means.signer], timeout_s=means.timeout_s)
        self._rules: dict[str, tuple[float, Rules]] = {}

    def is_suspect(self, feed: Feed, name: str) -> bool:
        """Whether the process died while this was being read: it is taken alone then."""
        return bool(self._marks.crashes(f"{feed.name}\n{name}"))

    def take(self, feed: Feed, sources: Sequence[Source]) -> list[FileReport]:
        """See every record of some documents to its outcome; a report for each, in their order. Raises LaterError
        where that cannot be done now."""
        whats = [f"{feed.name}\n{source.name}" for source in sources]
        reports = {
            place: _given_up(source, place)
            for place, (source, what) in enumerate(zip(sources, whats, strict=True))
            if self._marks.crashes(what) >= MAX_CRASHES
        }
        places = [place for place in range(len(sources)) if place not in reports]
        with self._marks.reading(whats):
            for report in self._run(feed, [sources[place] for place in places]) if places else ():
                reports[places[report.place]] = report
        for report in reports.values():
            self._count(feed, report)
        self._status.say(feed.name, problem="", taken_at=time.time_ns() // 1_000_000)
        return [reports[place] for place in range(len(sources))]

    def _count(self, feed: Feed, report: FileReport) -> None:
        counts, good = report.counts, report.outcome in GOOD
        went_in = counts[SEALED] + counts[KNOWN] + counts[CORRECTED]
        self._status.add(
            feed.name,
            files=int(good),
            files_refused=int(not good),
            sealed=counts[SEALED],
            known=counts[KNOWN],
            corrected=counts[CORRECTED],
            records_refused=counts.total() - went_in + report.refused,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _run(self, feed: Feed, sources: Sequence[Source]) -> list[FileReport]:
        reports = list[FileReport]()
        try:
            done = engine.run(
                sources,
                self._rules_of(feed),
                lambda _chain: self._gateway,
                correct=feed.correct,
                listing=Listing(MAX_LISTED, MAX_LISTED),
                on_file=reports.append,
            )
        except (ClientError, IntakeError) as error:
            raise LaterError(str(error)) from None
        if done.unknown or done.stopped:
            raise LaterError(done.stopped or "an outcome is not known yet")
        return reports

    def _rules_of(self, feed: Feed) -> Rules:
        """Asked for again after a while: a template has versions, a mapping file may be corrected."""
        now = time.monotonic()
        known = self._rules.get(feed.name)
        if known is None or now - known[0] > RULES_S:
            means = self._means
            rules = network.own_rules(
                self._client, means.signer, feed.template, feed.source_system, means.sealing, feed.mapping
            )
            known = self._rules[feed.name] = (now, rules)
        return known[1]


def _given_up(source: Source, place: int) -> FileReport:
    """What killed the reader too often."""
    report = FileReport(source.name, Listing(), place)
    report.refuse("READER_DIED", f"reading it ended the process {MAX_CRASHES} times: report it with the file")
    report.read = True
    return report
