"""The network of a run: it loses, delays, repeats and partitions as the plan says, and knows what hurts.

Independent losses rarely build the situations that break agreement. So the "grouped" schedule draws, for each
(height, round), who hears whom and which kind of message is held back: some nodes lock and others do not, some
decide and the others change round. It stops after a few rounds of each height, and the height is decided with
that history behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from chain.block import Block
from chain.certificate import faults
from consensus import messages
from consensus.messages import (
    BlockReply,
    BlockRequest,
    Commit,
    Decided,
    Message,
    MessageKind,
    Prepare,
    PrePrepare,
    RoundChange,
    Status,
)

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World

FAST_MS: Final = 30
"""The slowest message of a healed network."""


@dataclass(frozen=True)
class Weather:
    """Who hears whom in one (height, round). Slots are (member, copy) as text."""

    group: dict[str, int]
    blocked: frozenset[tuple[str, MessageKind]]
    """(receiver, kind) that does not arrive."""
    mute: frozenset[str]
    """Senders whose ROUND-CHANGEs do not arrive."""
    late: frozenset[MessageKind]
    """Kinds that arrive, but after the round's timer."""


_VOTES: Final = (MessageKind.PRE_PREPARE, MessageKind.PREPARE, MessageKind.COMMIT)
_STYLES: Final = (
    "split", "split", "few commits", "few commits", "few commits", "few prepares", "few prepares", "few proposals",
    "mixed", "fair",
)  # fmt: skip


def draw_weather(random: Random, nodes: Sequence[SimNode], locked: Collection[str], style: str = "") -> Weather:
    """One of the situations that hurt: split votes, few COMMITs, few PREPAREs, few proposals, or nothing wrong.

    ``locked``: who committed in the round before. Where they are few, the new leader may not hear of their locks.
    """
    slots = [str(node) for node in nodes]
    honest = [str(node) for node in nodes if node.is_honest]
    is_scripted = bool(style)
    style = style or random.choice(_STYLES)
    group = dict.fromkeys(slots, 0)
    blocked: set[tuple[str, MessageKind]] = set()
    late: set[MessageKind] = set()
    if style == "split":
        group = {str(node): random.randrange(2) if node.copy == 0 else 0 for node in nodes}
        for node in nodes:  # the two instances of a validator talk to different halves
            if node.copy:
                group[str(node)] = 1 - group[node.member]
    elif style == "few commits":
        lucky = random.sample(honest, random.choice((0, 1, 1, 2)))
        blocked = {(slot, MessageKind.COMMIT) for slot in honest if slot not in lucky}
    elif style == "few prepares":
        lucky = random.sample(honest, random.choice((1, 1, 1, 2)))
        blocked = {(slot, MessageKind.PREPARE) for slot in honest if slot not in lucky}
    elif style == "few proposals":
        unlucky = random.sample(honest, random.choice((1, 2)))
        blocked = {(slot, MessageKind.PRE_PREPARE) for slot in unlucky}
    elif style == "mixed":
        blocked = {(slot, kind) for slot in slots for kind in _VOTES if random.random() < 0.2}
        late = {kind for kind in (MessageKind.PREPARE, MessageKind.COMMIT) if random.random() < 0.3}
    is_few = 0 < len(locked) <= faults(len({node.member for node in nodes}))
    is_unheard = is_few and (is_scripted or random.random() < 0.7)
    return Weather(group, frozenset(blocked), frozenset(locked if is_unheard else ()), frozenset(late))


class Network:
    """Carries messages between slots, under the plan until the world is healed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._weather: dict[tuple[int, int], Weather] = {}
        self._sides: dict[str, int] = {}
        self._locked: dict[tuple[int, int], set[str]] = {}
        self._highest_round: dict[int, int] = {}

    def repartition(self) -> None:
        """Draw the two sides anew (the "random" schedule)."""
        random = self._world.random
        self._sides = {str(node): random.randrange(2) for node in self._world.nodes}
        if random.random() < 0.3:
            self._sides = dict.fromkeys(self._sides, 0)

    def broadcast(self, source: SimNode, message: Message) -> None:
        """To every other member; what honest nodes send, the adversary hears."""
        world = self._world
        if source.is_honest:
            world.checker.on_send(source, message)
            world.adversary.hear(message)
            self._watch(message)
        message = self._carried(message)
        for member in world.members:
            if member != source.member:
                self._deliver(source, member, message)
        if source.is_honest and world.plan.crashes_after_send(world, message):
            source.crash()

    def _watch(self, message: Message) -> None:
        """Follow the honest ones: how far a height's rounds have come, and who is locked."""
        if isinstance(message, PrePrepare | Prepare | Commit | RoundChange):
            height, round_number = message.height, message.round
            self._highest_round[height] = max(round_number, self._highest_round.get(height, 0))
            if isinstance(message, Commit):
                self._locked.setdefault((height, round_number), set()).add(message.sender)

    def send(self, source: SimNode, member: str, message: Message) -> None:
        """To one member."""
        if source.is_honest:
            self._world.checker.on_send(source, message)
        self._deliver(source, member, self._carried(message))

    def ask_blocks(self, asker: SimNode, member: str, start: int) -> None:
        """A catch-up question and its answer; the question is lost as any message may be."""
        world = self._world
        for giver in world.slots[member]:
            for delay in self._fates(str(asker), str(giver), BlockRequest(start, b"")):
                world.after(delay + FAST_MS, asker, self._answer, asker, giver, start)

    def _answer(self, asker: SimNode, giver: SimNode, start: int) -> None:
        asker.take_blocks(giver.member, giver.give_blocks(start))

    def _carried(self, message: Message) -> Message:
        if self._world.plan.on_the_wire:
            return messages.decode(messages.encode(message), Block.decode)
        return message

    def _deliver(self, source: SimNode, member: str, message: Message) -> None:
        world = self._world
        for target in world.slots[member]:
            for lie in world.adversary.outgoing(source, target, message):
                self._throw(source, target, lie)

    def slip(self, source: SimNode, member: str, message: Message) -> None:
        """A Byzantine message, as it is."""
        for target in self._world.slots[member]:
            self._throw(source, target, message)

    def _throw(self, source: SimNode, target: SimNode, message: Message) -> None:
        for delay in self._fates(str(source), str(target), message):
            self._world.arrive(delay, target.receive, source.member, message)

    def _fates(self, source: str, target: str, message: Message) -> Iterator[int]:
        """A delay in ms for each copy that arrives."""
        world, plan, random = self._world, self._world.plan, self._world.random
        if world.is_healed:
            yield random.randrange(1, FAST_MS)
            return
        height, round_number = place(message)
        if isinstance(message, Decided | Status):
            round_number = self._highest_round.get(height, 0)
        nasty = world.now < plan.calm_at and round_number < plan.nasty_rounds
        if plan.schedule == "grouped" and nasty:
            yield from self._grouped(source, target, message, (height, round_number))
            return
        is_stormy = plan.schedule == "random" and world.now < plan.calm_at
        if is_stormy and self._sides.get(source) != self._sides.get(target):
            return
        if random.random() < (plan.drop if is_stormy else plan.drop / 8):
            return
        mean = plan.delay_ms if is_stormy else min(plan.delay_ms, 100)
        yield 1 + int(random.expovariate(1 / mean))
        if random.random() < plan.duplicate:
            yield 1 + int(random.expovariate(1 / mean) * 4)

    def _grouped(self, source: str, target: str, message: Message, at: tuple[int, int]) -> Iterator[int]:
        random = self._world.random
        weather = self._weather.get(at)
        if weather is None:
            locked = self._locked.get((at[0], at[1] - 1), ())
            script = self._world.plan.script
            style = script[at[1]] if at[1] < len(script) else ""
            weather = self._weather[at] = draw_weather(random, self._world.nodes, locked, style)
        kind = message.kind
        if isinstance(message, PrePrepare | Prepare | Commit):
            if weather.group[source] != weather.group[target] or (target, kind) in weather.blocked:
                return
        elif isinstance(message, RoundChange):
            if source in weather.mute:
                return
        elif not isinstance(message, BlockReply | BlockRequest) and random.random() < 0.95:
            return  # STATUS and DECIDED would undo the situation
        if kind in weather.late:
            yield random.randrange(3_000, 12_000)
        else:
            yield random.randrange(1, 40)
            if random.random() < self._world.plan.duplicate:
                yield random.randrange(40, 4_000)


def place(message: Message) -> tuple[int, int]:
    """(height, round) of a message; round 0 for those without."""
    match message:
        case PrePrepare() | Prepare() | Commit() | RoundChange():
            return message.height, message.round
        case Status(height, round_number):
            return height, round_number
        case BlockRequest(height, _):
            return height, 0
        case Decided(block, _) | BlockReply(block):
            return block.height, 0
