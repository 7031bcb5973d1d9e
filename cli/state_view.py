"""The state of all chains at a height, for the contracts' own reading functions: nothing is computed a second time.

Where a command must show what a contract would read and work out (explain: the borrowing base, what is available), it
runs that contract's function on this view. Writing is refused: the view only looks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from tallystick.client import Client

CONSORTIUM: Final = "consortium"
CACHED: Final = 65_536


class StateView:
    """A contract's context (contracts/context.py) on a node's state as of a height, in the credit contract's name."""

    chain: Final = CONSORTIUM
    tx_id: Final = b""
    signers: Final[tuple[bytes, ...]] = ()
    records: Final[tuple[tuple[bytes, list[Any]], ...]] = ()

    def __init__(self, client: Client, height: int, *, contract: str = "credit") -> None:
        """height: a block at or below the node's head."""
        self._client = client
        self._contract = contract
        self._read = lru_cache(maxsize=CACHED)(self._ask)
        block = client.block(height)
        self.height = height
        self.time: int = block["time"]
        self._chains = tuple(sorted(head["chain"] for head in block["chains"])) if height else ()
        self._heads = {head["chain"]: head for head in block["chains"]} if height else {}

    @property
    def network_id(self) -> bytes:
        """The network the node says it serves."""
        return self._client.network_id

    @property
    def parent_hash(self) -> bytes:
        """Hash of the consortium block before the height; b"" for genesis."""
        return bytes.fromhex(self._client.block(self.height - 1)["digest"]) if self.height else b""

    def get(self, *key: str | int | bytes) -> Any:
        """Value under a key of the contract's own namespace, or None."""
        return self._read(CONSORTIUM, self._contract, key)

    def read(self, chain: str, contract: str, *key: str | int | bytes) -> Any:
        """State of any chain, or None."""
        return self._read(chain, contract, key)

    def chains(self) -> tuple[str, ...]:
        """Ids of all member chains, sorted."""
        return self._chains

    def head(self, chain: str) -> tuple[int, bytes, bytes]:
        """(height, block hash, state root) of a chain."""
        found = self._heads[chain]
        return found["height"], bytes.fromhex(found["hash"]), bytes.fromhex(found["state_root"])

    def hash(self, value: Any) -> bytes:
        """sha256 of the canonical encoding, 32 bytes."""
        from chain.crypto import hash_value

        return hash_value(value)

    def encode(self, value: Any) -> bytes:
        """Canonical encoding of a value."""
        from chain.codec import encode

        return encode(value)

    def decode(self, data: bytes) -> Any:
        """The value of a canonical encoding."""
        from chain.codec import decode

        return decode(data)

    def verify_path(self, root: bytes, leaf: bytes, index: int, count: int, path: list[bytes]) -> bool:
        """Whether a leaf stands under an RFC 6962 root."""
        from chain.merkle import verify

        return verify(root, leaf, index, count, path)

    def verify_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether an Ed25519 signature stands."""
        from chain.crypto import verify

        return verify(key, message, signature)

    def charge(self, units: int) -> None:
        """Looking is not metered."""

    def put(self, *key: str | int | bytes, value: Any) -> NoReturn:
        """Refused: a view only looks."""
        raise TypeError(f"a view of the state cannot be written to: {key} = {value!r}")

    def put_canonical(self, *key: str | int | bytes, value: Any) -> NoReturn:
        """Refused: a view only looks."""
        self.put(*key, value=value)

    def delete(self, *key: str | int | bytes) -> NoReturn:
        """Refused: a view only looks."""
        raise TypeError(f"a view of the state cannot be written to: {key}")

    def emit(self, name: str, data: dict[str, Any]) -> NoReturn:
        """Refused: a view only looks."""
        raise TypeError(f"a view of the state emits nothing: {name} {data}")

    def _ask(self, chain: str, contract: str, key: tuple[str | int | bytes, ...]) -> Any:
        return self._client.state(chain, contract, *key, at=self.height)
