"""The HTTP server of a node: Hypercorn on trio, in the node's own loop."""

from __future__ import annotations

import errno
import logging
import socket
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.config import Config as ServerConfig
from hypercorn.trio import serve as hypercorn_serve

from node.api import make_api

if TYPE_CHECKING:
    from node.peer import Peer


class ServiceError(RuntimeError):
    """The API cannot be served; one line that says what to do."""


async def serve(peer: Peer, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Serve the API until cancelled. Raises ServiceError when the port cannot be had."""
    address = peer.config.api.listen
    _probe(address.host, address.port)
    settings = ServerConfig()
    settings.bind = [str(address)]
    settings.accesslog = None
    settings.errorlog = logging.getLogger("hypercorn.error")
    settings.keep_alive_timeout = 75
    settings.graceful_timeout = 1
    app: Any = make_api(peer)
    try:
        await hypercorn_serve(
            app, settings, shutdown_trigger=trio.sleep_forever, task_status=task_status, mode="asgi"
        )
    except* OSError as group:
        if _is_in_use(group):  # taken between the probe and now, by an outgoing connection for example
            raise _in_use(address.host, address.port) from None
        raise


def _probe(host: str, port: int) -> None:
    """Bind once without SO_REUSE*: Hypercorn would share a port that another node has."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _in_use(host, port) from None
            raise ServiceError(f"cannot listen on {host}:{port}: {error.strerror}; correct api.listen") from None


def _is_in_use(group: BaseExceptionGroup[OSError]) -> bool:
    return group.subgroup(lambda error: isinstance(error, OSError) and error.errno == errno.EADDRINUSE) is not None


def _in_use(host: str, port: int) -> ServiceError:
    return ServiceError(
        f"port {host}:{port} is in use: choose another api.listen in node.toml or stop the other process"
    )
