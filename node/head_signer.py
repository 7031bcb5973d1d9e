"""Each member's node vouches for its own business chain at every anchor interval.

The consortium's blocks carry every member chain's head. When the ``anchor`` contract closes an interval, a
member's node says with the member's own signature which block *it* has as the head of its chain: so a history
that the others agreed on without the member, or a second one the member shows elsewhere, comes to light as a
missing or differing signature, which the contract turns into an alarm.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
import trio

from chain.crypto import SigningKey
from chain.ledger import Ledger, PrunedError
from node.anchor_ledger import Submit, SubmitError, reader, submit_call

POLL_S: Final = 1.0
AGAIN_MS: Final = 60_000
"""A statement that is in no block after so long is made once more."""

_log = structlog.get_logger("anchoring")


class HeadSigner:
    """Signs the head of one member's chain. ``run`` is its task."""

    def __init__(self, ledger: Ledger, submit: Submit, member: str, signer: SigningKey) -> None:
        self._ledger = ledger
        self._submit = submit
        self._member = member
        self._signer = signer
        self._read = reader(ledger)
        self._tried: tuple[int, float] = (0, -1.0)

    async def run(self) -> None:
        """Sign until cancelled."""
        while True:
            self.step()
            await trio.sleep(POLL_S)

    def step(self) -> None:
        """Submit the statement for the last closed interval, once, where there is something to sign."""
        statement = self.statement()
        if statement is None:
            return
        index, now = statement["interval"], trio.current_time()
        if self._tried[0] == index and now - self._tried[1] < AGAIN_MS / 1000:
            return
        self._tried = (index, now)
        try:
            submit_call(self._ledger, self._submit, self._signer, "anchor", "sign_head", statement)
        except SubmitError as error:
            _log.warning("head not signed", interval=index, reason=str(error))

    def statement(self) -> dict[str, Any] | None:
        """The ``anchor.sign_head`` arguments that are due: from this node's own blocks, not from the contract's
        list. None where the interval is signed, or this chain had no block when it closed."""
        interval: Any = self._read("anchor", "interval")
        index = interval["index"]
        if index == 0 or self._read("anchor", "signed", index, self._member) is not None:
            return None
        try:
            heads = self._ledger.heads(interval["height"])
        except PrunedError:
            return None
        own = next((head for head in heads if head.chain == self._member and head.height > 0), None)
        return None if own is None else {"interval": index, "height": own.height, "hash": own.hash}
