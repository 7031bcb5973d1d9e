"""Which messages prove what: pure predicates over signed messages, each at the number of its rule.

Nothing here remembers anything. Everything that is counted is verified, and distinct **signers** are counted, never
signatures: one Ed25519 signer can make many valid signatures (besu#1671, #1736).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chain.certificate import Certificate, CertificateError, SignatureCheck, ValidatorSet
from consensus.events import Head, Prepared
from consensus.messages import MAX_ROUND, BlockView, Commit, Prepare, PrePrepare, RoundChange, SignedMessage

CLOCK_PAST_MS: Final = 10_000
"""A fresh proposal may be this much older than the replica's clock (R15)."""
CLOCK_FUTURE_MS: Final = 2_000
"""A fresh proposal may be this much ahead of the replica's clock (R15)."""


@dataclass(frozen=True)
class Electorate:
    """Who may vote at one height, and how a signature of theirs is checked.

    The epoch in ``validators`` is under every signature, so votes of one epoch are worth nothing in another (R11).
    """

    network_id: bytes
    validators: ValidatorSet
    signature_check: SignatureCheck

    def has_signed(self, message: SignedMessage) -> bool:
        """Whether ``message`` is of a validator and carries its signature."""
        key = self.validators.keys.get(message.sender)
        if key is None:
            return False
        payload = message.payload(self.network_id, self.validators.epoch)
        return self.signature_check(key, payload, message.signature)

    def certifies(self, certificate: Certificate) -> bool:
        """Whether ≥ Q distinct validators signed the COMMIT of ``certificate`` (R5, R9)."""
        try:
            certificate.check(self.validators, self.network_id, self.signature_check)
        except CertificateError:
            return False
        return True


def signers(messages: Iterable[SignedMessage]) -> set[str]:
    """The distinct senders: the only thing a quorum is counted over."""
    return {message.sender for message in messages}


def proves_prepared(
    electorate: Electorate, prepares: Sequence[Prepare], height: int, round_number: int, digest: bytes
) -> bool:
    """R2, R4: ≥ Q distinct validators signed PREPARE for exactly (height, round, digest)."""
    if len(signers(prepares)) < electorate.validators.quorum:
        return False
    if len(prepares) > len(electorate.validators.members):
        return False
    return all(
        (prepare.height, prepare.round, prepare.digest) == (height, round_number, digest)
        and electorate.has_signed(prepare)
        for prepare in prepares
    )


def round_change_fault(message: RoundChange) -> str | None:
    """R2: prepared round and digest both null, or both set with prepared round < round. None where it is so."""
    if not 0 < message.round <= MAX_ROUND:
        return "a ROUND-CHANGE is for a round from 1"
    if (message.prepared_round is None) != (message.prepared_digest is None):
        return "prepared round and digest are not both null or both set"
    if message.prepared_round is not None and not 0 <= message.prepared_round < message.round:
        return "the prepared round is not below the round"
    return None


def round_change_is_proved(electorate: Electorate, message: RoundChange) -> bool:
    """Whether the PREPAREs that came with a ROUND-CHANGE prove the prepared pair it claims (R2)."""
    if message.prepared_round is None or message.prepared_digest is None:
        return message.prepares == ()
    return proves_prepared(
        electorate, message.prepares, message.height, message.prepared_round, message.prepared_digest
    )


def highest_prepared(round_changes: Iterable[RoundChange]) -> RoundChange | None:
    """R2: the ROUND-CHANGE with the highest prepared round; None when all are null (a fresh block)."""
    best: RoundChange | None = None
    for message in round_changes:
        if message.prepared_round is None:
            continue
        if best is None or best.prepared_round is None or message.prepared_round > best.prepared_round:
            best = message
    return best


def pre_prepare_fault(electorate: Electorate, message: PrePrepare) -> str | None:
    """R1, R2: why this proposal is not justified; None where it is.

    The leader's own signature is checked where the message is counted (``Electorate.has_signed``); the block by
    ``proposal_fault`` and by execution.
    """
    if message.sender != electorate.validators.leader(message.height, message.round):
        return "the sender does not lead this round"
    if message.block is not None and message.block.digest != message.digest:
        return "the block has another digest"
    if message.round == 0:  # R1
        return "round 0 takes no justification" if message.justification or message.prepares else None
    return _justification_fault(electorate, message)


def _justification_fault(electorate: Electorate, message: PrePrepare) -> str | None:
    """R2: ≥ Q ROUND-CHANGEs for exactly (h, r), and PREPAREs for the highest prepared pair among them."""
    changes = message.justification
    if len(signers(changes)) < electorate.validators.quorum:
        return "fewer than Q distinct ROUND-CHANGE signers"
    if len(changes) > len(electorate.validators.members):
        return "more ROUND-CHANGEs than validators"
    for change in changes:
        if (change.height, change.round) != (message.height, message.round):
            return "a ROUND-CHANGE is of another height or round"
        fault = round_change_fault(change)
        if fault is not None:
            return fault
        if not electorate.has_signed(change):
            return f"the ROUND-CHANGE of {change.sender!r} does not verify"
    highest = highest_prepared(changes)
    if highest is None or highest.prepared_round is None:
        return "PREPAREs where nothing was prepared" if message.prepares else None
    # Two entries may claim the same highest round with different digests; only one can have Q PREPAREs.
    claimed = {change.prepared_digest for change in changes if change.prepared_round == highest.prepared_round}
    if message.digest not in claimed:
        return "not the digest of the highest prepared round"
    if not proves_prepared(
        electorate, message.prepares, message.height, highest.prepared_round, message.digest
    ):
        return "fewer than Q distinct PREPAREs for the highest prepared round"
    return None


def is_fresh(message: PrePrepare) -> bool:
    """R15: a proposal with no prepared block in its justification; its timestamp is judged by the clock."""
    return highest_prepared(message.justification) is None


def with_proof(message: SignedMessage, lock: Prepared | None) -> SignedMessage | None:
    """R8: a bare message from the journal in the form it was sent in; None where its proof is gone.

    A ROUND-CHANGE gets its PREPAREs from the lock it was about. If a higher lock replaced that one, the COMMIT that
    went with it says more. A PRE-PREPARE's block and justification are not journalled: the round goes on without.
    """
    if isinstance(message, PrePrepare):
        return None
    if isinstance(message, RoundChange) and message.prepared_round is not None:
        if lock is None or lock.round != message.prepared_round:
            return None
        return replace(message, prepares=lock.prepares)
    return message


def proposal_fault(block: BlockView, head: Head, fresh_leader: str | None, now: int) -> str | None:
    """Why a proposed block is not even executed; None where it is. Times in ms.

    ``fresh_leader`` is the round's leader for a fresh proposal and None for a re-proposal, which keeps the original
    proposer and timestamp (R2, besu#7875) and is never judged by the clock (R15).
    """
    header = block.header
    if (header.height, header.parent_hash) != (head.height + 1, head.digest):
        return "the block does not continue the head"
    if header.time <= head.time:
        return "the block is not later than its parent"  # R15, always
    if fresh_leader is None:
        return None
    if header.proposer != fresh_leader:
        return "a fresh block names another proposer"
    if not now - CLOCK_PAST_MS <= header.time <= now + CLOCK_FUTURE_MS:
        return "the time of a fresh block is too far from this node's clock"
    return None


def certificate_of(commits: Sequence[Commit], epoch: int) -> Certificate:
    """The certificate over COMMITs for one (height, round, digest), sorted by signer (R5)."""
    first = commits[0]
    seals = tuple(sorted((commit.sender, commit.signature) for commit in commits))
    return Certificate(first.height, first.round, first.digest, epoch, seals)
