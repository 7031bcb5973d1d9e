"""Time-stamp tokens (RFC 3161): what an authority signed about when some bytes existed, checked offline.

In order: the answer grants a token → the token is a TSTInfo by one signer → its imprint is the digest of the bytes →
the signer's certificate, named by the token itself, signed it → the certificate is for time stamping alone and leads
to a root that the *caller* pinned, every certificate valid and none revoked at the token's own time.

The result is the latest time that the token allows: fraction and accuracy are rounded up, so that "existed no later
than" holds. The form kept is the TimeStampResp, which ``openssl ts -verify -data checkpoint.txt -in X.tsr`` reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NamedTuple

from chain import cms, der
from chain.anchor import DEVELOPMENT_NOTE, Existed, Trusted, UnanchoredError, VerificationError
from chain.certpath import CertificateError, Purpose, library, verify_path
from chain.checkpoint import Checkpoint
from chain.crypto import sha256
from chain.der import DerError, Element, Fields

if TYPE_CHECKING:
    from cryptography import x509

KIND: Final = "rfc3161"
TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
DEVELOPMENT_POLICIES: Final = ("2.999.", "2.999")
"""The arc that ITU-T X.660 keeps for examples: an authority whose tokens name it is for trials, and says so."""

_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_VERSION: Final = 1
_GRANTED: Final = (0, 1)
"""granted, grantedWithMods (RFC 3161 § 2.4.2)."""
_STATUS: Final = {
    2: "rejection",
    3: "waiting",
    4: "revocation warning",
    5: "revocation notification",
}
_FAILURES: Final = {
    0: "unrecognised or unsupported algorithm",
    2: "transaction not permitted",
    5: "the data submitted has the wrong format",
    14: "the authority's time source is not available",
    15: "the requested policy is not supported",
    16: "the requested extension is not supported",
    17: "the additional information requested is not understood or not available",
    25: "system failure",
}


class TimestampError(VerificationError):
    """An answer that shows nothing; one line. ``code`` is stable for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TstInfo(NamedTuple):
    """What is signed (RFC 3161 § 2.4.2). generated: seconds since 1970, rounded down; time: the latest that fraction
    and accuracy allow, rounded up; name: ``tsa``, a GeneralName, encoded.
    """

    policy: str
    digest: str
    imprint: bytes
    serial: int
    generated: int
    time: int
    nonce: int | None
    name: bytes | None


class Timestamp(NamedTuple):
    """A verified token. time: the bytes existed no later than then, seconds since 1970.

    authority: the signer's subject (RFC 4514); root: SHA-256 of the pinned root's DER; development: the authority is
    one for trials, which proves nothing to a third person.
    """

    time: int
    serial: int
    policy: str
    authority: str
    root: bytes
    development: bool


def existed(checkpoint: Checkpoint, proof: bytes, trusted: Trusted) -> Existed:
    """The anchor of kind ``rfc3161``: proof is a TimeStampResp over the checkpoint's text.

    Raises UnanchoredError where no pinned root decides it, VerificationError otherwise.
    """
    found = verify_token(proof, checkpoint.body, trusted.tsa_roots, crls=trusted.crls)
    if found.development and not trusted.development:
        raise TimestampError(
            "DEVELOPMENT_AUTHORITY",
            f"policy {found.policy} is of an authority for trials and proves nothing; only "
            "--allow-development-chain lets it pass, for trying things out",
        )
    note = DEVELOPMENT_NOTE if found.development else ""
    return Existed(KIND, found.authority, found.time, None, note, found.development)


def verify_token(
    token: bytes,
    data: bytes,
    roots: Sequence[bytes],
    *,
    nonce: int | None = None,
    others: Sequence[bytes] = (),
    crls: Sequence[bytes] = (),
) -> Timestamp:
    """Check a TimeStampResp, or a token alone, over these bytes.

    roots: DER certificates of authorities' roots that the caller pins; nonce: of the request, where it is still
    known; others: certificates to build the path with, beside those in the token; crls: see ``verify_path``. Raises
    UnanchoredError where the token is good and its authority is none of the caller's, TimestampError and
    CertificateError otherwise.
    """
    library()
    signed = cms.parse(_token(token))
    if signed.content_type != TST_INFO or signed.content is None:
        raise TimestampError("TSA_NO_TOKEN", "the signature is not over a time stamp")
    info = parse_info(signed.content)
    if not compare_digest(info.imprint, hashlib.new(info.digest, data).digest()):
        raise TimestampError("TSA_OTHER_DATA", "the time stamp is of other bytes")
    if nonce is not None and info.nonce != nonce:
        raise TimestampError("TSA_NONCE", "the time stamp answers another request (nonce)")
    certificate = cms.verify(signed, signed.content, others, bound=True)
    leaf = _der(certificate)
    if info.name is not None and info.name not in _names(certificate):
        raise TimestampError("TSA_NAME", "the time stamp names another authority than its certificate")
    try:
        path = verify_path(leaf, (*signed.certificates, *others), roots, info.generated, Purpose.TIME_STAMPING, crls)
    except CertificateError as error:
        if error.code != "CERT_UNTRUSTED":
            raise
        raise UnanchoredError(f"{error}: pin the root of its time-stamp authority in your trust file") from None
    development = info.policy.startswith(DEVELOPMENT_POLICIES[0]) or info.policy == DEVELOPMENT_POLICIES[1]
    return Timestamp(info.time, info.serial, info.policy, path.subject, path.root, development)


def parse_info(content: bytes) -> TstInfo:
    """The TSTInfo of its bytes. Raises TimestampError."""
    try:
        return _info(Fields(der.read(content, der.SEQUENCE)))
    except DerError as error:
        raise TimestampError("TSA_UNREADABLE", f"the time stamp cannot be read: {error}") from None


def read_info(token: bytes) -> TstInfo:
    """What a TimeStampResp or token says, nothing of it checked: for displays. Raises VerificationError."""
    signed = cms.parse(_token(token))
    if signed.content_type != TST_INFO or signed.content is None:
        raise TimestampError("TSA_NO_TOKEN", "the signature is not over a time stamp")
    return parse_info(signed.content)


def request(data: bytes, nonce: int) -> bytes:
    """The TimeStampReq (RFC 3161 § 2.4.1) for SHA-256 of these bytes, asking for the certificates too.

    nonce: positive, at most 64 bits, new for every request.
    """
    imprint = der.write_sequence(
        [
            der.write_sequence([der.write_oid(_SHA256), der.write(der.NULL, b"")]),
            der.write(der.OCTET_STRING, sha256(data)),
        ]
    )
    ask_certificates = der.write(der.BOOLEAN, b"\xff")
    return der.write_sequence([der.write_int(_VERSION), imprint, der.write_int(nonce), ask_certificates])


def _token(answer: bytes) -> bytes:
    """The token (a ContentInfo) of a TimeStampResp that grants one; a token alone is itself.

    Raises TimestampError.
    """
    try:
        outer = der.read(answer, der.SEQUENCE)
        fields = Fields(outer)
        if (status := fields.optional(der.SEQUENCE)) is None:
            return answer
        refusal = _refusal(status)
        token = None if refusal else fields.take(der.SEQUENCE)
        if token is not None:
            fields.end()
    except DerError as error:
        raise TimestampError("TSA_UNREADABLE", f"not a time-stamp response in DER: {error}") from None
    if token is None:
        raise TimestampError("TSA_REFUSED", f"the authority gave no time stamp: {refusal}")
    return token.raw


def _refusal(status: Element) -> str:
    """Why a PKIStatusInfo grants nothing, one line; empty where it grants. Raises DerError."""
    fields = Fields(status)
    code = der.to_int(fields.take(der.INTEGER))
    if code in _GRANTED:
        return ""
    words = [_STATUS.get(code, f"status {code}")]
    if (texts := fields.optional(der.SEQUENCE)) is not None:
        said = " ".join(each.content.decode("utf-8", "replace") for each in der.children(texts))
        words.append("".join(letter if letter.isprintable() else " " for letter in said)[:200])
    if (failure := fields.optional(der.BIT_STRING)) is not None:
        bits = int.from_bytes(failure.content[1:], "big")
        width = 8 * len(failure.content[1:])
        words += [text for bit, text in _FAILURES.items() if bit < width and bits >> (width - 1 - bit) & 1]
    return ", ".join(words)


def _info(fields: Fields) -> TstInfo:
    if der.to_int(fields.take(der.INTEGER)) != _VERSION:
        raise DerError("the time stamp has an unknown version")
    policy = der.to_oid(fields.take(der.OID))
    imprint = Fields(fields.take(der.SEQUENCE))
    digest = cms.digest_name(imprint.take(der.SEQUENCE))
    stated = imprint.take(der.OCTET_STRING).content
    imprint.end()
    serial = der.to_int(fields.take(der.INTEGER))
    generated, fraction = der.to_time(fields.take(der.GENERALIZED_TIME))
    accuracy = 0 if (given := fields.optional(der.SEQUENCE)) is None else _accuracy(Fields(given))
    if (ordering := fields.optional(der.BOOLEAN)) is not None:
        der.to_bool(ordering)
    nonce = fields.optional(der.INTEGER)
    name = fields.optional(der.context(0))
    if (extensions := fields.optional(der.context(1))) is not None:
        _refuse_critical(extensions)
    fields.end()
    return TstInfo(
        policy,
        digest,
        stated,
        serial,
        generated,
        # A fraction of a second and one of the accuracy make at most two, each rounded up by itself.
        generated + fraction + accuracy,
        None if nonce is None else der.to_int(nonce),
        None if name is None else name.content,
    )


def _accuracy(fields: Fields) -> int:
    """Whole seconds of an Accuracy, rounded up. Raises DerError."""
    seconds = fields.optional(der.INTEGER)
    millis = fields.optional(der.context(0, constructed=False))
    micros = fields.optional(der.context(1, constructed=False))
    fields.end()
    whole = 0 if seconds is None else der.to_int(seconds)
    parts = [
        0 if part is None else der.to_int(part, der.context(number, constructed=False))
        for number, part in enumerate((millis, micros))
    ]
    if whole < 0 or any(not 0 <= part <= 999 for part in parts):
        raise DerError("an accuracy is out of range")
    return whole + any(parts)


def _refuse_critical(extensions: Element) -> None:
    for extension in der.children(extensions):
        fields = Fields(extension)
        oid, critical = der.to_oid(fields.take(der.OID)), fields.optional(der.BOOLEAN)
        if critical is not None and der.to_bool(critical):
            raise DerError(f"the time stamp has critical extension {oid}, which is not handled")


def _names(certificate: x509.Certificate) -> set[bytes]:
    """The GeneralNames of a certificate's subject, encoded: its distinguished name and its alternative names."""
    from cryptography import x509

    names = {der.write(der.context(4), certificate.subject.public_bytes())}
    try:
        other = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return names
    return names | {each.raw for each in der.children(der.read(other.value.public_bytes(), der.SEQUENCE))}


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)
