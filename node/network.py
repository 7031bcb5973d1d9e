"""The peer-to-peer network: TCP, Noise, Yamux; members only. The one file that imports libp2p.

Of libp2p this takes the security handshake, the multiplexer and the stream negotiation, through
`Swarm`. Sockets are ours, accepted and dialled here, because libp2p 0.8.1's own listener binds with
SO_REUSEPORT (two nodes on one port would both start), keeps an inbound slot for ever after the
connection has gone, and reads without bound before the peer has proved anything
(GHSA-hmjq-g7pp-rw3x); and because its dialler follows addresses that peers announce and shuns a
peer for a minute after one failure. Its resource manager, whose circuit breaker strangers can
open, is left out: `node.gate` bounds strangers, `NetworkLimits` bounds members.

Of each pair with equal rights the lower member id dials, else the one without a vote. One that is not to dial does so
all the same when nothing comes for a while: the other may not know its address. The newest authenticated connection
of a member counts.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio
from libp2p.abc import INetStream, IRawConnection, ISecureConn
from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.crypto.ed25519 import create_new_key_pair as ed25519_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import IncompleteReadError
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from node.framing import FrameError
from node.gate import Gate, Throttle
from node.links import Link, LinkBrokenError, Log, NetworkLimits, Peer, PeerAddress, PeerStats
from node.queues import Channel, Inbox
from node.sockets import GuardedSocket, NetworkError, listen_on

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p's dependency puts over trio's own types

PROTOCOLS: dict[Channel, TProtocol] = {
    "votes": TProtocol("/tally/votes/1"),
    "bulk": TProtocol("/tally/bulk/1"),
    "custody": TProtocol("/tally/custody/1"),
}
CHANNELS: dict[TProtocol | None, Channel] = {protocol: channel for channel, protocol in PROTOCOLS.items()}

STEADY_S = 5.0
"""A link that stood this long begins again at the shortest backoff."""
RESTARTS_A_MINUTE = 5
LOG_INTERVAL_S = 60.0
YAMUX_CREDIT = ("PY_YAMUX_RELEASE_ON_READ", "0")
"""libp2p's own setting, read at every call: return window credit in larger steps, not after every read. It saves
30 % of all socket writes where frames are small; a write costs more than anything else here."""
LIBP2P_LOG = logging.getLogger("libp2p")
NOWHERE = Multiaddr("/ip4/0.0.0.0/tcp/0")  # libp2p only writes the listen address into its log


class NotAMemberError(HandshakeFailure):
    """The peer proved a key that is no member's, or dialled against the pair's direction."""


class _ShutOutError(LinkBrokenError):
    """The other side hung up during the handshake: it does not know this node's key, or not yet."""


@dataclass(frozen=True, slots=True)
class NetworkStats:
    """Counters since the start; `peers` is a copy, one entry a member."""

    peers: Mapping[str, PeerStats]
    denied: int  # strangers that finished a handshake, and members that dialled the wrong way
    failed_handshakes: int  # plaintext, garbage, silence
    turned_away: int  # over the start rate, or evicted while pending
    restarts: int  # libp2p failed and was started again
    pending: int  # handshakes under way now


def peer_id_of(public_key: bytes) -> ID:
    """The peer id of an Ed25519 public key (32 bytes)."""
    return ID.from_pubkey(Ed25519PublicKey.from_bytes(public_key))


class _Tcp(GuardedSocket, ReadWriteCloser):
    """The guarded socket under the name libp2p asks for."""


class _MembersNoise(Noise):
    """Noise that goes on only with a member: the peer id is judged right after the handshake, before
    the multiplexer reads a byte."""

    def __init__(self, keys: KeyPair, network: Network) -> None:
        super().__init__(keys, noise_privkey=x25519_key_pair().private_key)
        self._network = network

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        secured = await super().secure_inbound(conn)
        peer = self._network.peer_by_id(secured.get_remote_peer())
        if peer is None:
            raise NotAMemberError(f"peer id {secured.get_remote_peer()} is no member's")
        if peer.dials:
            raise NotAMemberError(f"{peer.member} dialled us, but of this pair we dial")
        _prove(conn)
        return secured

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        if self._network.peer_by_id(peer_id) is None:
            raise NotAMemberError(f"peer id {peer_id} is no member's")
        secured = await super().secure_outbound(conn, peer_id)  # refuses any other peer id itself
        _prove(conn)
        return secured


def _prove(conn: IRawConnection) -> None:
    if isinstance(conn, RawConnection) and isinstance(conn.stream, _Tcp):
        conn.stream.proven = True


class _Stream:
    """A libp2p stream as links want it."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.write(data)
        except Exception as error:  # libp2p raises many unrelated kinds; each means the same here
            raise LinkBrokenError(_reason(error)) from error

    async def read(self, count: int) -> bytes:
        try:
            return await self._stream.read(count)
        except Exception as error:
            raise LinkBrokenError(_reason(error)) from error

    async def reset(self) -> None:
        with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
            try:
                await self._stream.reset()
            except Exception as error:
                LIBP2P_LOG.debug("reset failed: %s", error)


class _Connection:
    """An upgraded connection as links want it."""

    def __init__(self, tcp: _Tcp, conn: SwarmConn, timeout_s: float) -> None:
        self.tcp = tcp
        self._conn = conn
        self._timeout_s = timeout_s
        muxed = conn.muxed_conn
        if isinstance(muxed, Yamux):
            tcp.backlog = lambda: sum(map(len, muxed.stream_buffers.values()))

    async def open(self, channel: Channel) -> _Stream:
        try:
            stream = await self._conn.new_stream()
        except Exception as error:
            raise LinkBrokenError(_reason(error)) from error
        try:
            await MultiselectClient().select_one_of(
                [PROTOCOLS[channel]], MultiselectCommunicator(stream), math.ceil(self._timeout_s)
            )
        except Exception as error:
            await _Stream(stream).reset()
            raise LinkBrokenError(f"{channel} stream: {_reason(error)}") from error
        return _Stream(stream)

    async def wait_closed(self) -> None:
        await self.tcp.closed.wait()  # libp2p closes the socket whenever it ends a connection

    def abort(self) -> None:
        self.tcp.abort()


class Network:
    """Links to every other member's node.

    `key_seed` is the 32-byte Ed25519 seed of the node's network key, `member` its own id, `listen`
    "host:port" ("[::]:4101" for IPv6), `peers` every member's address (its own is ignored), `voters`
    those with a vote (None: all).
    """

    def __init__(
        self,
        *,
        member: str,
        key_seed: bytes,
        listen: str,
        peers: Mapping[str, PeerAddress],
        log: Log,
        voters: Collection[str] | None = None,
        limits: NetworkLimits | None = None,
        flush_ms: int = 2,
    ) -> None:
        self.member = member
        self.port = 0
        """The port listened on, once running (of use with port 0)."""
        self._keys = ed25519_key_pair(key_seed)
        self._listen = listen
        self._log = log
        self._limits = limits or NetworkLimits()
        self._flush_s = flush_ms / 1000
        self.inbound = Inbox(max_frames=self._limits.queue_frames, max_bytes=self._limits.queue_bytes)
        self._gate = Gate(
            max_pending=self._limits.pending_handshakes,
            starts_per_s=self._limits.stranger_starts_per_s,
            burst=self._limits.stranger_burst,
        )
        self._throttle = Throttle(LOG_INTERVAL_S)
        self._peers: dict[str, Peer] = {}
        self._by_id: dict[ID, tuple[Peer, bytes]] = {}
        self._voters: frozenset[str] = frozenset()
        self._swarm: Swarm | None = None
        self._nursery: trio.Nursery | None = None
        self._sockets: set[_Tcp] = set()
        self._seen_at: dict[str, str] = {}  # member: the address it last proved itself from
        self._denied = self._failed = self._turned_away = self._restarts = 0
        self.set_peers(peers, voters)

    # What the driver uses

    def send(self, member: str, channel: Channel, frame: bytes) -> bool:
        """Queue `frame` for `member` without waiting.

        False where it will not be sent: no link stands, the queue is full, the frame exceeds the
        channel's cap (each is counted), nobody has that id, or it would be a vote of a member without
        one. True promises nothing: a link may break.
        """
        peer = self._peers.get(member)
        if peer is None or (channel == "votes" and not self.has_vote(self.member)):
            return False
        return peer.link.send(channel, frame)

    def broadcast(self, channel: Channel, frame: bytes) -> None:
        """`send` to every other member with a vote; the others get blocks (`node.following`)."""
        for member in self._peers.keys() & self._voters:
            self.send(member, channel, frame)

    def has_vote(self, member: str) -> bool:
        """Whether a member's votes count, or will within the next block."""
        return member in self._voters

    def connected(self) -> set[str]:
        """Members a link stands to now."""
        return {member for member, peer in self._peers.items() if peer.link.stats.connected}

    def stats(self) -> NetworkStats:
        """Counters since the start."""
        return NetworkStats(
            peers={member: peer.link.stats.copy() for member, peer in self._peers.items()},
            denied=self._denied,
            failed_handshakes=self._failed,
            turned_away=self._turned_away,
            restarts=self._restarts,
            pending=self._gate.pending,
        )

    def set_peers(self, peers: Mapping[str, PeerAddress], voters: Collection[str] | None = None) -> None:
        """Follow the membership: links and the allow list are those of `peers` from now on, votes go to `voters`
        (None: all).

        A member keeps its link while its address is the same and the key that the link has proved is still its key.
        """
        wanted = {member: address for member, address in peers.items() if member != self.member}
        self._voters = frozenset({self.member, *wanted} if voters is None else voters)
        for member, peer in list(self._peers.items()):
            if not _still(peer, wanted.get(member)):
                del self._peers[member]
                peer.drop()
                self.inbound.forget(member)
        for member, address in wanted.items():
            dials = bool(address.host) and self._is_to_dial(member)
            known = self._peers.get(member)
            if known is not None:
                known.address, known.dials = address, dials
                continue
            link = Link(member, self._limits, self.inbound, self._flush_s, self._log)
            self._peers[member] = Peer(member, address, link, dials=dials)
            if self._nursery is not None:
                self._nursery.start_soon(self._keep, self._peers[member])
        self._by_id = {peer_id_of(key): (peer, key) for peer in self._peers.values() for key in peer.address.keys}
        self._know_hosts()

    def _is_to_dial(self, member: str) -> bool:
        """Whether of the pair with `member` it is this node: the one without a vote, else the lower id."""
        mine, theirs = self.has_vote(self.member), self.has_vote(member)
        return self.member < member if mine == theirs else theirs

    def peer_by_id(self, peer_id: ID) -> Peer | None:
        """The allow list."""
        found = self._by_id.get(peer_id)
        return None if found is None else found[0]

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, keep the links, until cancelled. Reports started when the port is bound.

        Raises NetworkError (PortInUseError where another process has the port).
        """
        _quiet_libp2p()
        os.environ.setdefault(*YAMUX_CREDIT)
        listeners = await listen_on(self._listen)
        self.port = listeners[0].socket.getsockname()[1]
        self._log.info("listening", address=self._listen, port=self.port, peer_id=str(self._own_id()))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(trio.serve_listeners, self._accept, listeners))
                task_status.started()
                failure = await self._supervise()
                nursery.cancel_scope.cancel()
        finally:
            self.inbound.close()
        raise failure

    # libp2p, and starting it again when it fails

    def _own_id(self) -> ID:
        return ID.from_pubkey(self._keys.public_key)

    def _new_swarm(self) -> Swarm:
        """A swarm with exactly one way to secure a connection and one to multiplex it."""
        upgrader = TransportUpgrader(
            secure_transports_by_protocol={NOISE_ID: _MembersNoise(self._keys, self)},
            muxer_transports_by_protocol={TProtocol(YAMUX_ID): Yamux},
        )
        peerstore = PeerStore()
        peerstore.add_key_pair(self._own_id(), self._keys)
        config = ConnectionConfig(
            min_connections=0,  # libp2p must never dial by itself
            low_watermark=0,
            high_watermark=1024,
            max_connections=1024,  # only members get this far, and each has one
            max_connections_per_peer=4,
            inbound_upgrade_timeout=self._limits.handshake_s,
            outbound_upgrade_timeout=self._limits.handshake_s,
        )
        swarm = Swarm(self._own_id(), peerstore, upgrader, transports=[], connection_config=config)
        swarm.set_stream_handler(self._on_stream)
        return swarm

    async def _supervise(self) -> NetworkError:
        """Run libp2p; where an error escapes from it, log it and start it again. Returns when that is no use."""
        recent: list[float] = []
        while True:
            try:
                await self._run_swarm()
            except* Exception as group:
                reason = _reason(group)
                self._restarts += 1
                self._log.warning("libp2p failed, starting it again", reason=reason)
                recent = [at for at in recent if trio.current_time() - at < 60] + [trio.current_time()]
            if len(recent) > RESTARTS_A_MINUTE:
                return NetworkError(
                    f"libp2p failed {len(recent)} times within a minute, last: {reason}; report it with the log"
                )
            await trio.sleep(self._limits.backoff_max_s)

    async def _run_swarm(self) -> None:
        swarm = self._new_swarm()
        async with background_trio_service(swarm), trio.open_nursery() as nursery:
            self._swarm, self._nursery = swarm, nursery
            try:
                for peer in self._peers.values():
                    nursery.start_soon(self._keep, peer)
                await trio.sleep_forever()
            finally:
                self._swarm = self._nursery = None
                for tcp in self._sockets:
                    tcp.abort()

    # Connections

    async def _keep(self, peer: Peer) -> None:
        """Keep a link to the member: dial or wait, serve, back off, again."""
        backoff_s = self._limits.backoff_min_s
        with trio.CancelScope() as peer.keeper:
            while True:
                began = trio.current_time()
                try:
                    if peer.dials and not peer.has_arrived:
                        await self._dial(peer)
                    else:
                        await peer.in_reserve(partial(self._dial, peer), self._limits.reserve_s)
                except LinkBrokenError as reason:
                    self._say(f"down {peer.member} {reason}", "no link", member=peer.member, reason=str(reason))
                    if peer.dials and isinstance(reason, _ShutOutError):
                        await peer.pause(self._limits.shut_out_s)
                if trio.current_time() - began > STEADY_S + self._limits.dial_s:
                    backoff_s = self._limits.backoff_min_s
                if peer.dials:
                    await peer.pause(backoff_s)
                    backoff_s = min(backoff_s * 2, self._limits.backoff_max_s)

    async def _dial(self, peer: Peer) -> None:
        """Connect to the member and serve its link until it breaks, with LinkBrokenError."""
        address, swarm = peer.address, self._swarm
        where = f"{address.host}:{address.port}"
        key = address.keys[peer.attempts % len(address.keys)]  # each in its turn: one of them is the node's
        peer.attempts += 1
        if swarm is None:
            raise LinkBrokenError("libp2p is starting")
        tcp: _Tcp | None = None
        try:
            with trio.fail_after(self._limits.dial_s):
                tcp = self._adopt(await trio.open_tcp_stream(address.host, address.port))
                conn = await swarm.upgrade_outbound_raw_conn(RawConnection(tcp, True), peer_id_of(key))
            peer.proven = key
            peer.attempts -= 1  # the right one
            await peer.serve(_Connection(tcp, conn, self._limits.open_stream_s))
        except trio.TooSlowError:
            raise LinkBrokenError(f"{where} did not answer within {self._limits.dial_s:g} s") from None
        except LinkBrokenError:
            raise
        except Exception as error:  # libp2p raises many unrelated kinds
            if tcp and (_cause(error, IncompleteReadError) or _cause(error, ConnectionError)):
                reason = f"{where}: closed during the handshake; does that node know our key?"
                raise _ShutOutError(reason) from error
            raise LinkBrokenError(f"{where}: {_reason(error)}") from error
        finally:
            if tcp is not None:
                self._release(tcp)

    async def _accept(self, stream: trio.SocketStream) -> None:
        """Own an accepted socket: handshake, hand a member's connection to its link, wait for its end.

        Never raises: an error here would stop the listener.
        """
        tcp = self._adopt(stream)
        try:
            if await self._admitted(tcp):
                await tcp.closed.wait()
        except Exception as error:
            self._refused(tcp.remote[0], error)
        finally:
            self._release(tcp)

    async def _admitted(self, tcp: _Tcp) -> bool:
        """Whether the peer behind `tcp` proved to be a member in time; its link has the connection then."""
        host = tcp.remote[0]
        scope = trio.CancelScope()
        ticket = self._gate.admit(host, scope.cancel, trio.current_time())
        if ticket is None:
            self._turned_away += 1
            self._say(f"rate {host}", "turned away: too many handshakes started", address=host)
            return False
        try:
            with scope:
                return await self._upgrade_inbound(tcp)
        finally:
            self._gate.done(ticket)
        self._turned_away += 1  # evicted for a newer one
        return False

    async def _upgrade_inbound(self, tcp: _Tcp) -> bool:
        """Secure and multiplex an accepted socket, and offer it to the member's link."""
        swarm = self._swarm
        if swarm is None:
            return False
        muxed = await swarm.upgrade_inbound_raw_conn(RawConnection(tcp, False), NOWHERE)
        peer, key = self._by_id.get(muxed.peer_id, (None, b""))
        for conn in swarm.get_connections(muxed.peer_id):
            if peer is not None and isinstance(conn, SwarmConn) and conn.muxed_conn is muxed:
                peer.proven = key
                self._seen_at[peer.member] = tcp.remote[0]
                self._know_hosts()
                peer.offer(_Connection(tcp, conn, self._limits.open_stream_s))
                return True
        return False

    async def _on_stream(self, stream: INetStream) -> None:
        """libp2p's handler for every inbound stream. Never raises: what escapes would stop libp2p."""
        peer = self.peer_by_id(stream.muxed_conn.peer_id)
        try:
            if peer is None or self._crowded(stream):
                return
            negotiated, _ = await Multiselect(dict.fromkeys(CHANNELS)).negotiate(
                MultiselectCommunicator(stream), math.ceil(self._limits.open_stream_s)
            )
            await peer.link.receive(CHANNELS[negotiated], _Stream(stream))
        except FrameError as error:
            if peer is not None:
                peer.link.stats.malformed += 1
                self._say(
                    f"malformed {peer.member}", "stream reset: malformed frame", member=peer.member, reason=str(error)
                )
        except Exception as error:
            LIBP2P_LOG.debug("inbound stream ended: %s", error)
        finally:
            await _Stream(stream).reset()

    def _crowded(self, stream: INetStream) -> bool:
        conn = getattr(stream, "swarm_conn", None)
        return isinstance(conn, SwarmConn) and len(conn.get_streams()) > self._limits.streams_per_connection

    # Small things

    def _know_hosts(self) -> None:
        """Tell the gate where members are: configured addresses, and those they came from (names, NAT)."""
        hosts = {peer.address.host for peer in self._peers.values() if peer.address.host}
        self._gate.known = frozenset(hosts | {self._seen_at[m] for m in self._peers if m in self._seen_at})

    def _adopt(self, stream: trio.SocketStream) -> _Tcp:
        tcp = _Tcp(stream)
        self._sockets.add(tcp)
        return tcp

    def _release(self, tcp: _Tcp) -> None:
        tcp.abort()
        self._sockets.discard(tcp)

    def _refused(self, host: str, error: Exception) -> None:
        """Count and say, in one line, why a connection was refused."""
        cause = _cause(error, NotAMemberError)
        if cause is not None:
            self._denied += 1
            self._say(f"denied {cause}", "refused: not a member", address=host, reason=str(cause))
        else:
            self._failed += 1
            self._say(f"failed {host}", "refused: no Noise handshake", address=host, reason=_reason(error))

    def _say(self, key: str, event: str, **fields: object) -> None:
        """Log a warning that outsiders can cause, at most once a minute a key."""
        held = self._throttle.passes(key, trio.current_time())
        if held is not None:
            self._log.warning(event, **fields, **({"held_back": held} if held else {}))


def _still(peer: Peer, address: PeerAddress | None) -> bool:
    """Whether its link may stay: same place, and the key it has proved, if any, is still that member's."""
    if address is None or (address.host, address.port) != (peer.address.host, peer.address.port):
        return False
    return peer.proven is None or peer.proven in address.keys


def _cause(error: BaseException, kind: type[Exception]) -> Exception | None:
    """The first error of `kind` in the chain of causes."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _reason(error: BaseException) -> str:
    """One line for an error whose own text may be empty or long: the innermost cause."""
    while error.__cause__ is not None or isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__


def _quiet_libp2p() -> None:
    """Keep libp2p's own log out of ours, unless LIBP2P_DEBUG asks for it: it logs what strangers do at ERROR,
    one module sets its own level, and another logs on the root logger, which then would configure itself."""
    if os.environ.get("LIBP2P_DEBUG"):
        return
    LIBP2P_LOG.setLevel(logging.CRITICAL)
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("libp2p."):
            logging.getLogger(name).setLevel(logging.NOTSET)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    if _not_from_libp2p not in root.filters:
        root.addFilter(_not_from_libp2p)


def _not_from_libp2p(record: logging.LogRecord) -> bool:
    return "/libp2p/" not in record.pathname
