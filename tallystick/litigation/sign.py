"""Signing a document with a certificate (PAdES baseline B), and looking at its signatures; with pyHanko.

The signature is a further revision of the file: the bytes that were set stay as they are in front of it, and a PDF/A
stays one. A signed file is no longer the same run after run: the signer's clock and nonce are in it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from tallystick.litigation.facts import LitigationError

FIELD: Final = "Signature{}"
MAX_FIELDS: Final = 32
MAX_PDF: Final = 64 * 1024 * 1024


class Signature(NamedTuple):
    """One signature of a PDF. subject: the certificate's, as text.

    intact: what it covers is unaltered. trusted: the certificate leads to a root given, at the signing time that it
    claims. whole: nothing was added after it but further signatures.
    """

    subject: str
    intact: bool
    trusted: bool
    whole: bool


def sign_pdf(pdf: bytes, pkcs12: bytes, passphrase: str, *, reason: str = "", location: str = "") -> bytes:
    """The PDF with a further signature by the key and certificate of a PKCS#12 file.

    Raises LitigationError COURT_EXTRA_MISSING, PKCS12_WRONG (file or passphrase), PDF_WRONG (no PDF, or one that
    allows no further signature).
    """
    hanko = _hanko()
    signer = _signer(hanko, pkcs12, passphrase)
    with _quiet():
        try:
            writer = hanko.Writer(io.BytesIO(pdf))
            meta = hanko.signers.PdfSignatureMetadata(
                field_name=_free_field(hanko, writer),
                md_algorithm="sha256",
                reason=reason or None,
                location=location or None,
                subfilter=hanko.fields.SigSeedSubFilter.PADES,
            )
            signed: bytes = hanko.signers.sign_pdf(writer, meta, signer=signer).getvalue()
        except (hanko.PdfError, hanko.SigningError, ValueError) as error:
            raise LitigationError("PDF_WRONG", f"this PDF cannot be signed: {_line(error)}") from None
    return signed


def signatures_of(pdf: bytes, roots: Sequence[bytes]) -> tuple[Signature, ...]:
    """The signatures of a PDF, the first first. roots: certificates (DER) that are trusted, none of the system's.

    Raises LitigationError PDF_WRONG for what is no PDF.
    """
    if len(pdf) > MAX_PDF:
        raise LitigationError("PDF_WRONG", f"more than {MAX_PDF} bytes: this is no document of a case")
    hanko = _hanko()
    with _quiet():
        try:
            reader = hanko.PdfFileReader(io.BytesIO(pdf))
            return tuple(_signature(hanko, found, roots) for found in reader.embedded_regular_signatures)
        except (hanko.PdfError, ValueError, TypeError, KeyError) as error:
            raise LitigationError(
                "PDF_WRONG", f"this is no PDF whose signatures can be read: {_line(error)}"
            ) from None


def _signature(hanko: Any, found: Any, roots: Sequence[bytes]) -> Signature:
    anchors = [certificate for root in roots for certificate in hanko.load_certs(root)]
    at = found.self_reported_timestamp or datetime.fromtimestamp(0, UTC)
    context = hanko.ValidationContext(
        trust_roots=anchors, allow_fetching=False, moment=at, revocation_mode="soft-fail", best_signature_time=at
    )
    status = hanko.validate_pdf_signature(found, context)
    certificate = found.signer_cert
    return Signature(
        subject=certificate.subject.human_friendly,
        intact=status.intact and status.valid,
        trusted=status.trusted,
        whole=status.coverage >= hanko.SignatureCoverageLevel.ENTIRE_REVISION and status.docmdp_ok is not False,
    )


def _signer(hanko: Any, pkcs12: bytes, passphrase: str) -> Any:
    with _quiet():
        try:
            signer = hanko.signers.SimpleSigner.load_pkcs12_data(pkcs12, [], passphrase=passphrase.encode("utf-8"))
        except (hanko.SigningError, ValueError, TypeError) as error:
            raise LitigationError("PKCS12_WRONG", f"the PKCS#12 file cannot be opened: {_line(error)}") from None
    if signer is None or signer.signing_key is None:
        raise LitigationError("PKCS12_WRONG", "the PKCS#12 file does not open: wrong passphrase, or no key in it")
    return signer


def _free_field(hanko: Any, writer: Any) -> str:
    """A name that no signature field has yet."""
    taken = {name for name, _, _ in hanko.fields.enumerate_sig_fields(writer)}
    for number in range(1, MAX_FIELDS + 1):
        if FIELD.format(number) not in taken:
            return FIELD.format(number)
    raise LitigationError("PDF_WRONG", f"{MAX_FIELDS} signatures are on this PDF already: that is the most")


@contextmanager
def _quiet() -> Iterator[None]:
    """pyHanko logs what it then raises or returns: say it once."""
    logger = logging.getLogger("pyhanko")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _hanko() -> Any:
    """What is used of pyHanko, imported when first needed."""
    try:
        from pyhanko.sign.general import SigningError
    except ImportError:
        raise LitigationError(
            "COURT_EXTRA_MISSING", "signing documents needs pyHanko: pip install 'tallystick[court]'"
        ) from None
    from types import SimpleNamespace

    from pyhanko.keys import load_certs_from_pemder_data
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign import fields, signers
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko.sign.validation.status import SignatureCoverageLevel
    from pyhanko_certvalidator import ValidationContext

    class Writer(IncrementalPdfFileWriter):
        """Leaves the metadata as the typesetter wrote it: pyHanko's own would take the place of PDF/A's."""

        def _update_meta(self) -> None:
            return

    return SimpleNamespace(
        load_certs=load_certs_from_pemder_data,
        Writer=Writer,
        PdfError=PdfError,
        PdfFileReader=PdfFileReader,
        SigningError=SigningError,
        SignatureCoverageLevel=SignatureCoverageLevel,
        ValidationContext=ValidationContext,
        fields=fields,
        signers=signers,
        validate_pdf_signature=validate_pdf_signature,
    )
