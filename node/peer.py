"""The peer put together: one process, its own loop and the API's, every part handed what it needs. The composition
root.

Start order matters: configuration, genesis, keys, ledger, journal (a node whose journal knows more than its ledger
must not vote), then network, API and anchoring. Whatever is fatal ends the process with one line.
"""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import trio

from chain import keys
from chain.block import CONSORTIUM, Block
from chain.codec import encode
from chain.crypto import SigningKey
from chain.identity import genesis_hash
from chain.ledger import META_NETWORK, Ledger, genesis_state
from chain.store import LevelStore
from chain.view import View
from consensus.core import Core
from consensus.events import PeerConnected
from genesis import ceremony
from node import exchange
from node.anchor_ledger import open_anchorer
from node.config import Config
from node.documents import DocumentStore
from node.driver import Driver, Log, wall_clock
from node.head_signer import HeadSigner
from node.intake.supervisor import Supervisor
from node.journal import FileStorage
from node.links import PeerAddress
from node.mempool import Admission, Mempool, PoolLimits
from node.queues import Inbound, PeerDown, PeerUp
from node.signer import Signer
from node.sync import BlockSync
from node.threads import Newest, OwnLoop
from node.webhooks import Webhooks

Result = TypeVar("Result")

JOURNAL_FILE: Final = "votes.journal"
LEDGER_FOLDER: Final = "ledger"
EVIDENCE_FILE: Final = "evidence.jsonl"
EVIDENCE_BYTES: Final = 16 * 1024 * 1024
GOSSIP_S: Final = 0.005
"""Waiting transactions go to the peers in batches this far apart: the cost is per write, not per byte."""
GOSSIP_BYTES: Final = 192 * 1024
REGOSSIP_S: Final = 5.0
REGOSSIP_BYTES: Final = 1024 * 1024
ADMIT_AT_ONCE: Final = 16
"""Transactions admitted between two chances for votes and timers (about 1 ms)."""
DISK_CHECK_MS: Final = 2_000
DISK_LOW: Final = "this node's disk is nearly full: free space, or submit at another node"


class PeerError(RuntimeError):
    """The node cannot start or must stop; one line that says what to do."""


@dataclass
class Keys:
    """The node's private halves; an observer has no validator key, a node without a signer only serves."""

    network: SigningKey
    validator: SigningKey | None
    signer: SigningKey | None


def load_keys(config: Config, passphrase: str) -> Keys:
    """Open the key files of a configuration. Raises KeyFileError."""

    def opened(path: Path | None, purpose: str) -> SigningKey | None:
        return None if path is None else keys.load(path, passphrase, purpose=purpose)

    return Keys(
        network=keys.load(config.keys.network, passphrase, purpose="network"),
        validator=opened(config.keys.validator, "validator"),
        signer=opened(config.keys.signer, "signer"),
    )


class Peer:
    """A running node's parts, for the API and the operator's commands."""

    def __init__(self, config: Config, node_keys: Keys, passphrase: str, log: Log) -> None:
        """Open genesis, ledger, journal and anchoring (``passphrase``: of its account's key file).

        Raises GenesisError, LedgerError, StoreError, JournalError, AnchorKeyError, AnchorJournalError, WebhookError,
        SupervisorError, PeerError.
        """
        from node.network import Network  # the one module that needs libp2p

        self.config = config
        self.log = log
        self.keys = node_keys
        self.member = config.member
        document = ceremony.load_sealed(config.genesis).document
        self._check_membership(document)
        self.signer, self.ledger = open_store(config, node_keys, document)
        self.newest = Newest(self.ledger.view())
        self.own_loop = OwnLoop()
        self.mempool = Mempool(self.ledger, _pool_limits(config), self.knows_key)
        self.documents = DocumentStore(config.documents or str(config.data / "documents"))
        self.network = Network(
            member=config.member,
            key_seed=node_keys.network.seed,
            listen=str(config.p2p.listen),
            peers=self._peer_addresses(document),
            log=log,
        )
        self.sync = BlockSync(self.ledger, lambda peer, data: self.network.send(peer, "bulk", data), log)
        self.driver = Driver(
            member=config.member,
            core=Core(config.member, self.ledger.network_id),
            ledger=self.ledger,
            signer=self.signer,
            mempool=self.mempool,
            network=self.network,
            log=log,
            on_catchup=self.sync.claimed,
            on_evidence=self._keep_evidence,
            on_commit=lambda: self.newest.publish(self.ledger.view()),
        )
        self.anchorer = open_anchorer(
            self.ledger,
            self.submit,
            member=config.member,
            signer=node_keys.signer,
            settings=config.anchor,
            passphrase=passphrase,
            directory=config.data / "anchors",
        )
        self.head_signer = (
            None
            if node_keys.signer is None
            else HeadSigner(self.ledger, self.submit, config.member, node_keys.signer)
        )
        self.webhooks = Webhooks(self, log)
        self.intake = Supervisor(config, passphrase, log)
        self._gossip: deque[bytes] = deque()
        self._gossip_ready = trio.Event()
        self._own: dict[bytes, float] = {}
        self._disk_checked = 0
        self._disk_low = False

    # -- what the API offers ----------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """The newest committed state, for any thread: take it once for an answer, and again after waiting."""
        return self.newest.view

    async def view_above(self, height: int) -> View:
        """The newest view once it is above a height, in any loop."""
        return await self.newest.above(height)

    @overload
    async def in_loop(self, function: Callable[..., Coroutine[Any, Any, Result]], *args: Any) -> Result: ...

    @overload
    async def in_loop(self, function: Callable[..., Result], *args: Any) -> Result: ...

    async def in_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a sync or async function in the node's own loop, from the API's. Raises what it raises; ApiError
        STOPPING (503) when the node is stopping."""
        return await self.own_loop.call(function, *args)

    async def submit_many(self, wires: Sequence[bytes]) -> list[Admission]:
        """Take transactions in, one answer each, letting votes and timers through in between."""
        answers = []
        for count, wire in enumerate(wires, 1):
            answers.append(self.submit(wire))
            if count % ADMIT_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        return answers

    def submit(self, wire: bytes) -> Admission:
        """Take a transaction in and pass it on to the peers."""
        if self.disk_is_low():
            return Admission(b"", "rejected", "DISK_LOW", DISK_LOW)
        admission = self.driver.submit(wire)
        if admission.state == "accepted":
            self._own[admission.tx_id] = trio.current_time()
            self._gossip.append(wire)
            self._gossip_ready.set()
        return admission

    def knows_key(self, public_key: bytes) -> bool:
        """Whether the registry knows a key as of the head."""
        entry = self.ledger.parent.readers[CONSORTIUM].shared(encode(["registry", "key", public_key]))
        return entry is not None

    @property
    def malformed(self) -> int:
        """Messages of members that were no messages, and streams of theirs that were no frames."""
        streams = sum(stats.malformed for stats in self.network.stats().peers.values())
        return self.driver.malformed + streams

    # -- tasks ------------------------------------------------------------------------------------------

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Network, agreement, gossip, anchoring, and the API in its thread, until cancelled or something is fatal."""
        from node.service import serve

        async with trio.open_nursery() as nursery:
            await nursery.start(self.own_loop.run)
            await nursery.start(self.network.run)
            await nursery.start(serve, self)
            self.driver.start()
            nursery.start_soon(self.driver.run_timers)
            nursery.start_soon(self._receive)
            nursery.start_soon(self._pass_on)
            nursery.start_soon(self._pass_on_again)
            nursery.start_soon(self.sync.run)
            if self.anchorer is not None:
                nursery.start_soon(self.anchorer.run)
            if self.head_signer is not None:
                nursery.start_soon(self.head_signer.run)
            if self.webhooks.workers:
                nursery.start_soon(self.webhooks.run)
            nursery.start_soon(self.intake.run)
            self.log.info("ready", height=self.ledger.height, api=str(self.config.api.listen))
            task_status.started()

    def close(self) -> None:
        """Let go of files."""
        self.newest.close()
        self.ledger.close()
        if self.signer is not None:
            self.signer.close()

    def _keep_evidence(self, first: str, second: str) -> None:
        """R13: two conflicting signatures of one validator, for whoever decides about that member."""
        path = self.config.data / EVIDENCE_FILE
        if path.exists() and path.stat().st_size > EVIDENCE_BYTES:
            return
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"first": first, "second": second}) + "\n")

    async def _receive(self) -> None:
        """The peers' frames, votes first (the inbox sees to that)."""
        async for item in self.network.inbound:
            match item:
                case PeerUp(member):
                    self.driver.feed(PeerConnected(member))
                    self._offer_pending(member)
                case PeerDown(member):
                    self.sync.forget(member)
                case Inbound(member, "votes", frame):
                    self.driver.receive(member, frame)
                case Inbound(member, "bulk", frame):
                    await self._exchange(member, frame)

    async def _exchange(self, member: str, frame: bytes) -> None:
        try:
            message = exchange.unpack(frame)
        except exchange.ExchangeError as error:
            self.driver.note_malformed(member, error)
            return
        match message:
            case exchange.Transactions(wires):
                for count, wire in enumerate(wires, 1):
                    self.driver.submit(wire)
                    if count % ADMIT_AT_ONCE == 0:
                        await trio.lowlevel.checkpoint()
            case exchange.GetBlocks():
                self.sync.answer(member, message)
            case exchange.Blocks():
                await self.sync.take(self.driver, member, message)

    async def _pass_on(self) -> None:
        """Coalesced gossip of what this node's API took in."""
        while True:
            await self._gossip_ready.wait()
            await trio.sleep(GOSSIP_S)
            self._gossip_ready = trio.Event()
            while self._gossip:
                self.network.broadcast("bulk", exchange.pack(exchange.Transactions(_batch(self._gossip))))
                await trio.lowlevel.checkpoint()

    async def _pass_on_again(self) -> None:
        """What still waits after a while may not have reached a leader: pass it on again, within bounds."""
        while True:
            await trio.sleep(REGOSSIP_S)
            now, size, again = trio.current_time(), 0, []
            for tx_id, since in list(self._own.items()):
                transaction = self.mempool.get(tx_id)
                if transaction is None:
                    del self._own[tx_id]
                elif now - since >= REGOSSIP_S and size < REGOSSIP_BYTES:
                    again.append(transaction.wire)
                    size += len(transaction.wire)
            queue = deque(again)
            while queue:
                self.network.broadcast("bulk", exchange.pack(exchange.Transactions(_batch(queue))))

    def _offer_pending(self, member: str) -> None:
        """A peer that was away gets what waits here, within bounds."""
        queue: deque[bytes] = deque()
        size = 0
        for transaction in self.mempool.candidates():
            size += len(transaction.wire)
            if size > REGOSSIP_BYTES:
                break
            queue.append(transaction.wire)
        while queue:
            self.network.send(member, "bulk", exchange.pack(exchange.Transactions(_batch(queue))))

    # -- opening ----------------------------------------------------------------------------------------

    def _check_membership(self, document: Mapping[str, Any]) -> None:
        """The keys here must be the ones the genesis document gives this member; later changes are the registry's."""
        entry = next((member for member in document["members"] if member["id"] == self.member), None)
        if entry is None:
            names = ", ".join(member["id"] for member in document["members"])
            raise PeerError(f"{self.config.genesis} has no member {self.member!r}: set `member` to one of {names}")
        if entry["network"] != self.keys.network.public:
            raise PeerError(f"the network key is not {self.member}'s in the genesis file: point keys.network at it")

    def _peer_addresses(self, document: Mapping[str, Any]) -> dict[str, PeerAddress]:
        known = {member["id"]: member["network"] for member in document["members"]}
        found = {}
        for member, address in self.config.p2p.peers.items():
            if known.get(member) is None:
                raise PeerError(f"p2p.peers names {member!r}, which has no network key in genesis: correct it")
            found[member] = PeerAddress(known[member], address.host, address.port)
        return found

    def disk_is_low(self) -> bool:
        """Whether the data folder's disk has less room than limits.min_free_disk_bytes; looked up every 2 s."""
        now = wall_clock()
        if now - self._disk_checked >= DISK_CHECK_MS:
            self._disk_checked = now
            self._disk_low = shutil.disk_usage(self.config.data).free < self.config.limits.min_free_disk_bytes
        return self._disk_low


def open_store(config: Config, node_keys: Keys, document: Mapping[str, Any]) -> tuple[Signer | None, Ledger]:
    """Open, or at the very first start create, journal and ledger (R7, R8, and PROTOCOL.md, Storage)."""
    config.data.mkdir(parents=True, exist_ok=True)
    folder = config.data / LEDGER_FOLDER
    started = (folder / "CURRENT").exists()
    signer = None
    if node_keys.validator is not None:
        signer = open_signer(config, node_keys.validator, started)
        if not started:
            signer.check_ledger(0, genesis_state(document)[0].digest)
    store = LevelStore(folder, create=not started)
    if store.get(META_NETWORK) is None:
        ledger = Ledger.create(store, document)
    else:
        ledger = Ledger(store, genesis_hash(document))
    if signer is not None:
        signer.check_ledger(ledger.height, ledger.head.digest)
    return signer, ledger


def open_signer(config: Config, key: SigningKey, started: bool) -> Signer:
    """The validator key with its journal. A mark beside the key file says that the key has a journal somewhere:
    so a wiped data folder does not pass for a first start (R7)."""
    journal = config.data / JOURNAL_FILE
    path = config.keys.validator
    mark = (config.data if path is None else path.parent) / f"{key.public.hex()[:16]}.has-voted"
    storage = FileStorage(journal)
    if journal.exists():
        return Signer.open(config.member, key, storage, Block.decode)
    if started or mark.exists():
        raise PeerError(
            f"{journal} is missing, but this validator key has voted: put the journal back, or have the consortium"
            " replace the key (`tally gov`); a key without its journal could vote twice"
        )
    signer = Signer.create(config.member, key, storage, Block.decode)
    mark.write_text(f"This key votes with the journal {signer.journal_id.hex()} and must never vote without it.\n")
    return signer


def _pool_limits(config: Config) -> PoolLimits:
    limits = config.limits
    return PoolLimits(
        bytes=limits.mempool_bytes,
        transactions=limits.mempool_transactions,
        sender_bytes=limits.sender_bytes,
        sender_transactions=limits.sender_transactions,
    )


def _batch(queue: deque[bytes]) -> tuple[bytes, ...]:
    """Take wire bytes off the queue up to a gossip frame's size (at least one)."""
    batch = [queue.popleft()]
    size = len(batch[0])
    while queue and size + len(queue[0]) <= GOSSIP_BYTES:
        batch.append(queue.popleft())
        size += len(batch[-1])
    return tuple(batch)
