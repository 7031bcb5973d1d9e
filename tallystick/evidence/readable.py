"""The pages of a bundle for people: index.html, README.txt, and a section for each test of the court's rules.

All of it is a pure function of case.json, so that the verifier renders it again and compares: what a judge reads is
what the proofs give. No scripts, no styles from elsewhere, no links that lead out of the bundle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from tallystick.evidence.rules import sections
from tallystick.evidence.words import amount, cleaned, moment

INDEX: Final = "index.html"
README: Final = "README.txt"
NAMES: Final = (INDEX, README)
_FILE: Final = re.compile(r"(?:originals|documents)(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+", re.ASCII)
"""What becomes a link: no path leads out."""
_STYLE: Final = (
    "body{font-family:sans-serif;max-width:70em;margin:2em auto;line-height:1.5}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #999;padding:.2em .5em;text-align:left;"
    "vertical-align:top;overflow-wrap:anywhere}h2{margin-top:2em}code{font-size:.85em}"
)
_README: Final = """\
EVIDENCE BUNDLE / 电子证据包

This file is evidence from a consortium blockchain. It proves itself; nobody who made or carried it need be trusted.
本证据包可以独立验证，无需信任制作人或者传递人。

Open index.html to read it. To check it, with tallystick installed and without any network:
阅读请打开 index.html。离线验证命令：

    tally verify BUNDLE.zip --genesis HASH --trust trust.json

HASH and trust.json (public block hashes, senders, roots of time-stamp authorities) come from sources of your own,
never from this bundle. docs/verify-by-hand.md of tallystick does the same with openssl, sha256sum and ots.
HASH 与 trust.json（公链区块哈希、发送账户、时间戳机构根证书）必须由验证人自行取得，不得取自本证据包。

This bundle says that it is of consortium / 本证据包自称属于联盟链
    {network_id}
as of its block {height}, {time} / 截至区块 {height}
"""


def render(facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Name to content of every page. Raises KeyError, TypeError or ValueError for what is no case.json."""
    facts = cleaned(facts)
    readme = _README.format(network_id=facts["network_id"], height=facts["height"], time=moment(facts["time"]))
    pages = {README: readme.encode(), INDEX: _index(facts).encode()}
    return {**pages, **{f"rules/{name}.txt": text.encode() for name, text in sections(facts).items()}}


def _index(facts: Mapping[str, Any]) -> str:
    parts = (
        ("The claim / 诉讼请求", _claim(facts)),
        ("Way to the court / 程序", _list(text for _, text in facts["route"]["reasons"])),
        ("Persons / 当事人", _people(facts)),
        ("The loan / 借款", _loan(facts)),
        ("The deed / 公证债权文书", "".join(_deed(file, facts) for file in facts["deeds"]) or "<p>none / 无</p>"),
        ("What was done on the chain / 链上事实时间表", _steps(facts)),
        ("Papers / 证据材料", _papers(facts)),
        ("Documents of the claimant / 举证人文书", _documents(facts)),
        ("The court's rules / 审查要点", _list(f"rules/{name}.txt" for name in sections(facts))),
    )
    body = "".join(f"<h2>{escape(title)}</h2>\n{text}\n" for title, text in parts)
    return (
        '<!DOCTYPE html>\n<html lang="zh"><head><meta charset="utf-8"><title>Evidence bundle / 电子证据包</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>Evidence bundle / 电子证据包</h1>\n"
        f"<p>Consortium / 联盟链 <code>{escape(facts['network_id'])}</code>, as of block / 截至区块 "
        f"{facts['height']}, {moment(facts['time'])}. This page is made from case.json; <code>tally verify</code> "
        f"says whether the proofs give it. / 本页由 case.json 生成，是否属实以 tally verify 的结论为准。</p>\n"
        f"{body}</body></html>\n"
    )


def _claim(facts: Mapping[str, Any]) -> str:
    claim = facts["claim"]
    if claim is None:
        return "<p>No amount is claimed in this bundle. / 本证据包未列明金额。</p>"
    names = (
        ("principal", "Principal / 本金"), ("interest", "Interest / 利息"), ("penalty", "Penalty interest / 罚息"),
        ("compound", "Compound interest / 复利"), ("costs", "Costs / 费用"), ("total", "Total / 合计"),
        ("daily", "For each further day / 此后每日"),
    )  # fmt: skip
    rows = [[title, _money(claim[name], facts)] for name, title in names]
    rows.append(["As of / 截至", claim["as_of"]])
    if facts["repaid_since"]:
        rows.append(["Paid back since, not deducted / 此后还款（未扣除）", _money(facts["repaid_since"], facts)])
    rows.append(["Overdue since / 逾期起始", claim["overdue_since"]])
    lines = [
        [line["rule"], line["due"], line["first"], line["last"], _money(line["base"], facts), f"{line['rate_bp']} bp",
         str(line["days"]), _money(line["amount"], facts), line["text"]]
        for line in claim["lines"]
    ]  # fmt: skip
    head = ("Rule / 项目", "Due / 到期", "From / 自", "To / 至", "Base / 基数", "Rate / 年利率", "Days / 天数",
            "Amount / 金额", "")  # fmt: skip
    return _table((), rows) + _table(head, lines)


def _people(facts: Mapping[str, Any]) -> str:
    rows = [
        [row["id"], row["owner"], row.get("role", ""), row.get("name", ""), ", ".join(row.get("identifiers", []))]
        for row in facts["people"]
    ]
    return _table(("Id", "Kind / 类别", "Role / 角色", "Name / 名称", "Identifiers / 证件号码"), rows)


def _loan(facts: Mapping[str, Any]) -> str:
    paid_out = [[row["disbursed_on"], _money(row["amount"], facts), row["id"]] for row in facts["disbursements"]]
    paid = [[row["paid_on"], _money(row["amount"], facts), row["id"]] for row in facts["repayments"]]
    unpaid = [
        [row["due"], _money(row["principal"] - row["principal_paid"], facts),
         _money(row["interest"] - row["interest_paid"], facts)]
        for row in facts["unpaid"]
    ]  # fmt: skip
    pledged = [[row["bill"][2], _money(row["amount"], facts), row["registration"]] for row in facts["pledges"]]
    return (
        "<h3>Paid out / 放款</h3>" + _table(("Day / 日期", "Amount / 金额", "Transaction / 交易"), paid_out)
        + "<h3>Paid back / 还款</h3>" + _table(("Day / 日期", "Amount / 金额", "Transaction / 交易"), paid)
        + "<h3>Unpaid / 未付</h3>" + _table(("Due / 到期", "Principal / 本金", "Interest / 利息"), unpaid)
        + "<h3>Pledged / 质押应收账款</h3>" + _table(("Bill / 发票", "Amount / 金额", "Register / 登记号"), pledged)
    )  # fmt: skip


def _deed(file: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    deed, certificate = file["deed"], file["certificate"]
    terms, verification = deed["terms"], deed["verification"]
    rows = [
        ["Number / 公证书号", deed["number"]],
        ["State / 状态", deed["state"]],
        ["Notary / 公证机构", deed["notary"]],
        ["Creditor / 债权人", deed["creditor"]],
        ["Debtor / 债务人", deed["debtor"]],
        ["Guarantors / 担保人", ", ".join(row["id"] for row in deed["guarantors"])],
        ["Ceiling / 最高额", _money(deed["ceiling"], facts)],
        ["Terms / 违约条款", f"{terms['penalty_bp']} bp, {terms['compound_bp']} bp, {terms['day_count']}"],
        ["Verification / 核实方式", f"{verification['method']} {verification['address']}"],
        ["Text (SHA-256) / 文本", deed["text_hash"]],
        ["Consents to enforcement / 强制执行承诺", ", ".join(row["by"] for row in file["consents"])],
        ["Revoked / 撤销", "" if file["revocation"] is None else file["revocation"]["text"]],
    ]
    rows += [["Refused / 拒绝", f"{row['reason']} {row['text']}"] for row in file["refusals"]]
    rows += [["Verified / 核实结果", f"{row['outcome']} {row['text']}"] for row in file["verifications"]]
    rows += [["Answer / 答复", f"{row['by']}: {row['text']}"] for row in file["answers"]]
    if certificate is not None:
        rows += [
            ["Execution certificate / 执行证书", certificate["number"]],
            ["Certified / 执行标的", _money(certificate["claim"]["total"], facts)],
            ["Apply by / 申请执行期限", certificate["apply_by"]],
            ["Against / 被执行人", ", ".join(row["id"] for row in certificate["respondents"])],
        ]
    return _table((), rows)


def _steps(facts: Mapping[str, Any]) -> str:
    rows = [
        [moment(row["time"]), str(row["height"]), row["method"], row["by"][1], row["transaction"]]
        for row in facts["steps"]
    ]
    return _table(("Time / 时间", "Block / 区块", "Step / 事项", "By / 行为人", "Transaction / 交易"), rows)


def _papers(facts: Mapping[str, Any]) -> str:
    rows = []
    for paper in facts["papers"]:
        said = [f"disputed: {row['status']} {row['reason']} / 异议" for row in paper["disputes"]]
        said += [f"pledged to {row['lender']} / 质押" for row in paper["pledges"]]
        if paper["in_force"] is None:
            said.append("not on the chain / 链上无此记录")
        elif paper["in_force"]["superseded"]:
            said.append(f"corrected {len(paper['in_force']['superseded'])} times / 已更正")
        for version in paper["versions"]:
            current = paper["in_force"] is not None and paper["in_force"]["id"] == version["id"]
            opened = [f"{name}: {value}" for name, value in version["opened"].items()]
            state = said if current else ["an earlier version / 已被更正的版本"]
            original = version["original"]
            rows.append([
                version["number"], f"{paper['kind']} {paper['number']}", paper["issuer"], paper["chain"],
                moment(version["sealed"]["time"]), version["id"], original["name"], "; ".join([*state, *opened]),
            ])  # fmt: skip
    head = (
        "No. / 编号", "Paper / 材料", "Issuer / 出具人", "Chain / 链", "Sealed / 上链时间",
        "Record id / 记录哈希", "Original / 原件", "Notes / 备注",
    )  # fmt: skip
    return _table(head, rows)


def _documents(facts: Mapping[str, Any]) -> str:
    rows = [[row["name"], str(row["size"]), row["sha256"]] for row in facts["documents"]]
    note = "<p>The claimant's own writing, no evidence of what it says. / 举证人自行制作，不属于证据本身。</p>"
    return note + _table(("File / 文件", "Bytes / 字节", "SHA-256"), rows)


def _money(units: int, facts: Mapping[str, Any]) -> str:
    return amount(units, facts["line"]["scale"], facts["line"]["currency"])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table>\n{f'<tr>{top}</tr>' if top else ''}{body}</table>\n"


def _cell(text: str) -> str:
    """Escaped; the name of a file of the bundle becomes a link to it."""
    if _FILE.fullmatch(text):
        return f'<a href="{escape(text)}">{escape(text)}</a>'
    return escape(text)


def _list(texts: Iterable[str]) -> str:
    items = (f'<a href="{escape(text)}">{escape(text)}</a>' if text.startswith("rules/") else escape(text)
             for text in texts)  # fmt: skip
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
