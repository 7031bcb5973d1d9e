"""Which member takes in which kind of record: the template's uploaders, nothing else ([8]: who holds what data)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from contracts.errors import ContractError
from contracts.template import Kind, compiled
from node.connectors.errors import ConnectorError, shown


class Member(NamedTuple):
    """A consortium member as routing needs it."""

    id: str
    role: str


def kind_rules(kind: str, template: Mapping[str, Any]) -> Kind:
    """The template's rules of a kind. Raises ConnectorError UNKNOWN_TEMPLATE where it has none or is wrong."""
    try:
        rules = compiled(dict(template)).kinds.get(kind)
    except (ContractError, KeyError) as error:
        raise ConnectorError("UNKNOWN_TEMPLATE", f"the template is wrong ({error})", "use a consortium's") from None
    if rules is None:
        raise ConnectorError(
            "UNKNOWN_TEMPLATE",
            f"template {shown(str(template['id']))} has no kind {shown(kind)}",
            "choose a template of the consortium that has it",
        )
    return rules


def uploaders(kind: str, template: Mapping[str, Any]) -> tuple[str, ...]:
    """The roles that may submit a kind, in the template's order. Raises ConnectorError."""
    return kind_rules(kind, template).uploaders


def route(kind: str, template: Mapping[str, Any], members: Iterable[Member], own: str | None = None) -> str:
    """The member on whose chain a record of this kind belongs.

    own: the member that took the document in; it keeps the record when its role may submit the kind. Otherwise
    the first role of the template that has a member, and of its members the first by id. Raises ConnectorError
    NO_UPLOADER where no member has such a role.
    """
    roles = uploaders(kind, template)
    candidates = sorted(members)
    if any(member.id == own and member.role in roles for member in candidates):
        return str(own)
    for role in roles:
        for member in candidates:
            if member.role == role:
                return member.id
    raise ConnectorError(
        "NO_UPLOADER", f"no member may submit a {kind}", f"add a member with the role {' or '.join(roles)}"
    )
