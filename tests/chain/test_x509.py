"""CA-issued signatures over a document: raw and CMS, made by openssl; every rule of the certificate broken once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from chain import cms
from chain.certpath import MAX_CERTIFICATES
from chain.x509 import ALGORITHMS, CertificateError, verify_detached
from tests import certificates as made
from tests.certificates import Holder

DATA = "申请执行人\n".encode()
AT = made.STAMPED_AT


@cache
def root() -> Holder:
    return made.root("Licensed CA")


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def person(issuer: Holder | None = None, **changes: Any) -> Holder:
    return made.certificate("王小明", issuer or root(), **{"organization": "供应商有限公司", **changes})


def signed(holder: Holder, data: bytes = DATA) -> bytes:
    key = holder.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def cms_signed(folder: Path, holder: Holder, *options: str, data: bytes = DATA) -> bytes:
    (folder / "signer.pem").write_bytes(holder.pem)
    (folder / "signer.key").write_bytes(holder.key_pem)
    (folder / "data").write_bytes(data)
    command = ["openssl", "cms", "-sign", "-binary", "-in", "data", "-signer", "signer.pem", "-inkey", "signer.key"]
    subprocess.run(
        [*command, "-outform", "DER", "-out", "signature", *options], cwd=folder, check=True, capture_output=True
    )
    return (folder / "signature").read_bytes()


RAW: dict[str, tuple[Callable[[], Any], Callable[[Any], bytes]]] = {
    "rsa-pkcs1-sha256": (rsa_key, lambda key: key.sign(DATA, padding.PKCS1v15(), hashes.SHA256())),
    "rsa-pkcs1-sha512": (rsa_key, lambda key: key.sign(DATA, padding.PKCS1v15(), hashes.SHA512())),
    "rsa-pss-sha256": (
        rsa_key,
        lambda key: key.sign(DATA, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    ),
    "rsa-pss-sha384": (
        rsa_key,
        lambda key: key.sign(DATA, padding.PSS(padding.MGF1(hashes.SHA384()), 20), hashes.SHA384()),
    ),
    "ecdsa-sha256": (
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda key: key.sign(DATA, ec.ECDSA(hashes.SHA256())),
    ),
    "ecdsa-sha512": (
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda key: key.sign(DATA, ec.ECDSA(hashes.SHA512())),
    ),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, lambda key: key.sign(DATA)),
}


@pytest.mark.parametrize("algorithm", RAW)
def test_a_raw_signature_names_its_signer(algorithm: str) -> None:
    make, sign = RAW[algorithm]
    key = make()
    holder = person(key=key)
    found = verify_detached(DATA, sign(key), [holder.der], [root().der], AT, algorithm=algorithm)
    assert found.subject == "CN=王小明,O=供应商有限公司,C=CN"
    assert (found.common_name, found.organization) == ("王小明", "供应商有限公司")
    assert found.certificate == sha256(holder.der).digest()
    assert found.root == sha256(root().der).digest()
    for other in ALGORITHMS:
        if other != algorithm:
            with pytest.raises(CertificateError):
                verify_detached(DATA, sign(key), [holder.der], [root().der], AT, algorithm=other)
    for data, signature in ((DATA + b" ", sign(key)), (DATA, b""), (DATA, bytes(64)), (DATA, sign(key) + b"\x00")):
        with pytest.raises(CertificateError, match="does not stand"):
            verify_detached(data, signature, [holder.der], [root().der], AT, algorithm=algorithm)


@pytest.mark.parametrize(
    "options",
    [(), ("-cades",), ("-keyid",), ("-noattr",), ("-nocerts",), ("-nodetach",), ("-md", "sha384"), ("-nosmimecap",)],
)
def test_what_openssl_cms_signs_stands(options: tuple[str, ...], tmp_path: Path) -> None:
    holder = person()
    signature = cms_signed(tmp_path, holder, *options)
    found = verify_detached(DATA, signature, [holder.der], [root().der], AT, algorithm="cms")
    assert found.common_name == "王小明"
    with pytest.raises(CertificateError):
        verify_detached(DATA + b" ", signature, [holder.der], [root().der], AT, algorithm="cms")


def test_what_openssl_cms_signs_by_rsa_pss_stands(tmp_path: Path) -> None:
    signature = cms_signed(tmp_path, person(key=rsa_key()), "-keyopt", "rsa_padding_mode:pss")
    assert verify_detached(DATA, signature, [], [root().der], AT, algorithm="cms").common_name == "王小明"


def test_two_signers_are_one_too_many(tmp_path: Path) -> None:
    other = person()
    (tmp_path / "other.pem").write_bytes(other.pem + other.key_pem)
    signature = cms_signed(tmp_path, person(), "-signer", "other.pem")
    with pytest.raises(CertificateError, match="one signer expected, found 2"):
        verify_detached(DATA, signature, [], [root().der], AT, algorithm="cms")


def test_issuers_may_come_along_in_any_order() -> None:
    upper = made.root("Upper", issuer=root())
    lower = made.root("Lower", issuer=upper)
    crossed = made.root("Lower", issuer=made.root("Somebody else"), key=lower.key)
    holder = person(lower)
    for others in ([upper, lower], [lower, upper], [crossed, lower, upper]):
        certificates = [holder.der, *(other.der for other in others)]
        found = verify_detached(DATA, signed(holder), certificates, [root().der], AT, algorithm="ecdsa-sha256")
        assert found.root == sha256(root().der).digest()
    with pytest.raises(CertificateError) as refused:
        verify_detached(DATA, signed(holder), [holder.der, upper.der], [root().der], AT, algorithm="ecdsa-sha256")
    assert refused.value.code == "CERT_UNTRUSTED"


BAD: dict[str, tuple[str, Callable[[], Holder]]] = {
    "by another CA of the same name": ("CERT_UNTRUSTED", lambda: person(made.root("Licensed CA"))),
    "expired then": ("CERT_NOT_VALID_THEN", lambda: person(end=datetime(2026, 2, 28, tzinfo=UTC))),
    "not yet valid then": ("CERT_NOT_VALID_THEN", lambda: person(begin=datetime(2026, 4, 1, tzinfo=UTC))),
    "for servers": ("CERT_PURPOSE", lambda: person(purposes=[ExtendedKeyUsageOID.SERVER_AUTH])),
    "for encryption": ("CERT_PURPOSE", lambda: person(usage=("key_encipherment",))),
    "for time stamping": ("CERT_PURPOSE", lambda: person(purposes=[ExtendedKeyUsageOID.TIME_STAMPING])),
    "on a small curve": ("CERT_WEAK", lambda: person(key=ec.generate_private_key(ec.SECP192R1()))),
    "issued by a person": ("CERT_UNTRUSTED", lambda: person(person())),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_certificate_that_was_not_good_then_is_named(kind: str) -> None:
    code, make = BAD[kind]
    holder = make()
    with pytest.raises(CertificateError) as refused:
        verify_detached(DATA, signed(holder), [holder.der], [root().der], AT, algorithm="ecdsa-sha256")
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "purpose",
    [
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36"),
    ],
)
def test_purposes_that_cas_put_into_personal_certificates(purpose: x509.ObjectIdentifier) -> None:
    holder = person(purposes=[purpose, ExtendedKeyUsageOID.SERVER_AUTH], usage=("content_commitment",))
    assert verify_detached(DATA, signed(holder), [holder.der], [root().der], AT, algorithm="ecdsa-sha256")


BEFORE, AFTER = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("revoked", "since", "stands"),
    [(AFTER, None, True), (BEFORE, None, False), (AFTER, BEFORE, False), (BEFORE, AFTER, False)],
)
def test_what_was_signed_before_revocation_stands(revoked: datetime, since: datetime | None, stands: bool) -> None:
    holder = person()
    crl = made.revocations(root(), holder, revoked, x509.ReasonFlags.key_compromise, since)

    def verify() -> object:
        certificates = [holder.der]
        return verify_detached(
            DATA, signed(holder), certificates, [root().der], AT, algorithm="ecdsa-sha256", crls=[crl]
        )

    if stands:
        assert verify()
    else:
        with pytest.raises(CertificateError, match="is revoked"):
            verify()


@pytest.mark.parametrize(
    ("certificates", "algorithm", "code"),
    [
        ([], "ecdsa-sha256", "CERT_MISSING"),
        ([b"no certificate"], "ecdsa-sha256", "CERT_UNREADABLE"),
        ([b""], "ecdsa-sha256", "CERT_UNREADABLE"),
        ([], "sm2", "SIGNATURE_SCHEME"),
        ([], "", "SIGNATURE_SCHEME"),
        ([], "cms", "CMS_UNREADABLE"),
    ],
)
def test_what_cannot_be_read_is_named(certificates: list[bytes], algorithm: str, code: str) -> None:
    with pytest.raises(CertificateError) as refused:
        verify_detached(DATA, bytes(70), certificates, [root().der], AT, algorithm=algorithm)
    assert refused.value.code == code


def test_a_crowd_of_certificates_is_refused() -> None:
    holder = person()
    with pytest.raises(CertificateError) as refused:
        verify_detached(
            DATA, signed(holder), [holder.der] * (MAX_CERTIFICATES + 2), [root().der], AT, algorithm="ecdsa-sha256"
        )
    assert refused.value.code == "CERT_TOO_MANY"


def test_crossed_certificates_do_not_multiply_without_end() -> None:
    """Every issuer issued by every other: the search stops."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(5)]
    heads = [made.root(f"CA {number}", key=key) for number, key in enumerate(keys)]
    crossed = [
        made.root(f"CA {number}", issuer=by, key=key)
        for number, key in enumerate(keys)
        for by in heads
        if by.key is not key
    ]
    holder = person(heads[0])
    with pytest.raises(CertificateError) as refused:
        verify_detached(
            DATA, signed(holder), [holder.der, *(each.der for each in crossed)], [root().der], AT,
            algorithm="ecdsa-sha256",
        )  # fmt: skip
    assert refused.value.code == "CERT_TOO_MANY"


def test_a_signature_with_its_content_inside_must_carry_the_same(tmp_path: Path) -> None:
    holder = person()
    signature = cms_signed(tmp_path, holder, "-nodetach", data=b"something else")
    with pytest.raises(CertificateError, match="carries other bytes"):
        verify_detached(DATA, signature, [], [root().der], AT, algorithm="cms")
    assert cms.parse(signature).content == b"something else"
