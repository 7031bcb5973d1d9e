"""``tally node join``: a node of a new member, from an empty folder to following every block, in one command.

Nothing that the asked node says has to be believed. The genesis document must have the hash that the members gave out
by other means, every block is checked from it on, and peers are known by keys. Given again for the same folder, the
command goes on where it was: keys are made once.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from cli.command import Settings
from cli.errors import REJECTED, CliError
from cli.output import facts, note, show
from cli.session import CONFIG_FILE, Session

if TYPE_CHECKING:
    from tallystick.client import Client

GENESIS_FILE: Final = "genesis.json"
HALF_FILE: Final = "member.json"
KEYS: Final = "keys"
ALL: Final = "all"
POLL_S: Final = 1.0
KEY_SIZE: Final = 32
PASSPHRASE_FILE_VARIABLE: Final = "TALLY_PASSPHRASE_FILE"


@dataclass(frozen=True)
class Joining:
    """What the options say."""

    directory: Path
    url: str
    network_id: bytes
    member: str
    role: str
    votes: bool
    chains: tuple[str, ...]
    """The chains to follow; none: all."""
    p2p: str | None
    api: str | None


@dataclass(frozen=True)
class Found:
    """What the asked node says: the sealed file, its document, and the members' peers."""

    sealed: bytes
    document: Mapping[str, Any]
    peers: list[dict[str, Any]]


def prepare(joining: Joining, client: Client, session: Session) -> str:
    """Make the folder whole, or find that it is there already; gives the passphrase of its keys. Raises CliError."""
    config = joining.directory / CONFIG_FILE
    if config.exists():
        _is_the_same(joining)
        return session.passphrase(joining.directory / KEYS / "network.json")
    _refuse_occupied(joining.directory)
    found = look(joining, client)
    _refuse_taken(joining, client)
    _refuse_closed(joining, client)
    passphrase = session.passphrase(joining.directory / KEYS / "network.json", confirm=True)
    _write_folder(joining, found, passphrase)
    return passphrase


def look(joining: Joining, client: Client) -> Found:
    """Ask the node, and check that it is of the network that is meant. Raises CliError, ClientError, GenesisError."""
    from genesis import ceremony

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / GENESIS_FILE
        sealed = client.sealed_genesis()
        path.write_bytes(sealed)
        genesis = ceremony.load_sealed(path)
    if genesis.network_id != joining.network_id:
        raise CliError(
            f"{joining.url} is of network {genesis.network_id.hex()}, not {joining.network_id.hex()}: check --from"
            " and --genesis with a member",
            code="WRONG_GENESIS",
        )
    return Found(sealed, genesis.document, checked_peers(joining.url, client.peers()))


def checked_peers(url: str, peers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Peers as a node tells of them, once each is fit to be written into a node.toml. Raises CliError BAD_ANSWER.

    They come from outside: an id with a line break would write settings of its own.
    """
    from pydantic import TypeAdapter

    from node.config_types import Address, MemberId, parse_address

    member_id: TypeAdapter[str] = TypeAdapter(MemberId)
    found = []
    for peer in peers:
        try:
            member, keys = member_id.validate_python(peer["member"]), [bytes.fromhex(key) for key in peer["keys"]]
            host, port = peer["host"], peer["port"]
            if not keys or any(len(key) != KEY_SIZE for key in keys):
                raise ValueError
            if port is not None:
                parse_address(str(Address("host" if host is None else host, port)))
        except (KeyError, TypeError, ValueError):
            raise CliError(
                f"{url} names a peer that is none ({str(peer)[:80]!r}): ask another node with --from",
                code="BAD_ANSWER",
            ) from None
        found.append({"member": member, "keys": [key.hex() for key in keys], "host": host, "port": port})
    return found


def wait_for_admission(joining: Joining, client: Client, patience_s: float | None) -> None:
    """Until the registry has this member with the folder's keys. Raises CliError."""
    from chain import keys

    network = keys.inspect(joining.directory / KEYS / "network.json").public
    deadline = None if patience_s is None else time.monotonic() + patience_s
    told = False
    while True:
        entry = client.state("consortium", "registry", "key", network)
        if entry is not None and entry["id"] == joining.member:
            if joining.member not in (client.state("consortium", "registry", "members") or []):
                raise _dismissed(joining.member)
            return
        _refuse_taken(joining, client)
        half = joining.directory / HALF_FILE
        if deadline is not None and time.monotonic() >= deadline:
            raise CliError(
                f"{joining.member} is not admitted yet: have the members run `tally gov admit` with {half}, then give"
                " this command again",
                code="NOT_ADMITTED",
                exit_code=REJECTED,
            )
        if not told:
            note(f"waiting until {joining.member} is admitted: hand {half} to the members for `tally gov admit` …")
            told = True
        time.sleep(POLL_S)


def show_joined(settings: Settings, joining: Joining) -> None:
    """Say who has joined what, and where its files lie."""
    half = joining.directory / HALF_FILE
    value = {
        "member": joining.member,
        "network_id": joining.network_id,
        "directory": str(joining.directory),
        "half": str(half),
        "config": str(joining.directory / CONFIG_FILE),
    }
    rows = [("member", joining.member), ("network id", joining.network_id), ("folder", joining.directory)]
    show(settings, value, [*facts(rows), f"Admitted. Its node: tally node run {joining.directory / CONFIG_FILE}"])


def _is_the_same(joining: Joining) -> None:
    """A folder that this command has made before may go on, for the same member and network only."""
    from genesis import ceremony
    from node import config as configuration

    config = configuration.load(joining.directory / CONFIG_FILE)
    if config.member != joining.member or ceremony.load_sealed(config.genesis).network_id != joining.network_id:
        raise CliError(
            f"{joining.directory} is the folder of {config.member} already, or of another network: choose another",
            code="FOLDER_OCCUPIED",
        )


def _refuse_occupied(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise CliError(f"{directory} exists and is not empty: choose another folder", code="FOLDER_OCCUPIED")


def _refuse_taken(joining: Joining, client: Client) -> None:
    if client.state("consortium", "registry", "member", joining.member) is not None:
        if joining.member not in (client.state("consortium", "registry", "members") or []):
            raise _dismissed(joining.member)
        raise CliError(
            f"{joining.member!r} is a member already, with other keys: choose another id with --as", code="ID_TAKEN"
        )
    if client.state("consortium", "registry", "party", joining.member) is not None:
        raise CliError(f"{joining.member!r} is the id of a party: choose another id with --as", code="ID_TAKEN")


def _refuse_closed(joining: Joining, client: Client) -> None:
    """Every chain that is to be followed must be there, and open to this member."""
    members = client.state("consortium", "registry", "members") or []
    chains = sorted({*members, *(row["chain"] for row in client.chains())})  # a dismissed member's stays
    for chain in joining.chains:
        if chain not in chains:
            raise CliError(f"there is no chain {chain!r}: use {', '.join(chains)}", code="UNKNOWN_CHAIN")
    closed = []
    for chain in joining.chains or chains:
        opened = client.state("consortium", "registry", "opened", chain)
        closed_to_us = opened is not None and "*" not in opened and joining.member not in opened  # []: to nobody
        if closed_to_us and not joining.votes:
            closed.append(chain)
    if closed:
        rest = ",".join(chain for chain in joining.chains or chains if chain not in closed)
        raise CliError(
            f"{', '.join(closed)} not opened to {joining.member}: ask there, or give --chains {rest or 'of others'}",
            code="NOT_OPENED",
        )


def _dismissed(member: str) -> CliError:
    return CliError(
        f"{member!r} was a member and has been dismissed: join under another id, with --as", code="DISMISSED"
    )


def _write_folder(joining: Joining, found: Found, passphrase: str) -> None:
    """Genesis, keys, public half and configuration; the folder appears whole or not at all."""
    target = joining.directory.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        (draft / GENESIS_FILE).write_bytes(found.sealed)
        _make_keys(joining, draft, passphrase)
        (draft / CONFIG_FILE).write_text(_node_toml(joining, found), encoding="utf-8")
        os.rename(draft, target)  # onto nothing, or an empty folder
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _make_keys(joining: Joining, folder: Path, passphrase: str) -> None:
    from chain import keys
    from genesis import ceremony

    purposes = ["network", "signer", "encryption", *(["validator"] if joining.votes else [])]
    public = {
        purpose: keys.create(folder / KEYS / f"{purpose}.json", passphrase, purpose).public for purpose in purposes
    }
    half = {
        "id": joining.member,
        "role": joining.role,
        "validator": public.get("validator"),
        "network": public["network"],
        "encryption": public["encryption"],
        "signers": [{"key": public["signer"], "rights": ["*"]}],
    }
    ceremony.write_member(folder / HALF_FILE, half)


def _node_toml(joining: Joining, found: Found) -> str:
    p2p, api = _addresses(joining)
    lines = [
        f"# {joining.member}, joined by `tally node join`. All settings: docs/operations.md",
        f"member = {json.dumps(joining.member)}",
        f'genesis = "{GENESIS_FILE}"',
        'data = "data"',
        *([f"follow = {json.dumps(list(joining.chains))}"] if joining.chains else []),
    ]
    secret = os.environ.get(PASSPHRASE_FILE_VARIABLE)
    if secret:
        lines.append(f"passphrase_file = {json.dumps(str(Path(secret).absolute()))}")
    lines += [
        "",
        "[keys]",
        'network = "keys/network.json"',
        *(['validator = "keys/validator.json"'] if joining.votes else []),
        'signer = "keys/signer.json"',
        'encryption = "keys/encryption.json"',
        "",
        "[p2p]",
        f"listen = {json.dumps(p2p)}",
        "",
        "[p2p.peers]",
        *(f"{member} = {json.dumps(place)}" for member, place in _places(joining.url, found.peers).items()),
        "",
        "[p2p.keys]",
        *(f'{member} = "{key}"' for member, key in _later_keys(found).items()),
        "",
        "[api]",
        f"listen = {json.dumps(api)}",
    ]
    return "\n".join(lines) + "\n"


def _addresses(joining: Joining) -> tuple[str, str]:
    """Where to listen: as told, else loopback. One without a vote dials the others, so nobody has to reach it."""
    from node.processes import free_ports

    first = 0 if joining.p2p and joining.api else free_ports(2)
    return joining.p2p or f"127.0.0.1:{first}", joining.api or f"127.0.0.1:{first + 1}"


def _places(url: str, peers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Where the members are reached; one that listens on every interface is the node that was asked."""
    from node.config import Address

    asked = urlsplit(url).hostname or "127.0.0.1"
    return {
        peer["member"]: str(Address(str(peer["host"] or asked), int(peer["port"])))
        for peer in peers
        if peer["port"] is not None
    }


def _later_keys(found: Found) -> dict[str, str]:
    """Network keys that the genesis document does not have: a node at its first block could not know these peers."""
    founders = {entry["id"]: entry["network"] for entry in found.document["members"]}
    return {
        peer["member"]: str(peer["keys"][0])
        for peer in found.peers
        if founders.get(peer["member"]) != bytes.fromhex(peer["keys"][0])
    }


def run(joining: Joining, passphrase: str) -> None:
    """Run the node until it is stopped."""
    from node import main

    click.get_current_context().exit(main.run(joining.directory / CONFIG_FILE, passphrase))
