"""Custody over HTTP: how it stands, the owner's check, and looking again for what is to be restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from node.api_errors import ApiError

if TYPE_CHECKING:
    from node.custody.service import Custody
    from node.peer import Peer


def add_custody(app: FastAPI, peer: Peer) -> None:
    """The routes of this file."""

    @app.get("/v1/custody")
    async def status() -> dict[str, Any]:
        """How custody stands at this node: as owner, as custodian, and why it takes no part where it takes none."""
        return await peer.in_loop(peer.custody.status)

    @app.post("/v1/custody/check", status_code=202)
    async def start_check() -> dict[str, Any]:
        """Have every custodian show every object of this member's, unless that is under way; the report so far."""
        return await peer.in_loop(_start_check, peer.custody)

    @app.get("/v1/custody/check")
    async def check() -> dict[str, Any]:
        """The report of the newest check."""
        return await peer.in_loop(lambda: peer.custody.checker.report.to_json())

    @app.post("/v1/custody/restore", status_code=202)
    async def restore() -> dict[str, Any]:
        """Read all own documents again and take back what is missing or damaged; how that stands."""
        return await peer.in_loop(_restore, peer.custody)


def _start_check(custody: Custody) -> dict[str, Any]:
    if custody.owner is None:
        raise _no_part(custody)
    return custody.checker.start()


def _restore(custody: Custody) -> dict[str, Any]:
    if custody.owner is None:
        raise _no_part(custody)
    custody.owner.look_again()
    return custody.owner.status()


def _no_part(custody: Custody) -> ApiError:
    return ApiError(409, "NO_PART", f"this node keeps no documents of its own in custody: {custody.no_part()[0]}")
