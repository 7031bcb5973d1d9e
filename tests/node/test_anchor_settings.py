"""From `[anchor]` in node.toml to what the anchoring runs with."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.anchor_evm import GWEI
from node.anchor_key import AnchorKeyError, EvmKey
from node.anchor_settings import anchor_config
from node.anchoring import AnchorConfig
from node.config import Anchor

URL = "http://127.0.0.1:8545"
OTHER = "0x" + "ab" * 20
FIRST_DEVELOPMENT_ACCOUNT = "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"  # as anvil prints it at its start


def test_without_an_endpoint_there_is_no_anchoring(tmp_path: Path) -> None:
    assert anchor_config(Anchor(), "secret", tmp_path) is None


def test_the_defaults_are_the_anchorings_own(tmp_path: Path) -> None:
    assert anchor_config(Anchor(rpc_urls=[URL]), "secret", tmp_path) == AnchorConfig(urls=(URL,))


def test_a_keystore_is_opened_and_its_account_counts(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    made = EvmKey.create(path, "secret")
    found = anchor_config(Anchor(rpc_urls=[URL], key=path, senders=[OTHER]), "secret", tmp_path)
    assert found is not None
    assert found.key is not None
    assert found.key.address == made.address
    assert found.senders == {made.address, bytes.fromhex("ab" * 20)}
    with pytest.raises(AnchorKeyError, match="wrong passphrase"):
        anchor_config(Anchor(rpc_urls=[URL], key=path), "other", tmp_path)


def test_on_a_development_chain_every_funded_account_counts(tmp_path: Path) -> None:
    found = anchor_config(Anchor(rpc_urls=[URL], development_account=0), "secret", tmp_path)
    assert found is not None
    assert found.key is not None
    assert found.key.address.hex() == FIRST_DEVELOPMENT_ACCOUNT
    assert len(found.senders) == 10


def test_units_and_finality(tmp_path: Path) -> None:
    settings = Anchor(rpc_urls=[URL], confirmations=0, max_fee_gwei=7, tip_gwei=2, fee_cap_gwei=9, chain_id=1)
    found = anchor_config(settings, "secret", tmp_path)
    assert found is not None
    assert found.confirmations is None
    assert (found.fees.max_fee, found.fees.tip, found.fees.fee_cap) == (7 * GWEI, 2 * GWEI, 9 * GWEI)
    assert found.chain_id == 1
