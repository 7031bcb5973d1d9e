"""What the backends share whose outside answers at once: authorities and witnesses. Nothing to pay, nothing to mine.

For them a job is one question. Asking anew costs nothing, so that an outage leaves one question behind and no queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from chain.codec import Value
from node.anchor_backend import Job, State

CLOCK_SECONDS: Final = 300
"""How far the clock of an authority or a witness and a member's may be apart."""

Clock = Callable[[], int]
"""ms since 1970."""


def wall_clock() -> int:
    """This machine's."""
    return time.time_ns() // 1_000_000


def still_asked(jobs: Sequence[Job], answer: str, stands: Callable[[Job], bool]) -> list[Job]:
    """The jobs as they are now: without those of no answer yet that a larger one beside them covers; and those whose
    answer does not stand any more (a certificate revoked since, another key pinned) from the beginning.

    answer: its name in ``data``.
    """
    newest = max((job.size for job in jobs), default=0)
    answered = [job if answer not in job.data or stands(job) else job.renewed() for job in jobs]
    return [job for job in answered if job.size == newest or answer in job.data]


def is_near(told: int, job: Job, now: int) -> bool:
    """Whether an answer's time (s) lies between question and now (ms), as this node's clock has them."""
    return job.prepared_at // 1000 - CLOCK_SECONDS <= told <= now // 1000 + CLOCK_SECONDS


def ask_anew(job: Job, now: int) -> Job:
    """SENT and not answered: the same again, or from the beginning where this node's clock was set back since."""
    if now + CLOCK_SECONDS * 1000 >= job.prepared_at:
        return job
    return job.move(State.QUEUED, data={}, prepared_at=0)


def raw(value: Value) -> bytes:
    """The bytes a job of these backends holds in a place."""
    if not isinstance(value, bytes):
        raise AssertionError("a job of this backend holds bytes here")
    return value
