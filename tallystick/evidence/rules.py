"""What a bundle says to each test of the rules on electronic evidence, as text made from case.json.

Rules 16 to 19 of the Supreme People's Court's rules on online litigation (人民法院在线诉讼规则, 2021) ask of evidence
from a blockchain: that it was not changed after it went on the chain (16), who runs the chain and how (17), whether
it was true before that (18), and leave the rest to experts (19). Article 11 of the rules for Internet courts (2018)
lists what is looked at for electronic data; it is answered for each paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tallystick.evidence.words import moment


def sections(facts: Mapping[str, Any]) -> dict[str, str]:
    """Name to text of each section."""
    return {
        "16": "\n".join(_sixteen(facts)) + "\n",
        "17": "\n".join(_seventeen(facts)) + "\n",
        "18": "\n".join(_eighteen(facts)) + "\n",
        "19": "\n".join(_nineteen()) + "\n",
        "2018-11": "\n".join(_eleven(facts)) + "\n",
    }


def _versions(facts: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for paper in facts["papers"]:
        for version in paper["versions"]:
            yield paper, version


def _sixteen(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "Rule 16: unchanged since it went on the chain / 第十六条：上链后未经篡改"
    yield ""
    yield f"Consortium / 联盟链: {facts['network_id']}"
    yield f"As of block / 截至区块: {facts['height']}, {moment(facts['time'])}"
    yield "Technical check / 技术核验: tally verify BUNDLE --genesis HASH --trust FILE"
    yield "Each record by its hash on the chain, with the SHA-256 of the original where it is in the bundle:"
    yield "各项记录的链上哈希值，以及证据包所附原件的 SHA-256："
    for paper, version in _versions(facts):
        sealed = version["sealed"]
        yield ""
        yield f"{version['number']}  {paper['kind']} {paper['number']}"
        yield f"      record / 记录       {version['id']}"
        yield f"      transaction / 交易  {sealed['transaction']}"
        yield f"      block / 区块        {sealed['height']}, {moment(sealed['time'])}"
        if version["original"]["name"]:
            yield f"      original / 原件     {version['original']['name']}  {version['original']['sha256']}"


def _seventeen(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "Rule 17: the platform / 第十七条：平台资质、中立性、系统与流程"
    yield ""
    yield "The chain is run by its members, each with a node and keys of its own; none alone can change it: a block"
    yield "stands when at least two thirds of the validators signed it, and each proof of this bundle carries their"
    yield "signatures. 链由各成员分别运行节点，三分之二以上验证人签名方能出块，本证据包各项证明均附该签名。"
    yield "Members and parties named in this case, with their roles / 本案所涉成员与当事人："
    for row in facts["people"]:
        yield f"  {row['id']}  {row['owner']}  {row.get('role', '')}  {row.get('name', '')}".rstrip()
    yield "Public time: anchors/ holds what third parties outside the consortium attested (public chains, time-stamp"
    yield "authorities, witnesses); whom of them to believe is for the verifier's own trust file."
    yield "公共时间：anchors/ 所附第三方（公链、时间戳机构、见证人）证明，其信任由验证人自定。"


def _eighteen(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "Rule 18: true before it went on the chain / 第十八条：上链前的真实性"
    for paper, version in _versions(facts):
        record = version["record"]
        source = record["source"]
        yield ""
        yield f"{version['number']}  {paper['kind']} {paper['number']} of / 出具人 {paper['issuer']}"
        yield f"      source system / 来源系统    {source['system']}"
        yield f"      reader / 读取程序           {source['connector']} {source['connector_version']}"
        yield f"      happened / 发生时间         {record['occurred_at']}"
        yield f"      captured / 采集时间         {moment(source['captured_at'])}"
        yield f"      sealed / 上链时间           {moment(version['sealed']['time'])}"
        yield f"      raw file hash / 原文件哈希  {source['raw_hash']}"
        yield f"      sealed by keys / 签名公钥   {', '.join(version['sealed']['signers'])}"
        yield f"      links / 关联材料            {'; '.join(' '.join(link) for link in record['links']) or '-'}"
        for identity, rows in paper["confirmations"]:
            if identity == version["id"]:
                for row in rows:
                    yield f"      confirmed by / 第三方确认   {row['owner']} {row['id']}, block {row['height']}"
        for row in paper["preservations"]:
            yield f"      preserved by / 保全         {row['by']} ({row['role']}), {moment(row['time'])}"
        for row in paper["disputes"]:
            yield f"      dispute / 异议              {row['status']}: {row['reason']}"


def _nineteen() -> Iterator[str]:
    yield "Rule 19: experts / 第十九条：专门知识的人"
    yield ""
    yield "An expert needs no access to the consortium: the format of every proof, the checks in their order, and how"
    yield "to repeat them with openssl, sha256sum and ots are documented (docs/evidence.md, docs/verify-by-hand.md),"
    yield "and the verifier is open source."
    yield "专家无需接入联盟链：证明格式、检验步骤及手工验证方法均已公开，验证程序开源。"


def _eleven(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "2018 rules for Internet courts, article 11 / 互联网法院规定（2018）第十一条"
    for paper, version in _versions(facts):
        record, in_force = version["record"], paper["in_force"]
        source, original = record["source"], version["original"]["name"] or "-"
        reader = f"{source['connector']} {source['connector_version']}"
        current = in_force is not None and in_force["id"] == version["id"]
        yield ""
        yield f"{version['number']}  {paper['kind']} {paper['number']}"
        yield f"      environment / 生成环境      {source['system']}, {reader}"
        yield f"      producer, time / 主体与时间 {paper['issuer']}, {record['occurred_at']}"
        yield f"      storage / 存储              chain {paper['chain']}, since block {version['sealed']['height']}"
        yield f"      extraction / 提取           {original}"
        yield f"      complete / 完整性           {'in force' if current else 'superseded'}, {_corrections(in_force)}"
        yield f"      verifiable / 可验证         records/{version['number']}.proof"


def _corrections(in_force: Mapping[str, Any] | None) -> str:
    count = 0 if in_force is None else len(in_force["superseded"])
    return f"corrected {count} times / 更正 {count} 次"
