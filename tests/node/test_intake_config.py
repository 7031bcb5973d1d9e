"""The settings of connected systems: where paths point, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from node import config
from node.config_intake import Folder, Pull, Push
from node.intake.checkup import problem_of

MINIMAL = """
member = "erp"
genesis = "genesis.json"
data = "data"
[keys]
network = "keys/network.json"
[p2p]
listen = "127.0.0.1:27100"
[api]
listen = "127.0.0.1:27101"
"""
FOLDER = '[[intake.folders]]\nname = "exports"\npath = "out"\n'
PULL = '[[intake.pulls]]\nname = "platform"\nurl = "https://platform.example/x"\n'
PUSH = f'[[intake.pushes]]\nname = "wms"\ntokens_sha256 = ["{"ab" * 32}"]\n'


def loaded(folder: Path, text: str) -> config.Config:
    path = folder / "node.toml"
    path.write_text(MINIMAL + text)
    return config.load(path)


def test_nothing_is_connected_unless_it_is_said(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").intake.feeds == []


def test_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    text = (
        '[intake]\nsigner = "keys/s.json"\nsealing_key = "keys/old.json"\n'
        + FOLDER + 'mapping = "maps/sap.json"\n'
        + PULL + 'mapping = "sap-invoices"\nca_file = "ca.pem"\nsecret_headers = { X = "x.txt" }\n'
        + PUSH + 'system = "the warehouse"\n'
    )  # fmt: skip
    intake = loaded(tmp_path, text).intake
    assert (intake.signer, intake.sealing_key) == (tmp_path / "keys/s.json", tmp_path / "keys/old.json")
    assert (intake.folders[0].path, intake.folders[0].mapping) == (tmp_path / "out", str(tmp_path / "maps/sap.json"))
    assert (intake.pulls[0].mapping, intake.pulls[0].ca_file) == ("sap-invoices", tmp_path / "ca.pem")
    assert intake.pulls[0].secret_headers == {"X": tmp_path / "x.txt"}
    assert [feed.source_system for feed in intake.feeds] == ["exports", "platform", "the warehouse"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FOLDER + PULL.replace("platform", "exports", 1), "two of folders, pulls and pushes are named 'exports'"),
        (
            PULL.replace("https", "http"),
            "is not https: whoever is on the way can alter it: use https, or set allow_http",
        ),
        (PULL.replace("https", "ftp"), "is no http address"),
        (PUSH.replace("ab" * 32, "secret"), "no SHA-256: copy the 64 hex digits that `tally intake token` prints"),
        (PUSH.replace(f'"{"ab" * 32}"', ""), "tokens_sha256"),
        (FOLDER.replace("exports", "My Exports"), "'My Exports' is no name"),
        (FOLDER + "paht = 1\n", "intake.folders[0].paht"),
        (FOLDER + "still_s = -1\n", "still_s"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        loaded(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:9/x"])
def test_plain_http_is_for_this_machine(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, PULL.replace("https://platform.example/x", url)).intake.pulls[0].url == url
    text = PULL.replace("https", "http") + "allow_http = true\n"
    assert loaded(tmp_path, text).intake.pulls[0].allow_http


def test_what_the_doctor_says_of_a_way_in(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert problem_of(Folder(name="a", path=tmp_path)) == ""
    assert problem_of(Folder(name="a", path=tmp_path / "made-at-the-first-look")) == ""
    assert "is no folder" in problem_of(Folder(name="a", path=file))
    assert "no ready mapping" in problem_of(Folder(name="a", path=tmp_path, mapping="nonsense"))
    pull = Pull(name="a", url="https://x.example", secret_headers={"X": tmp_path / "absent"})
    assert problem_of(pull) == f"{tmp_path / 'absent'} cannot be read: correct its path or its mode"
    assert problem_of(Push(name="a", tokens_sha256=["0" * 64])) == ""
