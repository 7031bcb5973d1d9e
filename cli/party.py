"""``tally party``: parties that run no node: the enterprise, its buyer, a director."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.command import Settings, group
from cli.errors import CliError, not_found
from cli.output import facts, moment, show, table
from cli.session import Session, submit
from cli.values import digest, is_digest

command = group("party", "Parties without a node: register, identify, show.")

_EXAMPLE = """\
tally party register kestrel --name "Kestrel Pumps & Valves" \\
    --identifier GB-COH:99900217 --public kestrel.json --home net --as procurement"""


@command.command("register", signs=True, example=_EXAMPLE)
@click.argument("party", metavar="ID")
@click.option("--name", required=True, help="its name")
@click.option("--identifier", "identifiers", multiple=True, help="how documents name it, e.g. GB-COH:1234; repeat")
@click.option("--public", "publics", multiple=True, help="its public key (64 digits) or key file; repeat")
@click.option("--encryption", help="the public key, or key file, that documents are sealed to for it")
@click.pass_obj
def register(
    settings: Settings,
    party: str,
    name: str,
    identifiers: tuple[str, ...],
    publics: tuple[str, ...],
    encryption: str | None,
) -> None:
    """Onboard a party: from this block on its records count as timely or late. The member vouches for its keys."""
    args: dict[str, Any] = {"id": party, "name": name, "identifiers": list(identifiers) or [party]}
    if publics:
        args["keys"] = [_public(text, "party") for text in publics]
    if encryption is not None:
        args["encryption"] = _public(encryption, "encryption")
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract="registry", method="register_party", args=args)
    onboarded = state["receipt"]["result"]["onboarded"]
    lines = facts([("party", party), ("identifiers", args["identifiers"]), ("onboarded", moment(onboarded))])
    show(
        settings,
        {"id": party, "identifiers": args["identifiers"], "onboarded": onboarded, "transaction": state},
        lines,
    )


@command.command(
    "identify", signs=True, example="tally party identify kestrel GB-VAT:GB999002170 --home net --as erp"
)
@click.argument("party", metavar="ID")
@click.argument("identifiers", nargs=-1, required=True, metavar="IDENTIFIER…")
@click.pass_obj
def identify(settings: Settings, party: str, identifiers: tuple[str, ...]) -> None:
    """Add identifiers under which documents name a party."""
    args = {"party": party, "identifiers": list(identifiers)}
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract="registry", method="add_identifiers", args=args)
    show(settings, {**args, "transaction": state}, [f"{party} is also {', '.join(identifiers)}"])


@command.command("show", reads=True, example="tally party show GB-COH:99900217")
@click.argument("name", metavar="ID | IDENTIFIER")
@click.pass_obj
def show_party(settings: Settings, name: str) -> None:
    """Show a party by its id or an identifier of documents."""
    with Session(settings) as session:
        found = find(session, name)
        if found is None:
            raise not_found(f"no party is or has identifier {name!r}: register it with `tally party register`")
        keys = session.client.state("consortium", "registry", "keys", "party", found["id"]) or []
        entries = [(key, session.client.state("consortium", "registry", "key", key)) for key in keys]
    lines = facts(
        [
            ("party", found["id"]),
            ("name", found["name"]),
            ("identifiers", found["identifiers"]),
            ("onboarded", moment(found["onboarded"])),
        ]
    )
    rows = [
        [key, entry["purpose"], entry["from"], "" if entry["until"] is None else entry["until"]]
        for key, entry in entries
    ]
    value = {**found, "keys": [{"key": key, **entry} for key, entry in entries]}
    heads = ["key", "purpose", "from block", "until block"]
    show(settings, value, lines + (table(heads, rows) if rows else []))


def find(session: Session, name: str) -> dict[str, Any] | None:
    """The registry's entry of a party, by its id or an identifier; None where there is none."""
    client = session.client
    entry: dict[str, Any] | None = client.state("consortium", "registry", "party", name)
    if entry is None:
        party = client.state("consortium", "registry", "identifier", name)
        entry = None if party is None else client.state("consortium", "registry", "party", party)
    return entry


def _public(text: str, purpose: str) -> bytes:
    """A public key given as 64 digits or by its key file, which must be for the purpose."""
    from chain import keys

    if is_digest(text):
        return digest(text, "public key")
    half = keys.inspect(Path(text))
    if half.purpose != purpose:
        raise CliError(f"{text} is {keys.named(half.purpose)} where {keys.named(purpose)} is needed", code="KEY")
    return half.public
