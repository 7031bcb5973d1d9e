"""The account that pays for anchors: a dedicated, low-balance secp256k1 key, and its lock.

A leaked anchoring key costs its balance and lets somebody anchor other payloads; it can sign nothing on the
consortium's chains. One process at a time may spend its nonces, so that whoever writes holds a file lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chain.evm import ADDRESS_SIZE

DEVELOPMENT_ACCOUNTS: Final = 10
"""How many accounts ``anvil`` funds at its start."""
_DEVELOPMENT_MNEMONIC: Final = "test test test test test test test test test test test junk"
"""Public knowledge: the words Foundry, Hardhat and others fund on development chains."""


class AnchorKeyError(Exception):
    """A key that cannot be used; one line that says what to do."""


def eth_accounts() -> Any:
    """eth-account's ``Account``, with the interpreter as it was.

    py_ecc, which it brings along, lifts the recursion limit of the whole process to 100 000 when imported.
    Deeply nested JSON sent to the node's API would then overflow the C stack: a crash instead of an error.
    """
    limit = sys.getrecursionlimit()
    try:
        from eth_account import Account  # lazily: only nodes with an anchoring account pay for it
    finally:
        sys.setrecursionlimit(limit)
    return Account


class EvmKey:
    """An account: its address (20 bytes) and how it signs. The secret stays inside."""

    def __init__(self, account: Any, lock: Path) -> None:
        self._account = account
        self._lock = lock
        self.address: bytes = bytes.fromhex(account.address[2:])
        if len(self.address) != ADDRESS_SIZE:
            raise AnchorKeyError("an account address has 20 bytes")

    @classmethod
    def development(cls, index: int, folder: Path) -> EvmKey:
        """One of the ten accounts every development chain funds; its key is public. Raises AnchorKeyError."""
        if not 0 <= index < DEVELOPMENT_ACCOUNTS:
            raise AnchorKeyError(f"a development chain funds accounts 0 to {DEVELOPMENT_ACCOUNTS - 1}")
        accounts = eth_accounts()
        accounts.enable_unaudited_hdwallet_features()
        account = accounts.from_mnemonic(_DEVELOPMENT_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
        return cls(account, folder / f"{account.address}.lock")

    @classmethod
    def open(cls, path: Path, passphrase: str) -> EvmKey:
        """The account of an Ethereum keystore file (version 3). Raises AnchorKeyError."""
        accounts = eth_accounts()
        try:
            secret = accounts.decrypt(json.loads(path.read_text()), passphrase)
        except OSError as error:
            raise AnchorKeyError(f"cannot read the anchoring key {path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise AnchorKeyError(
                f"cannot open the anchoring key {path}: wrong passphrase, or not an Ethereum keystore file"
            ) from None
        return cls(accounts.from_key(secret), path.with_name(path.name + ".lock"))

    @classmethod
    def create(cls, path: Path, passphrase: str) -> EvmKey:
        """Make a key and its keystore file (mode 0600). Raises AnchorKeyError where the file is there."""
        accounts = eth_accounts()
        account = accounts.create()
        document = json.dumps(accounts.encrypt(account.key, passphrase))
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise AnchorKeyError(f"{path} exists: a key is never overwritten, name another file") from None
        return cls(account, path.with_name(path.name + ".lock"))

    def sign(self, fields: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """(raw transaction, its hash) for the transaction's fields, deterministic (RFC 6979)."""
        signed = self._account.sign_transaction(dict(fields))
        return bytes(signed.raw_transaction), bytes(signed.hash)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the account's lock. Raises AnchorKeyError where another process holds it."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AnchorKeyError(
                    f"another process anchors with 0x{self.address.hex()}: stop it, or give this node its own key"
                ) from None
            yield
        finally:
            os.close(descriptor)
