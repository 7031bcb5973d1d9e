"""``tally node prune``: what an operator runs on a stopped node whose disk is to hold less of the past."""

from __future__ import annotations

from pathlib import Path

from cli.command import Settings
from cli.errors import CliError
from cli.output import facts, note, show


def prune(settings: Settings, path: Path, below: int) -> None:
    """Drop the state of heights below one at the node of a node.toml, and say what went. Raises CliError."""
    from chain.ledger import Ledger, LedgerError
    from chain.pruning import prune as drop
    from chain.store import LevelStore, StoreInUseError
    from genesis import ceremony
    from node import config as configuration
    from node.peer import LEDGER_FOLDER

    config = configuration.load(path)
    folder = config.data / LEDGER_FOLDER
    network_id = ceremony.load_sealed(config.genesis).network_id
    before = _size(folder)
    try:
        store = LevelStore(folder)
    except StoreInUseError:
        said = f"the node of {path} is running: stop it, then prune, then start it"
        raise CliError(said, code="NODE_RUNS") from None
    try:
        ledger = Ledger(store, network_id)
        done = drop(ledger, below, note)
        note("giving the room back to the disk")
        store.compact()
    except LedgerError as error:
        raise CliError(str(error), code="CANNOT_PRUNE") from None
    finally:
        store.close()
    value = {**done._asdict(), "bytes_before": before, "bytes_after": _size(folder)}
    show(
        settings,
        value,
        facts(
            [
                ("state kept from block", done.below),
                ("values dropped", done.values),
                ("tree nodes dropped", done.nodes),
                ("ledger on disk", f"{before:,} bytes before, {value['bytes_after']:,} now"),
            ]
        ),
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
