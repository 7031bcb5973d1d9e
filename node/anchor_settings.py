"""From a node's `[anchor]` settings to its backends: accounts opened, certificates read, units converted."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Final

from chain import cosignature
from chain.checkpoint import Log
from chain.crypto import SigningKey
from node.anchor_backend import Backend
from node.anchor_evm import GWEI, EvmBackend, EvmChain, Fees
from node.anchor_key import DEVELOPMENT_ACCOUNTS, AnchorKeyError, EvmKey
from node.anchor_line import Pace
from node.anchor_ots import OtsBackend
from node.anchor_tsa import TsaBackend
from node.anchor_witness import WitnessBackend
from node.bitcoin_rpc import source
from node.config_anchor import Anchor, Ots, Tsa, Witness
from node.config_anchor import EvmChain as ChainSettings

_BEGIN: Final = b"-----BEGIN "
MAX_FILE: Final = 1024 * 1024


def open_backends(
    settings: Anchor,
    *,
    network_id: bytes,
    log: Log,
    signer: SigningKey | None,
    passphrase: str,
    folder: Path,
) -> list[Backend]:
    """The backends of a node, in the order of the kinds; none where nothing is configured.

    log: the consortium's, for consistency proofs; signer: signs it for witnesses; passphrase: opens keystore files;
    folder: where the locks of development accounts lie. Raises AnchorKeyError.
    """
    chains = [("evm", settings)] if settings.rpc_urls else []
    every: list[tuple[str, ChainSettings]] = [*chains, *((chain.name, chain) for chain in settings.evm)]
    found: list[Backend] = [
        EvmBackend(name, evm_chain(chain, passphrase, folder), network_id) for name, chain in every
    ]
    if settings.ots is not None:
        found.append(_ots(settings.ots, network_id))
    found += [_tsa(tsa, network_id) for tsa in settings.tsa]
    found += [_witness(witness, network_id, log, signer) for witness in settings.witness]
    return found


def pace(settings: Anchor) -> Pace:
    """How fast the lines go."""
    return Pace(settings.takeover_s, settings.poll_s, settings.resend_s)


def evm_chain(settings: ChainSettings, passphrase: str, folder: Path) -> EvmChain:
    """One public chain. On a development chain all its funded accounts count as senders. Raises AnchorKeyError."""
    key = None
    senders = {bytes.fromhex(address[2:]) for address in settings.senders}
    if settings.development_account is not None:
        funded = [EvmKey.development(index, folder) for index in range(DEVELOPMENT_ACCOUNTS)]
        key = funded[settings.development_account]
        senders |= {account.address for account in funded}
    elif settings.key is not None:
        key = EvmKey.open(settings.key, passphrase)
        senders.add(key.address)
    return EvmChain(
        urls=tuple(settings.rpc_urls),
        chain_id=settings.chain_id,
        key=key,
        senders=frozenset(senders),
        confirmations=settings.confirmations or None,
        stuck_seconds=settings.stuck_s,
        fees=Fees(
            max_fee=settings.max_fee_gwei * GWEI,
            tip=settings.tip_gwei * GWEI,
            fee_cap=settings.fee_cap_gwei * GWEI,
        ),
    )


def _ots(settings: Ots, network_id: bytes) -> Backend:
    try:
        # The password is that of this node's own bitcoind, the first; a stranger's server must not see it.
        sources = [
            source(url, None if place else settings.bitcoin_auth) for place, url in enumerate(settings.bitcoin)
        ]
    except ValueError as error:
        raise AnchorKeyError(f"anchor.ots.bitcoin: {error}") from None
    return OtsBackend(
        settings.calendars,
        sources,
        network_id,
        confirmations=settings.confirmations,
        poll_seconds=settings.poll_s,
    )


def _tsa(settings: Tsa, network_id: bytes) -> Backend:
    crls = [_file(path, f"revocation list of {settings.name}") for path in settings.crls]
    return TsaBackend(
        settings.name,
        settings.url,
        _file(settings.root, f"certificate of {settings.name}"),
        network_id,
        crls=crls,
    )


def _witness(settings: Witness, network_id: bytes, log: Log, signer: SigningKey | None) -> Backend:
    try:
        name, public = cosignature.parse_verifier_key(settings.key, cosignature.TYPE_COSIGNATURE)
    except ValueError as error:
        raise AnchorKeyError(f"the key of witness {settings.name}: {error}") from None
    return WitnessBackend(
        settings.name,
        settings.url,
        name,
        public,
        network_id,
        log_key=signer,
        consistency=log.consistency,
    )


def _file(path: Path, what: str) -> bytes:
    """The DER of a PEM or DER file with one thing in it. Raises AnchorKeyError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise AnchorKeyError(f"cannot read the {what}, {path}: {error.strerror}") from None
    if not content.startswith((_BEGIN, b"\x30")) or content.count(_BEGIN) > 1 or len(content) > MAX_FILE:
        raise AnchorKeyError(f"the {what}, {path}, is no PEM or DER file with one thing in it: give that")
    if content.startswith(b"\x30"):
        return content
    try:
        return b64decode(b"".join(content.strip().splitlines()[1:-1]), validate=True)
    except ValueError:
        raise AnchorKeyError(f"the {what}, {path}, is a damaged PEM file: get it anew") from None
