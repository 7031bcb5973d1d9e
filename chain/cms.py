"""Cryptographic Message Syntax SignedData (RFC 5652 § 5): one signer's signature over one content, strict DER.

What time-stamp tokens are made of, and the common form of a CA-issued signature beside a document. This file reads
the structure and checks that the signer's certificate signed the content; whether that certificate is to be believed
says ``chain.certpath``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NamedTuple

from chain import der
from chain.certpath import MAX_CERTIFICATES, CertificateError, check_signature, load
from chain.der import DerError, Element, Fields

if TYPE_CHECKING:
    from cryptography import x509

MAX_SIZE: Final = 128 * 1024
"""Bytes of one signature with its certificates."""

SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
DATA: Final = "1.2.840.113549.1.7.1"

_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"
_SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"

DIGESTS: Final[Mapping[str, str]] = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
"""Object identifier → name in hashlib, of the digests that are accepted."""
_PSS: Final = "1.2.840.113549.1.1.10"
_SCHEMES: Final[Mapping[str, tuple[str, str]]] = {
    "1.2.840.113549.1.1.1": ("rsa-pkcs1", ""),
    "1.2.840.113549.1.1.11": ("rsa-pkcs1", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa-pkcs1", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa-pkcs1", "sha512"),
    "1.2.840.10045.4.3.2": ("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa", "sha512"),
    "1.3.101.112": ("ed25519", ""),
    _PSS: ("rsa-pss", ""),
}
"""Object identifier → scheme of ``check_signature``, and its digest where it names one."""


class SignerInfo(NamedTuple):
    """The one signer. identity: issuerAndSerialNumber or key identifier, encoded; digest: name in hashlib.

    signed: the signed attributes as they were signed (a SET), None without; attributes: of them, by identifier.
    """

    identity: Element
    digest: str
    scheme: str
    signed: bytes | None
    attributes: Mapping[str, Element]
    signature: bytes


class SignedData(NamedTuple):
    """A read signature. content: what it carries of its own, None when detached; certificates: DER, as they came."""

    content_type: str
    content: bytes | None
    certificates: tuple[bytes, ...]
    signer: SignerInfo


def parse(data: bytes) -> SignedData:
    """The signature of its ContentInfo bytes. Raises CertificateError (``CMS_UNREADABLE``)."""
    if len(data) > MAX_SIZE:
        raise CertificateError("CMS_UNREADABLE", f"a signature has at most {MAX_SIZE} bytes, this has {len(data)}")
    try:
        return _signed_data(der.read(data, der.SEQUENCE))
    except DerError as error:
        raise CertificateError("CMS_UNREADABLE", f"not a CMS signature in DER: {error}") from None


def verify(signed: SignedData, content: bytes, others: Sequence[bytes] = (), *, bound: bool) -> x509.Certificate:
    """The signer's certificate, after checking that its key signed this content.

    others: certificates (DER) to look the signer up in, beside those that came along. bound: whether a signed
    attribute has to name the certificate (ESS, RFC 5035); where one is there, it has to agree anyway. Raises
    CertificateError.
    """
    signer = signed.signer
    certificate = _signer_certificate(signed, others)
    if signer.signed is None:
        if bound or signed.content_type != DATA:
            raise CertificateError("CMS_ATTRIBUTES", "the signature has no signed attributes")
        message = content
    else:
        try:
            _check_attributes(signed, content, certificate, bound=bound)
        except DerError as error:
            raise CertificateError("CMS_ATTRIBUTES", f"a signed attribute cannot be read: {error}") from None
        message = signer.signed
    check_signature(certificate, signer.scheme, signer.digest, message, signer.signature)
    return certificate


def algorithm(element: Element) -> tuple[str, Element | None]:
    """(object identifier, parameters) of an AlgorithmIdentifier; NULL parameters are none. Raises DerError."""
    parts = der.children(der.expect(element, der.SEQUENCE))
    if not 1 <= len(parts) <= 2:
        raise DerError("an algorithm has an identifier and at most one parameter")
    parameters = parts[1] if len(parts) == 2 and parts[1].raw != b"\x05\x00" else None
    return der.to_oid(parts[0]), parameters


def digest_name(element: Element) -> str:
    """The name in hashlib of a digest's AlgorithmIdentifier. Raises DerError where it is not accepted."""
    oid, parameters = algorithm(element)
    if oid not in DIGESTS or parameters is not None:
        raise DerError(f"digest {oid} is not accepted: SHA-256, SHA-384 or SHA-512")
    return DIGESTS[oid]


def _signed_data(info: Element) -> SignedData:
    outer = Fields(info)
    if der.to_oid(outer.take(der.OID)) != SIGNED_DATA:
        raise DerError("the content is no SignedData")
    wrapped = Fields(outer.take(der.context(0)), der.context(0))
    outer.end()
    fields = Fields(wrapped.take(der.SEQUENCE))
    wrapped.end()
    if der.to_int(fields.take(der.INTEGER)) not in (1, 3, 4, 5):
        raise DerError("the SignedData has an unknown version")
    fields.take(der.SET)
    inner = Fields(fields.take(der.SEQUENCE))
    content_type, content = der.to_oid(inner.take(der.OID)), None
    if (explicit := inner.optional(der.context(0))) is not None:
        content = der.read(explicit.content, der.OCTET_STRING).content
    inner.end()
    bag = fields.optional(der.context(0))
    certificates = () if bag is None else tuple(each.raw for each in der.children(bag) if each.tag == der.SEQUENCE)
    fields.optional(der.context(1))
    signers = der.children(fields.take(der.SET))
    fields.end()
    if len(signers) != 1:
        raise DerError(f"one signer expected, found {len(signers)}")
    if len(certificates) > MAX_CERTIFICATES:
        raise DerError(f"at most {MAX_CERTIFICATES} certificates come along")
    return SignedData(content_type, content, certificates, _signer_info(signers[0]))


def _signer_info(element: Element) -> SignerInfo:
    fields = Fields(element)
    if der.to_int(fields.take(der.INTEGER)) not in (1, 3):
        raise DerError("the signer has an unknown version")
    identity = fields.take_any()
    digest = digest_name(fields.take(der.SEQUENCE))
    signed, attributes = None, {}
    if (bag := fields.optional(der.context(0))) is not None:
        signed = der.write(der.SET, bag.content)
        for attribute in der.children(bag):
            parts = Fields(attribute)
            oid, values = der.to_oid(parts.take(der.OID)), parts.take(der.SET)
            parts.end()
            if oid in attributes:
                raise DerError(f"signed attribute {oid} stands there twice")
            attributes[oid] = values
    scheme = _scheme(fields.take(der.SEQUENCE), digest)
    signature = fields.take(der.OCTET_STRING).content
    fields.optional(der.context(1))
    fields.end()
    return SignerInfo(identity, digest, scheme, signed, attributes, signature)


def _scheme(element: Element, digest: str) -> str:
    """The scheme of a signature algorithm, whose digest has to be the signer's. Raises DerError."""
    oid, parameters = algorithm(element)
    if oid not in _SCHEMES:
        raise DerError(f"signature algorithm {oid} is not accepted")
    scheme, named = _SCHEMES[oid]
    if oid == _PSS:
        named = _pss_digest(parameters)
    elif parameters is not None:
        raise DerError(f"signature algorithm {oid} has parameters")
    if named not in ("", digest):
        raise DerError("the signature's digest is not the signer's digest")
    return scheme


def _pss_digest(parameters: Element | None) -> str:
    """The digest of RSASSA-PSS parameters, whose mask has to use the same (RFC 4055 § 3.1). Raises DerError."""
    if parameters is None:
        raise DerError("RSASSA-PSS without parameters is SHA-1, which is not accepted")
    fields = Fields(parameters)
    digest = digest_name(der.read(fields.take(der.context(0)).content))
    mask = Fields(der.read(fields.take(der.context(1)).content, der.SEQUENCE))
    mask.take(der.OID)
    if digest_name(mask.take(der.SEQUENCE)) != digest:
        raise DerError("RSASSA-PSS with two digests is not accepted")
    return digest


def _signer_certificate(signed: SignedData, others: Sequence[bytes]) -> x509.Certificate:
    """The certificate that the signer's identity names."""
    identity = signed.signer.identity
    for each in dict.fromkeys((*signed.certificates, *others)):
        certificate = load(each)
        if _identity(certificate) == identity.raw or _key_identity(certificate) == identity.raw:
            return certificate
    raise CertificateError("CMS_NO_CERTIFICATE", "the signer's certificate did not come along")


def _identity(certificate: x509.Certificate) -> bytes:
    """IssuerAndSerialNumber, encoded."""
    return der.write_sequence([certificate.issuer.public_bytes(), der.write_int(certificate.serial_number)])


def _key_identity(certificate: x509.Certificate) -> bytes | None:
    """``[0] SubjectKeyIdentifier``, encoded; None where the certificate has none."""
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return der.write(der.context(0, constructed=False), extension.value.digest)


def _check_attributes(signed: SignedData, content: bytes, certificate: x509.Certificate, *, bound: bool) -> None:
    """Content type, digest and certificate as the signed attributes have them. Raises CertificateError, DerError."""
    attributes = signed.signer.attributes
    for oid in (_CONTENT_TYPE, _MESSAGE_DIGEST):
        if oid not in attributes:
            raise CertificateError("CMS_ATTRIBUTES", f"signed attribute {oid} is missing")
    if der.to_oid(_only(attributes[_CONTENT_TYPE])) != signed.content_type:
        raise CertificateError("CMS_ATTRIBUTES", "the signed content type is another")
    stated = der.expect(_only(attributes[_MESSAGE_DIGEST]), der.OCTET_STRING).content
    if not compare_digest(stated, hashlib.new(signed.signer.digest, content).digest()):
        raise CertificateError("CMS_DIGEST", "the signature is over another content")
    named = [oid for oid in (_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_V2) if oid in attributes]
    if bound and not named:
        raise CertificateError("CMS_ATTRIBUTES", "no signed attribute names the signer's certificate")
    for oid in named:
        if not _names(_only(attributes[oid]), certificate, version_2=oid == _SIGNING_CERTIFICATE_V2):
            raise CertificateError("CMS_CERTIFICATE", "the signature names another certificate than its own")


def _names(element: Element, certificate: x509.Certificate, *, version_2: bool) -> bool:
    """Whether the first ESSCertID (RFC 2634: SHA-1) or ESSCertIDv2 (RFC 5035: SHA-256 by default) is of this one.

    SHA-1 does no harm here: the certificate is believed for its path to a root, not for this digest.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    parts = der.children(Fields(element).take(der.SEQUENCE))
    if not parts:
        return False
    fields = Fields(parts[0])
    digest = "sha256" if version_2 else "sha1"
    if version_2 and (chosen := fields.optional(der.SEQUENCE)) is not None:
        digest = digest_name(chosen)
    stated = fields.take(der.OCTET_STRING).content
    encoded = certificate.public_bytes(Encoding.DER)
    return compare_digest(stated, hashlib.new(digest, encoded, usedforsecurity=False).digest())


def _only(values: Element) -> Element:
    """The one value of an attribute. Raises DerError."""
    found = der.children(values)
    if len(found) != 1:
        raise DerError("a signed attribute has one value")
    return found[0]
