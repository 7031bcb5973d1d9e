"""Lender and insurer by preference: what the regulator publishes, and whom it points an enterprise to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from cli.story_credit import LENDER, Deal
from cli.story_members import REGULATOR
from cli.story_teller import Tally, Teller, typed
from genesis.library import example_market
from tallystick.client import ClientError

LENDING, UNDERWRITING, PRODUCTS = "lending.csv", "underwriting.csv", "products.json"
SHOWN: Final = 24
"""Lines of a match that the terminal shows."""


class Market:
    """The regulator's data, and the matches made on it."""

    def __init__(self, tally: Tally, teller: Teller) -> None:
        self._tally = tally
        self._teller = teller
        self._folder = example_market()
        self._currency = json.loads((self._folder / PRODUCTS).read_text(encoding="utf-8"))["currency"]

    def publish(self) -> None:
        """Three data sets on the regulator's own chain: loans, covers, products. All of them are made up."""
        self._teller.say(
            "The regulator publishes de-identified records on its own chain. These are made up; each agrees with at "
            "least four others in all that an outsider may know (k = 5), or the whole file would be refused."
        )
        for name in (LENDING, UNDERWRITING, PRODUCTS):
            path = self._folder / name
            mapping = None if name == PRODUCTS else typed(path.with_suffix(".json"))
            done = self._tally.do(REGULATOR, "match publish", typed(path), mapping=mapping)
            self._teller.say(f"{Path(name).stem}: data set {done['id']}, version {done['version']}.")

    def choose_lender(self, deal: Deal) -> None:
        """Whom the assessment points to becomes the application's lender; where it is nobody, the first lender."""
        target = ""
        if deal.assessment["limit"] and deal.assessment["currency"] == self._currency:
            deal.lender_match = self._matched(deal, "lender")
            target = deal.lender_match.get("target", "")
        if target:
            self._teller.say(f"{deal.enterprise.label} chooses the target, {target}. It may choose any other lender.")
        else:
            target = LENDER
            self._teller.say(f"No target lender to be found in these data: {deal.enterprise.label} asks {target}.")
        deal.lender = target
        self._tally.do(deal.enterprise.id, "credit choose", deal.application, target)

    def name_insurer(self, deal: Deal) -> None:
        """The target insurer with its product, where there is a limit to insure."""
        if deal.assessment["limit"] and deal.assessment["currency"] == self._currency:
            deal.insurer_match = self._matched(deal, "insurer")

    def _matched(self, deal: Deal, what: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._tally.do(deal.enterprise.id, f"match {what}", deal.application)
        except ClientError as error:  # nothing to match on: the story goes on without
            self._teller.say(f"No match: {error}.")
            return {}
        self._teller.show(self._tally.words(deal.enterprise.id, "match show", found["id"])[:SHOWN], deeper="  ")
        return found
