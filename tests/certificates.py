"""Certificates, revocation lists and time-stamp tokens made to order: honest ones, and every kind of wrong one.

Made with ``cryptography`` and the DER writer, so that a test can break one rule and leave the others whole. A token
with default values is one that ``openssl ts -verify`` accepts; ``tests/chain/test_rfc3161.py`` holds it to that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chain import der
from chain.cms import DIGESTS, SIGNED_DATA
from chain.rfc3161 import TST_INFO

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

BEGIN: Final = datetime(2020, 1, 1, tzinfo=UTC)
END: Final = datetime(2040, 1, 1, tzinfo=UTC)
STAMPED: Final = "20260301120000Z"
STAMPED_AT: Final = 1_772_366_400
POLICY: Final = "1.3.6.1.4.1.99999.1"
TRIAL_POLICY: Final = "2.999.1"

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_OIDS: Final = {name: oid for oid, name in DIGESTS.items()} | {"sha1": "1.3.14.3.2.26"}
_ECDSA: Final = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
_RSA: Final = {
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
_ATTRIBUTE: Final = "1.2.840.113549.1.9."


@dataclass(frozen=True)
class Holder:
    """Who holds a certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def certificate(
    name: str,
    issuer: Holder | None = None,
    *,
    key: Key | None = None,
    ca: bool | None = False,
    path_length: int | None = None,
    usage: Sequence[str] | None = ("digital_signature",),
    purposes: Sequence[x509.ObjectIdentifier] | None = None,
    purposes_critical: bool = True,
    begin: datetime = BEGIN,
    end: datetime = END,
    digest: str = "sha256",
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
    organization: str = "Tests",
) -> Holder:
    """A certificate by an issuer, or by itself. ca: None leaves the basic constraints out, usage: None the usage."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = [(NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, name)]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    by = issuer.certificate.subject if issuer else subject
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if usage is not None:
        builder = builder.add_extension(_usage(usage), critical=True)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=purposes_critical)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    signer = issuer.key if issuer else key
    algorithm: Any = None if isinstance(signer, ed25519.Ed25519PrivateKey) else _HASHES[digest]
    return Holder(builder.sign(signer, algorithm), key)


def root(name: str = "Test root", **changes: Any) -> Holder:
    """A self-signed issuer."""
    return certificate(name, **{"ca": True, "usage": ("key_cert_sign", "crl_sign"), **changes})


def authority(issuer: Holder, name: str = "Test time stamps", **changes: Any) -> Holder:
    """A certificate for time stamping."""
    return certificate(name, issuer, **{"purposes": [ExtendedKeyUsageOID.TIME_STAMPING], **changes})


def revocations(
    issuer: Holder, revoked: Holder, at: datetime, reason: x509.ReasonFlags | None, since: datetime | None = None
) -> bytes:
    """A revocation list of one certificate, DER. since: its invalidity date."""
    entry = x509.RevokedCertificateBuilder().serial_number(revoked.certificate.serial_number).revocation_date(at)
    if reason is not None:
        entry = entry.add_extension(x509.CRLReason(reason), critical=False)
    if since is not None:
        entry = entry.add_extension(x509.InvalidityDate(since), critical=False)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(BEGIN).next_update(END).add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class Token:
    """One token; every default is right. What is named ``*_raw`` goes in as it is, encoded."""

    signer: Holder
    data: bytes
    stamped: str = STAMPED
    policy: str = POLICY
    serial: int = 4711
    nonce: int | None = None
    version: int = 1
    imprint_digest: str = "sha256"
    digest: str = "sha256"
    scheme: str = ""
    """``pss`` for RSASSA-PSS; else what the key signs by."""
    accuracy_raw: bytes = b""
    name_raw: bytes = b""
    extensions_raw: bytes = b""
    content_type: str = TST_INFO
    attribute_type: str = TST_INFO
    named: Holder | None = None
    """Whose certificate the signing-certificate attribute names."""
    named_by: str = "sha256"
    """``sha1`` makes the older attribute, empty leaves it out."""
    digest_of: bytes | None = None
    attributes_raw: tuple[bytes, ...] = ()
    certificates: tuple[bytes, ...] | None = None
    by_key: bool = False
    """Name the signer by key identifier."""
    signers: int = 1
    status: int = 0
    altered: dict[str, bytes] = field(default_factory=dict)
    """``info`` or ``signature``: other bytes in their place after signing."""

    def response(self) -> bytes:
        """The TimeStampResp."""
        status = der.write_sequence([der.write_int(self.status)])
        return der.write_sequence([status, self.token()])

    def token(self) -> bytes:
        """The token alone."""
        info = self.info()
        signer_info = self._signer_info(info)
        info = self.altered.get("info", info)
        certificates = (self.signer.der,) if self.certificates is None else self.certificates
        content = der.write(der.context(0), der.write(der.OCTET_STRING, info))
        parts = [
            der.write_int(3),
            der.write(der.SET, _algorithm(_OIDS[self.digest])),
            der.write_sequence([der.write_oid(self.content_type), content]),
            der.write(der.context(0), b"".join(certificates)) if certificates else b"",
            der.write(der.SET, signer_info * self.signers),
        ]
        return der.write_sequence([der.write_oid(SIGNED_DATA), der.write(der.context(0), der.write_sequence(parts))])

    def info(self) -> bytes:
        """The TSTInfo."""
        imprint = hashlib.new(self.imprint_digest, self.data).digest()
        return der.write_sequence(
            [
                der.write_int(self.version),
                der.write_oid(self.policy),
                der.write_sequence([_algorithm(_OIDS[self.imprint_digest]), der.write(der.OCTET_STRING, imprint)]),
                der.write_int(self.serial),
                der.write(der.GENERALIZED_TIME, self.stamped.encode()),
                self.accuracy_raw,
                b"" if self.nonce is None else der.write_int(self.nonce),
                self.name_raw,
                self.extensions_raw,
            ]
        )

    def _signer_info(self, info: bytes) -> bytes:
        digest_of = info if self.digest_of is None else self.digest_of
        attributes = [
            _attribute(f"{_ATTRIBUTE}3", der.write_oid(self.attribute_type)),
            _attribute(f"{_ATTRIBUTE}4", der.write(der.OCTET_STRING, hashlib.new(self.digest, digest_of).digest())),
            *([self._naming()] if self.named_by else []),
            *self.attributes_raw,
        ]
        signed = b"".join(sorted(attributes))
        signature = self._sign(der.write(der.SET, signed))
        cert = self.signer.certificate
        sid = der.write_sequence([cert.issuer.public_bytes(), der.write_int(cert.serial_number)])
        if self.by_key:
            key = cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
            sid = der.write(der.context(0, constructed=False), key)
        return der.write_sequence(
            [
                der.write_int(3 if self.by_key else 1),
                sid,
                _algorithm(_OIDS[self.digest]),
                der.write(der.context(0), signed),
                self._algorithm(),
                der.write(der.OCTET_STRING, self.altered.get("signature", signature)),
            ]
        )

    def _naming(self) -> bytes:
        named = (self.named or self.signer).der
        stated = der.write_sequence([der.write(der.OCTET_STRING, hashlib.new(self.named_by, named).digest())])
        if self.named_by not in ("sha1", "sha256"):
            stated = der.write_sequence(
                [
                    _algorithm(_OIDS[self.named_by]),
                    der.write(der.OCTET_STRING, hashlib.new(self.named_by, named).digest()),
                ]
            )
        number = "16.2.12" if self.named_by == "sha1" else "16.2.47"
        return _attribute(f"{_ATTRIBUTE}{number}", der.write_sequence([der.write_sequence([stated])]))

    def _sign(self, data: bytes) -> bytes:
        key, algorithm = self.signer.key, _HASHES[self.digest]
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(algorithm))
        if self.scheme == "pss":
            return key.sign(data, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
        return key.sign(data, padding.PKCS1v15(), algorithm)

    def _algorithm(self) -> bytes:
        key = self.signer.key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return der.write_sequence([der.write_oid("1.3.101.112")])
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return der.write_sequence([der.write_oid(_ECDSA.get(self.digest, "1.2.840.10045.4.1"))])
        if self.scheme == "pss":
            return _pss(self.digest)
        return _algorithm(_RSA.get(self.digest, "1.2.840.113549.1.1.5"))


def moment(seconds: int) -> str:
    """Seconds since 1970 as a token has them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%SZ")


def general_name(holder: Holder) -> bytes:
    """The ``tsa`` field of a TSTInfo with this holder's distinguished name."""
    return der.write(der.context(0), der.write(der.context(4), holder.certificate.subject.public_bytes()))


def critical_extension() -> bytes:
    """The extensions of a TSTInfo with one that must be understood."""
    parts = [der.write_oid("1.2.3.4"), der.write(der.BOOLEAN, b"\xff"), der.write(der.OCTET_STRING, b"")]
    return der.write(der.context(1), der.write_sequence(parts))


def accuracy(seconds: int | None = None, millis: int | None = None, micros: int | None = None) -> bytes:
    """The accuracy of a TSTInfo."""
    parts = b"" if seconds is None else der.write_int(seconds)
    for number, value in enumerate((millis, micros)):
        if value is not None:
            parts += der.write(der.context(number, constructed=False), der.read(der.write_int(value)).content)
    return der.write(der.SEQUENCE, parts)


def _usage(names: Sequence[str]) -> x509.KeyUsage:
    known = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in names for name in known})


def _attribute(oid: str, value: bytes) -> bytes:
    return der.write_sequence([der.write_oid(oid), der.write(der.SET, value)])


def _algorithm(oid: str) -> bytes:
    return der.write_sequence([der.write_oid(oid), der.write(der.NULL, b"")])


def _pss(digest: str) -> bytes:
    mask = der.write_sequence([der.write_oid("1.2.840.113549.1.1.8"), _algorithm(_OIDS[digest])])
    salt = der.write_int(_HASHES[digest].digest_size)
    parts = [
        der.write(der.context(number), value) for number, value in enumerate((_algorithm(_OIDS[digest]), mask, salt))
    ]
    return der.write_sequence([der.write_oid("1.2.840.113549.1.1.10"), der.write_sequence(parts)])
