"""The peer put together: one process, its own loop and the API's, every part handed what it needs. The composition
root.

Start order matters: configuration, genesis, keys, ledger, journal (a node whose journal knows more than its ledger
must not vote), then network, API and anchoring. Whatever is fatal ends the process with one line.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from chain.transaction import MAX_WIRE_SIZE
from chain.view import View
from consensus.core import Core
from consensus.events import PeerConnected
from genesis import ceremony
from node import exchange
from node.anchor_ledger import open_anchorer
from node.config import Config
from node.custody.messages import MessageError
from node.custody.service import Custody, Wiring
from node.driver import Driver, Log, wall_clock
from node.following import Feeder, Follower
from node.gossip import GOSSIP_BYTES, Gossip
from node.head_signer import HeadSigner
from node.intake.supervisor import Supervisor
from node.journal import FileStorage
from node.membership import Membership, problem_in_genesis, with_parting
from node.mempool import Admission, Mempool, PoolLimits
from node.partial.serving import PartServer
from node.queues import Inbound, PeerDown, PeerUp
from node.signer import Signer
from node.sync import BlockSync
from node.threads import Newest, OwnLoop
from node.vault import Vault
from node.webhooks import Webhooks

Result = TypeVar("Result")

JOURNAL_FILE: Final = "votes.journal"
LEDGER_FOLDER: Final = "ledger"
VAULT_FOLDER: Final = "vault"
EVIDENCE_FILE: Final = "evidence.jsonl"
EVIDENCE_BYTES: Final = 16 * 1024 * 1024
ADMIT_AT_ONCE: Final = 16
"""Transactions admitted between two chances for votes and timers (about 1 ms)."""
MOST_GOSSIP: Final = GOSSIP_BYTES + MAX_WIRE_SIZE
"""Bytes of transactions in one message; honest ones end with the transaction that passes GOSSIP_BYTES."""
MOST_UNVOTED: Final = 64 * 1024
"""Bytes of a message on the channel of votes from one that has none."""
DISK_CHECK_MS: Final = 2_000
FAREWELL_S: Final = 3.0
"""Whose membership or key has ended keeps its link for so long, so that it learns why."""
DISK_LOW: Final = "this node's disk is nearly full: free space, or submit at another node"


class PeerError(RuntimeError):
    """The node cannot start or must stop; one line that says what to do."""


@dataclass
class Keys:
    """The node's private halves; an observer has no validator key, a node without a signer only serves, one without
    an encryption key keeps no documents of its own."""

    network: SigningKey
    validator: SigningKey | None
    signer: SigningKey | None
    encryption: Sequence[SigningKey] = ()
    """Newest first."""


def load_keys(config: Config, passphrase: str) -> Keys:
    """Open the key files of a configuration. Raises KeyFileError."""

    def opened(path: Path | None, purpose: str) -> SigningKey | None:
        return None if path is None else keys.load(path, passphrase, purpose=purpose)

    return Keys(
        network=keys.load(config.keys.network, passphrase, purpose="network"),
        validator=opened(config.keys.validator, "validator"),
        signer=opened(config.keys.signer, "signer"),
        encryption=[keys.load(path, passphrase, purpose="encryption") for path in config.keys.encryption],
    )


class Peer:
    """A running node's parts, for the API and the operator's commands."""

    def __init__(self, config: Config, node_keys: Keys, passphrase: str, log: Log) -> None:
        """Open genesis, ledger, journal and anchoring (``passphrase``: of its account's key file).

        Raises GenesisError, LedgerError, StoreError, JournalError, AnchorKeyError, AnchorJournalError, WebhookError,
        SupervisorError, DocumentError, PeerError.
        """
        from node.network import Network  # the one module that needs libp2p

        self.config = config
        self.log = log
        self.keys = node_keys
        self.member = config.member
        document = ceremony.load_sealed(config.genesis).document
        problem = problem_in_genesis(document, config.member, node_keys.network.public)
        if problem is not None:
            raise PeerError(f"{config.genesis} {problem}")
        self.signer, self.ledger = open_store(config, node_keys, document)
        self.membership = Membership(
            lambda key: self.ledger.parent.readers[CONSORTIUM].shared(key),
            lambda: self.ledger.height,
            chains=lambda: self.ledger.chains,
            own_key=node_keys.network.public,
            addresses=config.p2p.peers,
            early_keys=config.p2p.keys,
        )
        self._check_membership()
        self.newest = Newest(self.ledger.view())
        self.own_loop = OwnLoop()
        self.mempool = Mempool(self.ledger, _pool_limits(config), self.knows_key)
        self.documents = Vault.open(
            config.documents or str(config.data / "documents"),
            config.data / VAULT_FOLDER,
            node_keys.encryption,
            member=config.member,
            reserve=2 * config.limits.min_free_disk_bytes,  # others' documents never fill the disk it votes from
        )
        self.network = Network(
            member=config.member,
            key_seed=node_keys.network.seed,
            listen=str(config.p2p.listen),
            peers=self.membership.peers,
            voters=self.membership.voters,
            log=log,
        )
        self._linked_to = self.membership.peers
        self.sync = BlockSync(self.ledger, self._send_bulk, log)
        self.feeder = Feeder(self.ledger, self._send_bulk, self.membership.closed_to)
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
            on_commit=self._committed,
        )
        self.follower = Follower(
            member=config.member,
            height=lambda: self.ledger.height,
            send=self._send_bulk,
            servers=self._servers,
            active=lambda: not self.network.has_vote(self.member),
            append=partial(self.sync.append, self.driver),
            longest_wait_s=lambda: self.ledger.parameters["max_idle_ms"] / 1000,
            log=log,
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
        self.gossip = Gossip(self.mempool, self.network)
        self.custody = Custody(
            Wiring(
                member=config.member,
                ledger=self.ledger,
                submit=self.submit,
                send=lambda member, frame: self.network.send(member, "custody", frame),
                connected=self.network.connected,
                committed=lambda: self.driver.committed,
                signer=node_keys.signer,
                encryption=node_keys.encryption,
                vault=self.documents,
                log=log,
                newest=lambda: next((tx.id for tx in reversed(list(self.mempool.candidates()))), None),
                waits=lambda tx_id: self.mempool.get(tx_id) is not None,
            )
        )
        self.bulk_handlers: dict[type, Callable[[str, Any], Awaitable[None]]] = {}
        """What is done with messages of the bulk channel that `exchange.register` added, by their class."""
        self.parts = PartServer(
            self.newest,
            self._send_bulk,
            may_follow=self.membership.may_follow,
            is_busy=lambda: len(self.mempool) > 0,
        )
        self.bulk_handlers.update(self.parts.handlers())
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
            self.gossip.add(admission.tx_id, wire)
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
            nursery.start_soon(self._follow_membership)
            nursery.start_soon(self.gossip.run)
            nursery.start_soon(self.sync.run)
            nursery.start_soon(self.feeder.run)
            nursery.start_soon(self.parts.run)
            nursery.start_soon(self.follower.run)
            await nursery.start(self.custody.run)
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
        self.documents.close()
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
                case Inbound(member, "bulk", frame):
                    await self._exchange(member, frame)
                case Inbound(member, "custody", frame):
                    try:
                        self.custody.receive(member, frame)
                    except MessageError as error:
                        self.driver.note_malformed(member, error)
                case _:
                    self._take_urgent(item)

    def _take_urgent(self, item: PeerUp | PeerDown | Inbound) -> None:
        """An event, or a frame of the channel of votes."""
        match item:
            case PeerUp(member):
                if self.network.has_vote(member):
                    self.driver.feed(PeerConnected(member))
                    self.gossip.offer(member)
            case PeerDown(member):
                self.sync.forget(member)
                self.feeder.forget(member)
                self.parts.forget(member)
                self.follower.forget(member)
                self.custody.peer_down(member)
            case Inbound(member, _, frame):
                # One without a vote has votes of before, or asks for blocks: not for those it may not read. What it
                # proposes is of no use, and reading a block takes as long as ten votes of others.
                if len(frame) > MOST_UNVOTED and not self.network.has_vote(member):
                    self.driver.note_malformed(member, exchange.ExchangeError("a proposal of one without a vote"))
                elif not self.membership.closed_to(member):
                    self.driver.receive(member, frame)

    async def _admit(self, member: str, wires: Sequence[bytes]) -> None:
        """A member's gossip. However much it sends, votes and timers have their turn in between."""
        if sum(map(len, wires)) > MOST_GOSSIP:
            self.driver.note_malformed(member, exchange.ExchangeError(f"gossip of more than {MOST_GOSSIP} bytes"))
            return
        for count, wire in enumerate(wires, 1):
            self.driver.submit(wire)
            if count % ADMIT_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
                for _ in range(ADMIT_AT_ONCE):
                    item = self.network.inbound.urgent_nowait()
                    if item is None:
                        break
                    self._take_urgent(item)

    async def _exchange(self, member: str, frame: bytes) -> None:
        try:
            message = exchange.unpack(frame)
        except exchange.ExchangeError as error:
            self.driver.note_malformed(member, error)
            return
        match message:
            case exchange.Transactions(wires):
                await self._admit(member, wires)
            case exchange.GetBlocks():
                if not self.feeder.refuses(member):
                    self.sync.answer(member, message, paced=not self.network.has_vote(member))
            case exchange.Follow():
                self.feeder.follow(member, message)
            case exchange.Blocks() if member == self.follower.server:
                await self.follower.take(member, message)
            case exchange.Blocks():
                await self.sync.take(self.driver, member, message)
            case exchange.Refused():
                self.follower.refuse(member, message)
            case _ if type(message) in self.bulk_handlers:
                await self.bulk_handlers[type(message)](member, message)
            case _:
                self.driver.note_malformed(
                    member, exchange.ExchangeError(f"{type(message).__name__} is not for this node")
                )

    def _send_bulk(self, member: str, frame: bytes) -> bool:
        return self.network.send(member, "bulk", frame)

    def _servers(self) -> list[str]:
        """Whom a follower may ask: connected members with a vote, the others only where there is none."""
        connected = sorted(self.network.connected())
        return [member for member in connected if self.network.has_vote(member)] or connected

    def _committed(self) -> None:
        self.newest.publish(self.ledger.view())
        self.feeder.committed()

    # -- opening ----------------------------------------------------------------------------------------

    def _check_membership(self) -> None:
        """Keys here must not be somebody else's, nor have ended. Raises PeerError."""
        problem = self.membership.problem_of(self.member, self.keys.network.public)
        if problem is not None:
            raise PeerError(problem)
        if not self.membership.accepts(self.member, self.keys.network.public):
            self.log.warning(
                "not a member with this network key as of this block: the others let this node in once it is",
                block=self.ledger.height,
                standing=self.membership.standing(self.member),
            )

    async def _follow_membership(self) -> None:
        """After each commit: who may connect, and who votes. Whoever is to go gets the block that says so, and keeps
        its link for a moment; what other blocks change meanwhile does not wait for that."""
        parting_at = math.inf
        while True:
            with trio.move_on_at(parting_at):
                await self.driver.committed.wait()
            if trio.current_time() >= parting_at:
                parting_at, self._linked_to = math.inf, self.membership.peers
                self.network.set_peers(self.membership.peers, self.membership.voters)
            if not self.membership.refresh():
                continue
            peers, voters = self.membership.peers, self.membership.voters
            self.log.info("membership changed", block=self.ledger.height, peers=sorted(peers), voters=sorted(voters))
            self._linked_to = with_parting(self._linked_to, peers)
            self.network.set_peers(self._linked_to, voters)
            if self._linked_to != peers:  # the earliest counts: nobody stays on because others come and go
                parting_at = min(parting_at, trio.current_time() + FAREWELL_S)
            if not self.membership.accepts(self.member, self.keys.network.public):
                self.log.warning(
                    "this node's network key is no member's any more: the others shut it out; the ledger can be read",
                    block=self.ledger.height,
                    standing=self.membership.standing(self.member),
                )

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
