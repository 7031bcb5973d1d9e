"""The checks of a bundle, in order. Each stands alone: what it catches no other does (a test deletes each in turn).

A check is a function of the opened `Case`; it returns lines that say what it found, raises VerificationError with the
one line that fails, and UnanchoredError where nothing outside decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from chain.crypto import verify as signature_stands
from chain.verification import Certified, VerificationError, verify_proof
from tallystick.evidence import archive, checks_anchor, checks_books, checks_case, manifest
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
    count, certified = 0, Certified()
    for folder in ("states", "transactions", "records"):
        for name, data in case.folder(folder).items():
            try:
                verify_proof(data, case.network_id, certified)
            except VerificationError as error:
                raise VerificationError(f"{name}: {error}") from None
            count += 1
    return [f"{count} proofs lead from what they say to blocks that the consortium's validators certified"]


CHECKS: Final[tuple[Check, ...]] = (
    Check("archive", "The file has the one form of a bundle", "文件格式", archive_form),
    Check("files", "It holds exactly the listed files, unaltered", "文件清单与校验和", file_list),
    Check("signature", "The list is signed", "清单签名", manifest_signature),
    Check("proofs", "Every proof leads to the genesis hash", "链上证明", proofs),
    Check("height", "All states are of one block", "状态时点一致", checks_case.one_block),
    Check("complete", "Nothing of the case is left out", "材料完整", checks_case.complete),
    Check("statement", "The case is stated as the proofs give it", "陈述与证明一致", checks_case.statement_stands),
    Check("claimant", "The creditor signed the bundle", "举证人身份", checks_case.claimant),
    Check("transactions", "Each step was done by a transaction", "行为与交易一致", checks_case.backed),
    Check("keys", "Each signature is by a key valid at its time", "签名密钥有效", checks_case.keys),
    Check("roles", "Each step was done by who may do it", "主体资格", checks_case.roles),
    Check("order", "The steps follow one another", "程序顺序", checks_case.order),
    Check("consents", "All consented to what is enforced", "强制执行承诺", checks_case.consents),
    Check("persons", "CA-issued signatures stand", "电子签名认证", checks_books.persons),
    Check("route", "The case goes the way the chain leaves", "程序选择", checks_case.route),
    Check("ledger", "Disbursements and repayments add up", "账目", checks_books.ledger),
    Check("amounts", "The amounts are those of the books", "金额计算", checks_books.amounts),
    Check("vouchers", "The books say what the records say", "凭证", checks_books.vouchers),
    Check("disclosures", "Opened fields are those sealed", "密封字段", checks_books.disclosures),
    Check("originals", "Originals are the files recorded", "原件", checks_books.originals),
    Check("documents", "The papers' data is what is proved", "文书所附数据", checks_books.documents),
    Check("pages", "What people read is what is stated", "阅读页面", checks_books.people_text),
    Check("anchors", "No anchor is false", "锚定证明", checks_anchor.anchors),
    Check("log", "Blocks lead to the anchored log", "锚定路径", checks_anchor.log),
    Check("growth", "One history was anchored", "历史一致", checks_anchor.growth),
    Check("times", "Times fit one another", "时间一致", checks_anchor.times),
    Check("public", "Something public shows the time", "公共时间", checks_anchor.public),
)
