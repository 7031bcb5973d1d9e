"""The settings of anchoring: public chains, OpenTimestamps, time-stamp authorities, witnesses (docs/anchoring.md).

What every node must agree on (interval, how many places of each class) is in the genesis document; which of them this
node writes to, and what it re-checks the others' confirmations with, is here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from node.config_types import FilePath, HttpUrl, Positive, Section, ethereum_address, feed_name

Name = Annotated[str, AfterValidator(feed_name)]
RESERVED_NAMES = ("evm", "ots")
"""What the backends without a name of their own are called."""


class EvmChain(Section):
    """One public chain over Ethereum JSON-RPC; without `rpc_urls` this node neither anchors there nor re-checks."""

    rpc_urls: list[HttpUrl] = Field(default_factory=list)
    """The first sends; the others are independent endpoints that must agree before an anchor is final."""
    key: FilePath | None = None
    """Ethereum keystore (version 3) file of a dedicated, low-balance account, under the node's passphrase."""
    development_account: Annotated[int, Field(ge=0, le=9)] | None = None
    """Instead of a key: an account that development chains fund. Its key is public, its anchors prove nothing."""
    chain_id: Positive | None = None
    """Refuse an endpoint of another chain; None takes what the first endpoint says."""
    senders: list[Annotated[str, AfterValidator(ethereum_address)]] = Field(default_factory=list)
    """The other members' anchoring accounts, whose anchors count beside this node's own."""
    confirmations: Annotated[int, Field(ge=0, le=1_000)] = 3
    """Blocks from the anchor's to the newest, both counted; 0 waits for the chain's own `finalized` block."""
    stuck_s: Annotated[int, Field(ge=1)] = 600
    max_fee_gwei: Positive = 50
    tip_gwei: Positive = 1
    fee_cap_gwei: Positive = 200

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.key and self.development_account is not None:
            raise ValueError("key and development_account are both given: keep one")
        if not self.rpc_urls and (self.key or self.development_account is not None):
            raise ValueError("there is an account but no endpoint: add rpc_urls")
        if not self.tip_gwei <= self.max_fee_gwei <= self.fee_cap_gwei:
            raise ValueError("tip_gwei, max_fee_gwei and fee_cap_gwei must not fall: raise the later ones")
        return self


class NamedChain(EvmChain):
    """One of `[[anchor.evm]]`: a further public chain, under a name of its own."""

    name: Name

    @model_validator(mode="after")
    def _has_endpoint(self) -> Self:
        if not self.rpc_urls:
            raise ValueError("a public chain needs an endpoint: add rpc_urls")
        return self


class Ots(Section):
    """`[anchor.ots]`: Bitcoin through OpenTimestamps calendars. It costs nothing and takes hours."""

    calendars: list[HttpUrl] = Field(default_factory=list)
    """Stamped with all of them; the first whose stamp reaches a block is enough. Without one only re-checks."""
    bitcoin: list[str] = Field(default_factory=list)
    """This node's own sources of Bitcoin headers, `http://HOST:8332` (bitcoind's JSON-RPC) or `esplora+https://…`:
    the first is asked, the others must agree before a stamp is final."""
    bitcoin_auth: FilePath | None = None
    """File with "user:password" for the first of them, as bitcoind's `.cookie`."""
    confirmations: Annotated[int, Field(ge=1, le=1_000)] = 6
    poll_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    """Between questions to a calendar whether a stamp has reached a block."""

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if self.calendars and not self.bitcoin:
            raise ValueError("there are calendars but no source to check their stamps with: add bitcoin")
        return self


class Tsa(Section):
    """One of `[[anchor.tsa]]`: a time-stamp authority (RFC 3161)."""

    name: Name
    root: FilePath
    """The certificate (PEM or DER) that its tokens must lead to, got from the authority itself."""
    crls: list[FilePath] = Field(default_factory=list)
    """Revocation lists (DER) that the operator keeps up to date."""
    url: HttpUrl | None = None
    """Where tokens are asked for; None only re-checks the others' tokens of this authority."""


class Witness(Section):
    """One of `[[anchor.witness]]`: a C2SP witness, which cosigns checkpoints and refuses a fork."""

    name: Name
    key: str
    """Its verifier key, as the witness publishes it ("name+hash+base64")."""
    url: HttpUrl | None = None
    """Submission prefix of its `add-checkpoint`; None only re-checks."""


class Anchor(EvmChain):
    """`[anchor]`: the first public chain, and all other places. Without any this node neither anchors nor re-checks.

    The consortium's parameters say how often an anchor is due; `node.anchoring` says what each value does.
    """

    takeover_s: Annotated[int, Field(ge=1)] = 300
    poll_s: Annotated[int, Field(ge=1, le=3_600)] = 5
    resend_s: Annotated[int, Field(ge=1)] = 60
    evm: list[NamedChain] = Field(default_factory=list)
    ots: Ots | None = None
    tsa: list[Tsa] = Field(default_factory=list)
    witness: list[Witness] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        given = [chain.name for chain in self.evm] + [tsa.name for tsa in self.tsa]
        names = [*RESERVED_NAMES, *given, *(witness.name for witness in self.witness)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two places of anchoring are called {twice}: give each a name of its own")
        return self


def absolute_anchor(settings: Anchor, place: Callable[[Path | None], Path | None]) -> Anchor:
    """The same settings with every path absolute."""
    ots = settings.ots
    return settings.model_copy(
        update={
            "key": place(settings.key),
            "evm": [chain.model_copy(update={"key": place(chain.key)}) for chain in settings.evm],
            "ots": ots and ots.model_copy(update={"bitcoin_auth": place(ots.bitcoin_auth)}),
            "tsa": [
                tsa.model_copy(update={"root": place(tsa.root), "crls": [place(path) for path in tsa.crls]})
                for tsa in settings.tsa
            ],
        }
    )
