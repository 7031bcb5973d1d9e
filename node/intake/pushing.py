"""Jobs of the push endpoint: what the node's API has put on the disk is taken in, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.config_intake import Push
from node.intake.desk import Desk, LaterError, Pause, Status, taken_json
from node.intake.outcomes import FileReport
from node.intake.reading import MAX_FILE, Source
from node.intake.spool import Job, Spool

TOGETHER: Final = 200
"""Jobs of one run."""
SWEEP_S: Final = 3_600.0


class PushTaker:
    """All push endpoints. ``step`` takes what waits; ``now`` is monotonic, in seconds."""

    def __init__(self, feeds: list[Push], desk: Desk, status: Status, spool: Spool, keep_days: int) -> None:
        self._feeds = {feed.name: feed for feed in feeds}
        self._desk = desk
        self._status = status
        self._spool = spool
        self._keep_days = keep_days
        self._pauses = {feed.name: Pause() for feed in feeds}
        self._swept = float("-inf")

    def step(self, now: float) -> None:
        """Every job that waits, where its endpoint is not pausing after a failure."""
        if now - self._swept >= SWEEP_S:
            self._swept = now
            self._spool.sweep(self._keep_days)
        waiting = self._spool.waiting()
        for name, feed in self._feeds.items():
            jobs = [job for job in waiting if job.feed == name]
            self._status.say(name, backlog=len(jobs))
            if jobs and self._pauses[name].over(now):
                self._take_all(feed, jobs, now)
        for job in waiting:
            if job.feed not in self._feeds:  # its endpoint was taken out of the configuration
                self._spool.finish(job, {"outcome": "refused", "reason": "the endpoint is not configured any more"})

    def _take_all(self, feed: Push, jobs: list[Job], now: float) -> None:
        left = len(jobs)
        try:
            for group in self._groups(feed, jobs):
                self._take(feed, group)
                left -= len(group)
                self._status.say(feed.name, backlog=left)
        except (LaterError, OSError) as error:
            self._status.say(feed.name, problem=str(error))
            self._pauses[feed.name].failed(now)
        else:
            self._pauses[feed.name].succeeded()

    def _groups(self, feed: Push, jobs: list[Job]) -> Iterator[list[Job]]:
        """Jobs that share one run, and so batches; one that may have killed the reader is alone."""
        group: list[Job] = []
        size = 0
        for job in jobs:
            length = sum(path.stat().st_size for _, path in job.files)
            alone = any(self._desk.is_suspect(feed, _name(job, place)) for place in range(len(job.files)))
            if group and (alone or len(group) >= TOGETHER or size + length > MAX_FILE):
                yield group
                group, size = [], 0
            group.append(job)
            size += length
            if alone:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _take(self, feed: Push, jobs: list[Job]) -> None:
        if not all(self._spool.opens(job) for job in jobs):
            raise LaterError("files wait sealed to a key that is not here: put it back into keys.encryption")
        sources = [self._source(job, place) for job in jobs for place in range(len(job.files))]
        reports = iter(self._desk.take(feed, sources))
        for job in jobs:
            own: list[FileReport] = []
            for name, _ in job.files:
                report = next(reports)
                report.name = name
                own.append(report)
            self._spool.finish(job, taken_json(own))

    def _source(self, job: Job, place: int) -> Source:
        path = job.files[place][1]
        return Source(_name(job, place), lambda: (self._spool.read(path), job.received))


def _name(job: Job, place: int) -> str:
    """What a file of a job is called while it is read: its own name, told apart from those of other jobs."""
    return f"{job.id}/{place}/{Path(job.files[place][0]).name}"
