"""What a run has to know of the running network: members, template, who signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chain.crypto import SigningKey
from node.connectors.routing import Member
from node.intake.outcomes import IntakeError
from node.intake.reading import Rules, mapping_of, sealing_secret
from tallystick.client import Client


def members_of(client: Client) -> tuple[Member, ...]:
    """The registered members."""
    return tuple(Member(row["id"], row["role"]) for row in client.members())


def template_of(client: Client, template: str) -> dict[str, Any]:
    """The newest version of a template that the consortium has adopted. Raises IntakeError naming what there is."""
    found = client.template(template)
    if found is None:
        known = sorted({row["id"] for row in client.genesis()["templates"]})
        raise IntakeError("UNKNOWN_TEMPLATE", f"unknown template {template!r}: use one of {', '.join(known)}")
    return found


def own_rules(
    client: Client, key: SigningKey, template: str, system: str, sealing_key: SigningKey | None, mapping: str = ""
) -> Rules:
    """For a member that acts for itself. Raises IntakeError where the key is no member's."""
    entry = client.state("consortium", "registry", "key", key.public)
    if entry is None:
        raise IntakeError(
            "UNKNOWN_SIGNER", f"key {key.public.hex()} is registered to nobody: register it, or give another key"
        )
    members = members_of(client)
    own = next((member for member in members if member.id == entry["id"]), None)
    if entry["owner"] != "member" or own is None:
        raise IntakeError("NO_MEMBER", f"{entry['id']} is no member: only members take documents in")
    secret = sealing_secret((sealing_key or key).seed)
    return Rules(template_of(client, template), members, own, lambda _member: secret, system, mapping_of(mapping))


def home_rules(
    client: Client, template: str, system: str, key_of: Callable[[str], SigningKey], mapping: str = ""
) -> Rules:
    """For a development consortium whose every key is at hand: each kind goes to the member of its role."""
    secrets: dict[str, bytes] = {}

    def secret_of(member: str) -> bytes:
        if member not in secrets:
            secrets[member] = sealing_secret(key_of(member).seed)
        return secrets[member]

    return Rules(template_of(client, template), members_of(client), None, secret_of, system, mapping_of(mapping))
