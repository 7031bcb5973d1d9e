"""One member's way to its chain: a node's API and the keys that sign. Rides through a node that restarts.

Everything asked here may be asked again without harm (a transaction by its id, a document by its hash), so what got
no answer is asked again until a deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from chain.crypto import SigningKey
from chain.transaction import Transaction
from tallystick.client import Client, Document, NodeUnreachableError, OutcomeUnknownError, RejectedError

PAUSE_S: Final = 0.2
WAIT_ONCE_S: Final = 5.0
LATER: Final = frozenset({"POOL_FULL", "QUOTA"})
"""Rejections that pass by themselves: the pool empties with every block."""
DOCUMENT_BYTES: Final = 4 * 1024 * 1024

T = TypeVar("T")


class Gateway:
    """Not thread-safe, like its client. ``timeout_s``: how long one batch may go without an outcome."""

    def __init__(self, client: Client, keys: Sequence[SigningKey], *, timeout_s: float) -> None:
        self.client = client
        self.timeout_s = timeout_s
        self._keys = list(keys)

    def lookup(self, chain: str, keys: Sequence[tuple[str, str, str]]) -> list[dict[str, Any] | None]:
        """What the chain holds under natural keys: entries of the records contract, None where absent."""
        return self._again(lambda: self.client.states(chain, "records", [("record", *key) for key in keys]))

    def store(self, documents: Sequence[Document]) -> None:
        """Put documents into the node's vault: durable when this returns."""
        part: list[Document] = []
        size = 0
        for document in documents:
            if part and size + len(document.data) > DOCUMENT_BYTES:
                self._store(part)
                part, size = [], 0
            part.append(document)
            size += len(document.data)
        if part:
            self._store(part)

    def sign(self, chain: str, records: Sequence[bytes]) -> Transaction:
        """A batch under one signature (of each key). Raises TransactionError where it is too large."""
        return self._again(
            lambda: self.client.sign(*self._keys, chain=chain, contract="records", method="submit", records=records)
        )

    def submit(self, transaction: Transaction) -> None:
        """Hand it in. Raises RejectedError, NodeUnreachableError (it may have arrived: ``wait`` sends it again)."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            answer = self._again(lambda: self.client.submit(transaction))[0]
            if answer["state"] != "rejected":
                return
            if answer["code"] not in LATER or time.monotonic() >= deadline:
                raise RejectedError(answer["code"], answer["message"])
            time.sleep(PAUSE_S)

    def wait(self, transaction: Transaction) -> dict[str, Any]:
        """Its receipt, failed or not. A node that has forgotten it gets it again. Raises OutcomeUnknownError."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            left = deadline - time.monotonic()
            try:
                state = self.client.transaction(transaction.id, wait_s=max(0.0, min(left, WAIT_ONCE_S)))
                if state["state"] == "committed":
                    receipt: dict[str, Any] = state["receipt"]
                    return receipt
                if state["state"] == "unknown" and left > 0:
                    self.client.submit(transaction)
            except NodeUnreachableError:
                time.sleep(min(PAUSE_S, max(0.0, left)))
            if left <= 0:
                raise OutcomeUnknownError(transaction.id)

    def _store(self, documents: list[Document]) -> None:
        try:
            if len(documents) > 1:
                self._again(lambda: self.client.put_documents(documents))
                return
        except RejectedError as error:
            if error.code != "TOO_LARGE":  # else the node takes less in one request: one by one then
                raise
        for document in documents:
            put = partial(self.client.put_document, document.data, document.kinds, sealed_root=document.sealed_root)
            self._again(put)

    def _again(self, ask: Callable[[], T]) -> T:
        """Ask, and where the node is away, ask again until the deadline."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                return ask()
            except NodeUnreachableError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE_S)
