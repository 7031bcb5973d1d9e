"""``tally keys``: key files, encrypted at rest, and what the registry is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.errors import CliError
from cli.output import facts, show
from cli.session import Session, submit
from cli.values import digest, is_digest

command = group("keys", "Ed25519 key files: new, show, add, rotate, revoke.")

_SIGNS_NOTHING: Final = "The old key signs nothing from that block on. Point node.toml at the new file."
_AFTERWARDS: Final = {
    "encryption": "Documents are sealed to the new key from that block on, older ones again by whoever keeps them. "
    "Until then the old file opens them: let keys.encryption in node.toml name both, the new one first.",
}


@command.command("new", example="TALLY_PASSPHRASE_FILE=secret tally keys new keys/signer.json --purpose signer")
@click.argument("path", type=FILE)
@click.option(
    "--purpose", type=click.Choice(["network", "validator", "signer", "party", "encryption"]), required=True,
    help="what the key is for; a key serves one purpose",
)  # fmt: skip
@click.option("--development", is_flag=True, help="cheaper passphrase stretching (64 MiB), for development keys")
@click.pass_obj
def new(settings: Settings, path: Path, purpose: str, development: bool) -> None:
    """Make a new key and write it to PATH, encrypted under a passphrase. Never overwrites."""
    from chain import keys

    if path.exists():
        raise CliError(f"{path} exists already: choose another path, no key is overwritten", code="KEY")
    passphrase = Session(settings).passphrase(path, confirm=True)
    half = keys.create(path, passphrase, purpose, cost=keys.INTERACTIVE if development else keys.MODERATE)
    value = {"path": str(path), "purpose": half.purpose, "public": half.public}
    show(settings, value, facts([("key file", path), ("purpose", half.purpose), ("public key", half.public)]))


@command.command("show", example="tally keys show keys/signer.json")
@click.argument("path", type=EXISTING_FILE)
@click.option("--check", is_flag=True, help="open it too: asks for the passphrase")
@click.pass_obj
def show_key(settings: Settings, path: Path, check: bool) -> None:
    """Show the public half of a key file; needs no passphrase."""
    from chain import keys

    half = keys.inspect(path)
    if check:
        keys.load(path, Session(settings).passphrase(path))
    value = {"path": str(path), "purpose": half.purpose, "public": half.public, "opened": check}
    pairs = [("key file", path), ("purpose", half.purpose), ("public key", half.public)]
    show(settings, value, facts([*pairs, ("opened", True if check else None)]))


@command.command("add", signs=True, example="tally keys add offline.json --home net --as lender")
@click.argument("path", type=EXISTING_FILE)
@click.option("--right", "rights", multiple=True, help="contract.method a signer key may call, or *; repeat")
@click.pass_obj
def add(settings: Settings, path: Path, rights: tuple[str, ...]) -> None:
    """Register a further key of your own, from its key file; a party's is a signer key, too.

    A second encryption key, whose file stays offline, opens what was sealed to both when the first is lost.
    """
    from chain import keys

    half = keys.inspect(path)
    purpose = "signer" if half.purpose == "party" else half.purpose
    if (purpose == "signer") != bool(rights):
        raise CliError("a key that signs needs --right, one of each method or *; no other key has rights")
    args: dict[str, Any] = {"key": half.public, "purpose": purpose}
    if rights:
        args["rights"] = list(rights)
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract="registry", method="add_key", args=args)
    valid_from = state["receipt"]["result"]["from"]
    value = {"key": half.public, "purpose": purpose, "from": valid_from, "transaction": state}
    pairs = [("public key", half.public), ("purpose", purpose), ("valid from block", valid_from)]
    show(settings, value, facts(pairs))


@command.command("revoke", signs=True, example="tally keys revoke keys/encryption.json --home net --as lender")
@click.argument("key", metavar="FILE | KEY")
@click.pass_obj
def revoke(settings: Settings, key: str) -> None:
    """End a key of your own, named by its file or its 64 digits: from the next block on it is worth nothing."""
    from chain import keys

    public = digest(key, "public key") if is_digest(key) else keys.inspect(Path(key)).public
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract="registry", method="revoke_key", args={"key": public})
    until = state["receipt"]["result"]["until"]
    value = {"key": public, "until": until, "transaction": state}
    show(settings, value, facts([("public key", public), ("valid until block", until)]))


@command.command("rotate", signs=True, example="tally keys rotate keys/signer.json --new keys/signer-2.json")
@click.argument("old", type=EXISTING_FILE)
@click.option("--new", "new_path", type=FILE, required=True, help="where the new key file goes")
@click.option("--development", is_flag=True, help="cheaper passphrase stretching (64 MiB), for development keys")
@click.pass_obj
def rotate(settings: Settings, old: Path, new_path: Path, development: bool) -> None:
    """Replace a key of your own: makes the new file and has the registry pass purpose and rights on to it.

    A signer or party key signs for its own replacement; for a network or encryption key give the member's signer
    with --key. A validator key votes, so the members replace it: `tally gov propose validators`.
    """
    from chain import keys

    half = keys.inspect(old)
    if half.purpose == "validator":
        raise CliError("a validator key is in the validator set: add a new one, then `tally gov propose validators`")
    signers = settings.keys or ((old,) if half.purpose in ("signer", "party") else ())
    signing = Settings(settings.json, settings.node, signers, settings.home, settings.acting)
    with Session(signing) as session:
        session.unlock()
        if new_path.exists():
            fresh = keys.inspect(new_path)  # left behind by an attempt that was not finished
            if fresh.purpose != half.purpose:
                found, wanted = keys.named(fresh.purpose), keys.named(half.purpose)
                raise CliError(f"{new_path} is {found}, {old} {wanted}: choose another path")
        else:
            cost = keys.INTERACTIVE if development else keys.MODERATE
            fresh = keys.create(new_path, session.passphrase(new_path, confirm=True), half.purpose, cost=cost)
        state = submit(
            session,
            chain="consortium",
            contract="registry",
            method="rotate_key",
            args={"old": half.public, "new": fresh.public},
        )
    valid_from = state["receipt"]["result"]["from"]
    value = {"old": half.public, "new": fresh.public, "path": str(new_path), "from": valid_from, "transaction": state}
    pairs = [
        ("old key", half.public),
        ("new key", fresh.public),
        ("key file", new_path),
        ("valid from block", valid_from),
    ]
    show(settings, value, [*facts(pairs), _AFTERWARDS.get(half.purpose, _SIGNS_NOTHING)])
