"""Running one node as a process: everything fatal becomes one line and an exit code."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trio

from chain.keys import KeyFileError
from chain.ledger import LedgerError
from genesis.strict_json import GenesisError
from node import config as configuration
from node import logs
from node.anchor_journal import AnchorJournalError
from node.anchor_key import AnchorKeyError
from node.config import Config, ConfigError
from node.documents import DocumentError
from node.driver import HaltError, Log
from node.intake.supervisor import SupervisorError
from node.journal import JournalError
from node.partial.peer import PartialPeer
from node.peer import Keys, Peer, PeerError, load_keys
from node.service import ServiceError
from node.sockets import NetworkError
from node.threads import FATAL
from node.webhooks import WebhookError

SWITCH_S: Final = 0.0005
"""How long a thread may keep the interpreter from another. Less makes reads quicker beside a loop that executes, and
each switch costs that loop (figures: docs/queries.md); Python's own is 5 ms."""
EXIT_STOPPED: Final = 0
EXIT_USAGE: Final = 2
EXIT_FATAL: Final = 1

_AT_START: Final = (
    ConfigError, KeyFileError, GenesisError, LedgerError, JournalError, PeerError, DocumentError, NetworkError,
    ServiceError, AnchorKeyError, AnchorJournalError, WebhookError, SupervisorError,
)  # fmt: skip
_WHILE_RUNNING: Final = FATAL


def run(path: Path, passphrase: str | None = None) -> int:
    """Run the node of a node.toml until SIGINT or SIGTERM. Returns the exit code; says why on standard error."""
    try:
        config = configuration.load(path)
        given = passphrase if passphrase is not None else configuration.passphrase(config)
        if given is None:
            raise ConfigError(
                f"{path}: no passphrase for the keys: set passphrase_file there, or TALLY_PASSPHRASE_FILE"
            )
        node_keys = load_keys(config, given)
        log = logs.configure(config.log.level, config.log.format, config.log.file, config.member)
        peer = open_peer(config, node_keys, given, log)
    except _AT_START as error:
        return _say(str(error), EXIT_USAGE)
    except _WHILE_RUNNING as error:
        return _say(str(error), EXIT_FATAL)
    except OSError as error:
        return _say(f"cannot start: {error.strerror}: {error.filename or path}", EXIT_USAGE)
    _tune_collector()
    sys.setswitchinterval(SWITCH_S)
    try:
        trio.run(_until_stopped, peer)
    except BaseExceptionGroup as group:
        return _fatal(group, peer.config)
    finally:
        peer.close()
    return EXIT_STOPPED


def open_peer(config: Config, node_keys: Keys, passphrase: str, log: Log) -> Peer | PartialPeer:
    """The node of a configuration: with `follow` a partial observer, else one that has everything."""
    if config.follow is not None:
        return PartialPeer(config, node_keys, log)
    return Peer(config, node_keys, passphrase, log)


def _tune_collector() -> None:
    """What was loaded stays, and a block makes many short-lived objects but few cycles: look for cycles rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _until_stopped(peer: Peer | PartialPeer) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.run)
            async for _ in signals:
                peer.log.info("stopping", height=peer.ledger.height)
                nursery.cancel_scope.cancel()
                return


def _fatal(group: BaseExceptionGroup[BaseException], config: Config) -> int:
    """One line for the first known cause; anything else is a bug and keeps its trace."""
    for error in _leaves(group):
        if isinstance(error, HaltError):
            dump = config.data / "halted.txt"
            dump.write_text(f"{error}\n")
            return _say(f"halted: {error}; the data is left as it is, see {dump}", EXIT_FATAL)
        if isinstance(error, (*_AT_START, *_WHILE_RUNNING)):
            return _say(str(error), EXIT_FATAL if isinstance(error, _WHILE_RUNNING) else EXIT_USAGE)
    raise group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _say(message: str, code: int) -> int:
    print(f"tally: {message}", file=sys.stderr)
    return code
