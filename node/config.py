"""A node's configuration: one TOML file, checked whole before anything starts.

Relative paths are taken from the file's folder. What every node must agree on is not here but in the genesis
document (`genesis.document`); what is here concerns this machine only. docs/operations.md lists all
settings. A wrong file is answered with one line that names the setting and says what to do.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from chain.keys import KeyFileError, passphrase_from_environment, passphrase_from_file
from genesis.strict_json import one_line
from node.config_anchor import Anchor, absolute_anchor
from node.config_intake import Intake, absolute_intake
from node.config_types import (
    Address,
    FilePath,
    HttpUrl,
    ListenAddress,
    MemberId,
    Positive,
    Section,
    is_safe_url,
    parse_address,
)

__all__ = ["Address", "Anchor", "Config", "ConfigError", "Intake", "load", "parse_address", "passphrase"]

MAX_FILE_SIZE: Final = 1024 * 1024
"""Bytes of a configuration file."""


class ConfigError(Exception):
    """A configuration that cannot be used; the message is one line that says what to do."""


def _network_key(text: Any) -> bytes:
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(f"{text!r} is no key: write its 64 lower-case hex digits")
    return bytes.fromhex(text)


class Keys(Section):
    """Key files of this node (`chain.keys`). Without a validator key the node is an observer."""

    network: FilePath
    validator: FilePath | None = None
    signer: FilePath | None = None
    encryption: Annotated[
        list[FilePath], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)
    ] = Field(default_factory=list)
    """What opens documents sealed to this member: one path or a list of them, newest first."""


class P2p(Section):
    """Peer network: where to listen, and where each other member is (`{member id: "host:port"}`)."""

    listen: ListenAddress
    peers: dict[MemberId, ListenAddress] = Field(default_factory=dict)
    keys: dict[MemberId, Annotated[bytes, BeforeValidator(_network_key)]] = Field(default_factory=dict)
    """Network keys of members (hex) that no block here has yet: for a node that begins far behind the registry."""


class Api(Section):
    """HTTP API and explorer pages. It has no login of its own: keep it on loopback or behind a proxy."""

    listen: ListenAddress
    max_request_bytes: Annotated[int, Field(ge=1_024, le=64 * 1024 * 1024)] = 8 * 1024 * 1024


class Limits(Section):
    """What one node takes on. Bytes and counts."""

    mempool_bytes: Annotated[int, Field(ge=1024 * 1024)] = 64 * 1024 * 1024
    mempool_transactions: Positive = 50_000
    sender_transactions: Positive = 10_000
    """Pending transactions of one signer."""
    sender_bytes: Positive = 16 * 1024 * 1024
    """Pending bytes of one signer."""
    document_bytes: Positive = 64 * 1024 * 1024
    """One document."""
    min_free_disk_bytes: Annotated[int, Field(ge=0)] = 256 * 1024 * 1024
    """With less free space the node takes no new transactions, and says so."""


class Webhook(Section):
    """One of `[[webhooks]]`: where the notices to a member or party are sent (docs/inbox.md)."""

    url: HttpUrl
    recipient: Annotated[str, Field(min_length=1, max_length=256)]
    """Id of the member or party whose notices these are."""
    secret_file: FilePath
    """Shared with the receiver: "whsec_" and base64, one secret a line; each signs."""
    names: list[str] = Field(default_factory=list)
    """Send only notices of these names; all where empty."""
    after: str = ""
    """At the very first start, skip what lies up to this cursor."""
    allow_http: bool = False
    """Send without TLS to a host other than this machine."""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not is_safe_url(self.url, allow_http=self.allow_http):
            raise ValueError(f"{self.url} is not https, so it can be read on the way: use https, or set allow_http")
        return self


class Clock(Section):
    """The machine's clock against the peers' (R15 judges fresh proposals by it)."""

    warn_skew_ms: Annotated[int, Field(ge=10, le=60_000)] = 500


class Log(Section):
    """Structured logs on standard error, or appended to a file."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    file: FilePath | None = None


class Config(Section):
    """Everything one node is started with. Paths are absolute after `load`."""

    member: MemberId
    genesis: FilePath
    data: FilePath
    documents: str | None = None
    """Where documents lie, encrypted, as an fsspec URL (folder, s3://…); None is `data`/documents."""
    passphrase_file: FilePath | None = None
    """Where the passphrase lies; TALLY_PASSPHRASE and TALLY_PASSPHRASE_FILE come first."""
    keys: Keys
    p2p: P2p
    api: Api
    anchor: Anchor = Anchor()
    limits: Limits = Limits()
    clock: Clock = Clock()
    log: Log = Log()
    webhooks: list[Webhook] = Field(default_factory=list)
    intake: Intake = Intake()
    follow: list[MemberId] | None = None
    """The chains that a node without a vote executes, its own among them or not; None: all, as every voter does. Of
    the others it keeps the heads (docs/partial-observers.md)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.member in self.p2p.peers:
            raise ValueError(f"p2p.peers names this member itself ({self.member}): take that line out")
        if self.p2p.listen == self.api.listen:
            raise ValueError(f"p2p.listen and api.listen are both {self.api.listen}: give each its own port")
        if self.follow is not None and self.keys.validator is not None:
            raise ValueError("keys.validator and follow are both given: who votes executes every chain; take one out")
        return self


def load(path: Path) -> Config:
    """Read a node.toml. Raises ConfigError naming the file, the setting and what to do."""
    values = _read(path)
    folder = path.absolute().parent
    try:
        return _absolute(Config.model_validate(values), folder)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_advice(error)}") from None


def passphrase(config: Config, environment: Mapping[str, str] = os.environ) -> str | None:
    """The passphrase of this node's keys, or None when nothing names one (the CLI then asks).

    From TALLY_PASSPHRASE, TALLY_PASSPHRASE_FILE, else the configured file. Raises ConfigError.
    """
    try:
        given = passphrase_from_environment(environment)
        if given is None and config.passphrase_file is not None:
            given = passphrase_from_file(config.passphrase_file)
    except KeyFileError as error:
        raise ConfigError(str(error)) from None
    return given


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
        if len(data) > MAX_FILE_SIZE:
            raise ConfigError(f"{path} is longer than {MAX_FILE_SIZE} bytes: give a node.toml")
        return tomllib.loads(data.decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}: give the path of a node.toml") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror}): correct its path or its mode") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text: give a node.toml") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML ({error}): correct it there") from None


def _advice(error: ValidationError) -> str:
    """The first finding, with what to do where pydantic only says what is wrong."""
    kind = error.errors(include_url=False, include_context=False, include_input=False)[0]["type"]
    finding = one_line(error)
    if kind == "missing":
        return f"{finding}: add that setting (docs/operations.md lists all)"
    if kind == "extra_forbidden":
        return f"{finding}: take that setting out, or correct its name"
    return finding if kind == "value_error" else f"{finding}: correct that setting"


def _absolute(config: Config, folder: Path) -> Config:
    """The same configuration with every path absolute."""

    def place(path: Path | None) -> Path | None:
        return None if path is None else Path(os.path.normpath(folder / path.expanduser()))

    return config.model_copy(
        update={
            "genesis": place(config.genesis),
            "data": place(config.data),
            "passphrase_file": place(config.passphrase_file),
            "keys": Keys.model_construct(
                network=place(config.keys.network),
                validator=place(config.keys.validator),
                signer=place(config.keys.signer),
                encryption=[place(path) for path in config.keys.encryption],
            ),
            "anchor": absolute_anchor(config.anchor, place),
            "log": config.log.model_copy(update={"file": place(config.log.file)}),
            "webhooks": [
                hook.model_copy(update={"secret_file": place(hook.secret_file)}) for hook in config.webhooks
            ],
            "intake": absolute_intake(config.intake, place),
        }
    )
