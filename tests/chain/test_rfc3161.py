"""Time-stamp tokens: every rule broken once, and the same tokens put before ``openssl ts`` and ``rfc3161-client``."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import VerificationError as OtherVerificationError
from rfc3161_client import VerifierBuilder, decode_timestamp_response

from chain import der, rfc3161
from chain.anchor import DEVELOPMENT_NOTE, Trusted, UnanchoredError, VerificationError, verify_anchor
from chain.certpath import CertificateError
from chain.checkpoint import Checkpoint
from chain.rfc3161 import TimestampError, read_info, request, verify_token
from chain.x509 import verify_detached
from tests import certificates as made
from tests.certificates import Holder, Token

DATA = b"tally/00ff\n23\nAAAA\n"
AT = made.STAMPED_AT


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


@dataclass(frozen=True)
class Place:
    """A root that the test pins, an intermediate issuer and a signer below it."""

    root: Holder
    middle: Holder
    signer: Holder


@cache
def place() -> Place:
    root = made.root()
    middle = made.root("Test intermediate", issuer=root, path_length=0)
    return Place(root, middle, made.authority(root))


def token(**changes: Any) -> Token:
    return Token(**{"signer": place().signer, "data": DATA, **changes})


def below(issuer: Holder | None = None, **changes: Any) -> Holder:
    return made.authority(issuer or place().root, **changes)


def openssl_accepts(folder: Path, answer: bytes, *, data: bytes = DATA, root: Holder | None = None) -> bool:
    """Whether ``openssl ts -verify`` does, at the time of the token."""
    (folder / "data").write_bytes(data)
    (folder / "answer.tsr").write_bytes(answer)
    (folder / "root.pem").write_bytes((root or place().root).pem)
    command = ["openssl", "ts", "-verify", "-data", "data", "-in", "answer.tsr", "-CAfile", "root.pem"]
    command += ["-attime", str(AT)]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


def other_accepts(answer: bytes, *issuers: Holder) -> bool:
    """Whether ``rfc3161-client`` does."""
    builder = VerifierBuilder().add_root_certificate(place().root.certificate)
    for issuer in issuers:
        builder = builder.add_intermediate_certificate(issuer.certificate)
    try:
        verifier = builder.build()
        return bool(verifier.verify_message(decode_timestamp_response(answer), DATA))
    except (OtherVerificationError, ValueError):
        return False


GOOD: dict[str, Callable[[], Token]] = {
    "plain": token,
    "RSA": lambda: token(signer=below(key=rsa_key())),
    "P-384, SHA-384 throughout": lambda: token(
        signer=below(key=ec.generate_private_key(ec.SECP384R1())), digest="sha384", imprint_digest="sha384"
    ),
    "imprint by SHA-512": lambda: token(imprint_digest="sha512"),
    "certificate named by SHA-1": lambda: token(named_by="sha1"),
    "certificate named by SHA-512": lambda: token(named_by="sha512"),
    "nonce": lambda: token(nonce=2**62 + 1),
    "authority named": lambda: token(name_raw=made.general_name(place().signer)),
    "accuracy": lambda: token(accuracy_raw=made.accuracy(1, 500, 1)),
    "intermediate issuer in the token": lambda: through_middle(),
    "granted with modifications": lambda: token(status=1),
    "no key usage": lambda: token(signer=below(usage=None)),
    "non-repudiation only": lambda: token(signer=below(usage=("content_commitment",))),
    "issuer is for time stamping": lambda: through_middle(purposes=[ExtendedKeyUsageOID.TIME_STAMPING]),
    "valid just then": lambda: token(
        signer=below(begin=datetime.fromtimestamp(AT, UTC), end=datetime.fromtimestamp(AT + 1, UTC))
    ),
    "strangers' certificates beside": lambda: token(
        certificates=(made.root("Stranger").der, place().signer.der, made.root("Stranger 2").der)
    ),
}


def through_middle(**changes: Any) -> Token:
    middle = made.root("Test intermediate", issuer=place().root, **{"path_length": 0, **changes})
    signer = below(middle)
    return token(signer=signer, certificates=(signer.der, middle.der))


@pytest.mark.parametrize("kind", GOOD)
def test_good_tokens_stand_here_and_before_openssl(kind: str, tmp_path: Path) -> None:
    answer = GOOD[kind]().response()
    found = verify_token(answer, DATA, [place().root.der])
    assert (found.policy, found.serial, found.development) == (made.POLICY, 4711, False)
    assert found.authority.startswith("CN=Test time stamps")
    assert openssl_accepts(tmp_path, answer)


def test_what_openssl_ts_does_not_read_stands_too() -> None:
    """A token without its response is another option there; the others are younger than PKCS #7."""
    assert verify_token(token().token(), DATA, [place().root.der]).time == AT
    assert verify_token(token(by_key=True).response(), DATA, [place().root.der]).time == AT
    pss = token(signer=below(key=rsa_key()), scheme="pss")
    assert verify_token(pss.response(), DATA, [place().root.der]).time == AT
    signer = below(key=ed25519.Ed25519PrivateKey.generate())
    assert verify_token(token(signer=signer, digest="sha512").response(), DATA, [place().root.der]).time == AT


def test_certificates_left_out_of_the_token_may_come_beside_it() -> None:
    signer = below(place().middle)
    bare = token(signer=signer, certificates=()).response()
    with pytest.raises(CertificateError, match="did not come along"):
        verify_token(bare, DATA, [place().root.der])
    others = [place().middle.der, signer.der]
    assert verify_token(bare, DATA, [place().root.der], others=others).time == AT


BAD: dict[str, tuple[str, Callable[[], Token]]] = {
    "other bytes": ("TSA_OTHER_DATA", lambda: token(data=DATA + b" ")),
    "refused": ("TSA_REFUSED", lambda: token(status=2)),
    "version 2": ("TSA_UNREADABLE", lambda: token(version=2)),
    "imprint by SHA-1": ("TSA_UNREADABLE", lambda: token(imprint_digest="sha1")),
    "re-dated": (
        "CMS_DIGEST",
        lambda: token(altered={"info": replace(token(), stamped="20260201120000Z").info()}),
    ),
    "signature of another token": ("SIGNATURE_FALSE", lambda: token(altered={"signature": other_signature()})),
    "cut signature": ("SIGNATURE_FALSE", lambda: token(altered={"signature": b""})),
    "signed digest of other bytes": ("CMS_DIGEST", lambda: token(digest_of=b"other")),
    "content is no time stamp": ("TSA_NO_TOKEN", lambda: token(content_type="1.2.840.113549.1.7.1")),
    "signed type is another": ("CMS_ATTRIBUTES", lambda: token(attribute_type="1.2.840.113549.1.7.1")),
    "no certificate named": ("CMS_ATTRIBUTES", lambda: token(named_by="")),
    "another certificate named": ("CMS_CERTIFICATE", lambda: token(named=below())),
    "two signers": ("CMS_UNREADABLE", lambda: token(signers=2)),
    "no signer": ("CMS_UNREADABLE", lambda: token(signers=0)),
    "signed attribute twice": (
        "CMS_UNREADABLE",
        lambda: token(attributes_raw=(attribute("3", der.write_oid(rfc3161.TST_INFO)),)),
    ),
    "digest of the signature is SHA-1": ("CMS_UNREADABLE", lambda: token(digest="sha1")),
    "not for time stamping": ("CERT_PURPOSE", lambda: token(signer=below(purposes=None))),
    "for servers too": (
        "CERT_PURPOSE",
        lambda: token(signer=below(purposes=[ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH])),
    ),
    "purpose not critical": ("CERT_PURPOSE", lambda: token(signer=below(purposes_critical=False))),
    "key is for encryption": ("CERT_PURPOSE", lambda: token(signer=below(usage=("key_encipherment",)))),
    "expired then": ("CERT_NOT_VALID_THEN", lambda: token(signer=below(end=datetime(2026, 2, 28, tzinfo=UTC)))),
    "not yet valid then": (
        "CERT_NOT_VALID_THEN",
        lambda: token(signer=below(begin=datetime(2026, 4, 1, tzinfo=UTC))),
    ),
    "issuer expired then": (
        "CERT_NOT_VALID_THEN",
        lambda: through_middle(end=datetime(2026, 2, 28, tzinfo=UTC)),
    ),
    "issued by no issuer": ("CERT_NOT_CA", lambda: through_middle(ca=False, path_length=None)),
    "issuer without basic constraints": ("CERT_NOT_CA", lambda: through_middle(ca=None, path_length=None)),
    "issuer's key signs no certificates": ("CERT_NOT_CA", lambda: through_middle(usage=("digital_signature",))),
    "issuer is for servers": ("CERT_PURPOSE", lambda: through_middle(purposes=[ExtendedKeyUsageOID.SERVER_AUTH])),
    "issuer below one that allows none": ("CERT_PATH_LENGTH", lambda: two_issuers()),
    "unknown critical extension": (
        "CERT_EXTENSION",
        lambda: token(signer=below(more=[(unknown_extension(), True)])),
    ),
    "weak key": ("CERT_WEAK", lambda: token(signer=below(key=weak_key()))),
    "another authority named": ("TSA_NAME", lambda: token(name_raw=made.general_name(made.root("Another")))),
    "critical extension in the stamp": ("TSA_UNREADABLE", lambda: token(extensions_raw=made.critical_extension())),
    "negative accuracy": ("TSA_UNREADABLE", lambda: token(accuracy_raw=made.accuracy(-86_400))),
    "time without Z": ("TSA_UNREADABLE", lambda: token(stamped="20260301120000")),
    "time of no calendar": ("TSA_UNREADABLE", lambda: token(stamped="20260231120000Z")),
}
STRICTER = {
    "issuer is for servers", "weak key", "negative accuracy", "imprint by SHA-1", "digest of the signature is SHA-1",
    "signed type is another", "signed attribute twice", "critical extension in the stamp", "time without Z",
    "time of no calendar",
}  # fmt: skip
"""What ``openssl ts`` lets pass."""


def attribute(number: str, value: bytes) -> bytes:
    oid = der.write_oid(f"1.2.840.113549.1.9.{number}")
    return der.write_sequence([oid, der.write(der.SET, value)])


def unknown_extension() -> x509.ExtensionType:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")


def other_signature() -> bytes:
    key = place().signer.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(b"another", ec.ECDSA(SHA256()))


def two_issuers() -> Token:
    upper = made.root("Upper", issuer=place().root, path_length=0)
    lower = made.root("Lower", issuer=upper)
    signer = below(lower)
    return token(signer=signer, certificates=(signer.der, lower.der, upper.der))


@pytest.mark.parametrize("kind", BAD)
def test_every_broken_rule_is_named(kind: str, tmp_path: Path) -> None:
    code, make = BAD[kind]
    answer = make().response()
    with pytest.raises(VerificationError) as refused:
        verify_token(answer, DATA, [place().root.der])
    assert getattr(refused.value, "code", None) == code, refused.value
    assert "\n" not in str(refused.value)
    assert openssl_accepts(tmp_path, answer) is (kind in STRICTER)


def test_a_second_library_agrees_on_what_it_checks() -> None:
    assert other_accepts(token().response())
    signer = below(place().middle)
    assert other_accepts(token(signer=signer).response(), place().middle)
    for kind in ("other bytes", "re-dated", "signature of another token", "expired then", "not for time stamping"):
        assert not other_accepts(BAD[kind][1]().response()), kind


def test_a_certificate_signed_by_sha_1_leads_nowhere(tmp_path: Path) -> None:
    """Made by openssl, because the library signs nothing with it any more."""
    signer = made.certificate("Test time stamps", purposes=[ExtendedKeyUsageOID.TIME_STAMPING])
    for name, content in (
        ("signer.pem", signer.pem),
        ("root.pem", place().root.pem),
        ("root.key", place().root.key_pem),
    ):
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "x509", "-in", "signer.pem", "-CA", "root.pem", "-CAkey", "root.key"]
    command += ["-preserve_dates", "-set_serial", "99"]
    for digest, stands in (("-sha256", True), ("-sha1", False)):
        subprocess.run([*command, digest, "-out", "again.pem"], cwd=tmp_path, check=True, capture_output=True)
        again = Holder(x509.load_pem_x509_certificate((tmp_path / "again.pem").read_bytes()), signer.key)
        answer = token(signer=again).response()
        if stands:
            assert verify_token(answer, DATA, pinned()).time == AT
        else:
            with pytest.raises(VerificationError):
                verify_token(answer, DATA, pinned())


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = token().response()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for verify in (
        lambda: verify_token(answer, DATA, pinned()),
        lambda: verify_detached(DATA, b"", [], pinned(), AT, algorithm="cms"),
    ):
        with pytest.raises(CertificateError, match=r"pip install 'tallystick\[anchor\]'") as refused:
            verify()
        assert refused.value.code == "CERT_NO_LIBRARY"


def test_an_authority_that_is_not_pinned_leaves_it_unanchored() -> None:
    stranger = made.root()  # same names, another key
    for roots in ([], [stranger.der]):
        with pytest.raises(UnanchoredError, match="pin the root"):
            verify_token(token().response(), DATA, roots)
    same_name = token(certificates=(place().signer.der, stranger.der)).response()
    assert verify_token(same_name, DATA, [place().root.der, stranger.der]).root == der_hash(place().root)


def test_a_forgers_own_authority_cannot_lend_a_pinned_name() -> None:
    forger = made.authority(made.root())
    with pytest.raises(UnanchoredError):
        verify_token(token(signer=forger, certificates=(forger.der, place().root.der)).response(), DATA, pinned())
    swapped = token(signer=Holder(place().signer.certificate, forger.key)).response()
    with pytest.raises(CertificateError, match="does not stand"):
        verify_token(swapped, DATA, pinned())


def pinned() -> list[bytes]:
    return [place().root.der]


def der_hash(holder: Holder) -> bytes:
    return sha256(holder.der).digest()


def test_a_pinned_signer_is_enough() -> None:
    assert verify_token(token().response(), DATA, [place().signer.der]).root == der_hash(place().signer)


def test_the_nonce_of_the_request_is_the_tokens() -> None:
    answer = token(nonce=7).response()
    assert verify_token(answer, DATA, pinned(), nonce=7).time == AT
    for wrong, made_for in ((8, answer), (7, token().response())):
        with pytest.raises(TimestampError, match="another request"):
            verify_token(made_for, DATA, pinned(), nonce=wrong)


@pytest.mark.parametrize(
    ("stamped", "accuracy", "later"),
    [
        ("20260301120000Z", b"", 0),
        ("20260301120000.001Z", b"", 1),
        ("20260301120000Z", made.accuracy(1), 1),
        ("20260301120000Z", made.accuracy(None, 1), 1),
        ("20260301120000Z", made.accuracy(None, None, 999), 1),
        ("20260301120000.5Z", made.accuracy(2, 1), 4),
        ("20260301120000Z", made.accuracy(0), 0),
    ],
)
def test_the_time_is_the_latest_that_the_token_allows(stamped: str, accuracy: bytes, later: int) -> None:
    answer = token(stamped=stamped, accuracy_raw=accuracy).response()
    assert verify_token(answer, DATA, pinned()).time == AT + later
    assert read_info(answer).generated == AT


BEFORE = datetime(2026, 2, 1, tzinfo=UTC)
AFTER = datetime(2026, 4, 1, tzinfo=UTC)
FLAGS = x509.ReasonFlags


@pytest.mark.parametrize(
    ("at", "reason", "stands"),
    [
        (AFTER, FLAGS.superseded, True),
        (AFTER, FLAGS.cessation_of_operation, True),
        (AFTER, FLAGS.affiliation_changed, True),
        (AFTER, FLAGS.unspecified, True),
        (AFTER, FLAGS.key_compromise, False),
        (AFTER, None, False),
        (BEFORE, FLAGS.superseded, False),
        (BEFORE, FLAGS.key_compromise, False),
    ],
)
def test_a_revoked_authority_counts_as_rfc_3161_has_it(at: datetime, reason: FLAGS | None, stands: bool) -> None:
    crl = made.revocations(place().root, place().signer, at, reason)
    answer = token().response()
    if stands:
        assert verify_token(answer, DATA, pinned(), crls=[crl]).time == AT
    else:
        with pytest.raises(CertificateError, match="is revoked") as refused:
            verify_token(answer, DATA, pinned(), crls=[crl])
        assert refused.value.code == "CERT_REVOKED"


def test_only_lists_of_the_issuer_count_and_others_are_refused_when_unreadable() -> None:
    strangers = made.revocations(made.root(), place().signer, BEFORE, FLAGS.key_compromise)
    others = made.revocations(place().root, below(), BEFORE, FLAGS.key_compromise)
    assert verify_token(token().response(), DATA, pinned(), crls=[strangers, others]).time == AT
    with pytest.raises(CertificateError) as refused:
        verify_token(token().response(), DATA, pinned(), crls=[b"\x30\x00"])
    assert refused.value.code == "CRL_UNREADABLE"


def test_a_revoked_issuer_takes_its_authorities_with_it() -> None:
    signer = below(place().middle)
    answer = token(signer=signer, certificates=(signer.der, place().middle.der)).response()
    crl = made.revocations(place().root, place().middle, AFTER, FLAGS.ca_compromise)
    with pytest.raises(CertificateError, match="is revoked"):
        verify_token(answer, DATA, pinned(), crls=[crl])


def test_as_an_anchor_a_trials_authority_proves_nothing() -> None:
    checkpoint = Checkpoint(bytes(range(32)), 23, bytes(32))
    trusted = Trusted(tsa_roots=(place().root.der,))
    real = verify_anchor("rfc3161", checkpoint, token(data=checkpoint.body).response(), trusted)
    assert (real.kind, real.time, real.note, real.development) == ("rfc3161", AT, "", False)
    trial = token(data=checkpoint.body, policy=made.TRIAL_POLICY).response()
    with pytest.raises(VerificationError, match="--allow-development-chain"):
        verify_anchor("rfc3161", checkpoint, trial, trusted)
    marked = verify_anchor("rfc3161", checkpoint, trial, replace(trusted, development=True))
    assert (marked.note, marked.development) == (DEVELOPMENT_NOTE, True)
    with pytest.raises(TimestampError, match="other bytes"):
        verify_anchor("rfc3161", replace(checkpoint, size=24), token(data=checkpoint.body).response(), trusted)


def test_a_refusal_says_why() -> None:
    words = der.write(der.SEQUENCE, der.write(0x0C, b"no time\nhere"))
    status = der.write_sequence([der.write_int(2), words, der.write(der.BIT_STRING, b"\x02\x00\x02")])
    with pytest.raises(TimestampError) as refused:
        verify_token(der.write_sequence([status]), DATA, pinned())
    assert str(refused.value) == (
        "the authority gave no time stamp: rejection, no time here, the authority's time source is not available"
    )


def test_our_request_is_one_that_openssl_reads(tmp_path: Path) -> None:
    (tmp_path / "query.tsq").write_bytes(request(DATA, 2**63 - 1))
    command = ["openssl", "ts", "-query", "-in", "query.tsq", "-text"]
    text = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "Hash Algorithm: sha256" in text
    assert "Nonce: 0x7FFFFFFFFFFFFFFF" in text
    assert "Certificate required: yes" in text


def test_no_mutant_of_a_token_states_another_fact() -> None:
    """Bytes flipped, cut, doubled: what is still accepted says the same as the original."""
    dice = random.Random(5)
    signer = below(place().middle)
    original = token(signer=signer, certificates=(signer.der, place().middle.der), nonce=9).response()
    facts = verify_token(original, DATA, pinned())
    accepted = 0
    for _ in range(1_500):
        mutant = bytearray(original)
        for _ in range(dice.randint(1, 3)):
            spot = dice.randrange(len(mutant))
            match dice.randrange(4):
                case 0:
                    mutant[spot] ^= 1 << dice.randrange(8)
                case 1:
                    mutant[spot] = dice.randrange(256)
                case 2:
                    del mutant[spot : spot + dice.randint(1, 8)]
                case _:
                    mutant[spot:spot] = mutant[spot : spot + dice.randint(1, 8)]
        if bytes(mutant) == original:
            continue
        try:
            found = verify_token(bytes(mutant), DATA, pinned())
        except VerificationError:
            continue
        accepted += 1
        assert found == facts
    assert accepted < 100


@pytest.mark.parametrize("size", [0, 1, 2, 10, 200, 129 * 1024])
def test_rubbish_is_refused_in_one_line(size: int) -> None:
    for data in (bytes(size), b"\x30" * size, random.Random(size).randbytes(size), b"\x30\x80" * (size // 2)):
        with pytest.raises(VerificationError) as refused:
            verify_token(data, DATA, pinned())
        assert "\n" not in str(refused.value)
