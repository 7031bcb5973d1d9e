"""Scenarios as readable transcripts: commands above a ``----`` line, what the committee did below it.

A transcript is run by ``tests/consensus/test_scenarios.py`` and rewritten by ``pytest --rewrite-scenarios``; the
form follows etcd-io/raft's ``testdata``. Commands (names are validators, ``b,c`` several, ``all`` everybody):

    committee 4 [a,c,d]             n validators; starts all, or those named
    start X                         start one with an empty disk
    pending all                     a transaction waits in their mempools
    deliver [KIND,…] [from X] [to Y]   deliver what waits and matches, not what that causes
    drop    [KIND,…] [from X] [to Y]   lose it
    cut X / heal X                  from now on nothing reaches or leaves X; the end of that
    settle                          deliver until nothing waits
    fire X [RESEND]                 X's round timer (or another) runs out
    crash X / restart X             stop X; start it again from its disk (R8)
    propose b ROUND TAG to X        b, Byzantine, signs a PRE-PREPARE of its block TAG for X alone
    run MS                          let time pass
    state                           where everybody is
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consensus.events import (
    Broadcast,
    BuildBlock,
    CancelTimer,
    Catchup,
    Decide,
    Effect,
    Evidence,
    Execute,
    Halt,
    SendDecided,
    SendTo,
    SetTimer,
    Sign,
    Timer,
)
from consensus.messages import BlockReply, BlockRequest, Decided, Message, PrePrepare, RoundChange, Status
from tests.agreement.committee import NAMES, Committee, Disk, Envelope


def run_transcript(text: str) -> str:
    """The same transcript with the output that the committee gives now."""
    stage = Stage()
    out = []
    for part in text.strip("\n").split("\n\n"):
        lines = part.split("\n")
        commands = lines[: lines.index("----")] if "----" in lines else lines
        out.append("\n".join([*commands, *stage.play(commands)]))
    return "\n\n".join(out) + "\n"


class Stage:
    """A committee and the names of the blocks seen so far."""

    def __init__(self) -> None:
        self.committee = Committee(4)
        self._labels: dict[bytes, str] = {}
        self._seen: dict[str, int] = {}
        self._disks: dict[str, Disk] = {}

    def play(self, commands: Iterable[str]) -> list[str]:
        """Carry out commands; the divider and the output, or nothing for a comment."""
        output: list[str] = []
        is_comment = True
        for command in commands:
            if command.startswith("#"):
                continue
            is_comment = False
            output += self._command(command.split()) or []
            output += self._news()
        return [] if is_comment else ["----", *(output or ["ok"])]

    def _command(self, words: list[str]) -> list[str] | None:
        name, *rest = words
        handlers: dict[str, Callable[[list[str]], list[str] | None]] = {
            "committee": self._committee,
            "pending": self._pending,
            "start": self._start_one,
            "deliver": self._deliver,
            "drop": lambda rest: self._lost(self.committee.drop(**_filter(rest))),
            "cut": lambda rest: self.committee.cut.update(rest),
            "heal": lambda rest: self.committee.cut.difference_update(rest),
            "settle": lambda _: self.committee.settle(),
            "fire": self._fire,
            "crash": self._crash,
            "restart": self._restart,
            "propose": self._propose,
            "run": lambda rest: self.committee.run(int(rest[0])),
            "state": lambda _: self._state(),
        }
        return handlers[name](rest)

    def _committee(self, rest: list[str]) -> None:
        self.committee = Committee(int(rest[0]))
        for name in self._names(rest[1]) if len(rest) > 1 else self.committee.names:
            self.committee.seat(name)
        self.committee.settle()

    def _pending(self, rest: list[str]) -> None:
        for name in self._names(rest[0]):
            self.committee.seats[name].pending()

    def _start_one(self, rest: list[str]) -> None:
        self.committee.seat(rest[0])

    def _deliver(self, rest: list[str]) -> None:
        self.committee.deliver(**_filter(rest))

    def _fire(self, rest: list[str]) -> None:
        for name in self._names(rest[0]):
            self.committee.seats[name].fire(Timer[rest[1]] if len(rest) > 1 else Timer.ROUND)

    def _crash(self, rest: list[str]) -> None:
        self._disks[rest[0]] = self.committee.seats.pop(rest[0]).disk
        self._seen.pop(rest[0], None)

    def _restart(self, rest: list[str]) -> None:
        self.committee.seat(rest[0], self._disks[rest[0]])

    def _propose(self, rest: list[str]) -> None:
        sender, round_number, tag, _, receivers = rest
        height = min(seat.core.height for seat in self.committee.seats.values())
        head = next(seat.core.head for seat in self.committee.seats.values() if seat.core.height == height)
        block = self.committee.block(head, sender, tag)
        proposal = self.committee.pre_prepare(block, int(round_number), sender=sender)
        for receiver in self._names(receivers):
            self.committee.wire.append(Envelope(sender, receiver, proposal))

    def _names(self, word: str) -> list[str]:
        return list(self.committee.seats) if word == "all" else word.split(",")

    def _state(self) -> list[str]:
        lines = []
        for seat in self.committee.seats.values():
            core, lock = seat.core, seat.core.prepared
            words = [f"{seat.name}: height {core.height} round {core.round}"]
            words += [f"locked {self._label(lock.block.digest)} at {lock.round}"] if lock else []
            words += [] if core.may_vote else ["not voting"]
            lines.append(" ".join(words))
        return lines

    def _news(self) -> list[str]:
        """What each validator did since the last look, timers and status left out."""
        lines = []
        for name, seat in sorted(self.committee.seats.items()):
            fresh = seat.log[self._seen.get(name, 0) :]
            self._seen[name] = len(seat.log)
            lines += [f"{name}: {line}" for effect in fresh if (line := self._effect(effect))]
        return lines

    def _effect(self, effect: Effect) -> str:
        match effect:
            case Sign(message, _, prepared):
                lock = f" + lock {self._label(prepared.block.digest)}" if prepared else ""
                return f"sign {self._message(message)}{lock}"
            case Broadcast(Status()) | SendTo(_, Status()) | SetTimer() | CancelTimer():
                return ""
            case Broadcast(message):
                return f"send {self._message(message)}"
            case SendTo(peer, message):
                return f"send {self._message(message)} to {peer}"
            case SendDecided(peer, height):
                return f"send DECIDED {height} to {peer}"
            case BuildBlock(height, round_number):
                return f"build {height}/{round_number}"
            case Execute(block):
                return f"execute {self._label(block.digest)}"
            case Decide(block, certificate):
                signers = "".join(signer for signer, _ in certificate.signatures)
                return f"DECIDE {block.height} {self._label(block.digest)} by {signers} in round {certificate.round}"
            case Catchup(peer, height, certified):
                return f"catch up to {height} of {peer}, {'certified' if certified else 'a claim'}"
            case Evidence(first, second):
                return f"EVIDENCE {self._message(first)} and {self._message(second)} of {first.sender}"
            case Halt(reason):
                return f"HALT {reason}"

    def _message(self, message: Message) -> str:
        match message:
            case RoundChange():
                lock = (
                    f" locked {self._label(message.prepared_digest)} at {message.prepared_round}"
                    if message.prepared_digest
                    else ""
                )
                return f"ROUND-CHANGE {message.height}/{message.round}{lock}"
            case PrePrepare():
                by = "".join(change.sender for change in message.justification)
                reason = f" by ROUND-CHANGEs of {by}" if by else ""
                return f"PRE-PREPARE {message.height}/{message.round} {self._label(message.digest)}{reason}"
            case Decided(block, _):
                return f"DECIDED {block.height} {self._label(block.digest)}"
            case Status(height, round_number):
                return f"STATUS {height}/{round_number}"
            case BlockRequest(_, digest):
                return f"BLOCK-REQUEST {self._label(digest)}"
            case BlockReply(block):
                return f"BLOCK-REPLY {self._label(block.digest)}"
            case _:
                return f"{message.kind.name} {message.height}/{message.round} {self._label(message.digest)}"

    def _lost(self, envelopes: list[Envelope]) -> list[str]:
        receivers: dict[str, list[str]] = {}
        for item in envelopes:
            receivers.setdefault(f"{self._message(item.message)} from {item.sender}", []).append(item.receiver)
        return [f"lost {what} to {','.join(peers)}" for what, peers in receivers.items()]

    def _label(self, digest: bytes) -> str:
        """Blocks are B1, B2 … in the order they are first spoken of."""
        return self._labels.setdefault(digest, f"B{len(self._labels) + 1}")


def _filter(words: list[str]) -> dict[str, str]:
    """``[KIND,…] [from X] [to Y]`` as the arguments of Committee.deliver and drop."""
    chosen = {"to": NAMES, "sender": NAMES, "kinds": ""}
    position = 0
    while position < len(words):
        word = words[position]
        if word in ("from", "to"):
            chosen["sender" if word == "from" else "to"] = words[position + 1]
            position += 1
        else:
            chosen["kinds"] = word.replace("-", "_")
        position += 1
    return chosen
