"""Who joins the running consortium: regulator, insurer, second lender, notary and court, by vote and admission.

They run no node of their own: their keys are made here, their business chains are kept by every node, and what they
sign goes in through a validator's node.
"""

from __future__ import annotations

from typing import Final

from cli.errors import CliError
from cli.session import PARTIES
from cli.story_credit import PROCUREMENT
from cli.story_stage import Stage
from cli.story_teller import Tally, Teller, typed

REGULATOR, INSURER, SECOND_LENDER = "regulator", "insurer", "lender-two"
NOTARY, COURT = "notary-office", "court"
NEWCOMERS: Final = (
    (REGULATOR, "regulator"), (INSURER, "insurer"), (SECOND_LENDER, "lender"), (NOTARY, "notary"), (COURT, "court"),
)  # fmt: skip
HALVES: Final = "newcomers"


class Admission:
    """The vote on each newcomer. ``joined``: their ids and the block that admitted each."""

    def __init__(self, stage: Stage, tally: Tally, teller: Teller) -> None:
        self._stage = stage
        self._tally = tally
        self._teller = teller
        self.joined: dict[str, int] = {}

    def admit_all(self) -> None:
        """All of them. Raises CliError when the validators are not the four that they were."""
        self._teller.say(
            "A regulator, an insurer, a second lender, a notary and a court want to join. Each makes its key; the "
            "members vote on its public half by hash, and what is approved anybody may enter. They run no node: what "
            "they sign goes in through a validator's."
        )
        (self._stage.directory / HALVES).mkdir()
        for member, role in NEWCOMERS:
            self._admit(member, role)
        count = len(self._stage.state("validators", contract="gov")["set"])
        if count != len(self._stage.members):
            raise CliError(f"{count} validators after the admission: it must not change them", code="STORY_FAILED")
        members = self._stage.state("members", contract="registry")
        self._teller.say(f"{len(members)} members now, {count} of them validators, as before: {', '.join(members)}.")

    def _admit(self, member: str, role: str) -> None:
        key = self._stage.home / PARTIES / f"{member}.json"
        half = self._stage.directory / HALVES / f"{member}.json"
        self._tally.do(PROCUREMENT, "keys new", typed(key), purpose="signer", development=True)
        self._tally.do(PROCUREMENT, "genesis draft", member=member, role=role, signer=typed(key), output=typed(half))
        proposal = self._tally.do(PROCUREMENT, "gov propose approve", typed(half))
        for voter in self._stage.members:
            if proposal["accepted"] >= proposal["needed"]:
                break
            if voter != PROCUREMENT:
                proposal = self._tally.do(voter, "gov vote", proposal["id"], accept=True)
        adopted = self._tally.do(PROCUREMENT, "gov adopt", typed(half))
        self.joined[member] = adopted["transaction"]["height"]
        self._teller.say(
            f"{member} ({role}): {proposal['accepted']} of {len(self._stage.members)} voted for it, "
            f"{proposal['needed']} were needed; a member since block {self.joined[member]}, with a chain of its own."
        )
