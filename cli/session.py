"""Which node is asked and whose key signs.

``--node URL`` and ``--key FILE`` name them directly. ``--home DIR --as ID`` takes both from the folder of a
development consortium (``tally genesis dev``): the API address from ``DIR/<member>/node.toml``, the key from
``keys.signer`` there or, for a party without a node, from ``DIR/parties/<party>.json``. The passphrase comes
from TALLY_PASSPHRASE, TALLY_PASSPHRASE_FILE, ``DIR/passphrase``, or is asked for at a terminal.
"""

from __future__ import annotations

import os
import sys
import tomllib
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import click

from cli.command import Settings
from cli.errors import CliError
from cli.output import note

if TYPE_CHECKING:
    from chain.crypto import SigningKey
    from tallystick.client import Client

DEFAULT_NODE: Final = "http://127.0.0.1:27101"
CONFIG_FILE: Final = "node.toml"
PASSPHRASE_FILE: Final = "passphrase"
PARTIES: Final = "parties"


class Session:
    """One command's node and keys, each opened when first needed. Use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if "client" in self.__dict__:
            self.client.close()

    @cached_property
    def client(self) -> Client:
        """The client of the node that is asked."""
        from tallystick.client import Client

        return Client(self.url)

    @cached_property
    def url(self) -> str:
        """The node's API address."""
        if self.settings.node:
            return self.settings.node
        if self.settings.home is not None:
            return api_url(_node_folder(self.settings.home, self.settings.acting) / CONFIG_FILE)
        return DEFAULT_NODE

    @cached_property
    def keys(self) -> list[SigningKey]:
        """The keys that sign. Raises KeyFileError, CliError where none is named."""
        from chain import keys

        paths = self.settings.keys or (self._home_key(),)
        found = [keys.load(path, self.passphrase(path)) for path in paths]
        if len({key.public for key in found}) != len(found):
            raise CliError("the same key is given twice: give each --key once")
        for path in paths:
            purpose = keys.inspect(path).purpose
            if purpose not in ("signer", "party"):
                raise CliError(f"{path} is {keys.named(purpose)}: transactions are signed with a signer or party key")
        return found

    def unlock(self) -> None:
        """Open the keys now, before anything is made or sent."""
        if not self.keys:
            raise CliError("no key to sign with: give --key FILE")

    @property
    def key(self) -> SigningKey:
        """The first key: what a member's secrets are derived from."""
        return self.keys[0]

    @cached_property
    def owner(self) -> dict[str, Any]:
        """Registry entry of the first key: {owner: member|party, id, rights …}. Raises CliError for a stranger."""
        entry = self.client.state("consortium", "registry", "key", self.key.public)
        if entry is None:
            raise CliError(
                f"key {self.key.public.hex()} is registered to nobody: register it, or give another --key",
                code="UNKNOWN_SIGNER",
            )
        return dict(entry)

    def acting_as(self, member: str) -> Session:
        """The same home, another member (its node and its key)."""
        if self.settings.home is None:
            raise CliError("acting for other members needs --home, the folder of a development consortium")
        return Session(Settings(self.settings.json, None, (), self.settings.home, member))

    def passphrase(self, key_file: Path, *, confirm: bool = False) -> str:
        """The passphrase of a key file. Raises CliError when there is nobody to ask."""
        from chain import keys

        given = keys.passphrase_from_environment(os.environ)
        if given is not None:
            return given
        if self.settings.home is not None:
            beside = self.settings.home / PASSPHRASE_FILE
            if beside.exists():
                return keys.passphrase_from_file(beside)
        if not sys.stdin.isatty():
            raise CliError(
                f"no passphrase for {key_file}: set TALLY_PASSPHRASE or TALLY_PASSPHRASE_FILE", code="NO_PASSPHRASE"
            )
        text: str = click.prompt(f"passphrase of {key_file}", hide_input=True, confirmation_prompt=confirm, err=True)
        return text

    def _home_key(self) -> Path:
        home, acting = self.settings.home, self.settings.acting
        if home is None:
            raise CliError("no key to sign with: give --key FILE (TALLY_KEY), or --home DIR --as MEMBER")
        if acting is None:
            raise CliError(f"who acts? give --as, one of {', '.join(who_is_there(home))}")
        if (home / acting / CONFIG_FILE).exists():
            return home / acting / _setting(home / acting / CONFIG_FILE, "keys", "signer")
        if (home / PARTIES / f"{acting}.json").exists():
            return home / PARTIES / f"{acting}.json"
        raise _nobody(home, acting)


def submit(
    session: Session,
    *,
    chain: str,
    contract: str,
    method: str,
    args: dict[str, Any] | None = None,
    records: tuple[bytes, ...] = (),
    timeout_s: float = 30.0,
) -> dict[str, Any]:
    """Sign, say the id, send, wait. Gives the committed state with its receipt; raises the client's four outcomes."""
    transaction = session.client.sign(
        *session.keys, chain=chain, contract=contract, method=method, args=args, records=records
    )
    note(f"transaction {transaction.id.hex()}")
    return session.client.submit_and_wait(transaction, timeout_s=timeout_s)


def api_url(config: Path) -> str:
    """The address at which a node of this machine answers, from its node.toml. Raises CliError."""
    host, _, port = _setting(config, "api", "listen").rpartition(":")
    local = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
    return f"http://{local.get(host, host)}:{port}"


def members_of(home: Path) -> list[str]:
    """The members whose node.toml lies in a home, sorted. Raises CliError where there is none."""
    found = sorted(path.parent.name for path in home.glob(f"*/{CONFIG_FILE}"))
    if not found:
        raise CliError(f"{home} is no folder of a development consortium: make one with `tally genesis dev {home}`")
    return found


def encryption_keys(settings: Settings) -> list[Path]:
    """The encryption key files of the member or party that --home and --as name, newest first. Raises CliError."""
    home, acting = settings.home, settings.acting
    if home is None or acting is None:
        raise CliError("no encryption key: give --key FILE, or --home DIR --as ID")
    if (home / acting / CONFIG_FILE).exists():
        config = tomllib.loads((home / acting / CONFIG_FILE).read_text(encoding="utf-8"))
        named = config.get("keys", {}).get("encryption", [])
        return [home / acting / name for name in ([named] if isinstance(named, str) else named)]
    return [home / PARTIES / f"{acting}.encryption.json"]


def who_is_there(home: Path) -> list[str]:
    """Members and parties with a key in a home; a party's encryption key lies beside the one it signs with."""
    files = sorted((home / PARTIES).glob("*.json"))
    return members_of(home) + [path.stem for path in files if not path.stem.endswith(".encryption")]


def _node_folder(home: Path, acting: str | None) -> Path:
    """The folder of the acting member; for a party, or nobody, the first member's."""
    members = members_of(home)
    if acting is None or (acting not in members and (home / PARTIES / f"{acting}.json").exists()):
        return home / members[0]
    if acting not in members:
        raise _nobody(home, acting)
    return home / acting


def _setting(config: Path, section: str, name: str) -> str:
    """One setting of a node.toml, read without the node's own loader, which needs more than the light install."""
    try:
        return str(tomllib.loads(config.read_text(encoding="utf-8"))[section][name])
    except FileNotFoundError:
        raise CliError(f"no configuration at {config}: make the folder with `tally genesis dev DIR`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise CliError(f"{config} names no {section}.{name}: correct it there") from None


def _nobody(home: Path, acting: str) -> CliError:
    return CliError(f"{home} has no member or party {acting!r}: use one of {', '.join(who_is_there(home))}")
