"""The slot for a signature by a CA-issued certificate, beside or instead of a registered key's: its form.

{algorithm, certificates: [DER, the signer's first], signature}. A contract knows no roots and no calendar of
revocations: whoever relies on the signature holds it against roots of his own (chain/x509.py), over the bytes that
the contract names.
"""

from __future__ import annotations

from typing import Final

from contracts import arguments
from contracts.context import Value
from contracts.errors import ContractError

ALGORITHMS: Final = ("cms", "ed25519", "ecdsa-sha256", "rsa-pkcs1-sha256", "rsa-pss-sha256")
MAX_CERTIFICATES: Final = 4
MAX_CERTIFICATE: Final = 4_096  # bytes, DER
MAX_SIGNATURE: Final = 16_384  # bytes; a CMS message may hold its certificates


def ca_slot(value: Value) -> dict[str, Value]:
    """A slot whose form is right. Raises ContractError WRONG_ARGUMENT."""
    given = arguments.mapping(value, "ca")
    arguments.expect(given, "algorithm", "certificates", "signature")
    if given["algorithm"] not in ALGORITHMS:
        raise ContractError("WRONG_ARGUMENT", f"algorithm of ca must be one of {', '.join(ALGORITHMS)}")
    for entry in arguments.sequence(given["certificates"], "certificates", 1, MAX_CERTIFICATES):
        _require_bytes(entry, "a certificate", MAX_CERTIFICATE)
    _require_bytes(given["signature"], "signature", MAX_SIGNATURE)
    return given


def _require_bytes(value: Value, what: str, maximum: int) -> None:
    if type(value) is not bytes or not 1 <= len(value) <= maximum:
        raise ContractError("WRONG_ARGUMENT", f"{what} must be 1 to {maximum} bytes")
