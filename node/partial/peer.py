"""A partial observer put together: network, follower, registry, API. The composition root beside ``node.peer``.

It has no vote, no pool of others' transactions and no state of the consortium; it neither serves blocks nor keeps
custody. What it has it has checked: see ``chain/partial.py``.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from chain.identity import genesis_hash
from chain.ledger import META_NETWORK
from chain.partial import PartialLedger
from chain.partial_run import ContradictionError
from chain.partial_view import PartialView
from chain.store import LevelStore
from genesis import ceremony
from node import exchange
from node.config import Config
from node.driver import HaltError, Log, wall_clock
from node.membership import Membership
from node.mempool import Admission
from node.partial.api import make_partial_api
from node.partial.follower import Follower
from node.partial.messages import Chain, GetChain, GetParts, GetWitness, PartRefused, Parts, Witness, pack
from node.partial.outgoing import Outgoing
from node.partial.registry import Registry
from node.peer import DISK_CHECK_MS, DISK_LOW, Keys, PeerError
from node.queues import Inbound, PeerDown, PeerUp
from node.threads import Newest, OwnLoop
from node.webhooks import Webhooks

if TYPE_CHECKING:
    from chain.view import View
    from node.peer import Peer

LEDGER_FOLDER: Final = "partial"
"""Beside a full node's "ledger": neither can be opened as the other."""
LEVEL_S: Final = 0.5
NOT_SERVED: Final = "this node follows only some chains: ask a validator"


class Progress:
    """What parts of a node wait for: ``committed`` is set and replaced whenever there is something new."""

    def __init__(self) -> None:
        self.committed = trio.Event()
        self.recent: tuple[()] = ()

    def moved(self) -> None:
        """Wake who waits."""
        self.committed.set()
        self.committed = trio.Event()


class PartialPeer:
    """A running partial observer's parts, for its API. The names are those of ``node.peer.Peer``."""

    def __init__(self, config: Config, node_keys: Keys, log: Log) -> None:
        """Open genesis and ledger. Raises GenesisError, LedgerError, StoreError, WebhookError, PeerError."""
        from node.network import Network  # the one module that needs libp2p

        self.config = config
        self.log = log
        self.member = config.member
        document = ceremony.load_sealed(config.genesis).document
        self.ledger = open_partial(config.data, document, config.follow or [])
        missing = [chain for chain in self.ledger.follow if chain not in self.ledger.chains]
        if missing:
            log.warning("no such chain as of this block: it is followed once it is there", chains=missing)
        self.driver = Progress()
        self.newest = Newest(cast("View", self.ledger.view()))  # a PartialView: all that Newest does, it closes it
        self.own_loop = OwnLoop()
        self.follower = Follower(
            self.ledger, self._send_bulk, log, self._changed, first=zlib.crc32(self.member.encode())
        )
        self.registry = Registry(self.ledger, self.follower)
        self.membership = Membership(
            self.registry.shared,
            lambda: self.ledger.height,
            chains=lambda: self.ledger.chains,
            own_key=node_keys.network.public,
            addresses=config.p2p.peers,
            early_keys=config.p2p.keys,
        )
        if self.member in self.membership.voters:
            raise PeerError(
                f"{self.member} has a vote, and who votes executes every chain: take `follow` out of node.toml"
            )
        self.network = Network(
            member=config.member,
            key_seed=node_keys.network.seed,
            listen=str(config.p2p.listen),
            peers=self.membership.peers,
            voters=self.membership.voters,
            log=log,
        )
        self.mempool = Outgoing(
            self.ledger.network_id,
            self.ledger.seen,
            wall_clock,
            lambda frame: self.network.broadcast("bulk", frame),
        )
        self.webhooks = Webhooks(cast("Peer", self), log)  # of a peer it needs config, ledger and driver.committed
        self.malformed = 0
        """Messages of members that were no messages, or that a partial observer has no use for."""
        self._shown = 0.0
        self._disk_checked = 0
        self._disk_low = False

    # -- what the API offers ----------------------------------------------------------------------------

    @property
    def view(self) -> PartialView:
        """The newest state, for any thread."""
        return cast("PartialView", self.newest.view)

    async def view_above(self, height: int) -> PartialView:
        """The newest view once it is above a height, in any loop."""
        return cast("PartialView", await self.newest.above(height))

    async def in_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function in the node's own loop, from the API's. Raises what it raises."""
        return await self.own_loop.call(function, *args)

    async def submit_many(self, wires: Sequence[bytes]) -> list[Admission]:
        """Pass transactions on to the validators, one answer each."""
        answers = []
        for wire in wires:
            low = self.disk_is_low()
            answers.append(Admission(b"", "rejected", "DISK_LOW", DISK_LOW) if low else self.mempool.submit(wire))
            await trio.lowlevel.checkpoint()
        return answers

    def disk_is_low(self) -> bool:
        """Whether the data folder's disk has less room than limits.min_free_disk_bytes; looked up every 2 s."""
        now = wall_clock()
        if now - self._disk_checked >= DISK_CHECK_MS:
            self._disk_checked = now
            self._disk_low = shutil.disk_usage(self.config.data).free < self.config.limits.min_free_disk_bytes
        return self._disk_low

    # -- tasks --------------------------------------------------------------------------------------------

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Follow, and serve the API, until cancelled. Raises HaltError where a quorum certified what cannot be."""
        from node.service import serve

        async with trio.open_nursery() as nursery:
            await nursery.start(self.own_loop.run)
            await nursery.start(self.network.run)
            await nursery.start(serve, self, make_partial_api(self))
            nursery.start_soon(self._receive)
            nursery.start_soon(self._follow)
            nursery.start_soon(self.registry.run)
            nursery.start_soon(self._follow_membership)
            nursery.start_soon(self.mempool.run)
            if self.webhooks.workers:
                nursery.start_soon(self.webhooks.run)
            self.log.info(
                "ready", height=self.ledger.height, api=str(self.config.api.listen), follows=list(self.ledger.follow)
            )
            task_status.started()

    def close(self) -> None:
        """Let go of files."""
        self.newest.close()
        self.ledger.close()

    async def _follow(self) -> None:
        try:
            await self.follower.run()
        except* ContradictionError as group:
            raise HaltError(str(group.exceptions[0])) from None

    def _changed(self) -> None:
        """Show what is new once the followed chains are up with the headers: so that a transaction is here when its
        block is. One that lags, at the first start or because nobody gives it, holds that up for moments only."""
        now = trio.current_time()
        waiting = [chain for chain in self.ledger.follow if chain not in self.follower.refused]
        if now - self._shown >= LEVEL_S or all(self.ledger.pending(chain) is None for chain in waiting):
            self._shown = now
            self.newest.publish(cast("View", self.ledger.view()))
            self.driver.moved()

    def _send_bulk(self, member: str, frame: bytes) -> bool:
        return self.network.send(member, "bulk", frame)

    async def _receive(self) -> None:
        async for item in self.network.inbound:
            match item:
                case PeerUp(member):
                    if self.network.has_vote(member):
                        self.follower.connected(member)
                case PeerDown(member):
                    self.follower.forget(member)
                case Inbound(member, "bulk", frame):
                    self._exchange(member, frame)

    def _exchange(self, member: str, frame: bytes) -> None:
        try:
            message = exchange.unpack(frame)
        except exchange.ExchangeError:
            self.malformed += 1
            return
        match message:
            case Parts() | Chain() | Witness() | PartRefused():
                self.follower.take(member, message)
            case GetParts() | GetChain() | GetWitness():
                self._send_bulk(member, pack(PartRefused(message.number, "NOT_SERVED", NOT_SERVED)))
            case exchange.GetBlocks() | exchange.Follow():
                self._send_bulk(member, exchange.pack(exchange.Refused("NOT_SERVED", NOT_SERVED)))

    async def _follow_membership(self) -> None:
        """Whom to connect to and who votes, as the registry has it."""
        while True:
            await self.driver.committed.wait()
            if self.membership.refresh():
                self.network.set_peers(self.membership.peers, self.membership.voters)
                for member in self.network.connected():
                    if self.network.has_vote(member):
                        self.follower.connected(member)


def open_partial(data: Path, document: Mapping[str, Any], follow: Sequence[str]) -> PartialLedger:
    """Open, or at the very first start create, the partial ledger. Raises LedgerError, StoreError."""
    folder = data / LEDGER_FOLDER
    data.mkdir(parents=True, exist_ok=True)
    store = LevelStore(folder, create=not (folder / "CURRENT").exists())
    if store.get(META_NETWORK) is None:
        return PartialLedger.create(store, document, follow)
    return PartialLedger(store, genesis_hash(document), follow)
