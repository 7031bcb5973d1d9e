"""The checks of a bundle, in order. Each stands alone: what it catches no other does (a test deletes each in turn).

A check is a function of the opened `Case`; it returns lines that say what it found, raises VerificationError with the
one line that fails, and UnanchoredError where nothing outside decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from chain.crypto import verify as signature_stands
from chain.verification import VerificationError, verify_proof
from tallystick.evidence import archive, manifest
from tallystick.evidence.case import Case


class Check(NamedTuple):
    """One check. name: stable, for programs and `skip`; title: in English and Chinese, for the verdict."""

    name: str
    title: str
    title_zh: str
    run: Callable[[Case], Sequence[str]]


def archive_form(case: Case) -> list[str]:
    """The ZIP file is the one spelling of its files."""
    archive.check_form(case.data, case.files)
    return [f"{len(case.files)} files, {len(case.data)} bytes, in the one form that a bundle has"]


def file_list(case: Case) -> list[str]:
    """Manifest and SHA256SUMS list exactly the files that are there."""
    content = {name: data for name, data in case.files.items() if name not in manifest.OWN}
    if case.manifest["files"] != manifest.rows(content):
        raise VerificationError("manifest.json does not list exactly the files of the bundle with their checksums")
    if case.files.get(manifest.SUMS) != manifest.sums(case.files):
        raise VerificationError("SHA256SUMS does not list exactly the files of the bundle with their checksums")
    return [f"{len(content)} files, each with the size and SHA-256 that the manifest lists"]


def manifest_signature(case: Case) -> list[str]:
    """The claimant's key signed the manifest."""
    signature = case.files.get(manifest.SIGNATURE, b"")
    key = bytes.fromhex(case.manifest["key"])
    if not signature_stands(key, case.files[manifest.MANIFEST], signature):
        raise VerificationError("manifest.sig is no signature of the key that manifest.json names")
    return [f"key {key.hex()[:16]}… signed the manifest"]


def proofs(case: Case) -> list[str]:
    """Every proof leads to the genesis hash given."""
    count = 0
    for folder in ("states", "transactions", "records"):
        for name, data in case.folder(folder).items():
            try:
                verify_proof(data, case.network_id)
            except VerificationError as error:
                raise VerificationError(f"{name}: {error}") from None
            count += 1
    return [f"{count} proofs lead from what they say to blocks that the consortium's validators certified"]


CHECKS: Final[tuple[Check, ...]] = (
    Check("archive", "The file has the one form of a bundle", "文件格式", archive_form),
    Check("files", "Exactly the listed files, unaltered", "文件清单与校验和", file_list),
    Check("signature", "The claimant signed the list", "举证人签名", manifest_signature),
    Check("proofs", "Every proof leads to the genesis hash", "链上证明", proofs),
)
