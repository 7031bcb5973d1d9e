"""Confirmations of anchors: how every node re-checks what a validator reported.

A confirmation on the consortium chain is a claim with its proof. The contract cannot see the outside, so each
operator's node compares it with its *own* log, its *own* endpoints and the roots it pins, and alarms on a mismatch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
import trio

from chain.checkpoint import Log
from chain.codec import CodecError, decode, encode, is_tagged
from contracts.anchor_kinds import DEVELOPMENT
from node.anchor_backend import Backend, Check, Verdict
from node.anchor_journal import write_synced

MAX_ALARMS: Final = 16
"""Mismatches kept for status displays; the log has all."""
MAX_OPEN: Final = 256
"""Confirmations that may wait for an endpoint before those after them are not looked at any more."""
TAG: Final = "tally/anchor_checks"
VERSION: Final = 1

_log = structlog.get_logger("anchoring")


async def check(claim: Mapping[str, Any], log: Log, network_id: bytes, backends: Iterable[Backend]) -> Check:
    """Compare a confirmation with this node's log and with what its backends of that kind see.

    claim: what the contract keeps of a confirmation. Never raises for what it holds. Where several backends know the
    place, a mismatch at one of them is one.
    """
    kind, size, root = claim.get("backend"), claim.get("size"), claim.get("root")
    if type(size) is not int or size < 1 or type(claim.get("proof")) is not bytes:
        return Check(Verdict.MISMATCH, "not a confirmation: it has a positive size and a proof")
    if size > len(log):
        return Check(Verdict.LATER, f"this node has {len(log)} of the checkpoint's {size} blocks")
    own = log.checkpoint(network_id, size)
    if own.root != root:
        return Check(Verdict.MISMATCH, "the checkpoint is of another history than this node's blocks")
    found = [await backend.check(claim, own) for backend in backends if backend.kind == kind]
    for verdict in (Verdict.MISMATCH, Verdict.MATCH, Verdict.LATER, Verdict.CANNOT):
        for result in found:
            if result.verdict is verdict:
                return result
    return Check(Verdict.CANNOT, f"this node has no backend of kind {kind}: see [anchor] in its node.toml")


class Progress(NamedTuple):
    """number: the first confirmation not looked at; open: those before it that could not be decided yet."""

    number: int = 0
    open: tuple[int, ...] = ()


class Found(NamedTuple):
    """The largest checkpoints of a place, in blocks, that were found to be there and not to be there; 0 for none."""

    right: int = 0
    wrong: int = 0


class Watch:
    """Re-checks every confirmation until it is decided, and alarms on a mismatch.

    One that waits for its endpoint holds no other. Progress is kept at ``path``; without it all are checked again.
    What was found wrong here covers nothing here (``believed``): a validator that reports anchors that never were
    keeps nobody from making them.
    """

    def __init__(
        self,
        claims: Callable[[int], Sequence[Mapping[str, Any]]],
        check: Callable[[Mapping[str, Any]], Awaitable[Check]],
        path: Path,
    ) -> None:
        self._claims = claims
        self._check = check
        self._path = path
        self.progress, self._found = _load(path)
        self.alarms: deque[str] = deque(maxlen=MAX_ALARMS)
        self.mismatches = 0
        """Since the start."""

    def believed(self, place: str | None, confirmed: int) -> int:
        """How far a place has come by this node's own checks, where the consortium's chain says ``confirmed``."""
        found = self._found.get(_base(place or ""), Found())
        return found.right if confirmed <= found.wrong else confirmed

    async def step(self) -> None:
        """Look at those that are open, then on as far as it goes."""
        number, waiting = self.progress
        still = [each for each in waiting if not await self._decided(each)]
        while len(still) < MAX_OPEN and (claims := self._claims(number)):
            for claim in claims:
                if not await self._judged(number, claim):
                    still.append(number)
                number += 1
        progress = Progress(number, tuple(still))
        if progress != self.progress:
            places = {place: list(found) for place, found in self._found.items()}
            body = encode([TAG, VERSION, progress.number, list(progress.open), places])
            await trio.to_thread.run_sync(write_synced, self._path, body)
            self.progress = progress

    async def _decided(self, number: int) -> bool:
        claims = self._claims(number)
        return bool(claims) and await self._judged(number, claims[0])

    async def _judged(self, number: int, claim: Mapping[str, Any]) -> bool:
        """Whether there is nothing more to ask about a confirmation."""
        verdict, reason = await self._check(claim)
        if verdict is Verdict.MISMATCH:
            self.mismatches += 1
            self.alarms.append(f"confirmation {number} by {claim.get('by')}: {reason}")
            _log.error("anchor confirmation is wrong", number=number, by=claim.get("by"), reason=reason)
        self._note(claim, verdict)
        return verdict is not Verdict.LATER

    def _note(self, claim: Mapping[str, Any], verdict: Verdict) -> None:
        place, size = claim.get("place"), claim.get("size")
        if type(place) is not str or type(size) is not int:
            return
        found = self._found.get(_base(place), Found())
        if verdict is Verdict.MATCH:
            found = found._replace(right=max(found.right, size))
        elif verdict is Verdict.MISMATCH:
            found = found._replace(wrong=max(found.wrong, size))
        self._found[_base(place)] = found


def _base(place: str) -> str:
    """A place, whether or not a confirmation says that it is for trying things out."""
    return place.removesuffix(DEVELOPMENT)


def _load(path: Path) -> tuple[Progress, dict[str, Found]]:
    try:
        value = decode(path.read_bytes())
        if is_tagged(value, TAG, VERSION, 5):
            progress = Progress(int(value[2]), tuple(int(number) for number in value[3]))
            return progress, {place: Found(*found) for place, found in value[4].items()}
    except (FileNotFoundError, CodecError, ValueError, TypeError, AttributeError):
        pass
    return Progress(), {}
