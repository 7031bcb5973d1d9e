"""The adversary: one mind behind all Byzantine validators of a run, that hears everything and holds their keys.

equivocate  two instances with one key, each talking to its own part of the others
silent      says nothing
withhold    says things to some only
lie         other digests, claims of locks without proof, repeated signers, huge rounds, forged decisions; and as a
            leader, proposals that no justification allows (``strike``)

A Byzantine validator runs the real core too, so that its lies stand among things that make sense.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from chain.block import Block
from chain.certificate import Certificate, quorum
from consensus.messages import (
    BlockReply,
    BlockView,
    Commit,
    Decided,
    Message,
    Prepare,
    PrePrepare,
    RoundChange,
    SignedMessage,
    Status,
)
from tests.sim.network import place

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World

LIE_CHANCE: Final = 0.35
STRIKE_CHANCE: Final = 0.5
HUGE_ROUND: Final = 1_000_000
M = TypeVar("M", PrePrepare, Prepare, Commit, RoundChange)


class Adversary:
    """Hears every honest broadcast; decides what its validators say."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._blocks: dict[int, dict[bytes, BlockView]] = {}
        self._prepares: dict[tuple[int, int, bytes], dict[str, Prepare]] = {}
        self._changes: dict[tuple[int, int], dict[str, RoundChange]] = {}
        self._choices: dict[tuple[object, ...], bool] = {}
        self._spare: dict[tuple[str, int], Block] = {}

    # ------------------------------------------------------------------------------------ hearing

    def hear(self, message: Message) -> None:
        """Remember what can be used; a ROUND-CHANGE towards a round that a liar leads may provoke it."""
        if not self._world.plan.byzantine:
            return
        match message:
            case PrePrepare(height=height, block=block):
                if block is not None:
                    self._blocks.setdefault(height, {})[block.digest] = block
                for name in self._world.plan.byzantine:
                    self._spare_block(self._world.slots[name][0], height)
            case Prepare(height, round_number, digest, sender):
                self._prepares.setdefault((height, round_number, digest), {})[sender] = message
            case RoundChange(height=height, round=round_number, sender=sender):
                for prepare in message.prepares:
                    self.hear(prepare)
                self._changes.setdefault((height, round_number), {})[sender] = message
                self._provoke(height, round_number)

    def _provoke(self, height: int, round_number: int) -> None:
        world = self._world
        leader = world.consortium.validators.leader(height, round_number)
        behaviour = world.plan.byzantine.get(leader, "silent")
        if behaviour != "silent" and world.random.random() < STRIKE_CHANCE:
            node = world.slots[leader][0]
            world.after(world.random.choice((20, 500, 1_500)), node, self._strike, node, height, round_number)

    # ------------------------------------------------------------------------------------ speaking

    def outgoing(self, source: SimNode, target: SimNode, message: Message) -> Sequence[Message]:
        """What ``target`` is really sent in the place of ``message``."""
        if source.is_honest:
            return (message,)
        behaviour = self._world.plan.byzantine[source.member]
        if behaviour == "silent":
            return ()
        if isinstance(message, RoundChange) and self._chooses(0.6, source.member, message.round, message.height):
            message = self._signed(source, RoundChange(message.height, message.round, None, None, source.member))
        if isinstance(message, PrePrepare) and message.round and self._chooses(0.7, source.member, *place(message)):
            return ()  # it may strike instead
        key = (source.member, target.member, *place(message))
        if behaviour == "withhold":
            return (message,) if self._chooses(0.5, message.kind, *key) else ()
        if behaviour == "equivocate":
            # In the grouped schedule the weather keeps the halves apart.
            is_heard = self._world.plan.schedule == "grouped" or self._chooses(0.5, *key) == (source.copy == 0)
            return (message,) if is_heard else ()
        return self._lie(source, message) if self._world.random.random() < LIE_CHANCE else (message,)

    def _chooses(self, chance: float, *about: object) -> bool:
        """A choice that stays the same for the same thing."""
        return self._choices.setdefault(about, self._world.random.random() < chance)

    def _lie(self, source: SimNode, message: Message) -> Sequence[Message]:
        random = self._world.random
        match message:
            case Prepare() | Commit():
                block = self._other_block(source, message.height, message.digest)
                if block is None:
                    return ()
                vote: SignedMessage
                if isinstance(message, Prepare):
                    vote = self._signed(source, replace(message, digest=block.digest))
                else:
                    vote = self._signed(source, replace(message, digest=block.digest))
                if random.random() < 0.3:
                    return (vote, self._forged_decision(source, block, message.round))
                return (vote, message) if random.random() < 0.3 else (vote,)
            case PrePrepare():
                block = self._other_block(source, message.height, message.digest)
                if block is None:
                    return ()
                return (self._signed(source, replace(message, digest=block.digest, block=block)),)
            case RoundChange():
                return (self._false_change(source, message),)
            case BlockReply(block):
                return (BlockReply(_with_wrong_body(block)),)
            case Status():
                return (random.choice((Status(HUGE_ROUND, 0), Status(message.height, HUGE_ROUND))),)
            case _:
                return ()

    def _false_change(self, source: SimNode, message: RoundChange) -> RoundChange:
        random, height, at = self._world.random, message.height, message.round
        choice = random.choice(("nothing", "unproved", "repeated", "old lock", "huge"))
        if choice == "huge":
            false = RoundChange(height, at + HUGE_ROUND, None, None, source.member)
        elif choice == "nothing":
            false = RoundChange(height, at, None, None, source.member)
        elif choice == "old lock":
            false = self._true_lock(source, height, at)
        else:
            block = self._other_block(source, height, b"")
            digest = bytes(32) if block is None else block.digest
            proof = self._repeated_prepares(source, height, at - 1, digest) if choice == "repeated" else ()
            false = RoundChange(height, at, at - 1, digest, source.member, prepares=proof)
        return self._signed(source, false)

    def _true_lock(self, source: SimNode, height: int, at: int) -> RoundChange:
        """A claim that is proved, but need not be the newest."""
        locks = [key for key in self._provable(height) if key[1] < at]
        if not locks:
            return RoundChange(height, at, None, None, source.member)
        _, locked_at, digest = self._world.random.choice(locks)
        prepares = self._proof(height, locked_at, digest)
        return RoundChange(height, at, locked_at, digest, source.member, prepares=prepares)

    def _forged_decision(self, source: SimNode, block: BlockView, at: int) -> Decided:
        """A certificate of one signer's many signatures."""
        vote = Commit(block.height, at, block.digest, source.member)
        seals = tuple((source.member, signature) for signature in self._signatures(source, vote))
        epoch = self._world.consortium.validators.epoch
        return Decided(block, Certificate(block.height, at, block.digest, epoch, seals))

    # ------------------------------------------------------------------------------------ as a leader

    def _strike(self, node: SimNode, height: int, round_number: int) -> None:
        """Propose what no justification allows, to some."""
        world = self._world
        proposal = self._lower(node, height, round_number) if world.random.random() < 0.7 else None
        if proposal is None:
            tricks = (self._bare, self._padded, self._padded, self._claimed, self._claimed, self._ignoring)
            proposal = world.random.choice(tricks)(node, height, round_number)
        if proposal is None:
            return
        if world.trace is not None:
            world.note(node, "STRIKES", proposal)
        share = world.random.choice((0.5, 1.0))
        targets = [member for member in world.members if world.random.random() < share and member != node.member]
        for member in targets:
            world.network.slip(node, member, proposal)
        self._support(proposal, targets)

    def _support(self, proposal: PrePrepare, targets: Sequence[str]) -> None:
        """All Byzantine validators vote for it."""
        height, round_number, digest = proposal.height, proposal.round, proposal.digest
        for name in self._world.plan.byzantine:
            voter = self._world.slots[name][0]
            prepare = self._signed(voter, Prepare(height, round_number, digest, name))
            commit = self._signed(voter, Commit(height, round_number, digest, name))
            for member in targets:
                if member != name:
                    self._world.network.slip(voter, member, prepare)
                    self._world.network.slip(voter, member, commit)

    def _bare(self, node: SimNode, height: int, at: int) -> PrePrepare | None:
        """No justification at all."""
        return self._proposal(node, height, at, self._other_block(node, height, b""), (), ())

    def _padded(self, node: SimNode, height: int, at: int) -> PrePrepare | None:
        """A quorum of ROUND-CHANGEs, all by one signer, beside real ones without a lock."""
        own = RoundChange(height, at, None, None, node.member)
        changes = [change.bare() for change in self._real_changes(node, height, at) if change.prepared_round is None][
            : self._quorum - 1
        ]
        for signature in self._signatures(node, own):
            if len(changes) < self._quorum:
                changes.append(own.signed(signature))
        return self._proposal(node, height, at, self._other_block(node, height, b""), changes, ())

    def _claimed(self, node: SimNode, height: int, at: int) -> PrePrepare | None:
        """The own ROUND-CHANGE claims a lock that never was; its proof is missing, or all by one signer."""
        block = self._other_block(node, height, b"")
        if block is None:
            return None
        own = self._signed(node, RoundChange(height, at, at - 1, block.digest, node.member))
        changes = [change.bare() for change in self._real_changes(node, height, at)][: self._quorum - 1]
        repeated = self._world.random.random() < 0.5
        prepares = self._repeated_prepares(node, height, at - 1, block.digest) if repeated else ()
        return self._proposal(node, height, at, block, [own, *changes], prepares)

    def _ignoring(self, node: SimNode, height: int, at: int) -> PrePrepare | None:
        """A fresh block although a ROUND-CHANGE in the justification shows a lock."""
        changes = [*self._real_changes(node, height, at), RoundChange(height, at, None, None, node.member)]
        changes[-1] = self._signed(node, changes[-1])
        locked = {change.prepared_digest for change in changes if change.prepared_digest is not None}
        block = self._other_block(node, height, b"", avoid=locked)
        if not locked:
            return None
        return self._proposal(node, height, at, block, [change.bare() for change in changes], ())

    def _lower(self, node: SimNode, height: int, at: int) -> PrePrepare | None:
        """The lock of a lower round, truly proved, where the justification shows a higher one."""
        changes = self._real_changes(node, height, at)
        highest = max((c.prepared_round for c in changes if c.prepared_round is not None), default=0)
        lower = [key for key in self._provable(height) if key[1] < highest]
        if not lower:
            return None
        _, locked_at, digest = self._world.random.choice(lower)
        prepares = self._proof(height, locked_at, digest)
        own = self._signed(node, RoundChange(height, at, locked_at, digest, node.member))
        block = self._blocks.get(height, {}).get(digest)
        return self._proposal(node, height, at, block, [own, *(change.bare() for change in changes)], prepares)

    def _provable(self, height: int) -> list[tuple[int, int, bytes]]:
        """(height, round, digest) that a quorum prepared, the own validators included, whoever knows."""
        own = len(self._world.plan.byzantine)
        return [key for key, votes in self._prepares.items() if key[0] == height and len(votes) + own >= self._quorum]

    def _proof(self, height: int, at: int, digest: bytes) -> tuple[Prepare, ...]:
        """Q true PREPAREs: heard ones, and those of the own validators."""
        found = dict(self._prepares.get((height, at, digest), {}))
        for name in self._world.plan.byzantine:
            found[name] = self._signed(self._world.slots[name][0], Prepare(height, at, digest, name))
        return tuple(found.values())[: self._quorum]

    def _proposal(
        self,
        node: SimNode,
        height: int,
        at: int,
        block: BlockView | None,
        changes: Sequence[RoundChange],
        prepares: tuple[Prepare, ...],
    ) -> PrePrepare | None:
        if block is None:
            return None
        proposal = PrePrepare(height, at, block.digest, node.member, b"", block, tuple(changes), prepares)
        return self._signed(node, proposal)

    # ------------------------------------------------------------------------------------ material

    @property
    def _quorum(self) -> int:
        return quorum(self._world.plan.n)

    def _real_changes(self, node: SimNode, height: int, at: int) -> list[RoundChange]:
        found = self._changes.get((height, at), {})
        return [change for sender, change in found.items() if sender != node.member]

    def _other_block(
        self, node: SimNode, height: int, digest: bytes, avoid: Collection[bytes] = ()
    ) -> BlockView | None:
        """A block of this height that is not ``digest``: one that was proposed, or one of its own making."""
        random = self._world.random
        known = [
            block
            for block in self._blocks.get(height, {}).values()
            if block.digest != digest and block.digest not in avoid
        ]
        if known and random.random() < 0.5:
            return random.choice(known)
        block = self._spare_block(node, height)
        if block is not None and random.random() < 0.2:
            return random.choice((_with_wrong_root, _with_wrong_body))(block)
        return block

    def _spare_block(self, node: SimNode, height: int) -> Block | None:
        """A block of its own for a height, made while it can be: the node itself may decide and move on."""
        block = self._spare.get((node.member, height))
        if (
            node.is_up
            and node.ledger.height + 1 == height
            and (block is None or node.clock > block.header.time + 5_000)
        ):
            block = self._spare[node.member, height] = node.build(0.3)[0]
        return block

    def _repeated_prepares(self, node: SimNode, height: int, at: int, digest: bytes) -> tuple[Prepare, ...]:
        vote = Prepare(height, max(at, 0), digest, node.member)
        return tuple(vote.signed(signature) for signature in self._signatures(node, vote))

    def _signatures(self, node: SimNode, vote: SignedMessage) -> list[bytes]:
        """Q different valid signatures of one signer over one message."""
        payload = self._payload(vote)
        return [node.key.sign_again(payload, variant) for variant in range(self._quorum)]

    def _signed(self, node: SimNode, message: M) -> M:
        return replace(message, signature=node.key.sign(self._payload(message)))

    def _payload(self, message: SignedMessage) -> bytes:
        consortium = self._world.consortium
        return message.payload(consortium.network_id, consortium.validators.epoch)


def _with_wrong_root(block: Block) -> Block:
    """A block that says more than its execution gives."""
    return replace(block, header=replace(block.header, state_root=bytes(32)))


def _with_wrong_body(block: BlockView) -> BlockView:
    """Another body under the same digest."""
    assert isinstance(block, Block)
    wires = tuple(reversed(block.consortium_txs))[1:]
    return replace(block, member_txs=(), consortium_txs=wires)
