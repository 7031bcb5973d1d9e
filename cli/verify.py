"""``tally verify``: what a clerk runs. No node, no network, no trust in who made the file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import bundle, credit_words, records, trust
from cli.command import EXISTING_FILE, Settings, TallyCommand
from cli.errors import UNVERIFIED, CliError
from cli.headers import open_chain
from cli.output import facts, moment, plain, read_file, show

if TYPE_CHECKING:
    from chain.verification import Verdict

EXAMPLE = """\
tally verify invoice.proof --genesis f1f734db…
the hash comes from the consortium over another channel, never from the file"""

DEVELOPMENT = click.option(
    "--allow-development-chain",
    "development",
    is_flag=True,
    help="let pass what proves nothing, for trying things out",
)


@click.command("verify", cls=TallyCommand, example=EXAMPLE)
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--genesis", "genesis_hash", required=True, metavar="HASH", help="64 digits, from outside the file")
@click.option(
    "--trust", "trust_file", type=EXISTING_FILE, help="JSON file: public hashes, senders, roots and witnesses"
)
@click.option("--file", type=EXISTING_FILE, help="with a disclosure: what is said to be the record's raw file")
@click.option("--headers", type=EXISTING_FILE, help="with compact proofs: headers that `tally headers sync` keeps")
@DEVELOPMENT
@click.option("--language", type=click.Choice(("en", "zh", "both")), default="both", help="of a case's verdict")
@click.pass_obj
def command(
    settings: Settings,
    path: Path,
    genesis_hash: str,
    trust_file: Path | None,
    file: Path | None,
    headers: Path | None,
    development: bool,
    language: str,
) -> None:
    """Check a case's evidence bundle, a proof, a disclosure, or proofs in one file or folder; say what is proved.

    Of a case every check is listed, with the verdict. Exit code 6 when it does not stand, is from another
    consortium, or is UNANCHORED: nothing public in --trust shows when it existed.
    """
    if path.is_dir() and (path / "manifest.json").exists():
        raise CliError(f"{path} is a case's bundle unpacked: give the ZIP file itself, its form is checked too")
    if is_case(path):
        if file is not None or headers is not None:
            raise CliError("a case's bundle holds its own files and headers: leave --file and --headers out")
        verify_case(settings, path, genesis_hash, trust_file, development, language)
        return
    verify(settings, path, genesis_hash, trust_file, file, headers, development)


def is_case(path: Path) -> bool:
    """Whether a file is a case's bundle (a ZIP file), by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as opened:
        return opened.read(2) == b"PK"


def verify_case(
    settings: Settings, path: Path, genesis_hash: str, trust_file: Path | None, development: bool, language: str
) -> None:
    """Check a case's bundle and print the verdict; exits with 6 unless every check passes."""
    from tallystick.evidence import verify_bundle
    from tallystick.evidence.trust import load

    network_id = trust.genesis_hash(genesis_hash)
    known = load(trust_file, development=development)
    verdict = verify_bundle(path, network_id, known, int(time.time()))
    value = {"network_id": network_id, "file": str(path), **verdict.to_json()}
    texts = [verdict.text(one) for one in (("en", "zh") if language == "both" else (language,))]
    show(settings, value, [line for text in texts for line in [*text, ""]][:-1])
    if not value["verified"]:
        raise click.exceptions.Exit(UNVERIFIED)


def verify(
    settings: Settings,
    path: Path,
    genesis_hash: str,
    trust_file: Path | None,
    file: Path | None = None,
    headers: Path | None = None,
    development: bool = False,
) -> None:
    """The command's work, shared with `tally audit verify`."""
    from tallystick.evidence.trust import load

    network_id = trust.genesis_hash(genesis_hash)
    known = load(trust_file, development=development)
    items, ties = bundle.open_path(path)
    raw = None if file is None else _raw_file(file, items)
    kept = None if headers is None else open_chain(headers, network_id)
    verdicts = [bundle.check(item, network_id, raw, kept) for item in items]
    checked = ties if trust_file is not None else []
    if checked:
        trust.require_anchor_extra()
    anchors = [bundle.check_anchor(tie, items, network_id, known) for tie in checked]
    value = {
        "verified": True,
        "network_id": network_id,
        "proofs": [_value(item.name, verdict) for item, verdict in zip(items, verdicts, strict=True)],
        "anchors": anchors,
        "anchors_not_checked": len(ties) - len(checked),
    }
    lines: list[str] = []
    for item, verdict in zip(items, verdicts, strict=True):
        lines += [f"{item.name}: proved", *(f"  - {step}" for step in verdict.steps), ""]
        lines += [*(f"  {line}" for line in words(verdict)), ""]
    lines += [f"anchor: {entry['text']}" for entry in anchors]
    if len(ties) > len(checked):
        lines.append(
            f"{len(ties)} anchors not checked: give --trust with the public block hashes and senders you trust"
        )
    count = "1 proof stands" if len(items) == 1 else f"all {len(items)} proofs stand"
    show(settings, value, [*lines, f"Verified: {count} under genesis {network_id.hex()}."])


def words(verdict: Verdict) -> list[str]:
    """What is proved, for a clerk."""
    when = f"block {verdict.height}, {moment(verdict.time)}"
    subject = verdict.subject
    if verdict.kind == "disclosure":
        said = f"This record stood on the chain of {verdict.chain} in {when}:"
        return [said, *records.content(plain(subject["record"])), *opened(subject)]
    if verdict.kind == "record":
        said = f"This record stood on the chain of {verdict.chain} in {when}:"
        return [said, *records.content(plain(subject["record"]))]
    if verdict.kind == "transaction":
        return _transaction(verdict.chain, when, subject)
    if verdict.kind == "head":
        return [f"The chain of {verdict.chain} stood at this block after {when}:", *facts(subject.items())]
    return _state(verdict.chain, when, subject["key"], subject["value"])


def opened(subject: dict[str, Any]) -> list[str]:
    """What a disclosure opened of a record, in words."""
    lines = [
        f"These fields were sealed in it and are opened here ({', '.join(subject['sealed_fields'])} are sealed):"
    ]
    lines = [*lines, *records.fields(subject["opened"])] if subject["opened"] else []
    return [*lines, *(["The file given is the one the record was read from."] if subject["file"] else [])]


def _raw_file(path: Path, items: list[bundle.Item]) -> bytes:
    if len(items) != 1 or not bundle.disclosed(items[0]):
        raise CliError("--file is held against one disclosure: give one that `tally record disclose --raw` made")
    return read_file(path, bundle.MAX_BUNDLE)


def _transaction(chain: str, when: str, subject: dict[str, Any]) -> list[str]:
    outcome = "done" if subject["status"] == 0 else f"failed: {subject['code']}"
    return [
        f"This transaction was ordered on {chain} in {when}:",
        *facts(
            [
                ("transaction", subject["tx"]),
                ("did", f"{subject['contract']}.{subject['method']}"),
                ("arguments", plain(subject["args"])),
                ("signed by", subject["signers"]),
                ("outcome", outcome),
                ("result", plain(subject["result"])),
            ]
        ),
    ]


def _state(chain: str, when: str, key: list[Any], value: Any) -> list[str]:
    name = " ".join(str(plain(part)) for part in key)
    if value is None:
        return [f"The state of {chain} had no entry {name} after {when}."]
    contract, what = key[0], key[1] if len(key) > 1 else ""
    if (contract, what) == ("credit", "assessment"):
        return [f"This assessment stood after {when}:", *credit_words.assessment(value)]
    if (contract, what) == ("records", "record"):
        said = f"This record was in force on the chain of {chain} after {when}:"
        return [said, *records.content(plain(value["record"]))]
    lines = [f"The state of {chain} had this entry {name} after {when}:"]
    if isinstance(value, dict):
        return lines + facts((str(field), plain(item)) for field, item in value.items())
    return [*lines, str(plain(value))]


def _value(name: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "name": name,
        "kind": verdict.kind,
        "chain": verdict.chain,
        "height": verdict.height,
        "time": verdict.time,
        "subject": verdict.subject,
        "steps": verdict.steps,
    }
