"""Catch-up of blocks after a pause (R9): ask one peer, check everything, change peers on a stall.

A peer's claimed height only decides whom to ask. What counts: contiguous parents, a quorum certificate under the
validator set from this node's own state, and re-execution to the same roots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from chain.block import Block, BlockError
from chain.certificate import Certificate, CertificateError
from chain.ledger import Ledger, PrunedError
from consensus.events import CertifiedAhead, MessageReceived
from consensus.messages import Decided
from node.driver import Driver, Log
from node.exchange import MAX_BLOCKS, Blocks, GetBlocks, pack

STALL_S: Final = 2.0
PATIENCE: Final = 3
"""So many requests in a row may bring nothing before a claim is dropped: a busy peer answers late."""
PACE_S: Final = 1.0
REPLY_BYTES: Final = 2 * 1024 * 1024
"""A reply ends after the block that passes this."""


class BlockSync:
    """Asks for, checks and appends missing blocks; answers others' requests."""

    def __init__(self, ledger: Ledger, send: Callable[[str, bytes], bool], log: Log) -> None:
        self._ledger = ledger
        self._send = send
        self._log = log
        self._claims: dict[str, int] = {}
        self._asked: set[str] = set()
        """Peers that owe a reply: one a request is taken, even a late one."""
        self._fruitless: dict[str, int] = {}
        self._again_at: dict[str, float] = {}
        self._turn = 0
        self._refused = 0
        self._wake = trio.Event()
        self._answered = trio.Event()

    def claimed(self, peer: str, height: int) -> None:
        """A peer says it is at a height; one number a peer is kept."""
        self._claims[peer] = max(height, self._claims.get(peer, 0))
        self._wake.set()

    def forget(self, peer: str) -> None:
        """The connection broke: its claim is worth nothing now."""
        self._drop(peer)
        self._asked.discard(peer)

    async def run(self) -> None:
        """Keep asking while some peer claims more than the head."""
        while True:
            ahead = sorted(peer for peer, height in self._claims.items() if height > self._ledger.height)
            if not ahead:
                self._wake = trio.Event()
                await self._wake.wait()
                # A peer one block ahead usually sends its DECIDED first: give it the chance.
                await trio.sleep(0.05)
                continue
            peer = self._next_peer(ahead)
            self._asked.add(peer)
            self._answered = trio.Event()
            before = self._ledger.height
            self._send(peer, pack(GetBlocks(before + 1)))
            with trio.move_on_after(STALL_S):
                await self._answered.wait()
            if self._ledger.height > before:
                self._fruitless.pop(peer, None)
                continue
            # A claim that brings nothing is dropped in the end; a true one is made again with the next STATUS.
            self._fruitless[peer] = self._fruitless.get(peer, 0) + 1
            if self._fruitless[peer] >= PATIENCE:
                self._drop(peer)
            await trio.sleep(0.05)

    async def take(self, driver: Driver, peer: str, reply: Blocks) -> None:
        """Append the blocks of a reply, each checked in full. A wrong one ends the reply and the peer's claim."""
        if peer not in self._asked:
            return
        self._asked.discard(peer)
        if await self.append(driver, peer, reply) and reply.blocks:
            self.claimed(peer, reply.head)  # it went on meanwhile: the next request need not wait for its next STATUS
        self._answered.set()

    async def append(self, driver: Driver, peer: str, reply: Blocks) -> bool:
        """Append blocks that a peer sent, each checked in full. False at the first wrong one, which ends it."""
        try:
            pairs = [(Block.decode(block), Certificate.decode(seal)) for block, seal in reply.blocks]
            self._note_ahead(driver, pairs)
            for block, certificate in pairs:
                if block.height <= self._ledger.height:
                    continue
                self._check(block, certificate)
                # Through the same door as any decision: the core judges a body that does not execute (R13).
                driver.feed(MessageReceived(peer, Decided(block, certificate)))
                if self._ledger.height < block.height:
                    raise BlockError(f"block {block.height} was not accepted")
                await trio.lowlevel.checkpoint()
        except (BlockError, CertificateError) as error:
            self._refuse(peer, error)
            return False
        return True

    def _drop(self, peer: str) -> None:
        self._claims.pop(peer, None)
        self._fruitless.pop(peer, None)

    def _refuse(self, peer: str, error: Exception) -> None:
        """Its claim is worth nothing now. The log has the 1st, 2nd, 4th, 8th … refusal: a liar does not fill it."""
        self._drop(peer)
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:
            self._log.warning(
                "a peer sent a block that does not stand", member=peer, reason=str(error), count=self._refused
            )

    def answer(self, peer: str, request: GetBlocks, *, paced: bool = False) -> None:
        """Send contiguous blocks from the store, as many as fit a reply. ``paced``: one without a vote, which mostly
        follows (`node.following`), gets no more than a reply a second: each costs this loop milliseconds."""
        if paced:
            now = trio.current_time()
            if now < self._again_at.get(peer, 0.0):
                return
            self._again_at[peer] = now + PACE_S
        blocks = stored_blocks(self._ledger, max(1, request.start), REPLY_BYTES)
        self._send(peer, pack(Blocks(request.start, self._ledger.height, blocks)))

    def _check(self, block: Block, certificate: Certificate) -> None:
        ledger = self._ledger
        if block.height != ledger.height + 1 or block.header.parent_hash != ledger.head.digest:
            raise BlockError(f"block {block.height} does not stand on block {ledger.height}")
        if certificate.digest != block.digest or certificate.height != block.height:
            raise CertificateError(f"the certificate is not of block {block.height}")
        certificate.check(ledger.validators(), ledger.network_id)

    def _note_ahead(self, driver: Driver, pairs: list[tuple[Block, Certificate]]) -> None:
        """R9: a verified certificate above head + 1 means: catching up, so not voting."""
        if len(pairs) < 2:
            return
        block, certificate = pairs[-1]
        validators = self._ledger.validators()
        if certificate.epoch != validators.epoch or certificate.digest != block.digest:
            return
        certificate.check(validators, self._ledger.network_id)
        if certificate.height == block.height > self._ledger.height + 1:
            driver.feed(CertifiedAhead(block.height))

    def _next_peer(self, ahead: list[str]) -> str:
        """Those who claim more take turns."""
        self._turn += 1
        return ahead[self._turn % len(ahead)]


def stored_blocks(ledger: Ledger, start: int, most_bytes: int) -> tuple[tuple[bytes, bytes], ...]:
    """Contiguous (block, certificate) bytes from a height on, up to the one that passes ``most_bytes``.

    None where the ledger has not reached ``start``, or keeps it no longer.
    """
    blocks: list[tuple[bytes, bytes]] = []
    size = 0
    height = start
    while height <= ledger.height and len(blocks) < MAX_BLOCKS and size < most_bytes:
        certificate = ledger.certificate(height)
        try:
            block = ledger.block_bytes(height)
        except PrunedError:
            break
        if certificate is None:
            break
        blocks.append((block, certificate.encode()))
        size += len(block)
        height += 1
    return tuple(blocks)
