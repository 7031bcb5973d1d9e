"""What a passed bundle does not show, said beside the verdict in English and Chinese: nobody is to read more into it.

A check passes where nothing speaks against the bundle, also where it could not look (no roots in the trust file, the
words of a PDF) or where the claimant alone says something (costs, calling in, terms without a deed).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tallystick.evidence.case import Case
from tallystick.evidence.words import amount, span


class Caveat(NamedTuple):
    """One thing that is not shown, in both languages."""

    en: str
    zh: str


def caveats(case: Case) -> tuple[Caveat, ...]:
    """What the reader of this verdict must not take for shown, in order. Only for a case that no check fails."""
    return (*_times(case), *_claimants_own(case), *_not_looked_at(case))


def _times(case: Case) -> Iterator[Caveat]:
    gaps = [
        case.existed[height] - rows[0].time // 1_000 for height, rows in case.blocks.items() if height in case.existed
    ]
    if gaps:
        most = span(max(gaps))
        yield Caveat(
            "dates before the public times are the validators' own word: whoever held two thirds of their keys could "
            f"still have written the blocks at the public time, up to {most} later",
            f"早于公共时间的日期仅由验证人自行记载：在公共时间之前（最长相差 {most}），"
            "持有三分之二以上验证密钥者仍可能改写",
        )


def _claimants_own(case: Case) -> Iterator[Caveat]:
    found, chosen, claim = case.anew.dossier, case.anew.chosen, case.anew.claim
    if claim is None or not chosen.as_of:
        return
    if claim.costs:
        costs = amount(claim.costs, found.scale, found.line["currency"])
        yield Caveat(
            f"costs of {costs} in the claim are stated by the claimant alone", f"请求中的费用 {costs} 仅由举证人陈述"
        )
    if chosen.accelerated_on:
        day = chosen.accelerated_on
        yield Caveat(
            f"that all was called in on {day} is stated by the claimant alone", f"于 {day} 宣布提前到期仅由举证人陈述"
        )
    if found.deed is None:
        yield Caveat(
            "the claim is computed by terms that the claimant states: the chain holds none without a deed",
            "计算所依违约条款仅由举证人陈述：无公证债权文书时链上没有该条款",
        )


def _not_looked_at(case: Case) -> Iterator[Caveat]:
    if case.documents:
        yield Caveat(
            "the papers in documents/ are the claimant's words: their PDFs were not read, only the data beside them",
            "documents/ 中的文书系举证人自行制作：未检验 PDF 的文字，仅核对其所附数据",
        )
    signed = [
        entry for file in case.anew.dossier.deeds for entry in file.consents.values() if entry["ca"] is not None
    ]
    if signed and not case.trusted.ca_roots:
        yield Caveat(
            f"{len(signed)} CA-issued signatures were NOT checked: the trust file names no ca_roots",
            f"{len(signed)} 项 CA 电子签名未经检验：信任文件未列 ca_roots",
        )
    elif signed:
        yield Caveat(
            "whether the names in CA-issued certificates are those of the parties is for the reader to compare",
            "CA 证书所载名称与当事人是否一致，由阅读者自行核对",
        )
    idle = sum(outside.existed is None for outside in case.outside)
    if idle:
        yield Caveat(
            f"{idle} of {len(case.outside)} anchors count for nothing: the trust file does not decide them",
            f"{len(case.outside)} 项锚定中有 {idle} 项未计入：信任文件不足以认定",
        )
