"""The genesis document: what a consortium agrees on before its first block, and the check of all of it.

The document is a plain dict of canonical values: name, time, members, parties, parameters, templates, models,
contracts. The network id, which every signature of the network covers, is made from it (`chain.identity`). This
file turns JSON, where bytes are hex, into that dict and back. The pydantic models are the door only: inside the
program the document is the dict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from chain.codec import CodecError, encode
from chain.crypto import PUBLIC_KEY_SIZE
from chain.identity import genesis_hash, genesis_statement
from chain.keys import is_usable_public_key
from contracts import catalog
from contracts.access import CONSORTIUM, METHOD_ROLES, ROLES
from contracts.adoption import check_template, model_of
from contracts.errors import ContractError
from contracts.gov import MAX_VALIDATORS, PARAMETER_BOUNDS
from contracts.model import parse as parse_model
from contracts.registry import MAX_IDENTIFIERS, MAX_MEMBERS
from contracts.template import compile_template
from genesis.strict_json import GenesisError, one_line

MAX_SIZE: Final = 4 * 1024 * 1024
"""Bytes of the encoded document."""
CONTRACTS: Final[Mapping[str, int]] = dict(sorted(catalog.CONTRACTS))
"""The newest version of each contract, by name."""

DEFAULTS: Final[Mapping[str, int]] = {
    "t0_ms": 1_000,  # R6: the first round's timeout
    "max_idle_ms": 30_000,  # R6: an idle chain's block interval
    "max_block_bytes": 1024 * 1024,
    "max_block_txs": 2_000,
    "max_charge": 1_000_000,  # metered units of one transaction
    "tx_window_ms": 3_600_000,  # how far ahead valid_until may lie
    "anchor_interval_blocks": 100,
    "anchor_interval_ms": 600_000,  # an anchor is due at whichever comes first
    "anchor_chains": 1,  # different public chains that must have each interval's checkpoint
    "anchor_authorities": 0,  # time-stamp authorities
    "anchor_witnesses": 0,
    "anchor_development": 0,  # 1: development chains count as public chains, for trying things out
    "custody_copies": 3,  # members that keep a chain's documents
    "custody_challenge_ms": 600_000,  # each custodian of each chain is challenged this often
    "custody_answer_ms": 120_000,  # and has so long to answer
    "credit_period_s": 0,  # length of a credit period; 0 is the calendar month in UTC
}
"""What a draft's parameters are where it says nothing. All of them stand in the document."""
BOUNDS: Final[Mapping[str, tuple[int, int]]] = {"max_charge": (10_000, 1_000_000_000), **PARAMETER_BOUNDS}
"""Least and most of each parameter: those that a later vote keeps within, too."""

_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_KEY_HEX: Final = re.compile(r"[0-9a-f]{64}")


def network_id(document: Mapping[str, Any]) -> bytes:
    """The hash of a document, 32 bytes: the name of the network in every signature."""
    return genesis_hash(document)


def signed_bytes(document: Mapping[str, Any]) -> bytes:
    """What each member signs: the statement whose hash is the network id (chain/identity.py)."""
    return encode(genesis_statement(document))


def from_json(value: Any) -> dict[str, Any]:
    """The canonical document of its JSON form (bytes as hex). Raises GenesisError."""
    try:
        document = _Document.model_validate(value).canonical()
    except ValidationError as error:
        raise GenesisError(f"the genesis document does not stand: {one_line(error)}") from None
    try:
        size = len(encode(document))
    except CodecError as error:
        raise GenesisError(f"the genesis document does not stand: {error}") from None
    if size > MAX_SIZE:
        raise GenesisError(f"the genesis document has {size} bytes where {MAX_SIZE} are allowed: make it smaller")
    return document


def to_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of a canonical document; `from_json` gives the same document back."""
    return {
        **document,
        "members": [member_to_json(member) for member in document["members"]],
        "parties": [
            {**party, "keys": [key.hex() for key in party["keys"]], "encryption": _hex(party["encryption"])}
            for party in document["parties"]
        ],
    }


def member_from_json(value: Any) -> dict[str, Any]:
    """The canonical form of one member's entry. Raises GenesisError."""
    try:
        return _Member.model_validate(value).model_dump()
    except ValidationError as error:
        raise GenesisError(f"the member's half does not stand: {one_line(error)}") from None


def member_to_json(member: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of one member's entry."""
    return {
        **member,
        **{purpose: _hex(member[purpose]) for purpose in ("validator", "network", "encryption")},
        "signers": [{"key": signer["key"].hex(), "rights": signer["rights"]} for signer in member["signers"]],
    }


def default_parameters() -> dict[str, int]:
    """A fresh copy of the parameters a draft starts from."""
    return dict(DEFAULTS)


def validators(document: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """(member id, validator key) of the members that vote, sorted by id."""
    return [(member["id"], member["validator"]) for member in document["members"] if member["validator"]]


def ceremony_key(member: Mapping[str, Any]) -> bytes:
    """The key a member signs the document with: its validator key, else its first signer key."""
    key: bytes = member["validator"] or member["signers"][0]["key"]
    return key


def _hex(key: bytes | None) -> str | None:
    return None if key is None else key.hex()


def _identifier(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text!r} is no id: start with a letter, then at most 31 of a-z 0-9 -")
    return text


def _public_key(value: Any) -> bytes:
    raw = value if isinstance(value, bytes) else b""
    if isinstance(value, str) and _KEY_HEX.fullmatch(value):
        raw = bytes.fromhex(value)
    if len(raw) != PUBLIC_KEY_SIZE:
        raise ValueError("a public key is 64 lower-case hex digits: copy it from 'tally keys show'")
    if not is_usable_public_key(raw):
        raise ValueError("is no Ed25519 key that only its owner can sign for: copy it from 'tally keys show'")
    return raw


def _repeated(values: Iterable[Any]) -> Any:
    """The first value that stands twice, or None."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _role(text: str) -> str:
    if text not in ROLES:
        raise ValueError(f"unknown role {text!r}: use one of {', '.join(ROLES)}")
    return text


_Id = Annotated[str, AfterValidator(_identifier)]
_PublicKey = Annotated[bytes, BeforeValidator(_public_key)]
_Role = Annotated[str, AfterValidator(_role)]
_Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Signer(_Model):
    key: _PublicKey
    rights: list[str]

    @field_validator("rights")
    @classmethod
    def _known(cls, rights: list[str]) -> list[str]:
        for right in rights:
            if right != "*" and right not in METHOD_ROLES:
                raise ValueError(f'{right!r} is no right: write "*" or one of {", ".join(METHOD_ROLES)}')
        if not rights or _repeated(rights) is not None:
            raise ValueError("a signer has at least one right, each once")
        return rights


class _Member(_Model):
    id: _Id
    role: _Role
    validator: _PublicKey | None
    network: _PublicKey | None
    encryption: _PublicKey | None = None
    signers: list[_Signer]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.id == CONSORTIUM:
            raise ValueError("the id 'consortium' is the shared chain's: choose another")
        if self.validator is None and not self.signers:
            raise ValueError(f"member {self.id!r} has no key to sign with: give a validator or a signer key")
        if self.validator is not None and self.network is None:
            raise ValueError(f"validator {self.id!r} has no network key: make one with 'tally keys new'")
        if self.validator is not None and self.role == "observer":
            raise ValueError(f"observer {self.id!r} has no vote: leave its validator key out")
        return self


class _Party(_Model):
    id: _Id
    name: _Text
    identifiers: Annotated[list[_Text], Field(max_length=MAX_IDENTIFIERS)] = []
    keys: Annotated[list[_PublicKey], Field(min_length=1)]
    encryption: _PublicKey | None = None


class _Document(_Model):
    name: _Text
    time: Annotated[int, Field(ge=0, lt=253_402_300_800_000)]
    members: Annotated[list[_Member], Field(max_length=MAX_MEMBERS)]
    parties: list[_Party]
    parameters: dict[str, int]
    templates: Annotated[list[dict[str, Any]], Field(min_length=1)]
    models: Annotated[list[dict[str, Any]], Field(min_length=1)]
    contracts: dict[str, int]

    @field_validator("parameters")
    @classmethod
    def _bounded(cls, parameters: dict[str, int]) -> dict[str, int]:
        for name in sorted(parameters.keys() | DEFAULTS.keys()):
            if name not in DEFAULTS:
                raise ValueError(f"unknown parameter {name!r}: use {', '.join(DEFAULTS)}")
            if name not in parameters:
                raise ValueError(f"parameter {name!r} is missing: its default is {DEFAULTS[name]}")
            least, most = BOUNDS[name]
            if not least <= parameters[name] <= most:
                raise ValueError(f"parameter {name!r} is {parameters[name]}: choose {least} to {most}")
        return parameters

    @field_validator("contracts")
    @classmethod
    def _known_contracts(cls, contracts: dict[str, int]) -> dict[str, int]:
        if contracts.keys() != CONTRACTS.keys():
            raise ValueError(f"must give the version of each of {', '.join(CONTRACTS)}, and of nothing else")
        for name, version in contracts.items():
            if (name, version) not in catalog.CONTRACTS:
                raise ValueError(f"contract {name!r} has no version {version}: this program has {CONTRACTS[name]}")
        return contracts

    @field_validator("templates")
    @classmethod
    def _templates_stand(cls, templates: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for template in templates:
            try:
                check_template(template)
                kinds = compile_template(template).kinds.values()
            except ContractError as error:
                raise ValueError(f"template {template.get('id')!r} does not stand: {error.message}") from None
            stranger = next((role for kind in kinds for role in kind.uploaders if role not in ROLES), None)
            if stranger is not None:
                raise ValueError(f"template {template['id']!r} lets the unknown role {stranger!r} upload: correct it")
        twice = _repeated((template["id"], template["version"]) for template in templates)
        if twice:
            raise ValueError(f"template {twice[0]!r} version {twice[1]} stands twice: keep one")
        return templates

    @field_validator("models")
    @classmethod
    def _models_stand(cls, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for model in models:
            try:
                parse_model(model)
            except ContractError as error:
                raise ValueError(f"model {model.get('id')!r} does not stand: {error.message}") from None
        twice = _repeated((model["id"], model["version"]) for model in models)
        if twice:
            raise ValueError(f"model {twice[0]!r} version {twice[1]} stands twice: keep one")
        return models

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        twice = _repeated([member.id for member in self.members] + [party.id for party in self.parties])
        if twice:
            raise ValueError(f"the id {twice!r} stands twice: members and parties each have their own")
        twice = _repeated(self._keys())
        if twice:
            raise ValueError(f"the key {twice.hex()} stands twice: each purpose and owner has its own key")
        twice = _repeated(text for party in self.parties for text in party.identifiers)
        if twice:
            raise ValueError(f"the identifier {twice!r} belongs to two parties: keep it with one")
        known = {model["id"] for model in self.models}
        orphan = next((template for template in self.templates if model_of(template) not in known), None)
        if orphan is not None:
            raise ValueError(
                f"template {orphan['id']!r} is judged by model {model_of(orphan)!r}, which is not among the models: "
                "add it"
            )
        count = sum(member.validator is not None for member in self.members)
        if not 1 <= count <= MAX_VALIDATORS:
            raise ValueError(f"{count} validators: a consortium has 1 to {MAX_VALIDATORS}, 4 to tolerate a fault")
        return self

    def _keys(self) -> list[bytes]:
        keys: list[bytes | None] = []
        for member in self.members:
            keys += [member.validator, member.network, member.encryption, *(row.key for row in member.signers)]
        keys += [key for party in self.parties for key in (*party.keys, party.encryption)]
        return [key for key in keys if key is not None]

    def canonical(self) -> dict[str, Any]:
        """The document as a plain dict: members and parties sorted by id."""
        whole = self.model_dump()
        whole["members"].sort(key=lambda member: member["id"])
        whole["parties"].sort(key=lambda party: party["id"])
        for party in whole["parties"]:  # a party that documents name by nothing else is named by its id
            party["identifiers"] = sorted(party["identifiers"]) or [party["id"]]
        return whole
