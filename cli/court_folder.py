"""The folder that is handed in at a court without a node: the bundle, its papers, checksums, the form of an answer.

The answer is a text of fixed lines (contracts/court_answer.py) that the court completes and signs: nothing of this
software is needed for that, ``docs/court.md`` shows it with openssl.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli import court_work
from cli.errors import CliError
from cli.output import write_file

if TYPE_CHECKING:
    from contracts.court_answer import Answer

BUNDLE: Final = "bundle.zip"
ANSWER: Final = "answer.txt"
SUMS: Final = "SHA256SUMS"
README: Final = "README.txt"
DOCUMENTS: Final = "documents/"
DAY: Final = "YYYY-MM-DD"
MAX_ANSWER: Final = 16_384

_README: Final = """\
立案材料 · Case for the court

案件 Case          {case}
申请人 Claimant    {creditor}
被申请人 Against   {respondents}
途径 Route         {route}

bundle.zip     证据包，请勿更改。The evidence, as the chain of the network names it: do not change it.
documents/     证据包内的文书，便于阅读。The papers in it, to read.
SHA256SUMS     校验：sha256sum -c SHA256SUMS
answer.txt     答复书。The answer of the court, to complete and sign.

核验证据包（离线，无需节点）· To check the evidence, offline, without any node:
    tally verify bundle.zip --genesis {network} --trust FILE
其余方法见包内 README.txt。Other ways: README.txt inside it.

答复 · To answer: complete answer.txt, keep its form (one line each, "-" for nothing), and sign its bytes.
    answer: received | asks | accepts | rejects      收到 | 要求补充 | 立案 | 不予受理或驳回
    number: 案号，立案时必填  the docket number, wanted with accepts
    code:   只在 rejects 时填写，见下  only with rejects, one of {codes}
    text:   补充要求或理由，一行  what is asked for, or why; one line
    day:    日期  YYYY-MM-DD
签名 · Signing: with the key that is registered for the court,
    tally court answer . --answer received --day 2026-01-31 --key KEYFILE
or with a certificate,
    openssl cms -sign -binary -in answer.txt -signer court.pem -inkey court.key -outform DER -out answer.txt.sig
请将 answer.txt 与 answer.txt.sig 交还申请人。Give answer.txt and answer.txt.sig back to the claimant.
"""


def write(folder: Path, network_id: bytes, case: Mapping[str, Any], bundle: bytes) -> list[str]:
    """Write the folder of a case's newest filing; the names of its files, sorted. Raises CliError."""
    from contracts.court_case import REJECTIONS

    require_bundle(bundle, folder)
    papers = {name: data for name, data in court_work.files_of(bundle).items() if name.startswith(DOCUMENTS)}
    files = {BUNDLE: bundle, **{name: data for name, data in papers.items() if name.endswith(".pdf")}}
    files[ANSWER] = form(network_id, case).encode()
    files[README] = _README.format(
        case=case["id"].hex(),
        creditor=case["creditor"],
        respondents=", ".join(case["respondents"]),
        route=f"{case['route']}: {case['reasons'][0][1]}",
        network=network_id.hex(),
        codes=", ".join(REJECTIONS),
    ).encode()
    listed = {name: data for name, data in files.items() if name != ANSWER}  # the court changes that one
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(listed.items())]
    files[SUMS] = "".join(lines).encode()
    for name, data in sorted(files.items()):
        write_file(folder / name, data)
    return sorted(files)


def require_bundle(bundle: bytes, folder: Path) -> None:
    """A bundle, and a folder to write it to. Raises CliError, before anything is sent."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CliError(f"{folder} exists and is not empty: choose another folder, or remove it first")
    court_work.files_of(bundle)


def form(network_id: bytes, case: Mapping[str, Any]) -> str:
    """The answer's form: that the newest filing was received, its day to be put in."""
    from contracts.court_answer import RECEIVED, Answer, paper

    return paper(network_id, dict(case), len(case["filings"]) - 1, Answer(RECEIVED, "", "", "", DAY))


def completed(form: bytes, said: Mapping[str, str]) -> str:
    """The text of an answer, from the form in the folder and what the court says. Raises CliError."""
    from contracts.court_answer import ROWS, TITLE, read
    from contracts.errors import ContractError

    lines = form.decode(errors="replace").splitlines()
    names = [line.partition(": ")[0] for line in lines[1:]]
    if lines[:1] != [TITLE] or names != [*ROWS]:
        raise CliError(
            f"{ANSWER} is not the form that was handed in: take it from the folder again", code="WRONG_ANSWER"
        )
    try:
        read(dict(said))
    except ContractError as error:
        raise CliError(error.message, code=error.code) from None
    rows = [
        f"{name}: {said[name] or '-'}" if name in said else line for name, line in zip(names, lines[1:], strict=True)
    ]
    return "".join(f"{line}\n" for line in [TITLE, *rows])


def read_answer(text: str, network_id: bytes, case: Mapping[str, Any]) -> tuple[int, Answer]:
    """(filing, answer) that a text states; it must be exactly the text of that answer. Raises CliError."""
    from contracts.court_answer import Answer, paper

    rows = dict(line.partition(": ")[::2] for line in text.splitlines()[1:])
    values = {name: "" if rows.get(name) == "-" else rows.get(name, "") for name in Answer._fields}
    answer = Answer(**values)
    number = rows.get("filing", "")
    filing = int(number) if number.isascii() and number.isdecimal() and len(number) < 4 else -1
    if answer.day == DAY:
        raise CliError(f"the day of the answer is still {DAY}: the court puts it in before it signs", code="NO_DAY")
    if not 0 <= filing < len(case["filings"]):
        raise CliError("the answer names no filing of this case: take the answer of this case", code="WRONG_ANSWER")
    wanted = paper(network_id, dict(case), filing, answer)
    if text != wanted:
        raise CliError(f"the answer differs from its form in {_difference(text, wanted)}", code="WRONG_ANSWER")
    return filing, answer


def _difference(text: str, wanted: str) -> str:
    """The first line that is not as it should be, for people."""
    found, right = text.splitlines(), wanted.splitlines()
    for number, line in enumerate(right):
        if number >= len(found) or found[number] != line:
            return f"line {number + 1}, which must be {line[:200]!r}: sign it again as the form has it"
    return "what follows its last line: sign it again as the form has it, each line ended once"
