"""Certification paths (RFC 5280 § 6): from a signer's certificate to a root that the verifier pinned, at a past time.

Time-stamp authorities and certificate authorities sign with X.509 certificates that expire; what they signed stays
evidence. So every certificate of the path has to be valid *at the time of signing*, which the caller names, not now.
Revocation is what the verifier's own lists say: a bundle that leaves a list out must gain nothing by it.

Reading certificates and checking signatures is ``cryptography``'s (extra ``anchor``), imported where it is used. The
rules are here, one function each, so that a refusal can name the rule. Left out because nobody signs with it here:
SHA-1, keys below RSA 2048, SM2 (the library has none), name constraints and policy mapping (refused when critical).
"""

from __future__ import annotations

import warnings
from calendar import timegm
from collections.abc import Iterator, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chain.evm import VerificationError

if TYPE_CHECKING:
    from cryptography import x509

MAX_PATH: Final = 8
"""Certificates from signer to root, both counted."""
MAX_CERTIFICATES: Final = 32
"""Certificates that may come along with a signature."""
MAX_TRIES: Final = 256
"""Issuer signatures checked for one path: crossed certificates multiply."""
MIN_RSA_BITS: Final = 2048

TIME_STAMPING: Final = "1.3.6.1.5.5.7.3.8"
ANY_PURPOSE: Final = "2.5.29.37.0"
_SIGNING: Final = frozenset(
    {
        ANY_PURPOSE,
        "1.3.6.1.5.5.7.3.2",  # client authentication, which CAs put into personal certificates
        "1.3.6.1.5.5.7.3.4",  # e-mail protection
        "1.3.6.1.5.5.7.3.36",  # document signing, RFC 9336
        "1.3.6.1.4.1.311.10.3.12",  # document signing, Microsoft
        "1.2.840.113583.1.1.5",  # document signing, Adobe
    }
)
_HANDLED: Final = frozenset(
    {
        "2.5.29.15",  # key usage
        "2.5.29.17",  # subject alternative name
        "2.5.29.19",  # basic constraints
        "2.5.29.32",  # certificate policies: any is accepted
        "2.5.29.37",  # extended key usage
    }
)
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
_OUTLIVED: Final = frozenset({"unspecified", "affiliation_changed", "superseded", "cessation_of_operation"})
"""Stated reasons after which the tokens from before the revocation stand; else none does (RFC 3161 § 4, 1 and 2)."""


class CertificateError(VerificationError):
    """A certificate that shows nothing; one line. ``code`` is stable for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Purpose(StrEnum):
    """What the signer's certificate has to be for."""

    TIME_STAMPING = "time stamping"
    """RFC 3161 § 2.3: this purpose, critical, and no other."""
    SIGNING = "signing documents"


class Path(NamedTuple):
    """A verified path. certificates: DER, signer's first; root: SHA-256 of the pinned root's DER."""

    certificates: tuple[bytes, ...]
    subject: str
    root: bytes


def library() -> Any:
    """``cryptography.x509``. Raises CertificateError where the extra is not installed."""
    try:
        from cryptography import x509
    except ImportError:
        raise CertificateError(
            "CERT_NO_LIBRARY", "certificates cannot be read: pip install 'tallystick[anchor]'"
        ) from None
    return x509


def load(der: bytes) -> x509.Certificate:
    """The certificate of its DER bytes. Raises CertificateError."""
    parser = library().load_der_x509_certificate
    try:
        # Names of a form that only this library minds are no reason to speak to the user.
        with warnings.catch_warnings(action="ignore"):
            certificate: x509.Certificate = parser(der)
            # Each part is read when it is first asked for: all of it now, so that nothing fails later on.
            _ = (certificate.subject, certificate.issuer, list(certificate.extensions), certificate.public_key())
            _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
            _ = certificate.signature_hash_algorithm
            serial = certificate.serial_number
    except Exception as error:  # the library's parsers raise a dozen kinds
        raise CertificateError("CERT_UNREADABLE", f"a certificate cannot be read: {_first_line(error)}") from None
    if serial <= 0:
        raise CertificateError("CERT_UNREADABLE", "a certificate's serial number is not positive (RFC 5280)")
    return certificate


def verify_path(
    leaf: bytes,
    others: Sequence[bytes],
    roots: Sequence[bytes],
    at: int,
    purpose: Purpose,
    crls: Sequence[bytes] = (),
) -> Path:
    """The path from ``leaf`` to one of ``roots`` whose every certificate was good at ``at``.

    leaf, others, roots: DER, in any order; roots are the verifier's own. at: seconds since 1970. crls: DER revocation
    lists, the verifier's own; only what a path's issuers signed counts. Raises CertificateError: ``CERT_UNTRUSTED``
    where no path leads to a root, else the first rule that the last path tried breaks.
    """
    if len(others) > MAX_CERTIFICATES:
        raise CertificateError("CERT_TOO_MANY", f"more than {MAX_CERTIFICATES} certificates come along")
    pinned = [load(der) for der in dict.fromkeys(roots)]
    trusted = {_der(root) for root in pinned}
    pool = [*pinned, *(load(der) for der in dict.fromkeys(others) if der not in trusted)]
    signer, broken = load(leaf), None
    for path in _paths([signer], pool, trusted, [MAX_TRIES]):
        try:
            _check(path, at, purpose, _revocations(crls))
        except CertificateError as error:
            broken = error
        else:
            subject = signer.subject.rfc4514_string()
            return Path(tuple(map(_der, path)), subject, sha256(_der(path[-1])).digest())
    raise broken or CertificateError(
        "CERT_UNTRUSTED", f"no root you trust issued the certificate of {signer.subject.rfc4514_string()!r}"
    )


def check_signature(certificate: x509.Certificate, scheme: str, digest: str, data: bytes, signature: bytes) -> None:
    """Check a signature by a certificate's key over data.

    scheme: ``rsa-pkcs1``, ``rsa-pss`` (any salt), ``ecdsa`` or ``ed25519``; digest: ``sha256`` … ``sha512``. Raises
    CertificateError.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    if digest not in _HASHES:
        raise CertificateError("SIGNATURE_WEAK", f"a signature by digest {digest} is not accepted")
    algorithm: hashes.HashAlgorithm = getattr(hashes, digest.upper())()
    key = certificate.public_key()
    try:
        if scheme == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        elif scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        elif scheme == "rsa-pkcs1" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        elif scheme == "rsa-pss" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO), algorithm)
        else:
            raise CertificateError("SIGNATURE_SCHEME", f"the certificate's key does not sign by {scheme}")
    except InvalidSignature:
        raise CertificateError(
            "SIGNATURE_FALSE", "the signature does not stand under the certificate's key"
        ) from None


def _paths(
    path: list[x509.Certificate], pool: Sequence[x509.Certificate], trusted: set[bytes], tries: list[int]
) -> Iterator[list[x509.Certificate]]:
    """Every path from ``path`` on that ends in a trusted certificate, the shortest of each branch first."""
    last = path[-1]
    if _der(last) in trusted:
        yield path
        return
    if len(path) == MAX_PATH:
        return
    for issuer in pool:
        if issuer.subject != last.issuer or issuer in path:
            continue
        tries[0] -= 1
        if tries[0] < 0:
            raise CertificateError("CERT_TOO_MANY", "the certificates that come along cross each other too often")
        if _issued(last, issuer):
            yield from _paths([*path, issuer], pool, trusted, tries)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def _check(path: Sequence[x509.Certificate], at: int, purpose: Purpose, crls: Sequence[Any]) -> None:
    """Every rule on one path, signer first. Raises CertificateError."""
    for place, certificate in enumerate(path):
        _check_time(certificate, at)
        _check_strength(certificate, is_root=place == len(path) - 1)
        _check_critical(certificate)
        if place:
            _check_issuer(certificate, place - 1)
            if place < len(path) - 1:
                _check_issuer_purpose(certificate, purpose)
            _check_revocation(path[place - 1], certificate, at, purpose, crls)
    _check_purpose(path[0], purpose)


def _check_time(certificate: x509.Certificate, at: int) -> None:
    begin = timegm(certificate.not_valid_before_utc.utctimetuple())
    end = timegm(certificate.not_valid_after_utc.utctimetuple())
    if not begin <= at <= end:
        raise CertificateError("CERT_NOT_VALID_THEN", f"{_name(certificate)} was not valid at the time of signing")


def _check_strength(certificate: x509.Certificate, *, is_root: bool) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    key = certificate.public_key()
    strong = (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS)
        or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES)
    )
    if not strong:
        raise CertificateError("CERT_WEAK", f"{_name(certificate)} has a key of a kind or size that is not accepted")
    digest = certificate.signature_hash_algorithm
    if not is_root and digest is not None and digest.name not in _HASHES:
        raise CertificateError("CERT_WEAK", f"{_name(certificate)} is signed by digest {digest.name}")


def _check_critical(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        if extension.critical and extension.oid.dotted_string not in _HANDLED:
            oid = extension.oid.dotted_string
            raise CertificateError(
                "CERT_EXTENSION", f"{_name(certificate)} has a critical extension {oid}, not handled"
            )


def _check_issuer(certificate: x509.Certificate, below: int) -> None:
    """below: how many issuers stand between this one and the signer."""
    constraints = _extension(certificate, "BasicConstraints")
    if constraints is None or not constraints.value.ca:
        raise CertificateError("CERT_NOT_CA", f"{_name(certificate)} may not issue certificates")
    if constraints.value.path_length is not None and below > constraints.value.path_length:
        raise CertificateError("CERT_PATH_LENGTH", f"{_name(certificate)} allows fewer issuers below it")
    usage = _extension(certificate, "KeyUsage")
    if usage is not None and not usage.value.key_cert_sign:
        raise CertificateError("CERT_NOT_CA", f"the key of {_name(certificate)} may not sign certificates")


def _check_issuer_purpose(certificate: x509.Certificate, purpose: Purpose) -> None:
    """An issuer below the root that names purposes issues for these only, as all common verifiers have it."""
    named = _purposes(certificate)
    allowed = {TIME_STAMPING, ANY_PURPOSE} if purpose is Purpose.TIME_STAMPING else _SIGNING
    if named and not named & allowed:
        raise CertificateError("CERT_PURPOSE", f"{_name(certificate)} does not issue for {purpose.value}")


def _check_purpose(certificate: x509.Certificate, purpose: Purpose) -> None:
    named, extension = _purposes(certificate), _extension(certificate, "ExtendedKeyUsage")
    if purpose is Purpose.TIME_STAMPING:
        good = extension is not None and extension.critical and named == {TIME_STAMPING}
    else:
        good = not named or bool(named & _SIGNING)
    usage = _extension(certificate, "KeyUsage")
    if usage is not None:
        good = good and (usage.value.digital_signature or usage.value.content_commitment)
    if not good:
        raise CertificateError("CERT_PURPOSE", f"{_name(certificate)} is not for {purpose.value}")


def _check_revocation(
    certificate: x509.Certificate, issuer: x509.Certificate, at: int, purpose: Purpose, crls: Sequence[Any]
) -> None:
    """What the issuer's lists say of a certificate. Raises CertificateError."""
    for crl in crls:
        try:
            counts = crl.issuer == issuer.subject and _signed_by(crl, issuer)
            entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number) if counts else None
            why = None if entry is None else _still_counts(entry, at, purpose)
        except ValueError as error:
            raise CertificateError("CRL_UNREADABLE", f"a revocation list: {_first_line(error)}") from None
        if why is not None:
            raise CertificateError("CERT_REVOKED", f"{_name(certificate)} is revoked ({why})")


def _still_counts(entry: Any, at: int, purpose: Purpose) -> str | None:
    """The reason in words where an entry takes what was signed at ``at``, else None.

    What a person signed before stands, whatever the reason; what an authority stamped before, for some reasons only.
    """
    reason = _entry_value(entry, "CRLReason", "reason")
    since = min(
        timegm(date.utctimetuple())
        for date in (entry.revocation_date_utc, _entry_value(entry, "InvalidityDate", "invalidity_date_utc"))
        if date is not None
    )
    stands = purpose is Purpose.SIGNING or (reason is not None and reason.name in _OUTLIVED)
    if stands and at < since:
        return None
    return "no reason given" if reason is None else str(reason.name).replace("_", " ")


def _entry_value(entry: Any, extension: str, attribute: str) -> Any:
    """A value out of an entry's extension of this class of the library, or None."""
    try:
        return getattr(entry.extensions.get_extension_for_class(getattr(library(), extension)).value, attribute)
    except library().ExtensionNotFound:
        return None


def _revocations(crls: Sequence[bytes]) -> list[Any]:
    try:
        return [library().load_der_x509_crl(der) for der in crls]
    except ValueError as error:
        raise CertificateError("CRL_UNREADABLE", f"a revocation list cannot be read: {_first_line(error)}") from None


def _signed_by(crl: Any, issuer: x509.Certificate) -> bool:
    try:
        return bool(crl.is_signature_valid(issuer.public_key()))
    except (TypeError, ValueError):
        return False


def _extension(certificate: x509.Certificate, name: str) -> Any:
    """The extension of this class of the library, or None."""
    try:
        return certificate.extensions.get_extension_for_class(getattr(library(), name))
    except library().ExtensionNotFound:
        return None


def _purposes(certificate: x509.Certificate) -> set[str]:
    extension = _extension(certificate, "ExtendedKeyUsage")
    return set() if extension is None else {each.dotted_string for each in extension.value}


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def _name(certificate: x509.Certificate) -> str:
    return f"the certificate of {certificate.subject.rfc4514_string()!r}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
