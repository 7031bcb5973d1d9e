"""A node's configuration: what is read, where paths point, and one line for each mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chain import keys
from genesis import dev
from node import config

MINIMAL = """
member = "erp"
genesis = "../genesis.json"
data = "data"
[keys]
network = "keys/network.json"
[p2p]
listen = "127.0.0.1:27100"
[api]
listen = "127.0.0.1:27101"
"""


def loaded(folder: Path, text: str) -> config.Config:
    path = folder / "node.toml"
    path.write_text(text)
    return config.load(path)


def test_a_small_file_is_enough_and_paths_start_at_its_folder(tmp_path: Path) -> None:
    found = loaded(tmp_path, MINIMAL)
    assert found.member == "erp"
    assert found.data == tmp_path / "data"
    assert found.genesis == tmp_path.parent / "genesis.json"
    assert found.keys == config.Keys(network=tmp_path / "keys/network.json")
    assert found.keys.validator is None
    assert found.p2p.listen == config.Address("127.0.0.1", 27_100)
    assert (found.anchor.rpc_urls, found.log.level, found.clock.warn_skew_ms) == ([], "info", 500)


def test_every_setting_is_read(tmp_path: Path) -> None:
    text = MINIMAL.replace('data = "data"', 'data = "/srv/tally"\ndocuments = "file:///srv/documents"') + """
max_request_bytes = 4096
[p2p.peers]
lender = "lender.example:27100"
guarantor = "[2001:db8::7]:27100"
[anchor]
rpc_urls = ["http://127.0.0.1:8545", "https://rpc.example/v1"]
key = "keys/anchor.json"
chain_id = 1
senders = ["0xAbCdEf0123456789abcdef0123456789abcdef01"]
confirmations = 0
takeover_s = 30
poll_s = 60
resend_s = 10
stuck_s = 100
max_fee_gwei = 50
tip_gwei = 2
fee_cap_gwei = 50
[limits]
mempool_bytes = 2097152
mempool_transactions = 10
sender_transactions = 5
sender_bytes = 1000
document_bytes = 1000
min_free_disk_bytes = 0
[clock]
warn_skew_ms = 100
[log]
level = "debug"
format = "text"
file = "node.log"
"""
    found = loaded(tmp_path, text)
    assert found.data == Path("/srv/tally")
    assert found.documents == "file:///srv/documents"
    assert found.p2p.peers["lender"] == ("lender.example", 27_100)
    assert found.p2p.peers["guarantor"] == ("2001:db8::7", 27_100)
    assert str(found.p2p.peers["guarantor"]) == "[2001:db8::7]:27100"
    assert found.anchor.key == tmp_path / "keys/anchor.json"
    assert found.anchor.rpc_urls == ["http://127.0.0.1:8545", "https://rpc.example/v1"]
    assert found.anchor.senders == ["0xabcdef0123456789abcdef0123456789abcdef01"]
    assert (found.anchor.confirmations, found.anchor.tip_gwei, found.anchor.fee_cap_gwei) == (0, 2, 50)
    assert (found.limits.sender_transactions, found.limits.min_free_disk_bytes) == (5, 0)
    assert found.log.file == tmp_path / "node.log"
    assert found.api.max_request_bytes == 4_096


def test_the_files_of_a_development_consortium_load_and_open_their_keys(tmp_path: Path) -> None:
    network = dev.make_dev(tmp_path / "dev", anchor_rpc_url="http://127.0.0.1:8545")
    voting = ["procurement", "erp", "guarantor", "lender"]
    for member in network.members:
        found = config.load(member.folder / dev.CONFIG_FILE)
        assert found.member == member.id
        assert (str(found.p2p.listen), str(found.api.listen)) == (member.p2p, member.api)
        assert {name: str(address) for name, address in found.p2p.peers.items()} == {
            other.id: other.p2p for other in network.members if other.id != member.id
        }
        assert (found.keys.validator is None) == (member.role == "observer")
        assert found.anchor.rpc_urls == ["http://127.0.0.1:8545"]
        assert found.anchor.development_account == (None if member.role == "observer" else voting.index(member.id))
        secret = config.passphrase(found, {})
        assert secret
        assert keys.load(found.keys.network, secret, purpose="network").public
        assert found.genesis.exists()


@pytest.mark.parametrize(
    ("wrong", "right", "reason"),
    [
        ('member = "erp"', "", "member: Field required: add that setting"),
        ('member = "erp"', 'member = "ERP"', "member: 'ERP' is no member id"),
        ('member = "erp"', "member = 7", "member: .*valid string: correct that setting"),
        ('data = "data"', 'data = ""', "data: must be a path in quotes"),
        ('data = "data"', "data = 1.5", "data: must be a path in quotes"),
        ('data = "data"', 'data = "data"\nporrt = 1', "porrt: .*: take that setting out, or correct its name"),
        ("127.0.0.1:27100", "127.0.0.1", "p2p.listen: '127.0.0.1' is no address: write \"host:port\""),
        ("127.0.0.1:27100", "127.0.0.1:0", "p2p.listen: .*is no address"),
        ("127.0.0.1:27100", "127.0.0.1:65536", "p2p.listen: .*is no address"),
        ("127.0.0.1:27100", "::1:27100", "p2p.listen: .*is no address"),
        ("127.0.0.1:27100", "[host]:27100", "p2p.listen: .*is no address"),
        ("127.0.0.1:27100", "ho st:27100", "p2p.listen: .*is no address"),
        ("127.0.0.1:27101", "127.0.0.1:27100", "p2p.listen and api.listen are both 127.0.0.1:27100"),
        ("[api]", '[p2p.peers]\nerp = "a:1"\n[api]', "p2p.peers names this member itself .erp"),
        ("[api]", '[p2p.peers]\nlender = "a"\n[api]', "p2p.peers.lender: 'a' is no address"),
        ("[api]", '[anchor]\nrpc_urls = ["ftp://x"]\n[api]', r"anchor.rpc_urls\[0\]: 'ftp://x' is no http address"),
        ("[api]", '[anchor]\nkey = "k"\n[api]', "anchor: there is an account but no endpoint: add rpc_urls"),
        ("[api]", '[anchor]\nkey = "k"\ndevelopment_account = 0\n[api]', "both given: keep one"),
        ("[api]", "[anchor]\ndevelopment_account = 10\n[api]", "anchor.development_account: .*equal to 9"),
        ("[api]", "[anchor]\nconfirmations = -1\n[api]", "anchor.confirmations: .*greater than or equal to 0"),
        ("[api]", "[anchor]\ntip_gwei = 60\n[api]", "tip_gwei, max_fee_gwei and fee_cap_gwei must not fall"),
        ("[api]", '[anchor]\nsenders = ["0x12"]\n[api]', "'0x12' is no Ethereum address"),
        ("[api]", '[limits]\nmempool_bytes = "64 MiB"\n[api]', "limits.mempool_bytes: .*valid integer"),
        ("[api]", '[log]\nlevel = "loud"\n[api]', "log.level: .*'debug', 'info', 'warning' or 'error'"),
        ("[keys]\n", "[keys]\nroot = 1\n", "keys.root: .*: take that setting out"),
        ("[api]", "[api", "is not TOML .*correct it there"),
        ("[api]", "[p2p]", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(tmp_path: Path, wrong: str, right: str, reason: str) -> None:
    with pytest.raises(config.ConfigError, match=reason) as caught:
        loaded(tmp_path, MINIMAL.replace(wrong, right))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "node.toml"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="no configuration at"):
        config.load(tmp_path / "none.toml")
    with pytest.raises(config.ConfigError, match="cannot read"):
        config.load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(config.ConfigError, match="not UTF-8"):
        config.load(tmp_path / "binary")
    (tmp_path / "huge").write_bytes(b"#" * (config.MAX_FILE_SIZE + 1))
    with pytest.raises(config.ConfigError, match="longer than"):
        config.load(tmp_path / "huge")


def test_the_passphrase_comes_from_the_environment_first(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    found = loaded(tmp_path, 'passphrase_file = "secret"\n' + MINIMAL)
    assert config.passphrase(found, {}) == "from the file"
    assert config.passphrase(found, {"TALLY_PASSPHRASE": "direct"}) == "direct"
    (tmp_path / "secret").unlink()
    with pytest.raises(config.ConfigError, match="cannot read the passphrase file"):
        config.passphrase(found, {})
    assert config.passphrase(loaded(tmp_path, MINIMAL), {}) is None


def settings_of(section: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The settings of a section and of the sections in it, lists of sections too, by their dotted names."""
    for name, field in section.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        sections = [kind for kind in inner if get_origin(kind) is None and issubclass(kind, BaseModel)]
        if sections:
            yield from settings_of(sections[0], f"{before}{name}.")
        else:
            yield f"{before}{name}", field


def test_the_documentation_lists_every_setting_and_its_default() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z0-9_.]+)` \| ([^|]+) \|", page, flags=re.MULTILINE))
    settings = dict(settings_of(config.Config))
    assert sorted(rows) == sorted(settings)
    for name, field in settings.items():
        if field.is_required():
            assert rows[name] == "required", name
        elif isinstance(field.default, bool | int | str):
            assert rows[name] == (str(field.default).lower() or "none"), name
