"""What ``tally node doctor`` looks at. Read-only: a stopped node's ledger and journal are opened as copies.

A check that cannot be made because an earlier one failed is left out; each finding is one line that says what is so,
or what to do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cli.errors import CliError, one_line

if TYPE_CHECKING:
    from genesis.ceremony import Genesis
    from node.config import Address, Config
    from node.peer import Keys

AHEAD_MS: Final = 2_000
"""R15: a fresh proposal may be this far ahead of a validator's clock …"""
BEHIND_MS: Final = 10_000
"""… and this far behind."""
CONNECT_S: Final = 2.0
LOCAL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Finding(NamedTuple):
    """One check. ``text`` says what is so or, where it is not ok, what to do."""

    check: str
    ok: bool
    text: str


def examine(path: Path, passphrase: Callable[[Path], str]) -> list[Finding]:
    """All checks of the node of a node.toml, in order."""
    from node import config as configuration

    try:
        config = configuration.load(path)
    except configuration.ConfigError as error:
        return [Finding("configuration", False, one_line(str(error)))]
    findings = [Finding("configuration", True, f"{path}: node of {config.member}")]
    genesis = _genesis(config, findings)
    keys = _keys(config, passphrase, findings)
    status = _status(config)
    if genesis is not None and keys is not None:
        _membership(config, genesis, keys, findings)
    _stored(config, genesis, keys, status, findings)
    _ports(config, status, findings)
    _disk(config, findings)
    _peers(config, findings)
    _intake(config, keys, status, findings)
    _clock(status, findings)
    return findings


def _genesis(config: Config, findings: list[Finding]) -> Genesis | None:
    from genesis import ceremony
    from genesis.strict_json import GenesisError

    try:
        genesis = ceremony.load_sealed(config.genesis)
    except GenesisError as error:
        findings.append(Finding("genesis", False, one_line(str(error))))
        return None
    findings.append(Finding("genesis", True, f"sealed by {len(genesis.members)} members: {genesis.network_id.hex()}"))
    return genesis


def _keys(config: Config, passphrase: Callable[[Path], str], findings: list[Finding]) -> Keys | None:
    from chain.keys import KeyFileError
    from node import config as configuration
    from node.peer import load_keys

    try:
        given = configuration.passphrase(config)
        opened = load_keys(config, passphrase(config.keys.network) if given is None else given)
    except (KeyFileError, configuration.ConfigError, CliError) as error:
        findings.append(Finding("keys", False, one_line(str(error))))
        return None
    names = [name for name in ("network", "validator", "signer") if getattr(opened, name) is not None]
    findings.append(Finding("keys", True, f"{', '.join(names)} open"))
    return opened


def _membership(config: Config, genesis: Genesis, keys: Keys, findings: list[Finding]) -> None:
    """The keys here against the genesis document; later changes are the registry's, so a difference is told."""
    member = genesis.members.get(config.member)
    anothers = any(
        entry["network"] == keys.network.public for name, entry in genesis.members.items() if name != config.member
    )
    if member is None:
        known = ", ".join(genesis.members)
        said = f"{config.member} is no founder: admitted since, or not yet; `tally node status` says which"
        text = f"genesis has no member {config.member!r}: set member to {known}" if anothers else said
        findings.append(Finding("membership", not anothers, text))
        return
    if member["network"] != keys.network.public:
        said = (
            f"{config.member}, {member['role']}; its network key is not the genesis file's: changed since, or wrong"
        )
        text = f"the network key is not {config.member}'s in the genesis file: point keys.network at it"
        findings.append(Finding("membership", not anothers, text if anothers else said))
        return
    votes = keys.validator is not None and keys.validator.public == member["validator"]
    if keys.validator is not None and not votes:
        said = f"{config.member}, {member['role']}; its validator key is not the genesis file's: rotated, or wrong"
    else:
        said = f"{config.member}, {member['role']}, {'votes' if votes else 'has no vote'}"
    findings.append(Finding("membership", True, said))


def _stored(
    config: Config, genesis: Genesis | None, keys: Keys | None, status: dict[str, Any] | None, findings: list[Finding]
) -> None:
    """Ledger and journal: those of a running node through its API, those of a stopped one from copies."""
    from node.partial.peer import LEDGER_FOLDER as PARTIAL_FOLDER
    from node.peer import JOURNAL_FILE, LEDGER_FOLDER

    folder = config.data / (LEDGER_FOLDER if config.follow is None else PARTIAL_FOLDER)
    if not (folder / "CURRENT").exists():
        findings.append(Finding("ledger", True, f"none yet: the node makes it in {folder} at its first start"))
        return
    if _is_locked(folder / "LOCK"):
        said = f"block {status['height']}, by its API" if status is not None else "its API does not answer"
        findings.append(Finding("ledger", status is not None, f"a running node holds {folder}: {said}"))
        return
    if genesis is None:
        return
    head = _open_ledger(folder, genesis, config.follow, findings)
    if head is not None and keys is not None and keys.validator is not None:
        _open_journal(config, config.data / JOURNAL_FILE, keys, head, findings)


def _open_ledger(
    folder: Path, genesis: Genesis, follow: list[str] | None, findings: list[Finding]
) -> tuple[int, bytes] | None:
    """(height, digest) of the head of a copy whose roots and certificate match; a partial one where some chains are
    followed."""
    from chain.certificate import CertificateError
    from chain.ledger import Ledger, LedgerError
    from chain.partial import PartialLedger
    from chain.state import StateError
    from chain.store import LevelStore, StoreError

    try:
        with _copy_of(folder) as copy:
            store = LevelStore(copy)
            ledger: Ledger | PartialLedger = (
                Ledger(store, genesis.network_id)
                if follow is None
                else PartialLedger(store, genesis.network_id, follow)
            )
            try:
                head = (ledger.height, ledger.head.digest)
                if ledger.height:
                    ledger.block(ledger.height)
                    ledger.receipts(ledger.height)
            finally:
                ledger.close()
    except (LedgerError, StoreError, StateError, CertificateError, LookupError, ValueError, OSError) as error:
        findings.append(Finding("ledger", False, one_line(str(error)).replace(str(copy), str(folder))))
        return None
    findings.append(Finding("ledger", True, f"opens at block {head[0]}, the roots of every chain match"))
    return head


def _open_journal(config: Config, path: Path, keys: Keys, head: tuple[int, bytes], findings: list[Finding]) -> None:
    from chain.block import Block
    from node.journal import FileStorage, JournalError
    from node.signer import Signer

    if not path.exists():
        text = f"{path} is missing, but a ledger is here: put it back; a validator key must not vote without it"
        findings.append(Finding("journal", False, text))
        return
    assert keys.validator is not None
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / path.name
        shutil.copyfile(path, copy)
        try:
            signer = Signer.open(config.member, keys.validator, FileStorage(copy), Block.decode)
            try:
                signer.check_ledger(*head)
            finally:
                signer.close()
        except JournalError as error:
            findings.append(Finding("journal", False, one_line(str(error)).replace(str(copy), str(path))))
            return
    findings.append(Finding("journal", True, "whole, of this validator key, not ahead of the ledger"))


def _ports(config: Config, status: dict[str, Any] | None, findings: list[Finding]) -> None:
    for name, address in (("p2p.listen", config.p2p.listen), ("api.listen", config.api.listen)):
        if status is not None:
            own = status["member"] == config.member
            said = "the node listens" if own else f"the node of {status['member']} is there: choose another"
            findings.append(Finding(name, own, f"{address}: {said}"))
            continue
        problem = _cannot_bind(address)
        findings.append(Finding(name, problem is None, f"{address}: {problem or 'free'}"))


def _disk(config: Config, findings: list[Finding]) -> None:
    folder = next(path for path in (config.data, *config.data.parents) if path.exists())
    free, least = shutil.disk_usage(folder).free, config.limits.min_free_disk_bytes
    said = f"{free // 2**20} MiB free"
    if free < least:
        said += f", {least // 2**20} MiB are needed: free some space, the node takes nothing in until then"
    findings.append(Finding("disk", free >= least, said))


def _peers(config: Config, findings: list[Finding]) -> None:
    for member, address in sorted(config.p2p.peers.items()):
        try:
            with socket.create_connection((address.host, address.port), timeout=CONNECT_S):
                findings.append(Finding(f"peer {member}", True, f"{address} can be reached"))
        except OSError as error:
            reason = one_line(error.strerror or str(error))
            text = f"{address} cannot be reached ({reason}): start it, or correct p2p.peers"
            findings.append(Finding(f"peer {member}", False, text))


def _intake(config: Config, keys: Keys | None, status: dict[str, Any] | None, findings: list[Finding]) -> None:
    """Every way in: what it needs on this machine, and how it stands where the node runs."""
    from node.intake import checkup

    ways = {} if status is None or status["intake"] is None else status["intake"]["ways"]
    for feed in config.intake.feeds:
        said = checkup.problem_of(feed) or ways.get(feed.name, {}).get("problem", "")
        if not said and keys is not None and config.intake.signer is None and keys.signer is None:
            said = "no key signs: set intake.signer, or keys.signer"
        findings.append(Finding(f"intake {feed.name}", not said, one_line(said) or "ready"))


def _clock(status: dict[str, Any] | None, findings: list[Finding]) -> None:
    """This machine's clock against the newest block's time, which the proposer's clock gave (R15)."""
    if status is None or not status["height"]:
        return
    late = time.time_ns() // 1_000_000 - status["time"]
    idle = int(status["parameters"]["max_idle_ms"])
    if late < -AHEAD_MS:
        text = f"behind by at least {-late // 1000} s against the newest block: run NTP"
        findings.append(Finding("clock", False, text))
    elif late > idle + BEHIND_MS:
        text = (
            f"the newest block is {late // 1000} s old where an idle chain makes one every {idle // 1000} s: this"
            " clock is ahead (run NTP), or the validators do not agree (tally node status)"
        )
        findings.append(Finding("clock", False, text))
    else:
        findings.append(Finding("clock", True, "fits the newest block's time"))


def _status(config: Config) -> dict[str, Any] | None:
    """What answers at this node's API address, None where nothing does."""
    from tallystick.client import Client, ClientError

    address = config.api.listen
    local = address._replace(host=LOCAL.get(address.host, address.host))
    with Client(f"http://{local}", timeout_s=CONNECT_S) as client:
        try:
            return client.status()
        except ClientError:
            return None


def _cannot_bind(address: Address) -> str | None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "in use by another process: stop it, or choose another port in node.toml"
            return f"cannot be listened on ({one_line(error.strerror or str(error))}): correct node.toml"
    return None


def _is_locked(path: Path) -> bool:
    """Whether a process holds LevelDB's lock file (a POSIX record lock)."""
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextlib.contextmanager
def _copy_of(folder: Path) -> Iterator[Path]:
    """A copy of a LevelDB folder to open: its tables, which never change, as hard links where the disk allows."""
    with tempfile.TemporaryDirectory(prefix=".doctor.", dir=_writable(folder.parent)) as scratch:
        copy = Path(scratch) / folder.name
        copy.mkdir()
        for item in folder.iterdir():
            if item.suffix == ".ldb":
                try:
                    os.link(item, copy / item.name)
                    continue
                except OSError:
                    pass
            if item.is_file() and item.name != "LOCK":
                shutil.copyfile(item, copy / item.name)
        yield copy


def _writable(folder: Path) -> Path | None:
    return folder if os.access(folder, os.W_OK) else None
