"""``tally node join`` believes nothing of what the asked node says, and writes nothing of it unchecked."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError
from cli.join import Found, Joining, _node_toml, checked_peers

URL = "http://192.0.2.1:27101"
PEER = {"member": "erp", "keys": ["ab" * 32], "votes": True, "connected": True, "host": "192.0.2.7", "port": 4101}


def test_peers_are_written_as_they_are_told() -> None:
    joining = Joining(Path("new"), URL, bytes(32), "new", "observer", False, (), "127.0.0.1:1", "127.0.0.1:2")
    told = [
        PEER,
        {**PEER, "member": "lender", "host": None},
        {**PEER, "member": "office", "host": "::1", "port": None},
    ]
    found = Found(b"", {"members": [{"id": "erp", "network": b"\xab" * 32}]}, checked_peers(URL, told))
    written = tomllib.loads(_node_toml(joining, found))["p2p"]
    assert written["peers"] == {"erp": "192.0.2.7:4101", "lender": "192.0.2.1:4101"}
    assert written["keys"] == {"lender": "ab" * 32, "office": "ab" * 32}, "genesis has the first"


@pytest.mark.parametrize(
    "wrong",
    [
        {"member": 'erp = "x:1"\n[api]\nlisten = "0.0.0.0:80"\n#'},
        {"member": 7},
        {"keys": []},
        {"keys": ["ab" * 31]},
        {"keys": ["no hex"]},
        {"keys": [1]},
        {"host": 'x"\n'},
        {"host": 5},
        {"port": 70_000},
        {"port": "4101\n"},
    ],
)
def test_what_is_no_peer_writes_no_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(CliError, match="names a peer that is none") as refused:
        checked_peers(URL, [PEER, {**PEER, **wrong}])
    assert refused.value.code == "BAD_ANSWER"
