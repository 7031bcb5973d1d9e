"""What a verifier brings along: the genesis hash, and the trust file (tallystick/evidence/trust.py)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from cli.errors import CliError
from cli.values import digest, is_digest


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


def require_anchor_extra() -> None:
    """Raise CliError where Keccak or secp256k1 is missing: what public-chain proofs are checked with."""
    missing = [name for name in ("Crypto", "coincurve") if find_spec(name) is None]
    if missing:
        raise CliError(
            f"public-chain anchors need more: pip install 'tallystick[anchor]' ({missing[0]} is missing)",
            code="NOT_INSTALLED",
        )
