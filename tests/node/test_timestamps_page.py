"""What ``docs/timestamps.md`` tells to write and to type works as it stands there."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from chain.checkpoint import Log
from chain.crypto import SigningKey, sha256
from node.anchor_settings import open_backends
from node.anchor_tsa import TsaBackend
from node.anchor_witness import WitnessBackend
from node.config_anchor import Anchor, absolute_anchor
from tests import certificates as made
from tests.outside import LocalAuthority

PAGE = (Path(__file__).resolve().parents[2] / "docs/timestamps.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_settings_open_an_authority_and_a_witness(tmp_path: Path) -> None:
    root = made.root()
    (tmp_path / "tsa-one-root.pem").write_bytes(root.pem)
    listed = made.revocations(root, made.authority(root), made.BEGIN, None)
    (tmp_path / "tsa-one.crl").write_bytes(listed)
    settings = Anchor.model_validate(tomllib.loads(block("toml"))["anchor"], context={"folder": tmp_path})
    settings = absolute_anchor(settings, lambda path: None if path is None else tmp_path / path)
    key = SigningKey(sha256(b"member"))
    opened = open_backends(settings, network_id=bytes(32), log=Log(), signer=key, passphrase="", folder=tmp_path)
    assert [type(backend) for backend in opened] == [TsaBackend, WitnessBackend]
    assert [(backend.name, backend.writes) for backend in opened] == [("tsa-one", True), ("witness-one", True)]


def test_the_commands_verify_a_token_by_hand(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path / "authority")
    checkpoint = b"tally/00\n7\nAAAA\n"
    (tmp_path / "checkpoint.txt").write_bytes(checkpoint)
    (tmp_path / "tsa-one.tsr").write_bytes(authority.stamp(checkpoint))
    (tmp_path / "tsa-one-root.pem").write_bytes(authority.root.pem)
    done = subprocess.run(["sh", "-e", "-c", block("sh")], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Verification: OK" in done.stdout
    assert "Time stamp: " in done.stdout
