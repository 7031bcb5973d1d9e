"""Notices pushed to a member's own systems: signed, in order, again and again until taken (standardwebhooks.com).

One worker a webhook. It sends the notices of one recipient, oldest first, each as one POST, and goes on only after an
answer of 2xx. Its cursor is written and synced after that answer: a crash in between sends that notice once more
under the same ``webhook-id``, by which a receiver knows it. So nothing is lost while a receiver, or this node, is
down, and the chain itself is the queue: nothing piles up here.

Headers: ``webhook-id`` (network, recipient and cursor), ``webhook-timestamp`` (Unix seconds of this attempt),
``webhook-signature``: "v1," + base64(HMAC-SHA256(secret, id "." timestamp "." body)), one for each secret of the
file, so that a secret can be replaced without a gap.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import trio

from chain.crypto import sha256
from chain.notices import START, Cursor, Notice, notices_of
from node.inbox import notice_view

if TYPE_CHECKING:
    from node.config import Webhook
    from node.driver import Log
    from node.peer import Peer

FOLDER: Final = "webhooks"
PAGE: Final = 100
TIMEOUT_S: Final = 15.0
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
SECRET_PREFIX: Final = "whsec_"
MIN_SECRET: Final = 24  # bytes; the specification's least
MAX_SECRETS: Final = 4


class WebhookError(Exception):
    """A webhook that cannot be used as configured; one line that says what to do."""


@dataclass
class Worker:
    """One webhook: what it has delivered. ``failing``: why the newest attempt failed, "" where it did not."""

    settings: Webhook
    place: Path
    secrets: tuple[bytes, ...]
    cursor: Cursor
    delivered: int = 0
    failed: int = 0
    failing: str = ""
    pause_s: float = field(default=FIRST_PAUSE_S)


class Webhooks:
    """All webhooks of a node. ``run`` is its task."""

    def __init__(self, peer: Peer, log: Log) -> None:
        """Open the secrets and the cursors. Raises WebhookError."""
        self._peer = peer
        self._log = log
        folder = peer.config.data / FOLDER
        self.workers = [_worker(settings, folder) for settings in peer.config.webhooks]
        if len({worker.place for worker in self.workers}) != len(self.workers):
            raise WebhookError("two [[webhooks]] in node.toml have the same url and recipient: keep one of them")

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client,
            trio.open_nursery() as nursery,
        ):
            for worker in self.workers:
                nursery.start_soon(self._deliver, client, worker)

    async def _deliver(self, client: httpx.AsyncClient, worker: Worker) -> None:
        while True:
            found = notices_of(self._peer.ledger.store, worker.settings.recipient, worker.cursor, PAGE)
            if not found:
                await self._peer.driver.committed.wait()
            for notice in found:
                wanted = not worker.settings.names or notice.name in worker.settings.names
                if wanted:
                    await self._until_taken(client, worker, notice)
                worker.cursor = notice.cursor
                if wanted or notice is found[-1]:
                    await self._keep(worker)

    async def _keep(self, worker: Worker) -> None:
        """Write the cursor. A full disk is no reason to stop voting: what was sent may then be sent again."""
        try:
            await trio.to_thread.run_sync(_write, worker.place, worker.cursor)
        except OSError as error:
            self._log.warning("webhook cursor not kept", path=str(worker.place), why=error.strerror)

    async def _until_taken(self, client: httpx.AsyncClient, worker: Worker, notice: Notice) -> None:
        while True:
            problem = await self._attempt(client, worker, notice)
            if not problem:
                worker.delivered += 1
                worker.failing, worker.pause_s = "", FIRST_PAUSE_S
                return
            worker.failed += 1
            if problem != worker.failing:
                self._log.warning("webhook not taken", url=worker.settings.url, at=str(notice.cursor), why=problem)
            worker.failing = problem
            await trio.sleep(worker.pause_s)
            worker.pause_s = min(worker.pause_s * 2, LONGEST_PAUSE_S)

    async def _attempt(self, client: httpx.AsyncClient, worker: Worker, notice: Notice) -> str:
        """Send once; "" when it was taken, else why not."""
        network = self._peer.ledger.network_id
        content = {"network": network.hex(), "recipient": worker.settings.recipient, **notice_view(notice)}
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        message_id = f"{network.hex()[:16]}.{worker.place.stem}.{notice.cursor}"
        try:
            answer = await client.post(
                worker.settings.url,
                content=body,
                headers={
                    "content-type": "application/json",
                    **signature_headers(worker.secrets, message_id, int(time.time()), body),
                },
            )
        except httpx.HTTPError as error:
            return f"no answer ({type(error).__name__})"
        return "" if answer.is_success else f"answer {answer.status_code}"


def signature_headers(secrets: tuple[bytes, ...], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of the specification. timestamp: Unix seconds."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The secrets of a file, one a line, "whsec_" and base64 of at least 24 bytes. Raises WebhookError."""
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        raise WebhookError(f"cannot read the webhook secret {path}: correct secret_file, or its mode") from None
    if not 0 < len(lines) <= MAX_SECRETS:
        raise WebhookError(f"{path} holds {len(lines)} secrets: give 1 to {MAX_SECRETS}, one a line")
    return tuple(_secret(line, path) for line in lines)


def _secret(line: str, path: Path) -> bytes:
    try:
        secret = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not line.startswith(SECRET_PREFIX) or len(secret) < MIN_SECRET:
        raise WebhookError(
            f"{path}: a secret is {SECRET_PREFIX} and base64 of {MIN_SECRET} bytes or more: "
            f'make one with `echo "{SECRET_PREFIX}$(openssl rand -base64 32)"`'
        )
    return secret


def _worker(settings: Webhook, folder: Path) -> Worker:
    name = sha256(f"{settings.recipient}\n{settings.url}".encode()).hex()[:16]
    place = folder / f"{name}.cursor"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        text = place.read_text(encoding="ascii").strip() if place.exists() else (settings.after or str(START))
        cursor = Cursor.parse(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise WebhookError(f"{place} holds no cursor ({error}): take it away to deliver from the start") from None
    return Worker(settings, place, read_secrets(settings.secret_file), cursor)


def _write(place: Path, cursor: Cursor) -> None:
    """Replace the cursor file whole and durably."""
    aside = place.with_suffix(".new")
    with aside.open("w", encoding="ascii") as file:
        file.write(f"{cursor}\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
