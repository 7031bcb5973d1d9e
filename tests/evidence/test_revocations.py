"""Revocation lists that the reader brings: from his trust file to the token that stands no more."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from chain.anchor import Trusted, VerificationError, verify_anchor
from chain.checkpoint import Checkpoint
from tallystick.evidence.trust import TrustError, load
from tests import certificates as made
from tests.certificates import Token

CHECKPOINT = Checkpoint(bytes(32), 7, bytes(32))


def trusted(folder: Path, **parts: object) -> Trusted:
    (folder / "trust.json").write_text(json.dumps(parts))
    return load(folder / "trust.json")


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_revoked_authority_of_the_trust_file_stamps_nothing(tmp_path: Path, form: str) -> None:
    root = made.root()
    signer = made.authority(root)
    token = Token(signer, CHECKPOINT.body).response()
    listed = made.revocations(root, signer, datetime(2027, 1, 1, tzinfo=UTC), x509.ReasonFlags.key_compromise)
    crl = x509.load_der_x509_crl(listed).public_bytes(getattr(Encoding, form))
    (tmp_path / "tsa.pem").write_bytes(root.pem)
    (tmp_path / "tsa.crl").write_bytes(crl)
    assert (
        verify_anchor("rfc3161", CHECKPOINT, token, trusted(tmp_path, tsa_roots=["tsa.pem"])).time == made.STAMPED_AT
    )
    brought = trusted(tmp_path, tsa_roots=["tsa.pem"], crls=["tsa.crl"])
    assert brought.crls == (listed,)
    with pytest.raises(VerificationError, match=r"is revoked \(key compromise\)"):
        verify_anchor("rfc3161", CHECKPOINT, token, brought)


def test_a_certificate_is_no_revocation_list(tmp_path: Path) -> None:
    (tmp_path / "tsa.pem").write_bytes(made.root().pem)
    for names in (["tsa.pem"], ["absent"], "tsa.pem"):
        with pytest.raises(TrustError, match="revocation list"):
            trusted(tmp_path, crls=names)
