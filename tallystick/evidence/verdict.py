"""What checking a bundle comes to: for a program, and for a lawyer in English and Chinese."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tallystick.evidence.caveats import Caveat
from tallystick.evidence.words import amount, clean, moment

PASS: Final = "pass"
FAIL: Final = "fail"
UNANCHORED: Final = "UNANCHORED"
ENGLISH: Final = "en"
CHINESE: Final = "zh"
LANGUAGES: Final = (ENGLISH, CHINESE)

_STATUS: Final = {
    PASS: {"en": "pass", "zh": "通过"},
    FAIL: {"en": "FAIL", "zh": "不通过"},
    UNANCHORED: {"en": "UNANCHORED", "zh": "未锚定"},
}
_CONCLUSION: Final = {
    PASS: {
        "en": "CONCLUSION: every check passes. But for what is listed as not shown, what case.json states is proved "
        "from the genesis hash and the trust file.",
        "zh": "结论：全部检验通过。除上列未证明的事项外，case.json 所述事实由创世哈希和信任文件得到证明。",
    },
    FAIL: {
        "en": "CONCLUSION: the bundle does NOT stand; nothing that it states is proved. Failed: {failed}.",
        "zh": "结论：证据包不成立，所述事实均未得到证明。未通过的检验：{failed}。",
    },
    UNANCHORED: {
        "en": "CONCLUSION: UNANCHORED. The consortium's own proofs stand, but nothing public that you trust shows "
        "when: a later history signed with old keys cannot be excluded.",
        "zh": "结论：未锚定。联盟链自身的证明成立，但没有验证人所信任的公共证据证明其时间，"
        "不能排除事后以旧密钥重写历史。",
    },
}
_DEVELOPMENT: Final = {
    "en": "A DEVELOPMENT CHAIN stands in for a public one: this verdict is OF NO EVIDENTIAL VALUE.",
    "zh": "公共时间仅由开发测试链提供：本结论不具有证据效力。",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended. status: PASS, FAIL or UNANCHORED; lines: what was found, or the one line that fails."""

    name: str
    status: str
    lines: tuple[str, ...] = ()
    title: str = ""
    title_zh: str = ""


@dataclass(frozen=True, slots=True)
class BundleVerdict:
    """The whole verdict.

    facts: what case.json states, empty where a check failed; existed: {what, height, no_later_than: seconds or None}
    of each record and of the states; development: only a development chain shows the time; caveats:
    what is not shown all the same.
    """

    status: str
    outcomes: tuple[Outcome, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    existed: tuple[dict[str, Any], ...] = ()
    development: bool = False
    caveats: tuple[Caveat, ...] = ()

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed, in order."""
        return tuple(outcome.name for outcome in self.outcomes if outcome.status == FAIL)

    def to_json(self) -> dict[str, Any]:
        """The verdict for programs. verified: every check passed; evidential: and no development chain was needed."""
        return {
            "verified": self.status == PASS,
            "evidential": self.status == PASS and not self.development,
            "status": self.status,
            "development": self.development,
            "checks": [
                {
                    "name": outcome.name,
                    "title": outcome.title,
                    "title_zh": outcome.title_zh,
                    "status": outcome.status,
                    "lines": list(outcome.lines),
                }
                for outcome in self.outcomes
            ],
            "failed": list(self.failed),
            "existed": list(self.existed),
            "not_shown": [caveat._asdict() for caveat in self.caveats],
            "facts": self.facts,
        }

    def text(self, language: str = ENGLISH) -> list[str]:
        """The verdict for a lawyer, a line each."""
        return [
            clean(line) for line in (*self._checks(language), "", *self._said(language), *self._conclusion(language))
        ]

    def _checks(self, language: str) -> Iterator[str]:
        for number, outcome in enumerate(self.outcomes, start=1):
            title = outcome.title_zh if language == CHINESE else outcome.title
            yield f"{number:2}. [{_STATUS[outcome.status][language]}] {title} ({outcome.name})"
            if language == ENGLISH or outcome.status != PASS:
                yield from (f"      {line}" for line in outcome.lines)

    def _said(self, language: str) -> Iterator[str]:
        if not self.facts:
            return
        facts, claim, chinese = self.facts, self.facts["claim"], language == CHINESE
        when = f"{facts['height']}, {moment(facts['time'])}"
        said = f"所述事实（截至区块 {when}，此后的事实不在其中）："
        yield said if chinese else f"What is stated, as of block {when}; what happened later is not in it:"
        for _, text in facts["route"]["reasons"]:
            yield f"  {'程序' if chinese else 'way to the court'} {facts['route']['letter']}: {text}"
        for paper in facts["papers"]:
            yield from (f"  {line}" for line in _remarks(paper, chinese))
        if claim is not None:
            scale, currency = facts["line"]["scale"], facts["line"]["currency"]
            total, daily = amount(claim["total"], scale, currency), amount(claim["daily"], scale, currency)
            day = claim["as_of"]
            said = f"截至 {day} 共计 {total}，此后每日 {daily}"
            yield f"  {said if chinese else f'{total} as of {day}, and {daily} for each further day'}"
        if facts["repaid_since"]:
            since = amount(facts["repaid_since"], facts["line"]["scale"], facts["line"]["currency"])
            yield f"  {'此后已还款（未扣除）' if chinese else 'paid back since then and not deducted:'} {since}"
        yield ("不晚于以下时间存在：" if chinese else "Existed no later than:")
        for row in self.existed:
            seen = row["no_later_than"]
            when = _STATUS[UNANCHORED][language] if seen is None else moment(seen * 1_000)
            yield f"  {when}  {row['what']}"
        if self.caveats:
            yield ("未证明的事项：" if chinese else "Not shown:")
            yield from (f"  {caveat.zh if chinese else caveat.en}" for caveat in self.caveats)
        yield ""

    def _conclusion(self, language: str) -> Iterator[str]:
        if self.development:
            yield _DEVELOPMENT[language]
        yield _CONCLUSION[self.status][language].format(failed=", ".join(self.failed))


def _remarks(paper: dict[str, Any], chinese: bool) -> Iterator[str]:
    """What a reader must know of a paper: that it was corrected, is disputed, or backs another loan."""
    name = f"{paper['kind']} {paper['number']}"
    if paper["in_force"] is None:
        yield f"{name}: {'链上无此记录' if chinese else 'is not on the chain'}"
    elif paper["in_force"]["superseded"]:
        count = len(paper["in_force"]["superseded"])
        yield f"{name}: {f'已更正 {count} 次' if chinese else f'has earlier versions, {count} in all'}"
    for row in paper["disputes"]:
        yield f"{name}: {'异议' if chinese else 'dispute'} {row['status']}: {row['reason']}"
    for row in paper["pledges"]:
        yield f"{name}: {'质押给' if chinese else 'pledged to'} {row['lender']}"
