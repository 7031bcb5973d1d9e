"""The push endpoint: the member's own systems hand files in, get a job at once, and ask for its outcomes.

    POST /v1/intake/<source>     Authorization: Bearer …, Idempotency-Key: …; the body is a file, or several as
                                 multipart/form-data (RFC 7578). 202 {"job", "state"} when it is on the disk
    GET  /v1/intake/jobs/<job>   the same token; {"state": "waiting" | "done", …outcomes}
    GET  /v1/intake/status       how the ways in stand

The node only stores what comes; reading it is the work of another process (node/intake/worker.py).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from email.message import Message
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import trio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from node.api_body import read_body
from node.api_errors import ApiError
from node.config_intake import Push
from node.intake.spool import ConflictError, PushedFile, Spool

if TYPE_CHECKING:
    from node.peer import Peer

BODY_S: Final = 60.0
"""A body that is not whole after so long is given up."""
AT_ONCE: Final = 8
"""Bodies of one source being received."""
MAX_PARTS: Final = 1_000
RETRY_S: Final = 5

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_JOB: Final = re.compile(r"[0-9a-f]{32}")
_MULTIPART: Final = "multipart/form-data"


def add_intake(app: FastAPI, peer: Peer) -> None:
    """Mount the endpoints on a node's API."""
    doors = {feed.name: _Door(feed) for feed in peer.config.intake.pushes}

    @app.get("/v1/intake/status")
    async def status() -> dict[str, Any]:
        """How the ways in stand."""
        found = await peer.in_loop(peer.intake.status)
        if found is None:
            raise ApiError(404, "NO_INTAKE", "nothing is connected to this node: set [intake] in its node.toml")
        return found

    @app.get("/v1/intake/jobs/{job}")
    async def outcome(job: str, request: Request) -> dict[str, Any]:
        """What became of a job: asked for with the token of the source that it came from."""
        spool = peer.intake.spool
        found = None
        if spool is not None and _JOB.fullmatch(job):
            found = await trio.to_thread.run_sync(spool.look, job)
        door = _admitted(doors, str(found["feed"]) if found is not None else "", request)
        if found is None or door is None:
            raise ApiError(404, "NOT_FOUND", "no such job of this source: its outcomes are kept for keep_days")
        return {"source": found.pop("feed"), **found}

    @app.post("/v1/intake/{source}", status_code=202)
    async def push(source: str, request: Request) -> Response:
        """Take files in: durable when this answers."""
        door = _admitted(doors, source, request)
        spool = peer.intake.spool
        if door is None or spool is None:
            raise ApiError(404, "NOT_FOUND", f"there is no way in named {source[:32]!r}: see [[intake.pushes]]")
        if peer.disk_is_low():
            raise ApiError(507, "DISK_LOW", "this node's disk is nearly full: free space, then send it again")
        return await door.take(request, spool)


def _admitted(doors: dict[str, _Door], source: str, request: Request) -> _Door | None:
    """The door that the request's token opens, if it is this source's. Raises ApiError 401 for a token of none.

    Every door is tried, so that time tells nothing of names or tokens.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    digest = hashlib.sha256(token.strip().encode()).hexdigest() if scheme.lower() == "bearer" else ""
    opened = [door for door in doors.values() if door.opens(digest)]
    if not opened:
        raise ApiError(401, "UNAUTHORIZED", "give a token of this source: Authorization: Bearer TOKEN")
    return next((door for door in opened if door.feed.name == source), None)


class _Door:
    """One push endpoint: its token, its rate, and how much it takes at once."""

    def __init__(self, feed: Push) -> None:
        self.feed = feed
        self._tokens = float(feed.requests_per_minute)
        self._since = time.monotonic()
        self._receiving = 0

    def opens(self, digest: str) -> bool:
        """Whether the hash of a token is one of this endpoint's; in constant time."""
        return sum(hmac.compare_digest(digest, known) for known in self.feed.tokens_sha256) > 0

    async def take(self, request: Request, spool: Spool) -> Response:
        """Receive, store, answer. Raises ApiError."""
        key = request.headers.get("idempotency-key", "")
        if not _KEY.fullmatch(key):
            raise ApiError(400, "NO_KEY", "give Idempotency-Key: 1 to 255 printable characters, new for each request")
        if not self._may_start(time.monotonic()):
            return _later(429, "RATE", f"more than {self.feed.requests_per_minute} requests a minute: send slower")
        if self._receiving >= AT_ONCE:
            return _later(503, "BUSY", f"{AT_ONCE} requests of this source are being received: send fewer at once")
        self._receiving += 1
        try:
            body = b""
            with trio.move_on_after(BODY_S) as patience:
                body = await read_body(request, self.feed.max_bytes)
            if patience.cancelled_caught:
                raise ApiError(408, "TOO_SLOW", f"the body did not come within {BODY_S:.0f} s: send it again")
            return await trio.to_thread.run_sync(
                self._store, spool, key, request.headers.get("content-type", ""), body
            )
        finally:
            self._receiving -= 1

    def _store(self, spool: Spool, key: str, content_type: str, body: bytes) -> Response:
        """In a thread: parts, disk, answer."""
        files = _files_of(content_type, body)
        known = spool.look_up(self.feed.name, key)
        if known is None and spool.backlog() >= self.feed.max_waiting:
            return _later(503, "BACKLOG", f"{self.feed.max_waiting} jobs wait already: send it again later")
        try:
            job = spool.add(self.feed.name, key, files, time.time_ns() // 1_000_000)
        except ConflictError:
            raise ApiError(409, "KEY_USED", "this Idempotency-Key came with other content: use a new one") from None
        except OSError as error:
            raise ApiError(507, "DISK", f"cannot keep it ({error.strerror}): see the node's disk") from None
        state = "waiting" if known is None else known["state"]
        place = {"location": f"/v1/intake/jobs/{job}"}
        return JSONResponse({"job": job, "state": state}, status_code=HTTPStatus.ACCEPTED, headers=place)

    def _may_start(self, now: float) -> bool:
        rate = self.feed.requests_per_minute
        self._tokens = min(float(rate), self._tokens + (now - self._since) * rate / 60)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _later(status: int, code: str, message: str) -> Response:
    """Not now: the connection ends, because the body was not read."""
    headers = {"retry-after": str(RETRY_S), "connection": "close"}
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status, headers=headers)


def _files_of(content_type: str, body: bytes) -> list[PushedFile]:
    """The one file of a body, or those of its parts. Raises ApiError."""
    about = Message()
    about["content-type"] = content_type or "application/octet-stream"
    if not body:
        raise ApiError(400, "EMPTY", "the body is empty: send a file")
    if about.get_content_type() != _MULTIPART:
        return [PushedFile("body", body)]
    boundary = about.get_param("boundary")
    if not isinstance(boundary, str) or not 1 <= len(boundary) <= 70:
        raise ApiError(400, "MULTIPART", "multipart/form-data without a boundary: give one (RFC 7578)")
    mark = b"\r\n--" + boundary.encode()
    parts = (b"\r\n" + body).split(mark)[1:]  # what stands before the first is a preamble
    if len(parts) < 2 or not parts[-1].startswith(b"--") or len(parts) - 1 > MAX_PARTS:
        raise ApiError(400, "MULTIPART", f"the body is not 1 to {MAX_PARTS} whole parts: send it again (RFC 7578)")
    files = [_part(part) for part in parts[:-1]]
    if not any(file.data for file in files):
        raise ApiError(400, "EMPTY", "every part is empty: send a file")
    return files


def _part(part: bytes) -> PushedFile:
    """One part: its file name, and its bytes as they are."""
    header, gap, data = part.partition(b"\r\n\r\n")
    if not gap:
        raise ApiError(400, "MULTIPART", "a part has no header: send it again (RFC 7578)")
    about = Message()
    for line in header.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            about[name.strip()] = value.strip()
    name = about.get_filename() or str(about.get_param("name", "part", "content-disposition"))
    return PushedFile(name[:255], data)
