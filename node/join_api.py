"""What a node tells one that is about to join: the sealed genesis file, and where the members' nodes are.

Nothing here has to be believed: whoever joins checks the file against a hash from elsewhere, the peers by their keys
and every block by its certificate.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import trio
from fastapi import FastAPI
from fastapi.responses import Response

from node.api_errors import ApiError

if TYPE_CHECKING:
    from node.peer import Peer


def add_join(app: FastAPI, peer: Peer) -> None:
    """The routes of this file."""

    @app.get("/v1/genesis/sealed")
    async def sealed() -> Response:
        """The sealed genesis file, as this node started from it."""
        try:
            text = await trio.Path(peer.config.genesis).read_bytes()
        except OSError as error:
            raise ApiError(
                HTTPStatus.NOT_FOUND, "NOT_KEPT", f"the genesis file is gone here ({error.strerror}): ask another"
            ) from None
        return Response(text, media_type="application/json")

    @app.get("/v1/peers")
    async def peers() -> list[dict[str, Any]]:
        """Each member with a network key: its valid keys, newest first, and its address as this node knows it."""
        return await peer.in_loop(peers_view, peer)


def peers_view(peer: Peer) -> list[dict[str, Any]]:
    """Each member that may connect: {member, keys, votes, connected, host, port}; in the node's own loop.

    host is null where this node does not know it, and for this node itself where it listens on every interface.
    """
    connected = peer.network.connected()
    rows = []
    for member, place in sorted(peer.membership.peers.items()):
        host, port = place.host or None, place.port or None
        if member == peer.member:
            listen = peer.config.p2p.listen
            host, port = (None if listen.host in ("0.0.0.0", "::") else listen.host), listen.port
        rows.append(
            {
                "member": member,
                "keys": [key.hex() for key in place.keys],
                "votes": peer.network.has_vote(member),
                "connected": member in connected,
                "host": host,
                "port": port,
            }
        )
    return rows


def following_view(peer: Peer) -> dict[str, Any]:
    """How this node gets its blocks: {standing, from, refused, followers}; in the node's own loop."""
    refused = peer.follower.refused
    return {
        "standing": peer.membership.standing(peer.member),
        "from": peer.follower.server,
        "refused": None if refused is None else {"code": refused.code, "message": refused.message},
        "followers": peer.feeder.followers,
    }
