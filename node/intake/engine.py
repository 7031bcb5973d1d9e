"""One run: documents in, each record to its outcome, with bounded memory however many there are.

Within a run the first record of a natural key goes first. The same content again shares its outcome; other content is
refused or, where corrections are asked for, sent after the first.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.intake.gateway import Gateway
from node.intake.outcomes import GOOD, KNOWN, READY, REFUSED, UNKNOWN, Entry, FileReport, Key, Listing
from node.intake.reading import Rules, Source, Work, read
from node.intake.sending import Pipeline, content_digest

REMEMBERED: Final = 100_000
"""Natural keys of one run compared with each other; what comes again later is compared with the chain."""
PROGRESS_S: Final = 1.0


@dataclass(frozen=True)
class Progress:
    """Where a run stands: records with an outcome, files done of how many, bytes read of how many, seconds so far."""

    records: int
    files: int
    files_total: int
    bytes: int
    bytes_total: int
    seconds: float

    def __str__(self) -> str:
        rate = self.records / self.seconds if self.seconds > 0 else 0.0
        text = f"{self.records} records ({rate:.0f} a second), {self.files} of {self.files_total} files"
        if 0 < self.bytes < self.bytes_total and self.seconds >= 1:
            left = self.seconds * (self.bytes_total - self.bytes) / self.bytes
            text += f", about {left:.0f} s left"
        return text


@dataclass
class Run:
    """What one run came to: records by outcome, and whether an outcome is unknown or something was not sent."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    files: Counter[str] = field(default_factory=Counter)
    unknown: bool = False
    stopped: str = ""


def run(
    sources: Iterable[Source],
    rules: Rules,
    gateway_of: Callable[[str], Gateway] | None,
    *,
    correct: bool = False,
    listing: Listing | None = None,
    on_file: Callable[[FileReport], None],
    on_progress: Callable[[Progress], None] = lambda _progress: None,
) -> Run:
    """Take documents in. ``gateway_of``: by chain; None reads and checks only. ``on_file``: told each file that is
    done, in the order in which they are. Raises what ``gateway_of`` raises."""
    engine = _Engine(list(sources), rules, gateway_of, correct, on_file, on_progress)
    engine.listing = listing or Listing()
    return engine.run()


class _Seen:
    """The first record of a natural key in this run, and the last that was sent."""

    __slots__ = ("content", "id", "last", "report", "waiting")

    def __init__(self, work: Work, content: bytes) -> None:
        self.content = content
        self.report = work.entry.report
        self.id = work.entry.id
        """Of the record in force, once ``last`` is None."""
        self.last: Entry | None = work.entry
        """None once it has a good outcome: then nothing more has to be known of it."""
        self.waiting: list[tuple[Work, bool]] = []
        """What waits for ``last``: records to be sent after it, and (True) those of the first one's content."""

    @property
    def name(self) -> str:
        """Name of the first one's file."""
        return Path(self.report.name).name


class _Engine:
    def __init__(
        self,
        sources: list[Source],
        rules: Rules,
        gateway_of: Callable[[str], Gateway] | None,
        correct: bool,
        on_file: Callable[[FileReport], None],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._sources = sources
        self._rules = rules
        self._gateway_of = gateway_of
        self._correct = correct
        self._on_file = on_file
        self._on_progress = on_progress
        self._seen: OrderedDict[Key, _Seen] = OrderedDict()
        self._pipelines: dict[str, Pipeline] = {}
        self.listing = Listing()
        self._result = Run()
        self._bytes = 0
        self._begun = self._told = time.monotonic()

    def run(self) -> Run:
        for place, source in enumerate(self._sources):
            report = FileReport(source.name, self.listing, place)
            for work in read(source, self._rules, report):
                self._take(work)
            report.read = True
            self._bytes += source.size
            self._close(report)
        for pipeline in self._pipelines.values():
            pipeline.drain()
        self._tell(last=True)
        self._result.stopped = next((p.stopped for p in self._pipelines.values() if p.stopped), "")
        return self._result

    def _take(self, work: Work) -> None:
        """Compare a record with what this run has seen, and send it if it is to be sent."""
        seen = self._seen.get(work.entry.key)
        if seen is None:
            self._remember(work)
            self._send(work)
            return
        if content_digest(work.prepared.record) == seen.content:
            self._share(work, seen)
        elif not self._correct:
            entry = work.entry
            said = f"{seen.name} holds {entry.kind} {entry.number} with other content: keep one of them, or take both"
            entry.refuse(REFUSED, "CONFLICTING_RECORD", f"{said} in with --correct")
            self._settled(work)
        elif seen.last is None or seen.last.outcome != READY or self._gateway_of is None:
            seen.last = work.entry
            self._send(work)
        else:
            seen.waiting.append((work, False))

    def _share(self, work: Work, seen: _Seen) -> None:
        """The same content as the first: known where that went in, else refused as it was."""
        first = seen.last
        if first is not None and first.outcome == READY and self._gateway_of is not None:
            seen.waiting.append((work, True))
            return
        if first is None or first.outcome in GOOD:
            work.entry.id = seen.id if first is None else first.id
            work.entry.refuse(KNOWN, "", f"the same record as in {seen.name}")
        else:
            work.entry.refuse(first.outcome, first.code, f"as in {seen.name}: {first.reason}")
        self._settled(work)

    def _remember(self, work: Work) -> None:
        self._seen[work.entry.key] = _Seen(work, content_digest(work.prepared.record))
        while len(self._seen) > REMEMBERED:
            key, oldest = next(iter(self._seen.items()))
            if oldest.last is not None and oldest.last.outcome == READY and self._gateway_of is not None:
                self._pipelines[key[0]].drain()
            self._seen.pop(key, None)

    def _send(self, work: Work) -> None:
        if self._gateway_of is None:
            self._settled(work)
            return
        chain = work.entry.chain
        if chain not in self._pipelines:
            self._pipelines[chain] = Pipeline(
                self._gateway_of(chain), chain, correct=self._correct, settled=self._settled
            )
        self._pipelines[chain].add(work)

    def _settled(self, work: Work) -> None:
        """A record has its outcome: note it, and let those go on that waited for it."""
        entry = work.entry
        entry.report.settle(entry)
        self._result.counts[entry.outcome] += 1
        self._result.unknown |= entry.outcome == UNKNOWN
        seen = self._seen.get(entry.key)
        if seen is not None and seen.last is entry:
            waiting, seen.waiting = seen.waiting, []
            if entry.outcome in GOOD:
                seen.last, seen.id = None, entry.id
            for position, (other, same) in enumerate(waiting):
                if same:
                    self._share(other, seen)
                    continue
                seen.last = other.entry
                seen.waiting = waiting[position + 1 :]
                self._send(other)
                break
        self._close(entry.report)
        self._tell()

    def _close(self, report: FileReport) -> None:
        if report.done:
            self._result.files[report.outcome] += 1
            self._result.refused += report.refused
            self._on_file(report)

    def _tell(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._told >= PROGRESS_S:
            self._told = now
            total = sum(source.size for source in self._sources)
            files = self._result.files.total()
            records = self._result.counts.total()
            self._on_progress(Progress(records, files, len(self._sources), self._bytes, total, now - self._begun))
