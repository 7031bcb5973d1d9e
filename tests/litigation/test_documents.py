"""The documents as their readers get them: same bytes, archivable, every glyph, every field, every amount.

The pages are drawn by PDFium and left under build/artefacts/litigation, to be looked at.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from pypdf import PdfReader

from contracts.claims import Claim
from tallystick.litigation import CaseFacts, LitigationError, Loan, Party, as_json, files_of, papers, write_documents
from tallystick.litigation.country import load
from tallystick.litigation.visible import made_visible
from tallystick.litigation.wording import Wording
from tests.litigation import pages, sample_case

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROUTES = ("A", "B")
OF_ROUTE = {
    "A": {"enforcement-application", "claim-computation", "evidence-list", "chronology"},
    "B": {"statement-of-claim", "claim-computation", "evidence-list", "chronology"},
}


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, bytes]]:
    return {route: files_of(sample_case.facts(route)) for route in ROUTES}


@pytest.fixture(scope="module")
def pdfs(made: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    """Every PDF of both routes by "A/chronology.zh.pdf"."""
    return {
        f"{route}/{name}": data
        for route, files in made.items()
        for name, data in files.items()
        if name[-4:] == ".pdf"
    }


def test_each_route_has_its_documents(made: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    for route in ROUTES:
        names = {f"{form}.{language}.pdf" for form in OF_ROUTE[route] for language in ("zh", "en")}
        assert made[route].keys() == names | {"facts.json"}
        written = write_documents(sample_case.facts(route), tmp_path / route)
        assert {one.path.name: one.path.read_bytes() for one in written} == made[route]
        assert all(one.sha256 == hashlib.sha256(made[route][one.path.name]).digest() for one in written)
        assert {(one.form, one.language) for one in written} >= {("chronology", "zh"), ("facts", "")}


def test_the_same_facts_give_the_same_bytes_in_another_process(pdfs: dict[str, bytes], tmp_path: Path) -> None:
    """Another hash seed, time zone, language and folder, and a clock that has gone on."""
    program = (
        "import hashlib, json\n"
        "from tallystick.litigation import files_of\n"
        "from tests.litigation import sample_case\n"
        "print(json.dumps({f'{route}/{name}': hashlib.sha256(data).hexdigest()"
        " for route in 'AB' for name, data in files_of(sample_case.facts(route)).items()}))\n"
    )
    changed = {"PYTHONHASHSEED": "17", "TZ": "Pacific/Apia", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | changed, capture_output=True, check=True
    )
    again = json.loads(run.stdout)
    assert {name: again[name] for name in pdfs} == {
        name: hashlib.sha256(data).hexdigest() for name, data in pdfs.items()
    }


def test_each_is_an_archive_file(pdfs: dict[str, bytes]) -> None:
    """What PDF/A-3b asks and a reader can see: the mark, an output intent, all fonts embedded, nothing that acts."""
    for name, data in pdfs.items():
        reader = PdfReader(io.BytesIO(data))
        catalog: Any = reader.trailer["/Root"]
        mark = catalog["/Metadata"].get_object().get_data().decode()
        assert "<pdfaid:part>3</pdfaid:part>" in mark, name
        assert "<pdfaid:conformance>B</pdfaid:conformance>" in mark, name
        assert catalog["/Lang"] in ("zh-CN", "en-GB")
        assert catalog["/OutputIntents"][0]["/S"] == "/GTS_PDFA1"
        assert not {"/OpenAction", "/AA", "/AcroForm"} & catalog.keys()
        assert not reader.is_encrypted
        assert reader.metadata is not None
        assert str(reader.metadata.creation_date) == "2026-11-23 16:00:00+00:00"  # midnight of as_of in UTC+8
        fonts = [font for page in reader.pages for font in _fonts(page)]
        assert fonts, name
        for font in fonts:
            assert font["/Subtype"] == "/Type0", name
            descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"]
            assert {"/FontFile2", "/FontFile3"} & descriptor.get_object().keys(), name
            assert "/ToUnicode" in font, name


def test_no_glyph_is_missing(pdfs: dict[str, bytes]) -> None:
    for name, data in pdfs.items():
        assert pages.missing_glyphs(data) == 0, name
        text = pages.text_of(data)
        assert len(text) > 300, name
        assert not {"\ufffd", "\x00"} & set(text), name


def test_the_look_for_missing_glyphs_can_fail() -> None:
    import typst

    source = '#set text(font: "Noto Serif CJK SC", fallback: false)\n\u2610 申请'.encode()
    fonts = typst.Fonts(include_system_fonts=False, font_paths=["/usr/share/fonts/opentype/noto"])
    lacking = typst.compile(source, font_paths=fonts, ignore_system_fonts=True, format="pdf")
    assert pages.missing_glyphs(lacking) == 1


def test_pages_are_drawn_to_be_looked_at(pdfs: dict[str, bytes]) -> None:
    """Ink on every page, all of it inside the margins; the pictures stay in the artefacts folder."""
    pages.ARTEFACTS.mkdir(parents=True, exist_ok=True)
    for name, data in pdfs.items():
        for number, page in enumerate(pages.draw(data), start=1):
            stem = name.replace("/", "-").removesuffix(".pdf")
            (pages.ARTEFACTS / f"{stem}.{number}.png").write_bytes(pages.png(page))
            dark = page.min(axis=2) < 200
            height, width = dark.shape
            assert 0.004 < dark.mean() < 0.2, name
            edge = int(1.8 / 21 * width)  # narrower than the margins of 2.2 and 2.4 cm
            assert not dark[:, :edge].any(), name
            assert not dark[:, width - edge :].any(), name
            assert not dark[: int(1.5 / 29.7 * height)].any(), name


# Fields of the official forms (DOMAIN, "Documents").
ENFORCEMENT = """
    申请执行人 收款账户 开户行 委托代理人 被执行人1（借款人） 被执行人2（保证人） 执行依据种类 作出机构
    案由 公证书编号 执行证书编号 执行内容 偿还借款本金 借款期内利息 罚息 复利 实际清偿之日止
    实现债权的费用 加倍支付迟延履行期间的债务利息 第二百六十四条 第二百四十九条
    《中华人民共和国公证法》第三十七条 法释〔2018〕18号 申请执行标的额 财产保全 此致
    申请执行人（签名或盖章） 申请执行期限届满日
"""
SUIT = """
    原告 被告1（借款人） 被告2（保证人） 委托代理人 送达地址及电子送达 1．本金 2．利息（复利、罚息）
    3．提前还款或解除合同 4．主张担保权利 5．实现债权的费用 6．诉讼费用 7．其他请求 8．标的总额
    9．请求依据 有无仲裁、法院管辖约定 是否申请财产保全措施 1．合同签订情况 2．签订主体 3．借款金额
    约定： 实际提供： 4．借款期限 5．借款利率 6．借款发放时间 7．还款方式 8．还款情况 9．是否存在逾期还款
    10．是否签订物的担保合同 11．担保物 12．是否最高额担保 13．是否办理登记 14．是否签订保证合同
    15．保证方式 16．公证债权文书的情况 17．其他需要说明的内容 18．证据清单 是否考虑先行调解
    具状人（签字、盖章） 日期 公证机构决定不予出具执行证书
"""
EVIDENCE = """
    编号 证据名称 证据来源 证明对象和内容 页码 形式 电子数据 份数 副本2份 SHA-256 交易 提交日期 第十九条
    第十六条
"""
COMPUTATION = """
    到期未付本金 提前到期本金 罚息 复利 实现债权的费用 算头不算尾 四、逐项计算 三、已付款项 抵充利息
    抵充本金 每日新增
"""


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("A/enforcement-application", ENFORCEMENT),
        ("B/statement-of-claim", SUIT),
        ("A/evidence-list", EVIDENCE),
        ("B/claim-computation", COMPUTATION),
    ],
)
def test_the_fields_of_the_official_forms_are_there(pdfs: dict[str, bytes], name: str, fields: str) -> None:
    text = pages.text_of(pdfs[f"{name}.zh.pdf"])
    assert [field for field in fields.split() if field not in text] == []


def test_every_amount_is_the_claims_own(pdfs: dict[str, bytes]) -> None:
    claim = sample_case.claim()
    parts = {
        part: _number(getattr(claim, part)) for part in ("principal", "interest", "penalty", "compound", "total")
    }
    for name in ("A/enforcement-application", "B/statement-of-claim"):
        for language in ("zh", "en"):
            text = pages.text_of(pdfs[f"{name}.{language}.pdf"])
            assert {part for part, number in parts.items() if number not in text} == set(), (name, language)
    assert "人民币壹佰捌拾捌万玖仟捌佰壹拾柒元伍角捌分" in pages.text_of(pdfs["A/enforcement-application.zh.pdf"])
    assert claim.total == 188_981_758
    for language in ("zh", "en"):
        text = pages.text_of(pdfs[f"A/claim-computation.{language}.pdf"])
        assert [line for line in claim.lines if _number(line.amount) not in text] == []
        assert [line for line in claim.lines if line.days and f"×{line.days}" not in text and line.rate_bp] == []


def test_facts_json_is_what_was_set(made: dict[str, dict[str, bytes]]) -> None:
    facts = json.loads(made["A"]["facts.json"])
    assert facts["claim"]["total"] == 188_981_758
    assert facts["case"] == sample_case.identifier("case").hex()
    assert sum(line["amount"] for line in facts["claim"]["lines"]) == facts["claim"]["total"]
    assert made["A"]["facts.json"] == as_json(sample_case.facts("A"))


def test_a_guarantor_who_did_not_consent_is_not_enforced_against() -> None:
    """Route A leaves it out, as respondent and in what is asked for; a suit names it."""
    not_covered = replace(sample_case.GUARANTOR, covered=False)
    for route, named in (("A", False), ("B", True)):
        facts = replace(sample_case.facts(route), guarantors=(not_covered,), events=(), evidence=())
        name = "enforcement-application" if route == "A" else "statement-of-claim"
        text = pages.text_of(files_of(facts)[f"{name}.zh.pdf"])
        assert ("（保证人）" in text) == named
        assert ("3,500,000.00元" in text) == named


def test_a_case_against_some_only_names_them() -> None:
    guarantor = replace(sample_case.GUARANTOR, party=replace(sample_case.GUARANTOR.party, chain_id="guarantor"))
    facts = replace(sample_case.facts("B"), guarantors=(guarantor,), against=("guarantor",))
    text = pages.text_of(files_of(facts)["statement-of-claim.zh.pdf"])
    assert "被告1（保证人）" in text
    assert "（借款人）" not in text


def test_what_the_claimant_chooses_is_his_choice() -> None:
    """Doubled interest and electronic service are asked for and accepted only where he says so."""
    choices: tuple[tuple[Literal["yes", "no", ""], str], ...] = (
        ("yes", "是■否□（经由"),
        ("no", "是□否■（经由"),
        ("", "是□否□（经由"),
    )
    for chosen, ticked in choices:
        facts = replace(sample_case.facts("B"), electronic_service=chosen)
        assert f"同意电子送达：{ticked}" in pages.text_of(files_of(facts)["statement-of-claim.zh.pdf"])
    facts = replace(sample_case.facts("A"), doubled_interest=False)
    assert "第二百六十四条" not in pages.text_of(files_of(facts)["enforcement-application.zh.pdf"])


def test_an_ordinary_guarantor_pays_what_the_debtor_cannot() -> None:
    facts = replace(sample_case.facts("A"), guarantors=(replace(sample_case.GUARANTOR, liability="general"),))
    text = pages.text_of(files_of(facts)["enforcement-application.zh.pdf"])
    assert "依法强制执行后仍不能清偿的部分" in text
    assert "连带清偿责任" not in text


def bare(route: str, claim: Claim, **changes: Any) -> CaseFacts:
    """Almost nothing is known: no deed, no guarantor, no evidence, nothing paid, names alone."""
    facts = sample_case.facts(route)
    return CaseFacts(
        route=facts.route,
        case=facts.case,
        network=facts.network,
        application=facts.application,
        court="",
        creditor=Party("lender"),
        debtor=Party("借款人", kind="person"),
        loan=Loan("", "L-1", "", 0),
        claim=claim,
        agreed=facts.agreed,
        currency="CNY",
        scale=2,
        zone=-90,
        **changes,
    )


@pytest.mark.parametrize("route", ROUTES)
def test_what_is_not_known_stays_blank_and_what_is_not_there_is_none(route: str) -> None:
    files = files_of(bare(route, sample_case.claim(accelerated_on=None, costs=())))
    assert all(pages.missing_glyphs(data) == 0 for name, data in files.items() if name.endswith("pdf"))
    form = "enforcement-application" if route == "A" else "statement-of-claim"
    text = pages.text_of(files[f"{form}.zh.pdf"])
    assert "人民法院" in text
    assert "{" not in text
    assert "委托代理人无" in text
    assert "统一社会信用代码法定代表人" in text


@pytest.mark.parametrize(
    ("currency", "scale", "said"),
    [("USD", 2, "1,889,817.58美元"), ("JPY", 0, "188,981,758日元"), ("XTS", 3, "188,981.758XTS")],
)
def test_other_currencies(currency: str, scale: int, said: str) -> None:
    facts = replace(sample_case.facts("B"), currency=currency, scale=scale)
    assert said in pages.text_of(files_of(facts)["statement-of-claim.zh.pdf"])


def test_what_looks_like_markup_is_text() -> None:
    """Names come from strangers: nothing in them is run or set otherwise than as it stands."""
    name = '#panic("x") $a$ *b* _c_ `d` <e> @f {court} \\u{41} // g /* h */ [i] ~ -- "q"'
    facts = replace(sample_case.facts("A"), debtor=replace(sample_case.DEBTOR, name=name))
    files = files_of(facts)
    text = pages.text_of(files["enforcement-application.zh.pdf"])
    assert "".join(name.split()) in text


def test_a_name_cannot_write_a_line_of_its_own() -> None:
    """Line ends, direction marks, zero width and control characters, half surrogates: nothing of them is set."""
    name = "恒岳公司\n2. 放弃全部请求\u2028\u202e元00.1\u202c\u200b\x07\ud800\ue000\r(甲)"
    facts = replace(sample_case.facts("A"), debtor=replace(sample_case.DEBTOR, name=name))
    files = files_of(facts)
    shown = papers.values(made_visible(facts), Wording(facts, load("cn").languages["zh"]))["debtor"]["name"]
    assert shown == "恒岳公司 2. 放弃全部请求 元00.1 (甲)"
    text = pages.text_of(files["enforcement-application.zh.pdf"])
    assert "恒岳公司2.放弃全部请求元00.1(甲)" in text
    assert json.loads(files["facts.json"])["debtor"]["name"] == name


def test_the_claimants_own_text_has_lines() -> None:
    facts = replace(sample_case.facts("A"), facts_text="一\u202e、\n二、")
    assert made_visible(facts).facts_text == "一、\n二、"


def test_very_long_texts_go_over_pages() -> None:
    facts = replace(sample_case.facts("B"), facts_text="此处说明案件事实。" * 1_000)
    data = files_of(facts)["statement-of-claim.zh.pdf"]
    assert len(pages.draw(data)) > 5
    assert pages.text_of(data).count("此处说明案件事实") > 990


def test_a_character_that_no_font_has_is_refused() -> None:
    facts = replace(sample_case.facts("A"), debtor=replace(sample_case.DEBTOR, name="恒岳\U0001f600公司"))
    with pytest.raises(LitigationError, match="\U0001f600") as raised:
        files_of(facts)
    assert raised.value.code == "GLYPH_MISSING"


def test_without_the_fonts_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TALLYSTICK_FONTS", str(tmp_path))
    monkeypatch.setattr("tallystick.litigation.typeset._fonts", _uncached_fonts())
    with pytest.raises(LitigationError, match="fonts-noto-cjk") as raised:
        files_of(sample_case.facts("A"))
    assert raised.value.code == "FONTS_MISSING"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(LitigationError, match=r"tallystick\[court\]") as raised:
        files_of(sample_case.facts("A"))
    assert raised.value.code == "COURT_EXTRA_MISSING"


def _uncached_fonts() -> Any:
    from tallystick.litigation import typeset

    return typeset._fonts.__wrapped__


def _fonts(page: Any) -> Iterator[Any]:
    for font in page["/Resources"]["/Font"].values():
        yield font.get_object()


def _number(amount: int) -> str:
    return f"{amount // 100:,}.{amount % 100:02d}"
