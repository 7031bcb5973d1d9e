"""The signing ceremony: public halves → draft → each member's signature → sealed.

Private keys never travel. Each member hands in a file with its id, role and public keys; one of them combines
these into a draft; each reads the draft (its summary says the same in words, and is checked against the document)
and hands in a signature; the draft with all signatures is sealed. A node starts only from a sealed file, and
`load_sealed` names whoever is missing, wrong or too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from chain.certificate import faults, quorum
from chain.crypto import SIGNATURE_SIZE, SigningKey, verify
from genesis import document as documents
from genesis import strict_json
from genesis.strict_json import GenesisError

DRAFT: Final = "draft"
SEALED: Final = "sealed"
FILE_VERSION: Final = 1

_GENESIS_FILE: Final = "tally/genesis"
_MEMBER_FILE: Final = "tally/genesis-member"
_SIGNATURE_FILE: Final = "tally/genesis-signature"


@dataclass(frozen=True)
class Signature:
    """One member's signature over the tagged document, with its ceremony key."""

    network_id: bytes
    member: str
    signature: bytes


@dataclass(frozen=True)
class Genesis:
    """A genesis document with the signatures gathered so far, sorted by member id."""

    document: Mapping[str, Any]
    signatures: tuple[Signature, ...] = ()
    state: str = DRAFT

    @cached_property
    def network_id(self) -> bytes:
        """The hash of the document, 32 bytes."""
        return documents.network_id(self.document)

    @cached_property
    def members(self) -> dict[str, Mapping[str, Any]]:
        """Each member's entry by id."""
        return {member["id"]: member for member in self.document["members"]}

    @property
    def validators(self) -> list[tuple[str, bytes]]:
        """(member id, validator key) of those that vote, sorted by id."""
        return documents.validators(self.document)


@dataclass(frozen=True)
class Settings:
    """What a draft says beside its members. `time` in ms UTC; `parameters` override the defaults, `contracts` (name
    to version) the newest versions."""

    name: str
    time: int
    templates: Sequence[Mapping[str, Any]]
    models: Sequence[Mapping[str, Any]]
    parties: Sequence[Mapping[str, Any]] = ()
    parameters: Mapping[str, int] | None = None
    contracts: Mapping[str, int] | None = None


def draft(settings: Settings, members: Iterable[Mapping[str, Any]]) -> Genesis:
    """Combine the members' public halves (canonical form) into a draft. Raises GenesisError."""
    whole = {
        "name": settings.name,
        "time": settings.time,
        "members": list(members),
        "parties": list(settings.parties),
        "parameters": {**documents.default_parameters(), **(settings.parameters or {})},
        "templates": list(settings.templates),
        "models": list(settings.models),
        "contracts": dict(settings.contracts or documents.CONTRACTS),
    }
    return Genesis(documents.from_json(whole))


def sign(genesis: Genesis, member_id: str, key: SigningKey) -> Signature:
    """A member's signature over a draft. Raises GenesisError for a stranger or the wrong key."""
    member = genesis.members.get(member_id)
    if member is None:
        raise GenesisError(f"{member_id!r} is no member of this draft: members are {', '.join(genesis.members)}")
    if key.public != documents.ceremony_key(member):
        what = "validator" if member["validator"] else "first signer"
        raise GenesisError(
            f"member {member_id!r} signs with its {what} key {documents.ceremony_key(member).hex()}: give that key"
        )
    return Signature(genesis.network_id, member_id, key.sign(documents.signed_bytes(genesis.document)))


def missing(genesis: Genesis) -> list[str]:
    """The members that have not signed, sorted."""
    return sorted(genesis.members.keys() - {signature.member for signature in genesis.signatures})


def add(genesis: Genesis, signatures: Iterable[Signature]) -> Genesis:
    """The draft with more signatures, each checked. The same one twice is fine. Raises GenesisError."""
    together = dict.fromkeys([*genesis.signatures, *signatures])
    ordered = tuple(sorted(together, key=lambda signature: signature.member))
    _check_signatures(genesis, ordered)
    return replace(genesis, signatures=ordered)


def seal(genesis: Genesis, signatures: Iterable[Signature] = ()) -> Genesis:
    """The sealed genesis, when every member's signature is there. Raises GenesisError that names who is missing."""
    whole = add(genesis, signatures)
    if missing(whole):
        raise GenesisError(f"{', '.join(missing(whole))} has not signed: have each run 'tally genesis sign'")
    return replace(whole, state=SEALED)


def load(path: Path) -> Genesis:
    """Read a draft or sealed file, its document and the signatures it has checked. Raises GenesisError."""
    whole = _read(path, _GENESIS_FILE, "state", "network_id", "summary", "document", "signatures")
    if whole["state"] not in (DRAFT, SEALED):
        raise GenesisError(f"{path} is neither draft nor sealed: get it again from who made it")
    genesis = Genesis(documents.from_json(whole["document"]), state=whole["state"])
    if whole["network_id"] != genesis.network_id.hex():
        raise GenesisError(
            f"{path} was altered: its document is of network {genesis.network_id.hex()}, the file says "
            f"{whole['network_id']}: get it again from who made it"
        )
    if not isinstance(whole["signatures"], list):
        raise GenesisError(f"{path}: signatures is not a list: get it again from who made it")
    signatures = tuple(_signature_from_json(row, genesis.network_id, path) for row in whole["signatures"])
    try:
        _check_signatures(genesis, signatures)
    except GenesisError as error:
        raise GenesisError(f"{path}: {error}") from None
    if whole["summary"] != summary(genesis):
        raise GenesisError(f"{path} was altered: its summary does not say what its document says: get it again")
    return replace(genesis, signatures=signatures)


def load_sealed(path: Path) -> Genesis:
    """Read the file a node starts from. Raises GenesisError unless exactly every member has signed."""
    genesis = load(path)
    if missing(genesis):
        raise GenesisError(
            f"{path} is not sealed: {', '.join(missing(genesis))} has not signed: have each run "
            "'tally genesis sign', then run 'tally genesis seal'"
        )
    if genesis.state != SEALED:
        raise GenesisError(f"{path} is still a draft: run 'tally genesis seal'")
    return genesis


def write(path: Path, genesis: Genesis) -> None:
    """Write a draft or sealed file. Raises GenesisError."""
    strict_json.write(
        path,
        {
            "file": _GENESIS_FILE,
            "version": FILE_VERSION,
            "state": genesis.state,
            "network_id": genesis.network_id.hex(),
            "summary": summary(genesis),
            "document": documents.to_json(genesis.document),
            "signatures": [
                {"member": signature.member, "signature": signature.signature.hex()}
                for signature in genesis.signatures
            ],
        },
    )


def write_member(path: Path, member: Mapping[str, Any]) -> None:
    """Write one member's public half. Raises GenesisError."""
    checked = documents.member_from_json(dict(member))
    body = {"file": _MEMBER_FILE, "version": FILE_VERSION, "member": documents.member_to_json(checked)}
    strict_json.write(path, body)


def read_member(path: Path) -> dict[str, Any]:
    """One member's public half in canonical form. Raises GenesisError."""
    try:
        return documents.member_from_json(_read(path, _MEMBER_FILE, "member")["member"])
    except GenesisError as error:
        raise GenesisError(f"{path}: {error}") from None


def write_signature(path: Path, signature: Signature) -> None:
    """Write one member's signature, to be handed to who seals. Raises GenesisError."""
    strict_json.write(
        path,
        {
            "file": _SIGNATURE_FILE,
            "version": FILE_VERSION,
            "network_id": signature.network_id.hex(),
            "member": signature.member,
            "signature": signature.signature.hex(),
        },
    )


def read_signature(path: Path) -> Signature:
    """One member's signature, unchecked: `add` and `seal` check it. Raises GenesisError."""
    whole = _read(path, _SIGNATURE_FILE, "network_id", "member", "signature")
    network = _unhex(whole["network_id"], 32, path)
    return _signature_from_json({k: whole[k] for k in ("member", "signature")}, network, path)


def summary(genesis: Genesis) -> list[str]:
    """The document in words, one fact a line, for whoever is about to sign it."""
    doc = genesis.document
    votes = len(genesis.validators)
    start = datetime.fromtimestamp(doc["time"] // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [
        f"consortium: {doc['name']}, from {start}",
        f"agreement: {votes} validators, {quorum(votes)} decide, {faults(votes)} may fail",
    ]
    for member in doc["members"]:
        vote = f"votes with {member['validator'].hex()}" if member["validator"] else "has no vote"
        rights = "; ".join(f"{row['key'].hex()} may {', '.join(row['rights'])}" for row in member["signers"])
        opens = f"; opens documents with {member['encryption'].hex()}" if member["encryption"] else ""
        lines.append(f"member {member['id']}, {member['role']}: {vote}; signs with {rights or 'no key'}{opens}")
    for party in doc["parties"]:
        opens = f"; opens documents with {party['encryption'].hex()}" if party["encryption"] else ""
        lines.append(f"party {party['id']}: {party['name']}, {len(party['keys'])} keys{opens}")
    lines += [
        f"template {item['id']} version {item['version']}, judged by model {item['model']}"
        for item in doc["templates"]
    ]
    lines += [f"credit model {item['id']} version {item['version']}" for item in doc["models"]]
    lines.append("contracts: " + ", ".join(f"{name} {number}" for name, number in sorted(doc["contracts"].items())))
    lines += [f"parameter {name}: {value}" for name, value in sorted(doc["parameters"].items())]
    return lines


def _check_signatures(genesis: Genesis, signatures: Sequence[Signature]) -> None:
    """Every signature is of a member, one each, and stands. Raises GenesisError by name."""
    message = documents.signed_bytes(genesis.document)
    seen: set[str] = set()
    for signature in signatures:
        name = signature.member
        member = genesis.members.get(name)
        if member is None:
            raise GenesisError(f"{name!r} signed but is no member: take that signature out")
        if name in seen:
            raise GenesisError(f"{name!r} signed twice: keep one signature")
        seen.add(name)
        if signature.network_id != genesis.network_id:
            raise GenesisError(
                f"{name!r} signed another draft ({signature.network_id.hex()}): have it sign this one "
                f"({genesis.network_id.hex()})"
            )
        if not verify(documents.ceremony_key(member), message, signature.signature):
            raise GenesisError(
                f"the signature of {name!r} does not stand for this document: it was altered after signing, "
                "or signed with another key; have that member sign again"
            )


def _signature_from_json(row: Any, network: bytes, path: Path) -> Signature:
    if not isinstance(row, dict) or sorted(row) != ["member", "signature"] or not isinstance(row["member"], str):
        raise GenesisError(f"{path}: a signature needs exactly member and signature: get it again from its signer")
    return Signature(network, row["member"], _unhex(row["signature"], SIGNATURE_SIZE, path))


def _unhex(text: Any, size: int, path: Path) -> bytes:
    try:
        raw = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != size or raw.hex() != text:
        raise GenesisError(f"{path}: {size * 2} lower-case hex digits are needed, not {str(text)[:80]!r}")
    return raw


def _read(path: Path, kind: str, *names: str) -> dict[str, Any]:
    """A file of ours with exactly these parts. Raises GenesisError."""
    whole = strict_json.read(path)
    if not isinstance(whole, dict) or whole.get("file") != kind:
        raise GenesisError(f"{path} is no {kind} file: give the right one")
    if whole.get("version") != FILE_VERSION:
        raise GenesisError(f"{path} is version {whole.get('version')!r}, not {FILE_VERSION}: update this program")
    if sorted(whole) != sorted({"file", "version", *names}):
        raise GenesisError(f"{path} needs exactly the parts {', '.join(names)}: get it again from who made it")
    return whole
