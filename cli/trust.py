"""What a verifier brings along: the genesis hash, and what it trusts of public chains. Never taken from the evidence.

A trust file is JSON, every part optional::

    {"block_hashes": {"1": {"21000000": "0x…"}},     public chain id → block number → hash, from a node you trust
     "senders": ["0x…"]}                              accounts whose anchors count
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from cli.errors import CliError
from cli.values import digest, is_digest

ADDRESS_SIZE: Final = 20


@dataclass(frozen=True)
class Trust:
    """Public block hashes by (chain id, number), and 20-byte senders."""

    block_hashes: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    senders: frozenset[bytes] = frozenset()

    def block_hash(self, chain_id: int, number: int) -> bytes | None:
        """The trusted hash of a public block, None where none is known."""
        return self.block_hashes.get((chain_id, number))


def genesis_hash(text: str) -> bytes:
    """The genesis hash given to ``--genesis``. Raises CliError: a file is no substitute for knowing it."""
    if is_digest(text):
        return digest(text, "genesis hash")
    if Path(text).exists():
        raise CliError(
            f"--genesis takes the hash itself, not a file like {text}: get its 64 digits from the consortium over "
            "another channel (a contract, its web page); `tally genesis show` only says what a file claims"
        )
    raise CliError(f"--genesis {text[:80]!r} is not 64 hexadecimal digits: copy the hash whole")


def load(path: Path | None) -> Trust:
    """A trust file; without one nothing of public chains is trusted. Raises CliError, GenesisError."""
    if path is None:
        return Trust()
    from genesis import strict_json

    value = strict_json.read(path)
    if not isinstance(value, dict) or set(value) - {"block_hashes", "senders"}:
        raise CliError(f"{path} is no trust file: it holds block_hashes and senders")
    try:
        hashes = {
            (int(chain), int(number)): _bytes(text, 32)
            for chain, blocks in value.get("block_hashes", {}).items()
            for number, text in blocks.items()
        }
        senders = frozenset(_bytes(text, ADDRESS_SIZE) for text in value.get("senders", []))
    except (ValueError, TypeError, AttributeError):
        raise CliError(
            f'{path} is no trust file: write {{"block_hashes": {{"1": {{"21000000": "0x…"}}}}, "senders": ["0x…"]}}'
        ) from None
    return Trust(hashes, senders)


def require_anchor_extra() -> None:
    """Raise CliError where Keccak or secp256k1 is missing: what public-chain proofs are checked with."""
    missing = [name for name in ("Crypto", "coincurve") if find_spec(name) is None]
    if missing:
        raise CliError(
            f"public-chain anchors need more: pip install 'tallystick[anchor]' ({missing[0]} is missing)",
            code="NOT_INSTALLED",
        )


def _bytes(text: Any, size: int) -> bytes:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != size:
        raise ValueError(f"{size} bytes are needed")
    return raw
