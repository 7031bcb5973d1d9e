"""A small consortium, made without key files: four voting members and an auditor."""

from __future__ import annotations

from typing import Any

import pytest

from chain.crypto import SigningKey
from genesis import ceremony, library

ROLES = {
    "procurement": "procurement",
    "erp": "erp",
    "guarantor": "guarantor",
    "lender": "lender",
    "auditor": "observer",
}


def key(label: str) -> SigningKey:
    """The same key for the same label, in every run."""
    return SigningKey.from_seed(label.encode().ljust(32, b"."))


def half(member: str, role: str) -> dict[str, Any]:
    """A member's public half."""
    return {
        "id": member,
        "role": role,
        "validator": None if role == "observer" else key(f"{member} validator").public,
        "network": key(f"{member} network").public,
        "encryption": None if member == "lender" else key(f"{member} encryption").public,
        "signers": [{"key": key(f"{member} signer").public, "rights": ["*"]}],
    }


class Consortium:
    """The halves and settings of a draft, to be changed by a test before `draft`."""

    def __init__(self) -> None:
        self.halves = {member: half(member, role) for member, role in ROLES.items()}
        self.parties: list[dict[str, Any]] = [
            {
                "id": "maker",
                "name": "Maker Ltd",
                "identifiers": ["GB-COH:1"],
                "keys": [key("maker").public],
                "encryption": key("maker encryption").public,
            }
        ]
        self.settings: dict[str, Any] = {
            "name": "Test consortium",
            "time": 1_750_000_000_000,
            "templates": [library.template("general-trade")],
            "models": [library.model("standard-1")],
        }

    def draft(self) -> ceremony.Genesis:
        settings = ceremony.Settings(**{"parties": self.parties, **self.settings})
        return ceremony.draft(settings, self.halves.values())

    def signatures(self, draft: ceremony.Genesis) -> dict[str, ceremony.Signature]:
        """Each member's signature, with the key it must use."""
        return {
            member: ceremony.sign(draft, member, key(f"{member} {'signer' if role == 'observer' else 'validator'}"))
            for member, role in ROLES.items()
        }


@pytest.fixture
def consortium() -> Consortium:
    return Consortium()
