"""From a node's `[anchor]` settings to what the anchoring runs with: the account opened, units converted."""

from __future__ import annotations

from pathlib import Path

from node.anchor_evm import GWEI, Fees
from node.anchor_key import DEVELOPMENT_ACCOUNTS, EvmKey
from node.anchoring import AnchorConfig
from node.config import Anchor


def anchor_config(settings: Anchor, passphrase: str, folder: Path) -> AnchorConfig | None:
    """What `node.anchoring.Anchorer` is given, or None when no endpoint is configured.

    passphrase: opens the keystore file. folder: where the locks of development accounts lie. On a development
    chain the anchors of all its funded accounts count. Raises AnchorKeyError.
    """
    if not settings.rpc_urls:
        return None
    key = None
    senders = {bytes.fromhex(address[2:]) for address in settings.senders}
    if settings.development_account is not None:
        funded = [EvmKey.development(index, folder) for index in range(DEVELOPMENT_ACCOUNTS)]
        key = funded[settings.development_account]
        senders |= {account.address for account in funded}
    elif settings.key is not None:
        key = EvmKey.open(settings.key, passphrase)
        senders.add(key.address)
    return AnchorConfig(
        urls=tuple(settings.rpc_urls),
        chain_id=settings.chain_id,
        key=key,
        senders=frozenset(senders),
        takeover_seconds=settings.takeover_s,
        confirmations=settings.confirmations or None,
        poll_seconds=settings.poll_s,
        resend_seconds=settings.resend_s,
        stuck_seconds=settings.stuck_s,
        fees=Fees(
            max_fee=settings.max_fee_gwei * GWEI,
            tip=settings.tip_gwei * GWEI,
            fee_cap=settings.fee_cap_gwei * GWEI,
        ),
    )
