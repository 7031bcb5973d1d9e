"""The HTTP server of a node: Hypercorn on trio, in a thread and a loop of its own.

So a block that executes delays no read, and a costly read no vote. Whatever ends that loop ends the node: its
exception comes out of ``serve`` in the node's own loop, and ``serve`` being cancelled there ends the thread.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.config import Config as ServerConfig
from hypercorn.trio import serve as hypercorn_serve

from node.api import make_api

if TYPE_CHECKING:
    from node.config_types import Address
    from node.peer import Peer


class ServiceError(RuntimeError):
    """The API cannot be served; one line that says what to do."""


async def serve(peer: Peer, app: Any = None, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Serve the API (``app``, else that of a full node) until cancelled. Raises ServiceError: no port."""
    address = peer.config.api.listen
    _probe(address)
    server = _Server(make_api(peer) if app is None else app, address, trio.lowlevel.current_trio_token())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.thread)
        try:
            await server.listening.wait()
            task_status.started()
            await trio.sleep_forever()
        finally:
            server.stop()


class _Server:
    """Hypercorn in its thread. ``listening`` is set in the node's loop (``home``)."""

    def __init__(self, app: Any, address: Address, home: trio.lowlevel.TrioToken) -> None:
        self.listening = trio.Event()
        self._app = app
        self._address = address
        self._home = home
        self._lock = threading.Lock()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._stopped = False

    async def thread(self) -> None:
        """Run the thread to its end; what its loop raises is raised here."""
        await trio.to_thread.run_sync(trio.run, self._run, limiter=trio.CapacityLimiter(1))

    def stop(self) -> None:
        """From the node's loop: end it, now or as soon as it has begun."""
        with self._lock:
            self._stopped = True
            if self._token is not None:
                with suppress(trio.RunFinishedError):
                    self._token.run_sync_soon(self._scope.cancel)

    async def _run(self) -> None:
        with self._lock:
            self._token = trio.lowlevel.current_trio_token()
            if self._stopped:
                return
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._serve)
                self._home.run_sync_soon(self.listening.set)

    async def _serve(self, *, task_status: Any) -> None:
        settings = ServerConfig()
        settings.bind = [str(self._address)]
        settings.accesslog = None
        settings.errorlog = logging.getLogger("hypercorn.error")
        settings.keep_alive_timeout = 75
        settings.graceful_timeout = 1
        try:
            await hypercorn_serve(
                self._app, settings, shutdown_trigger=trio.sleep_forever, task_status=task_status, mode="asgi"
            )
        except* OSError as group:
            if _is_in_use(group):  # taken between the probe and now, by an outgoing connection for example
                raise _in_use(self._address) from None
            raise


def _probe(address: Address) -> None:
    """Bind once without SO_REUSE*: Hypercorn would share a port that another node has."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _in_use(address) from None
            raise ServiceError(f"cannot listen on {address}: {error.strerror}; correct api.listen") from None


def _is_in_use(group: BaseExceptionGroup[OSError]) -> bool:
    return group.subgroup(lambda error: isinstance(error, OSError) and error.errno == errno.EADDRINUSE) is not None


def _in_use(address: Address) -> ServiceError:
    return ServiceError(
        f"port {address} is in use: choose another api.listen in node.toml or stop the other process"
    )
