"""Signatures on documents: made by a certificate, seen by pyHanko's validator, and broken by any change."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pypdf import PdfReader

from tallystick.litigation import LitigationError
from tallystick.litigation.documents import render
from tallystick.litigation.sign import sign_pdf, signatures_of
from tests.litigation import pages, sample_case, signers

pytestmark = pytest.mark.slow

PASSPHRASE = signers.PASSPHRASE


@pytest.fixture(scope="module")
def pdf() -> bytes:
    """The chronology in English, which is short."""
    return next(
        data for form, language, data in render(sample_case.facts("A")) if (form, language) == ("chronology", "en")
    )


@pytest.fixture(scope="module")
def authority() -> signers.Authority:
    return signers.authority("测试根证书")


@pytest.fixture(scope="module")
def signed(pdf: bytes, authority: signers.Authority) -> bytes:
    return sign_pdf(
        pdf, signers.signer("江海供应链银行", authority), PASSPHRASE, reason="申请强制执行", location="上海"
    )


def test_the_signature_comes_after_the_document(pdf: bytes, signed: bytes, authority: signers.Authority) -> None:
    assert signed.startswith(pdf)
    (found,) = signatures_of(signed, [authority.der])
    assert found == ("Common Name: 江海供应链银行", True, True, True)
    before, after = (PdfReader(io.BytesIO(data)) for data in (pdf, signed))
    catalog: Any = after.trailer["/Root"]
    field = catalog["/AcroForm"]["/Fields"][0].get_object()["/V"]
    assert (field["/SubFilter"], field["/Reason"]) == ("/ETSI.CAdES.detached", "申请强制执行")
    assert pages.text_of(signed) == pages.text_of(pdf)
    assert after.xmp_metadata is not None
    assert before.xmp_metadata is not None
    assert after.xmp_metadata.stream.get_data() == before.xmp_metadata.stream.get_data()  # still PDF/A's


def test_a_second_signer_signs_what_the_first_has(signed: bytes, authority: signers.Authority) -> None:
    twice = sign_pdf(signed, signers.signer("上海华律律师事务所", authority), PASSPHRASE)
    found = signatures_of(twice, [authority.der])
    assert [(one.subject[13:], one.intact, one.trusted, one.whole) for one in found] == [
        ("江海供应链银行", True, True, True),
        ("上海华律律师事务所", True, True, True),
    ]


def test_another_root_is_not_trusted(signed: bytes) -> None:
    for roots in ([], [signers.authority("another").der]):
        (found,) = signatures_of(signed, roots)
        assert (found.intact, found.trusted) == (True, False)


@pytest.mark.parametrize("place", [200, 2_000, 20_000])
def test_a_changed_byte_breaks_it(signed: bytes, authority: signers.Authority, place: int) -> None:
    changed = bytearray(signed)
    changed[place] ^= 1
    (found,) = signatures_of(bytes(changed), [authority.der])
    assert not found.intact


def test_what_is_added_afterwards_is_seen(signed: bytes, authority: signers.Authority) -> None:
    """A further revision that writes over the first page: the signature is intact, the file is not whole."""
    from pyhanko.pdf_utils.generic import NameObject, StreamObject
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    writer = IncrementalPdfFileWriter(io.BytesIO(signed))
    page = writer.root["/Pages"]["/Kids"][0].get_object()
    page[NameObject("/Contents")] = writer.add_object(StreamObject(stream_data=b"0 0 m 9 9 l S"))
    writer.update_container(page)
    out = io.BytesIO()
    writer.write(out)  # type: ignore[no-untyped-call] # pyHanko annotates only most of itself
    (found,) = signatures_of(out.getvalue(), [authority.der])
    assert (found.intact, found.whole) == (True, False)


def test_an_unsigned_document_has_no_signature(pdf: bytes, authority: signers.Authority) -> None:
    assert signatures_of(pdf, [authority.der]) == ()


def test_what_cannot_be_signed_is_refused(pdf: bytes, authority: signers.Authority) -> None:
    good = signers.signer("x", authority)
    for code, arguments in (
        ("PKCS12_WRONG", (pdf, good, "another passphrase")),
        ("PKCS12_WRONG", (pdf, b"no PKCS#12", PASSPHRASE)),
        ("PDF_WRONG", (b"", good, PASSPHRASE)),
        ("PDF_WRONG", (b"%PDF-1.7\nnothing", good, PASSPHRASE)),
        ("PDF_WRONG", (pdf[: len(pdf) // 2], good, PASSPHRASE)),
    ):
        with pytest.raises(LitigationError) as raised:
            sign_pdf(*arguments)
        assert raised.value.code == code
        assert "\n" not in str(raised.value)
    with pytest.raises(LitigationError) as raised:
        signatures_of(b"no PDF", [])
    assert raised.value.code == "PDF_WRONG"
