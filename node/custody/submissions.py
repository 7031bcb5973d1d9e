"""This node's own custody transactions: batched, each made once, made again when it got lost.

What a duty wants done it says again at every pass, for as long as the chain does not show it. Here that becomes one
transaction for many deposits, and none while one for the same deposit is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

import trio

from node.anchor_ledger import SubmitError
from node.driver import Log

AGAIN_S: Final = 15.0
"""A transaction that is in no block after so long is made once more."""
AFTER_FAILURE_S: Final = 2.0
MAX_BATCH: Final = 128
"""Deposits named in one transaction (contracts.custody.MAX_BATCH)."""

Key: TypeAlias = tuple[str | int | bytes, ...]
Submit: TypeAlias = Callable[[str, dict[str, Any]], bytes]
"""Sign and submit a call of the contract ``custody``: (method, arguments) to a transaction id. Raises SubmitError."""


class Outcome(NamedTuple):
    """How an ordered transaction went; code "" where it succeeded."""

    code: str
    message: str


Look: TypeAlias = Callable[[bytes], Outcome | None]
"""The outcome of a transaction, None while it is in no block."""


class _Sent(NamedTuple):
    tx_id: bytes
    method: str
    keys: tuple[Key, ...]
    at: float


class Submissions:
    """Keeps what is under way. ``problem``: why the newest refused or failed one was, "" after a success."""

    def __init__(self, submit: Submit, look: Look, log: Log) -> None:
        self._submit = submit
        self._look = look
        self._log = log
        self._sent: dict[bytes, _Sent] = {}
        self._busy: dict[Key, float] = {}
        """Until when a key is left alone."""
        self.problem = ""

    def free(self, key: Key) -> bool:
        """Whether nothing for this key is under way."""
        return self._busy.get(key, 0.0) <= trio.current_time()

    def send(self, method: str, arguments: dict[str, Any], keys: Iterable[Key]) -> None:
        """Submit a call that stands for these keys."""
        now, kept = trio.current_time(), tuple(keys)
        until = now + AGAIN_S
        try:
            tx_id = self._submit(method, arguments)
        except SubmitError as error:
            self._note(method, str(error))
            until = now + AFTER_FAILURE_S
        else:
            self._sent[tx_id] = _Sent(tx_id, method, kept, now)
        for key in kept:
            self._busy[key] = until

    def settle(self) -> None:
        """See which are in blocks by now. A failed one is logged, and its keys are free again a little later."""
        now = trio.current_time()
        for sent in list(self._sent.values()):
            outcome = self._look(sent.tx_id)
            if outcome is None and now - sent.at < AGAIN_S:
                continue
            del self._sent[sent.tx_id]
            if outcome is not None and outcome.code:
                self._note(sent.method, f"{outcome.code} {outcome.message}")
                for key in sent.keys:
                    self._busy[key] = now + AFTER_FAILURE_S
                continue
            if outcome is not None:
                self.problem = ""
            for key in sent.keys:
                self._busy.pop(key, None)
        for key in [key for key, until in self._busy.items() if until <= now]:
            del self._busy[key]

    def _note(self, method: str, reason: str) -> None:
        if reason != self.problem:
            self._log.warning("custody transaction not taken", method=method, reason=reason)
        self.problem = reason
