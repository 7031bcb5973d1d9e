"""What strangers may cost: a bound on unproven connections, and on the lines they make us log.

Pure: the time is an argument. Everything here is bounded whatever anyone outside does.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

TRACKED = 4096
"""Addresses or log keys remembered; the least recently seen is forgotten first."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One connection that has not yet proved to be a member's."""

    address: str
    evict: Callable[[], None]


class Gate:
    """Admits connections to the handshake.

    A new connection is never turned away because others sit there silent: at the cap, the oldest one
    from the address with the most goes, so a member's short handshake gets through. Addresses that are
    no member's start at most `starts_per_s` handshakes a second: each costs us milliseconds of CPU.
    """

    def __init__(self, *, max_pending: int, starts_per_s: float, burst: int) -> None:
        self._max_pending = max_pending
        self._starts_per_s = starts_per_s
        self._burst = burst
        self._pending: dict[str, deque[Ticket]] = {}
        self._starts: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address: (tokens, seconds)
        self.known: frozenset[str] = frozenset()
        """Member addresses: no start rate applies to them."""
        self.pending = 0

    def admit(self, address: str, evict: Callable[[], None], now: float) -> Ticket | None:
        """A ticket, or None where this address starts too many handshakes. `evict` must end the handshake."""
        if address not in self.known and not self._may_start(address, now):
            return None
        if self.pending >= self._max_pending:
            crowd = max(self._pending.values(), key=len)
            oldest = crowd[0]
            self.done(oldest)
            oldest.evict()
        ticket = Ticket(address, evict)
        self._pending.setdefault(address, deque()).append(ticket)
        self.pending += 1
        return ticket

    def done(self, ticket: Ticket) -> None:
        """The handshake of this ticket is over, one way or the other; a second call changes nothing."""
        crowd = self._pending.get(ticket.address)
        if crowd is None or ticket not in crowd:
            return
        crowd.remove(ticket)
        self.pending -= 1
        if not crowd:
            del self._pending[ticket.address]

    def _may_start(self, address: str, now: float) -> bool:
        tokens, since = self._starts.pop(address, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - since) * self._starts_per_s)
        admitted = tokens >= 1.0
        self._starts[address] = (tokens - 1.0 if admitted else tokens, now)
        if len(self._starts) > TRACKED:
            self._starts.popitem(last=False)
        return admitted


class Throttle:
    """Lets one event of a kind through per interval, and knows how many it held back."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last: OrderedDict[str, tuple[float, int]] = OrderedDict()  # key: (seconds, held back since)

    def passes(self, key: str, now: float) -> int | None:
        """How many of this key were held back before this one, or None where it is held back itself."""
        last, held = self._last.pop(key, (float("-inf"), 0))
        if now - last < self._interval_s:
            self._last[key] = (last, held + 1)
            return None
        self._last[key] = (now, 0)
        if len(self._last) > TRACKED:
            self._last.popitem(last=False)
        return held
