"""Anchoring's and the head signer's side towards this node's ledger: what they read, and how they submit.

The only place that knows both: ``node.anchoring`` sees no ledger, the ledger knows nothing of public chains.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chain.block import CONSORTIUM
from chain.checkpoint import Log
from chain.codec import Value, encode
from chain.crypto import SigningKey, sha256
from chain.ledger import Ledger
from chain.transaction import NONCE_SIZE, make_body, sign
from node.anchor_duty import Read, standing
from node.anchor_key import AnchorKeyError
from node.anchor_line import Consortium
from node.anchor_settings import open_backends, pace
from node.anchoring import Anchorer
from node.config_anchor import Anchor
from node.driver import wall_clock
from node.mempool import Admission

CLAIMS_AT_ONCE: Final = 16
"""Confirmations read at once to be re-checked."""
VALID_MS: Final = 300_000
"""How long a transaction of this node's own may wait to be ordered; it is made anew afterwards."""
DEFAULT_TX_WINDOW_MS: Final = 3_600_000

Submit = Callable[[bytes], Admission]
"""``Peer.submit``: wire bytes into this node's mempool and on to the peers."""


class SubmitError(Exception):
    """The node did not take its own transaction; one line."""


def open_anchorer(
    ledger: Ledger,
    submit: Submit,
    *,
    member: str,
    signer: SigningKey | None,
    settings: Anchor,
    passphrase: str,
    directory: Path,
) -> Anchorer | None:
    """The anchoring of a node as its node.toml has it, or None where that names no place.

    signer: the member's transaction key; directory: for the journals and final anchors. Raises AnchorKeyError,
    AnchorJournalError.
    """
    log = Log()
    backends = open_backends(
        settings,
        network_id=ledger.network_id,
        log=log,
        signer=signer,
        passphrase=passphrase,
        folder=directory,
    )
    if not backends:
        return None
    if signer is None and any(backend.writes for backend in backends):
        raise AnchorKeyError("anchoring confirms on the consortium chain: set keys.signer, or take the places out")
    return Anchorer(
        backends,
        directory,
        ledger.network_id,
        consortium(ledger, submit, member, signer),
        log=log,
        pace=pace(settings),
        now=wall_clock,
    )


def consortium(ledger: Ledger, submit: Submit, member: str, signer: SigningKey | None) -> Consortium:
    """What anchoring reads of this ledger, and how it confirms there."""
    read = reader(ledger)

    async def confirm(arguments: dict[str, Value]) -> None:
        if signer is None:
            raise SubmitError("this node has no signer key")
        submit_call(ledger, submit, signer, "anchor", "confirm", arguments)

    def claims(number: int) -> Sequence[Mapping[str, Any]]:
        count: Any = read("anchor", "anchor_count") or 0
        found: Any = [read("anchor", "anchor", n) for n in range(number, min(count, number + CLAIMS_AT_ONCE))]
        return list(found)

    return Consortium(
        source=block_source(ledger),
        confirm=confirm,
        standing=lambda: standing(read, member),
        claims=claims,
        known=lambda place, proof: read("anchor", "anchor_of", place, sha256(proof)) is not None,
    )


def block_source(ledger: Ledger) -> Callable[[int, int], Sequence[tuple[int, bytes, bytes]]]:
    """The blocks that have a child, whose header makes one certificate theirs."""

    def source(first: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        last = min(ledger.height - 1, first + limit - 1)
        if last < first:
            return []
        headers = [ledger.header(height) for height in range(first, last + 2)]
        children = headers[1:]
        return [
            (header.height, header.digest, child.parent_certificate_hash)
            for header, child in zip(headers, children, strict=False)
        ]

    return source


def reader(ledger: Ledger) -> Read:
    """Reads the consortium chain's state at the head: ``(contract, *key parts)``."""

    def read(contract: str, *key: str | int | bytes) -> Value:
        value: Value = ledger.state(CONSORTIUM, encode([contract, *key]))
        return value

    return read


def submit_call(
    ledger: Ledger, submit: Submit, signer: SigningKey, contract: str, method: str, arguments: dict[str, Any]
) -> bytes:
    """Sign and submit a consortium transaction of this node's own; its id. Raises SubmitError."""
    window = int(ledger.parameters.get("tx_window_ms", DEFAULT_TX_WINDOW_MS))
    body = make_body(
        network_id=ledger.network_id,
        chain=CONSORTIUM,
        contract=contract,
        method=method,
        args=arguments,
        signers=[signer.public],
        nonce=os.urandom(NONCE_SIZE),
        valid_until=wall_clock() + min(VALID_MS, window // 2),
    )
    admission = submit(sign(body, [signer]).wire)
    if admission.state == "rejected":
        raise SubmitError(f"{contract}.{method} was not taken: {admission.code} {admission.message}")
    return admission.tx_id
