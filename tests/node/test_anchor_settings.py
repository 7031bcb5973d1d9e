"""From `[anchor]` in node.toml to the backends that anchoring runs with."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from chain import cosignature
from chain.checkpoint import Log
from chain.crypto import SigningKey
from node.anchor_backend import Backend
from node.anchor_evm import GWEI, EvmChain
from node.anchor_key import AnchorKeyError, EvmKey
from node.anchor_line import Pace
from node.anchor_settings import evm_chain, open_backends, pace
from node.config import Anchor

URL = "http://127.0.0.1:8545"
OTHER = "0x" + "ab" * 20
FIRST_DEVELOPMENT_ACCOUNT = "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"  # as anvil prints it at its start
SIGNER = SigningKey.generate()
WITNESS = cosignature.verifier_key("witness.example", cosignature.TYPE_COSIGNATURE, SIGNER.public)


def opened(folder: Path, *, signer: SigningKey | None = SIGNER, **settings: Any) -> list[Backend]:
    return open_backends(
        Anchor.model_validate(settings),
        network_id=bytes(32),
        log=Log(),
        signer=signer,
        passphrase="secret",
        folder=folder,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate, PEM."""
    folder = tmp_path_factory.mktemp("root")
    command = "openssl req -x509 -newkey ed25519 -nodes -subj /CN=Root -days 30 -keyout key.pem -out root.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "root.pem"


def test_without_a_place_there_is_no_anchoring(tmp_path: Path) -> None:
    assert opened(tmp_path) == []


def test_the_defaults_are_the_anchorings_own(tmp_path: Path) -> None:
    assert evm_chain(Anchor(rpc_urls=[URL]), "secret", tmp_path) == EvmChain(urls=(URL,))
    assert pace(Anchor()) == Pace()


def test_every_kind_is_opened_and_says_whether_it_writes(tmp_path: Path, root: Path) -> None:
    found = opened(
        tmp_path,
        rpc_urls=[URL],
        evm=[{"name": "second", "rpc_urls": [URL], "development_account": 1}],
        ots={"calendars": [URL], "bitcoin": [URL]},
        tsa=[{"name": "authority", "root": root, "url": URL}, {"name": "theirs", "root": root}],
        witness=[{"name": "one", "key": WITNESS, "url": URL}],
    )
    assert [(backend.name, backend.kind, backend.writes) for backend in found] == [
        ("evm", "evm", False),
        ("second", "evm", True),
        ("ots", "ots", True),
        ("authority", "rfc3161", True),
        ("theirs", "rfc3161", False),
        ("one", "witness", True),
    ]
    der = subprocess.run(
        ["openssl", "x509", "-in", str(root), "-outform", "DER"], check=True, capture_output=True
    ).stdout
    (tmp_path / "root.der").write_bytes(der)
    [other] = opened(tmp_path, tsa=[{"name": "authority", "root": tmp_path / "root.der"}])
    assert other.place == found[3].place


DAMAGED = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("content", [None, b"", b"text", DAMAGED, 2 * DAMAGED])
def test_what_is_no_certificate_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "root.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AnchorKeyError, match="certificate of authority"):
        opened(tmp_path, tsa=[{"name": "authority", "root": path}])


def test_a_wrong_witness_key_and_bitcoin_source_are_named(tmp_path: Path) -> None:
    with pytest.raises(AnchorKeyError, match="the key of witness one"):
        opened(tmp_path, witness=[{"name": "one", "key": "no+key"}])
    with pytest.raises(AnchorKeyError, match=r"anchor\.ots\.bitcoin"):
        opened(tmp_path, ots={"bitcoin": ["ftp://127.0.0.1"]})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"evm": [{"name": "one"}]}, "add rpc_urls"),
        ({"evm": [{"name": "evm", "rpc_urls": [URL]}]}, "two places of anchoring are called evm"),
        ({"witness": [{"name": "a", "key": WITNESS}] * 2}, "two places of anchoring are called a"),
        ({"tsa": [{"name": "../a", "root": "x"}]}, "is no name"),
        ({"development_account": 0}, "add rpc_urls"),
    ],
)
def test_settings_that_do_not_stand(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Anchor.model_validate(settings)


def test_a_keystore_is_opened_and_its_account_counts(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    made = EvmKey.create(path, "secret")
    found = evm_chain(Anchor(rpc_urls=[URL], key=path, senders=[OTHER]), "secret", tmp_path)
    assert found.key is not None
    assert found.key.address == made.address
    assert found.senders == {made.address, bytes.fromhex("ab" * 20)}
    with pytest.raises(AnchorKeyError, match="wrong passphrase"):
        evm_chain(Anchor(rpc_urls=[URL], key=path), "other", tmp_path)


def test_on_a_development_chain_every_funded_account_counts(tmp_path: Path) -> None:
    found = evm_chain(Anchor(rpc_urls=[URL], development_account=0), "secret", tmp_path)
    assert found.key is not None
    assert found.key.address.hex() == FIRST_DEVELOPMENT_ACCOUNT
    assert len(found.senders) == 10


def test_units_and_finality(tmp_path: Path) -> None:
    settings = Anchor(rpc_urls=[URL], confirmations=0, max_fee_gwei=7, tip_gwei=2, fee_cap_gwei=9, chain_id=1)
    found = evm_chain(settings, "secret", tmp_path)
    assert found.confirmations is None
    assert (found.fees.max_fee, found.fees.tip, found.fees.fee_cap) == (7 * GWEI, 2 * GWEI, 9 * GWEI)
    assert found.chain_id == 1
