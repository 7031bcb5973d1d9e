"""TCP sockets for the network: listening, and a reader that is bounded until the peer is proven. No libp2p."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio

HANDSHAKE_BYTES = 16 * 1024
"""The most a peer may send before it has proved to be a member; an honest handshake takes about 400."""
MESSAGE_BYTES = 65_535
"""The most a proven peer may announce at once: a Noise message."""
RECEIVE_BYTES = 64 * 1024
UNSENT_BYTES = 16 * 1024
"""What may lie unsent in the kernel (TCP_NOTSENT_LOWAT): there it could not be overtaken by a vote any more."""
MAX_BACKLOG = 48 * 2**20
"""The most that may wait, received and unread, in a connection's streams: three honest windows."""


class NetworkError(Exception):
    """The network cannot run; one line that says what to do."""


class PortInUseError(NetworkError):
    """Another process listens there."""


async def listen_on(listen: str) -> Sequence[trio.SocketListener]:
    """Listeners on "host:port", bound for this process alone. Raises NetworkError."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise NetworkError(f"listen address {listen!r} is not host:port: correct `listen` in node.toml")
    try:
        return await trio.open_tcp_listeners(int(port), host=host.strip("[]"))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {listen} is in use: choose another p2p.listen in node.toml or stop the other process"
            ) from None
        raise NetworkError(
            f"cannot listen on {listen}: {error.strerror or error}; correct `listen` in node.toml"
        ) from None


class GuardedSocket:
    """A TCP stream read through a buffer, closable at any moment.

    `read(n)` waits for all n bytes: libp2p's readers want that anyway, but give up after 100 short reads.
    Until `proven` is set, one read and the sum of reads are capped: before 0.8.2 libp2p allocates
    whatever length an unauthenticated peer announces (GHSA-hmjq-g7pp-rw3x).
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        with suppress(OSError):  # not every system has it
            stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._buffer = bytearray()
        self._received = 0
        self.proven = False
        self.closed = trio.Event()
        self.backlog: Callable[[], int] = lambda: 0
        """Bytes that wait in the streams above. libp2p only warns when a peer ignores their windows."""
        try:
            peername = stream.socket.getpeername()
            self.remote = (str(peername[0]), int(peername[1]))
        except OSError:  # gone already
            self.remote = ("unknown", 0)

    async def read(self, n: int | None = None) -> bytes:
        """`n` bytes, fewer at the end of the stream; some bytes for None. Raises ConnectionError."""
        wanted = 1 if n is None else n
        if wanted > (MESSAGE_BYTES if self.proven else HANDSHAKE_BYTES):
            raise ConnectionAbortedError(f"the peer announced {wanted} bytes")
        while len(self._buffer) < wanted:
            data = await self._receive()
            if not data:
                break
            self._buffer += data
        count = len(self._buffer) if n is None else n
        result = bytes(self._buffer[:count])
        del self._buffer[:count]
        return result

    async def _receive(self) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(RECEIVE_BYTES if self.proven else HANDSHAKE_BYTES))
        except trio.ClosedResourceError:
            return b""
        except trio.BrokenResourceError as error:
            raise ConnectionResetError("the peer reset the connection") from error
        self._received += len(data)
        if not self.proven and self._received > HANDSHAKE_BYTES:
            raise ConnectionAbortedError("too many bytes before the handshake ended")
        if self.backlog() > MAX_BACKLOG:
            raise ConnectionAbortedError("the peer sends past its windows")
        return data

    async def write(self, data: bytes) -> None:
        """Send all of `data`. Raises ConnectionResetError."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionResetError("the connection is closed") from error

    async def close(self) -> None:
        """As `abort`."""
        self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Close the socket now; a read or write under way ends."""
        self._stream.socket.close()
        self.closed.set()

    def get_remote_address(self) -> tuple[str, int] | None:
        """(host, port) of the other end, as it was when connected."""
        return self.remote
