"""What holds for every command: help with an example, --json, one-line errors, exit codes, nothing heavy loaded."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli import keys as keys_command
from cli.command import Settings, TallyCommand
from cli.errors import CliError, problem_of
from cli.main import main

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/cli.md"


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command, info_name="tally")
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from walk(inner, (*path, name))
    else:
        yield path, command


COMMANDS = dict(walk(main))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_json_and_help_with_an_example_of_itself(path: tuple[str, ...], tally: Any) -> None:
    done = tally(*path, "--help")
    assert done.code == 0
    assert "--json" in done.out
    example = done.out.partition("Example:")[2]
    assert f"tally {' '.join(path)}" in example
    assert isinstance(COMMANDS[path], TallyCommand)


def test_the_names_that_scripts_depend_on_are_there() -> None:
    fixed = """keys new/show/rotate · genesis draft/sign/seal/show/dev · node run/status/doctor
        · tx submit/simulate/show/wait · notary preserve/show · gov propose/vote/show
        · query block/tx/record/state/history/chains/members
        · audit export/verify · anchor status/now/verify · credit apply/confirm/assess/decide/disburse/show/explain"""
    paths = {" ".join(path) for path in COMMANDS} | {" ".join(path[:2]) for path in COMMANDS}
    for entry in fixed.split("·"):
        group, names = entry.split()
        assert {f"{group} {name}" for name in names.split("/")} <= paths
    assert {"up", "ingest", "verify"} <= paths


def test_the_page_of_commands_lists_exactly_what_there_is() -> None:
    listed = re.findall(r"^\| `tally ([a-z -]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {" ".join(path) for path in COMMANDS}


def test_help_loads_nothing_that_takes_time() -> None:
    code = (
        "import sys; from cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "cli.main" in loaded
    assert not loaded & {
        "httpx",
        "pydantic",
        "nacl",
        "msgpack",
        "tallystick",
        "chain.codec",
        "genesis.document",
        "node",
    }


def test_loading_every_command_loads_no_part_of_a_node() -> None:
    code = (
        "import sys, click; from cli.main import main\n"
        "for name in main.list_commands(None): main.get_command(None, name)\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "cli.ingest" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"node", "consensus", "trio", "libp2p", "plyvel", "lxml"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing",), "No such command 'nothing'"),
        (("keys", "shw"), "Did you mean 'show'?"),
        (("keys", "show"), "Missing argument 'PATH'"),
        (("query", "block", "x"), "'x' is not a valid integer"),
        (("tx", "show", "--frob", "1"), "No such option"),
        (("verify", "/nowhere", "--genesis", "00"), "does not exist"),
        (("tx", "submit", "--contract", "gov", "--method", "vote"), "no key to sign with"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str, tally: Any) -> None:
    done = tally(*arguments)
    assert done.code == 2
    assert done.err.startswith("tally: ")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert done.out == ""


def test_an_error_is_json_too_where_json_is_asked_for(tally: Any, tmp_path: Path) -> None:
    done = tally("--json", "keys", "new", tmp_path / "k.json", "--purpose", "signer")
    assert done.code == 2
    assert done.json["error"]["code"] == "NO_PASSPHRASE"
    assert done.json["error"]["exit"] == 2
    assert "TALLY_PASSPHRASE" in done.json["error"]["message"]


def test_global_options_stand_before_or_after_the_command(tally: Any) -> None:
    before = tally("--node", "http://127.0.0.1:9", "node", "status")
    after = tally("node", "status", "--node", "http://127.0.0.1:9")
    variable = tally("node", "status", TALLY_NODE="http://127.0.0.1:9")
    assert before == after == variable
    assert before.code == 3
    assert "no node answers at http://127.0.0.1:9" in before.err
    assert "127.0.0.1:8 " in tally("node", "status", "--node", "http://127.0.0.1:8", TALLY_NODE="http://x").err


def test_a_bug_is_one_line_and_exit_code_1_and_shows_its_trace_on_request(
    tally: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_settings: Settings, _path: Path) -> None:
        raise RuntimeError("this\ncannot be")

    monkeypatch.setattr(keys_command, "show", broken)
    path = tmp_path / "key.json"
    arguments = ("keys", "new", path, "--purpose", "party", "--development")
    done = tally(*arguments, TALLY_PASSPHRASE="x")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "a bug of this program: TypeError" in done.err
    path.unlink()
    with pytest.raises(TypeError):
        tally(*arguments, TALLY_PASSPHRASE="x", TALLY_DEBUG="1")


def test_interruption_is_one_line() -> None:
    problem = problem_of(KeyboardInterrupt())
    assert (problem.exit_code, problem.message) == (130, "interrupted")


def test_a_missing_extra_says_what_to_install() -> None:
    problem = problem_of(ModuleNotFoundError("No module named 'lxml'", name="lxml"))
    assert problem.exit_code == 2
    assert "pip install 'tallystick[node]'" in problem.message


def test_what_a_stranger_wrote_cannot_break_the_line(tally: Any) -> None:
    problem = problem_of(CliError("two\nlines \x1b[31mred"))
    assert problem.exit_code == 2
    done = tally("tx", "show", "ab\x1b[2J\ncd")
    assert done.code == 2
    assert "\x1b" not in done.err
    assert done.err.count("\n") == 1
