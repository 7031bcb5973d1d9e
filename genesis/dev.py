"""A whole consortium for one machine: every member's keys, configuration and the sealed genesis in one folder.

For development, demonstrations and tests: the private keys of all members lie side by side and the passphrase
beside them, which is what the real ceremony (`genesis.ceremony`) never does. The layout is always the same::

    DIR/genesis.json                 sealed by every member
    DIR/passphrase                   opens every key below
    DIR/<member>/node.toml           configuration of that member's node
    DIR/<member>/keys/{network,validator,signer,encryption}.json
    DIR/<member>/data/               made by the node
    DIR/parties/<party>.json         keys of parties that run no node, to sign with
    DIR/parties/<party>.encryption.json     and to open documents with

The folder appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from chain import keys
from chain.crypto import SigningKey
from chain.keys import KeyFileError
from contracts.access import ROLES
from contracts.gov import MAX_VALIDATORS
from contracts.periods import PARAMETER as PERIOD_PARAMETER
from genesis import ceremony, library
from genesis.strict_json import GenesisError

BASE_PORT: Final = 27_100
GENESIS_FILE: Final = "genesis.json"
PASSPHRASE_FILE: Final = "passphrase"
CONFIG_FILE: Final = "node.toml"

_ROSTER: Final = ("procurement", "erp", "guarantor", "lender", "regulator", "insurer", "court", "notary")
_HOST: Final = "127.0.0.1"


class Party(NamedTuple):
    """An enterprise or person without a node; `identifiers` as they stand in records, e.g. "GB-COH:1234"."""

    id: str
    name: str
    identifiers: tuple[str, ...] = ()


PARTIES: Final = (Party("enterprise", "Example Enterprise"), Party("buyer", "Example Buyer"))


class DevMember(NamedTuple):
    """One member's node: its folder and its two loopback addresses."""

    id: str
    role: str
    folder: Path
    p2p: str
    api: str


class DevNetwork(NamedTuple):
    """What `make_dev` has written."""

    directory: Path
    network_id: bytes
    members: tuple[DevMember, ...]


class _Made(NamedTuple):
    half: dict[str, Any]
    key: SigningKey


def make_dev(
    directory: Path,
    *,
    name: str = "Development consortium",
    members: int = 4,
    observers: Sequence[str] = ("auditor",),
    parties: Sequence[Party] = PARTIES,
    base_port: int = BASE_PORT,
    passphrase: str | None = None,
    template_ids: Sequence[str] | None = None,
    parameters: Mapping[str, int] | None = None,
    period_seconds: int | None = None,
    time_ms: int | None = None,
    anchor_rpc_url: str | None = None,
    anchor_settings: Mapping[str, int] | None = None,
) -> DevNetwork:
    """Write a sealed consortium of `members` validators and return where everything is.

    Node i listens on base_port + 2i (peers) and + 2i + 1 (API). An observer "ID=ROLE" has a role, such as court, and
    no vote. Without `template_ids` all shipped templates are taken, with the models they name; without `passphrase` a
    random one is made; `period_seconds` is the length of a credit period (default: the calendar month); `time_ms` is
    the genesis time (now); `anchor_settings` go into every node's `[anchor]`, beside `anchor_rpc_url`. Raises
    GenesisError when a value is wrong or the directory exists and is not empty.
    """
    roster = _roster(members, observers)
    if not 1_024 <= base_port <= 65_536 - 2 * len(roster):
        raise GenesisError(f"base port {base_port} leaves no room for {len(roster)} nodes: choose 1024 to 65000")
    target = directory.absolute()
    templates = [library.template(item) for item in template_ids or library.template_ids()]
    period = {} if period_seconds is None else {PERIOD_PARAMETER: period_seconds}
    settings = ceremony.Settings(
        name=name,
        time=time.time_ns() // 1_000_000 if time_ms is None else time_ms,
        templates=templates,
        models=library.models_of(templates),
        parameters={"anchor_development": 1, **(parameters or {}), **period},
    )
    _refuse_occupied(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft_folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise GenesisError(f"cannot write {target} ({error.strerror}): choose another folder") from None
    try:
        network_id = _fill(draft_folder, settings, roster, members, parties, passphrase or secrets.token_hex(16))
        places = _places(target, roster, base_port)
        for place in places:
            text = _node_toml(place, places, members, anchor_rpc_url, anchor_settings or {})
            (draft_folder / place.id / CONFIG_FILE).write_text(text, encoding="utf-8")
        os.rename(draft_folder, target)  # onto nothing, or an empty folder
    except KeyFileError as error:
        raise GenesisError(str(error)) from None
    except OSError as error:
        raise GenesisError(f"cannot write {target} ({error.strerror}): choose an empty folder with space") from None
    finally:
        shutil.rmtree(draft_folder, ignore_errors=True)
    return DevNetwork(target, network_id, places)


def _roster(members: int, observers: Sequence[str]) -> list[tuple[str, str]]:
    """(id, role) of each member: the validators first, then the members without a vote."""
    if not 1 <= members <= MAX_VALIDATORS:
        raise GenesisError(f"{members} members: choose 1 to {MAX_VALIDATORS}, 4 to tolerate a fault")
    others = [(member, role or "observer") for member, _, role in (text.partition("=") for text in observers)]
    if any(member == "parties" for member, _ in others):
        raise GenesisError("an observer cannot be called 'parties', the folder of the parties' keys: choose another")
    strange = next((role for _, role in others if role not in ROLES), None)
    if strange is not None:
        raise GenesisError(
            f"there is no role {strange[:32]!r}: an observer is ID or ID=ROLE, one of {', '.join(ROLES)}"
        )
    roster = []
    for index in range(members):
        turn, place = divmod(index, len(_ROSTER))
        role = _ROSTER[place]
        roster.append((f"{role}-{turn + 1}" if turn else role, role))
    return roster + others


def _refuse_occupied(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise GenesisError(f"{target} exists and is not empty: choose another folder, or remove it first")


def _places(target: Path, roster: Sequence[tuple[str, str]], base_port: int) -> tuple[DevMember, ...]:
    return tuple(
        DevMember(
            member, role, target / member, f"{_HOST}:{base_port + 2 * index}", f"{_HOST}:{base_port + 2 * index + 1}"
        )
        for index, (member, role) in enumerate(roster)
    )


def _fill(
    folder: Path,
    settings: ceremony.Settings,
    roster: Sequence[tuple[str, str]],
    members: int,
    parties: Sequence[Party],
    passphrase: str,
) -> bytes:
    """Make all keys and the sealed genesis in a folder; returns the network id."""
    secret = folder / PASSPHRASE_FILE
    secret.touch(mode=0o600)
    secret.write_text(passphrase + "\n", encoding="utf-8")
    made = {
        member: _make_member(folder / member / "keys", member, role, passphrase, votes=index < members)
        for index, (member, role) in enumerate(roster)
    }
    party_rows = []
    for party in parties:
        public, encryption = (
            keys.create(folder / "parties" / file, passphrase, purpose, cost=keys.INTERACTIVE).public
            for file, purpose in ((f"{party.id}.json", "party"), (f"{party.id}.encryption.json", "encryption"))
        )
        row = {"id": party.id, "name": party.name, "identifiers": list(party.identifiers)}
        party_rows.append({**row, "keys": [public], "encryption": encryption})
    draft = ceremony.draft(replace(settings, parties=party_rows), [item.half for item in made.values()])
    sealed = ceremony.seal(draft, [ceremony.sign(draft, member, item.key) for member, item in made.items()])
    ceremony.write(folder / GENESIS_FILE, sealed)
    return sealed.network_id


def _make_member(folder: Path, member: str, role: str, passphrase: str, *, votes: bool) -> _Made:
    purposes = ["network", "signer", "encryption", *(["validator"] if votes else [])]
    made = {purpose: SigningKey.generate() for purpose in purposes}
    for purpose, key in made.items():
        keys.create(folder / f"{purpose}.json", passphrase, purpose, key=key, cost=keys.INTERACTIVE)
    half = {
        "id": member,
        "role": role,
        "validator": made["validator"].public if "validator" in made else None,
        "network": made["network"].public,
        "encryption": made["encryption"].public,
        "signers": [{"key": made["signer"].public, "rights": ["*"]}],
    }
    return _Made(half, made.get("validator", made["signer"]))


def _node_toml(
    place: DevMember,
    places: Sequence[DevMember],
    members: int,
    anchor_rpc_url: str | None,
    anchor_settings: Mapping[str, int],
) -> str:
    """The configuration `node.config` reads; paths are relative to the file."""
    votes = place in places[:members]
    lines = [
        f"# {place.id} ({place.role}) of a development consortium. All settings: docs/operations.md",
        f"member = {_quoted(place.id)}",
        f'genesis = "../{GENESIS_FILE}"',
        'data = "data"',
        f'passphrase_file = "../{PASSPHRASE_FILE}"',
        "",
        "[keys]",
        'network = "keys/network.json"',
        *(['validator = "keys/validator.json"'] if votes else []),
        'signer = "keys/signer.json"',
        'encryption = "keys/encryption.json"',
        "",
        "[p2p]",
        f"listen = {_quoted(place.p2p)}",
        "",
        "[p2p.peers]",
        *(f"{other.id} = {_quoted(other.p2p)}" for other in places if other.id != place.id),
        "",
        "[api]",
        f"listen = {_quoted(place.api)}",
    ]
    if anchor_rpc_url:
        lines += ["", "[anchor]", f"rpc_urls = [{_quoted(anchor_rpc_url)}]"]
        if votes:  # a development chain funds ten accounts; beyond them validators share
            lines.append(f"development_account = {places.index(place) % 10}")
        lines += [f"{name} = {value}" for name, value in anchor_settings.items()]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # A JSON string of printable ASCII is a TOML basic string.
    return json.dumps(text)
