"""Signatures of persons and courts by CA-issued certificates, beside those by the keys of this network.

Where a law wants a certificate of a licensed authority under a consent or an acknowledgement, the same bytes are
signed a second time, and the signature stands beside with its certificates. Checked offline, to roots that the caller
pinned, at the time that the consortium's chain gives the signing. Four raw schemes, and CMS (RFC 5652), which most
signing tools and ``openssl cms -sign`` make. Needs extra ``anchor``; SM2 is not supported by its library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from chain import cms
from chain.certpath import CertificateError, Purpose, check_signature, library, load, verify_path
from chain.crypto import sha256

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["ALGORITHMS", "CertificateError", "Signatory", "describe", "verify_detached"]

CMS: Final = "cms"
_RAW: Final = {
    "rsa-pkcs1-sha256": ("rsa-pkcs1", "sha256"),
    "rsa-pkcs1-sha384": ("rsa-pkcs1", "sha384"),
    "rsa-pkcs1-sha512": ("rsa-pkcs1", "sha512"),
    "rsa-pss-sha256": ("rsa-pss", "sha256"),
    "rsa-pss-sha384": ("rsa-pss", "sha384"),
    "rsa-pss-sha512": ("rsa-pss", "sha512"),
    "ecdsa-sha256": ("ecdsa", "sha256"),
    "ecdsa-sha384": ("ecdsa", "sha384"),
    "ecdsa-sha512": ("ecdsa", "sha512"),
    "ed25519": ("ed25519", "sha512"),
}
ALGORITHMS: Final = (CMS, *_RAW)
"""Names of what ``verify_detached`` takes; an ECDSA signature is the DER pair, as ``openssl dgst -sign`` makes it."""


class Signatory(NamedTuple):
    """Who signed. subject: distinguished name (RFC 4514); common_name, organization: empty where it has none;

    serial: of the certificate; certificate, root: SHA-256 of the signer's and the pinned root's DER, 32 bytes each.
    """

    subject: str
    common_name: str
    organization: str
    serial: int
    certificate: bytes
    root: bytes


def verify_detached(
    data: bytes,
    signature: bytes,
    certificates: Sequence[bytes],
    roots: Sequence[bytes],
    at: int,
    *,
    algorithm: str,
    crls: Sequence[bytes] = (),
) -> Signatory:
    """Who signed these bytes, if the signature stands and its certificate was good at ``at``.

    certificates: DER; for a raw signature the signer's own comes first, then issuers in any order; for ``cms`` they
    add to what the signature brings along. roots, crls: the caller's own, DER. at: seconds since 1970. algorithm: one
    of ``ALGORITHMS``. Raises CertificateError.
    """
    library()
    if algorithm == CMS:
        signed = cms.parse(signature)
        if signed.content is not None and signed.content != data:
            raise CertificateError("CMS_DIGEST", "the signature carries other bytes than those it should be of")
        signer, others = cms.verify(signed, data, certificates, bound=False), (*signed.certificates, *certificates)
    elif algorithm in _RAW:
        if not certificates:
            raise CertificateError("CERT_MISSING", "a signature comes with its signer's certificate first")
        signer, others = load(certificates[0]), tuple(certificates[1:])
        check_signature(signer, *_RAW[algorithm], data, signature)
    else:
        raise CertificateError("SIGNATURE_SCHEME", f"unknown algorithm {algorithm!r}: one of {', '.join(ALGORITHMS)}")
    path = verify_path(_der(signer), others, roots, at, Purpose.SIGNING, crls)
    return describe(signer, path.root)


def describe(certificate: x509.Certificate, root: bytes = b"") -> Signatory:
    """What a certificate says of its holder; nothing of it is checked here."""
    from cryptography.x509.oid import NameOID

    def first(oid: x509.ObjectIdentifier) -> str:
        found = certificate.subject.get_attributes_for_oid(oid)
        return str(found[0].value) if found else ""

    return Signatory(
        certificate.subject.rfc4514_string(),
        first(NameOID.COMMON_NAME),
        first(NameOID.ORGANIZATION_NAME),
        certificate.serial_number,
        sha256(_der(certificate)),
        root,
    )


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)
