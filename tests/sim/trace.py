"""A run as lines to read: one event a line, heights and rounds in front, digests by their first digits."""

from __future__ import annotations

from collections.abc import Iterable

from chain.block import Block
from consensus.events import (
    BlockBuilt,
    CertifiedAhead,
    Committed,
    Executed,
    MessageReceived,
    PeerConnected,
    Signed,
    SignRefused,
    Start,
    TimerFired,
)
from consensus.messages import (
    BlockReply,
    BlockRequest,
    Commit,
    Decided,
    Prepare,
    PrePrepare,
    RoundChange,
    Status,
)


def lines(trace: Iterable[tuple[int, str, str, object]]) -> list[str]:
    """The entries of ``World.trace``: virtual time in ms, node, what happened."""
    return [f"{now:>8} {node:<13}{what} {describe(about)}".rstrip() for now, node, what, about in trace]


def describe(thing: object) -> str:
    """An event or message in a few words."""
    match thing:
        case MessageReceived(peer, message):
            return f"{describe(message)} from {peer}"
        case Signed(message):
            return f"signed {describe(message)}"
        case SignRefused(message, reason):
            return f"refused {describe(message)}: {reason}"
        case Executed(digest, ok, reason):
            return f"executed {_short(digest)} {'ok' if ok else reason}"
        case BlockBuilt(height, round_number, block):
            return f"built {_short(block.digest)} at {height}/{round_number}"
        case TimerFired(timer, height, round_number):
            return f"timer {timer.name} {height}/{round_number}"
        case Committed(head, pending):
            return f"committed {head.height} {_short(head.digest)}{' (more pending)' if pending else ''}"
        case CertifiedAhead(height):
            return f"certified ahead {height}"
        case PeerConnected(peer):
            return f"connected to {peer}"
        case Start(head, restored, _):
            votes = "" if restored is None else f", {len(restored.messages)} votes at {restored.height}"
            lock = "" if restored is None or restored.prepared is None else f", locked in {restored.prepared.round}"
            return f"start on {head.height}{votes}{lock}"
        case _:
            return _message(thing)


def _message(thing: object) -> str:
    match thing:
        case PrePrepare():
            locks = sorted(
                change.prepared_round for change in thing.justification if change.prepared_round is not None
            )
            reason = f" by {len(thing.justification)} changes, locks {locks}" if thing.justification else ""
            body = "" if thing.block is not None else " without its block"
            return f"PRE-PREPARE {thing.height}/{thing.round} {_short(thing.digest)} of {thing.sender}{reason}{body}"
        case Prepare() | Commit():
            return f"{thing.kind.name} {thing.height}/{thing.round} {_short(thing.digest)} of {thing.sender}"
        case RoundChange():
            lock = (
                ""
                if thing.prepared_digest is None
                else f" locked {thing.prepared_round} {_short(thing.prepared_digest)}"
            )
            return f"ROUND-CHANGE {thing.height}/{thing.round}{lock} of {thing.sender}"
        case Decided(block, certificate):
            return f"DECIDED {block.height} {_short(block.digest)} in round {certificate.round}"
        case Status(height, round_number):
            return f"STATUS {height}/{round_number}"
        case BlockRequest(height, digest):
            return f"BLOCK-REQUEST {height} {_short(digest)}"
        case BlockReply(block):
            return f"BLOCK-REPLY {block.height} {_short(block.digest)}"
        case Block():
            return f"{thing.height} {_short(thing.digest)} with {thing.tx_count} transactions"
        case _:
            return str(thing)


def _short(digest: bytes) -> str:
    return digest.hex()[:6]
