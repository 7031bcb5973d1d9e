"""The parts of ``tally court`` that need no node: the folder that is handed in, its answer, signing a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain.crypto import sha256, verify
from chain.keys import INTERACTIVE, create
from cli import court_folder
from cli.errors import CliError
from contracts import court_answer
from tallystick.evidence import archive
from tallystick.litigation.sign import signatures_of
from tests.cli.conftest import PASSPHRASE, Result, run
from tests.litigation import signers

NETWORK = b"n" * 32
BUNDLE = archive.pack({"case.json": b"{}", "documents/claim.zh.pdf": b"%PDF-1.7", "documents/facts.json": b"{}"})
CASE: dict[str, Any] = {
    "id": b"i" * 32,
    "court": "",
    "court_name": "上海金融法院",
    "creditor": "lender",
    "respondents": ["kestrel"],
    "route": "B",
    "reasons": [["NO_DEED", "there is no deed"]],
    "filings": [{"bundle": sha256(BUNDLE), "size": len(BUNDLE)}],
}
DAY = ("--day", "2026-11-24")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    court_folder.write(tmp_path / "to-court", NETWORK, CASE, BUNDLE)
    return tmp_path / "to-court"


def answer(folder: Path, *words: str | Path) -> Result:
    return run("court", "answer", folder, *words, "--json", TALLY_PASSPHRASE=PASSPHRASE)


def text_of(folder: Path) -> str:
    return (folder / "answer.txt").read_text(encoding="utf-8")


def code_of(text: str, case: dict[str, Any] = CASE, network: bytes = NETWORK) -> str:
    with pytest.raises(CliError) as refused:
        court_folder.read_answer(text, network, case)
    assert "\n" not in str(refused.value)
    return refused.value.code


def test_the_folder_holds_bundle_papers_checksums_and_the_form(folder: Path) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert names == ["README.txt", "SHA256SUMS", "answer.txt", "bundle.zip", "documents/claim.zh.pdf"]
    lines = [line.partition("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, _, name in lines}
    assert sums == {name: sha256((folder / name).read_bytes()).hex() for name in names if name in sums}
    assert sorted(sums) == ["README.txt", "bundle.zip", "documents/claim.zh.pdf"]  # the court changes answer.txt
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    assert NETWORK.hex() in readme
    assert "上海金融法院" in text_of(folder)


def test_an_answer_is_completed_and_signed_without_a_node(folder: Path, tmp_path: Path) -> None:
    key = create(tmp_path / "court.json", PASSPHRASE, "signer", cost=INTERACTIVE)
    said = ("--answer", "accepts", "--number", "(2026)沪74民初1号", "--text", "周一开庭", *DAY)
    done = answer(folder, *said, "--key", tmp_path / "court.json")
    assert done.code == 0, done.err
    assert verify(key.public, (folder / "answer.txt").read_bytes(), (folder / "answer.txt.sig").read_bytes())
    wanted = court_answer.Answer("accepts", "(2026)沪74民初1号", "", "周一开庭", "2026-11-24")
    assert court_folder.read_answer(text_of(folder), NETWORK, CASE) == (0, wanted)
    again = answer(folder, "--answer", "received", *DAY)  # completed once more: nothing of before is left
    assert (again.code, court_folder.read_answer(text_of(folder), NETWORK, CASE)[1].number) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("--answer", "accepts", *DAY),
        ("--answer", "asks", *DAY),
        ("--answer", "rejects", "--text", "no", *DAY),
        ("--answer", "rejects", "--text", "no", "--code", "WHY", *DAY),
        ("--answer", "received", "--text", "two\nlines", *DAY),
        ("--answer", "received", "--day", "tomorrow"),
        ("--answer", "perhaps", *DAY),
    ],
)
def test_an_answer_that_says_nothing_right_is_not_written(folder: Path, words: tuple[str, ...]) -> None:
    before = text_of(folder)
    done = answer(folder, *words)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert text_of(folder) == before


def test_a_court_signs_only_for_the_bundle_it_has(folder: Path) -> None:
    (folder / "bundle.zip").write_bytes(BUNDLE + b"!")
    done = answer(folder, "--answer", "received", *DAY)
    assert (done.code, done.json["error"]["code"]) == (6, "WRONG_BUNDLE")


def test_a_form_that_was_changed_is_not_completed(folder: Path) -> None:
    (folder / "answer.txt").write_text(text_of(folder).replace("court: ", "to the court: "), encoding="utf-8")
    done = answer(folder, "--answer", "received", *DAY)
    assert (done.code, done.json["error"]["code"]) == (2, "WRONG_ANSWER")


def test_an_answer_is_taken_back_only_in_its_form(folder: Path) -> None:
    assert code_of(text_of(folder)) == "NO_DAY"
    text = text_of(folder).replace(court_folder.DAY, "2026-11-24")
    assert court_folder.read_answer(text, NETWORK, CASE)[0] == 0
    for changed in (
        text.replace("上海", "北京"),
        text.replace(sha256(BUNDLE).hex(), bytes(32).hex()),
        text.replace("filing: 0", "filing: 1"),
        text.replace("filing: 0", "filing: -1"),
        text + "and: more\n",
        text.rstrip("\n"),
        text.replace("\n", "\r\n"),
        text.replace("size", "weight"),
        "",
        "no answer at all",
    ):
        assert code_of(changed) in ("WRONG_ANSWER", "NO_DAY"), changed
    assert code_of(text, network=bytes(32)) == "WRONG_ANSWER"
    assert code_of(text, {**CASE, "id": bytes(32)}) == "WRONG_ANSWER"


def test_a_folder_in_use_and_a_file_that_is_no_bundle_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CliError, match="not empty"):
        court_folder.write(folder, NETWORK, CASE, BUNDLE)
    with pytest.raises(CliError, match="no bundle"):
        court_folder.write(tmp_path / "new", NETWORK, CASE, b"PK\x03\x04 none")
    assert not (tmp_path / "new").exists()


def test_a_document_is_signed_at_the_command_line(tmp_path: Path) -> None:
    import typst

    root = signers.authority("Root")
    (tmp_path / "paper.typ").write_text("= Claim", encoding="utf-8")
    (tmp_path / "claim.pdf").write_bytes(typst.compile(tmp_path / "paper.typ"))
    (tmp_path / "lender.p12").write_bytes(signers.signer("Lender", root))
    (tmp_path / "secret").write_text(f"{signers.PASSPHRASE}\n", encoding="utf-8")
    words = (
        "court",
        "sign",
        tmp_path / "claim.pdf",
        "--pkcs12",
        tmp_path / "lender.p12",
        "-o",
        tmp_path / "signed.pdf",
    )
    done = run(*words, "--passphrase-file", tmp_path / "secret")
    assert done.code == 0, done.err
    (found,) = signatures_of((tmp_path / "signed.pdf").read_bytes(), [root.der])
    assert (found.intact, found.trusted, found.whole) == (True, True, True)
    (tmp_path / "secret").write_text("wrong", encoding="utf-8")
    wrong = run(*words, "--passphrase-file", tmp_path / "secret", "--json")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "PKCS12_WRONG")
