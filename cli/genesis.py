"""``tally genesis``: found a consortium. Each member hands in its public half and signs; no private key travels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.errors import CliError
from cli.output import facts, show, table
from cli.session import Session

if TYPE_CHECKING:
    from genesis.ceremony import Genesis
    from genesis.dev import Party

command = group("genesis", "Found a consortium: draft, sign, seal, show, dev.")

_DRAFT_EXAMPLE = """\
each member:  tally genesis draft --member erp --role erp --signer keys/signer.json \\
                  --network keys/network.json --validator keys/validator.json \\
                  --encryption keys/encryption.json -o erp.json
one of them:  tally genesis draft procurement.json erp.json guarantor.json lender.json \\
                  --name "Pumps and valves" -o draft.json"""


@command.command("draft", example=_DRAFT_EXAMPLE)
@click.argument("halves", nargs=-1, type=EXISTING_FILE, metavar="[HALF]…")
@click.option("--member", help="write this member's public half instead of combining halves")
@click.option("--role", help="the member's role")
@click.option("--signer", type=EXISTING_FILE, multiple=True, help="key file that will sign transactions; repeat")
@click.option("--network", type=EXISTING_FILE, help="key file of the peer id")
@click.option("--validator", type=EXISTING_FILE, help="key file of the vote; without it the member observes")
@click.option("--encryption", type=EXISTING_FILE, help="key file that opens documents sealed to the member")
@click.option("--name", help="the consortium's name")
@click.option("--template", "templates", multiple=True, help="industry template: a shipped id or a JSON file; repeat")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="credit model: a shipped id or a JSON file; default those that the templates name; repeat",
)
@click.option(
    "--party",
    "parties",
    multiple=True,
    help="ID=KEYFILE[,ENCRYPTIONKEYFILE]=NAME[=IDENTIFIER…] of a party without a node; repeat",
)
@click.option("--parameter", "parameters", multiple=True, help="NAME=NUMBER that differs from the default; repeat")
@click.option("--time", "time_ms", type=click.IntRange(min=0), help="genesis time in ms since 1970, UTC; default now")
@click.option("-o", "--output", type=FILE, required=True, help="file to write")
@click.pass_obj
def draft(
    settings: Settings,
    halves: tuple[Path, ...],
    member: str | None,
    role: str | None,
    signer: tuple[Path, ...],
    network: Path | None,
    validator: Path | None,
    encryption: Path | None,
    name: str | None,
    templates: tuple[str, ...],
    models: tuple[str, ...],
    parties: tuple[str, ...],
    parameters: tuple[str, ...],
    time_ms: int | None,
    output: Path,
) -> None:
    """Write one member's public half, or combine the halves of all into a draft."""
    if member is not None:
        if halves or role is None:
            raise CliError("a public half needs --member and --role, and no other halves")
        files = {"network": network, "validator": validator, "encryption": encryption}
        _write_half(settings, member, role, signer, files, output)
        return
    if not halves or name is None:
        raise CliError("a draft needs the members' halves and --name; a half needs --member and --role")
    from genesis import ceremony, library

    rows = [_party_row(text) for text in parties]
    chosen = [_template(item) for item in templates or library.template_ids()]
    made = ceremony.draft(
        ceremony.Settings(
            name=name,
            time=_now() if time_ms is None else time_ms,
            templates=chosen,
            models=[_model(item) for item in models] or library.models_of(chosen),
            parties=rows,
            parameters=_numbers(parameters),
        ),
        [ceremony.read_member(path) for path in halves],
    )
    ceremony.write(output, made)
    _show(settings, made, [f"draft written to {output}: have every member run `tally genesis sign {output}`"])


@command.command(
    "sign", example="tally genesis sign draft.json --member erp --key keys/validator.json -o erp.sig.json"
)
@click.argument("path", type=EXISTING_FILE, metavar="DRAFT")
@click.option("--member", required=True, help="who signs")
@click.option("--key", type=EXISTING_FILE, required=True, help="its validator key, else its first signer key")
@click.option("-o", "--output", type=FILE, required=True, help="file to write the signature to")
@click.pass_obj
def sign(settings: Settings, path: Path, member: str, key: Path, output: Path) -> None:
    """Read a draft (its words are shown first) and sign it for one member."""
    from chain import keys
    from genesis import ceremony

    genesis = ceremony.load(path)
    signature = ceremony.sign(genesis, member, keys.load(key, Session(settings).passphrase(key)))
    ceremony.write_signature(output, signature)
    value = {"network_id": genesis.network_id, "member": member, "path": str(output)}
    lines = [*ceremony.summary(genesis), "", *facts([("network id", genesis.network_id), ("signed by", member)])]
    show(settings, value, [*lines, f"Compare the network id with the others, then hand in {output}."])


@command.command("seal", example="tally genesis seal draft.json *.sig.json -o genesis.json")
@click.argument("path", type=EXISTING_FILE, metavar="DRAFT")
@click.argument("signatures", nargs=-1, type=EXISTING_FILE, metavar="SIGNATURE…")
@click.option("-o", "--output", type=FILE, required=True, help="the sealed file that every node starts from")
@click.pass_obj
def seal(settings: Settings, path: Path, signatures: tuple[Path, ...], output: Path) -> None:
    """Put draft and signatures together into the file every node starts from; refused while one is missing."""
    from genesis import ceremony

    sealed = ceremony.seal(ceremony.load(path), [ceremony.read_signature(item) for item in signatures])
    ceremony.write(output, sealed)
    _show(settings, sealed, [f"sealed genesis written to {output}"])


@command.command("show", example="tally genesis show genesis.json")
@click.argument("path", type=EXISTING_FILE)
@click.pass_obj
def show_genesis(settings: Settings, path: Path) -> None:
    """Say in words what a draft or sealed file agrees on, and who has signed; altered files are refused."""
    from genesis import ceremony

    genesis = ceremony.load(path)
    missing = ceremony.missing(genesis)
    state = f"still to sign: {', '.join(missing)}" if missing else "signed by every member"
    _show(settings, genesis, [*ceremony.summary(genesis), "", f"{genesis.state}; {state}"])


@command.command("dev", example="tally genesis dev net && tally up net")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--members", type=int, default=4, show_default=True, help="validators: 1 to 16")
@click.option("--observer", "observers", multiple=True, help="ID or ID=ROLE without a vote; default auditor; repeat")
@click.option("--base-port", type=int, default=27_100, show_default=True, help="node i takes this + 2i and the next")
@click.option("--name", default="Development consortium", show_default=True, help="the consortium's name")
@click.option("--template", "templates", multiple=True, help="shipped template; default all; repeat")
@click.option("--party", "parties", multiple=True, help="ID=NAME[=IDENTIFIER…] of a party without a node; repeat")
@click.option("--parameter", "parameters", multiple=True, help="NAME=NUMBER that differs from the default; repeat")
@click.option(
    "--period-seconds",
    type=click.IntRange(min=1),
    help="length of a credit period, for demonstrations; default the calendar month, in UTC",
)
@click.option("--anchor-rpc-url", help="Ethereum JSON-RPC of a development chain to anchor on")
@click.pass_obj
def dev(
    settings: Settings,
    directory: Path,
    members: int,
    observers: tuple[str, ...],
    base_port: int,
    name: str,
    templates: tuple[str, ...],
    parties: tuple[str, ...],
    parameters: tuple[str, ...],
    period_seconds: int | None,
    anchor_rpc_url: str | None,
) -> None:
    """Make a whole consortium for one machine in DIRECTORY: keys, configurations, sealed genesis.

    Every private key and the passphrase lie side by side there: for development only.
    """
    from genesis.dev import PARTIES, make_dev

    network = make_dev(
        directory,
        name=name,
        members=members,
        observers=observers or ("auditor",),
        parties=[_dev_party(text) for text in parties] or PARTIES,
        base_port=base_port,
        template_ids=templates or None,
        parameters=_numbers(parameters),
        period_seconds=period_seconds,
        anchor_rpc_url=anchor_rpc_url,
    )
    value = {
        "directory": str(network.directory),
        "network_id": network.network_id,
        "members": [
            {"id": place.id, "role": place.role, "p2p": place.p2p, "api": f"http://{place.api}"}
            for place in network.members
        ],
    }
    lines = facts([("folder", network.directory), ("network id", network.network_id)])
    lines += table(["member", "role", "peers", "API"], [[m.id, m.role, m.p2p, m.api] for m in network.members])
    show(settings, value, [*lines, f"Start it: tally up {directory}"])


def _write_half(
    settings: Settings,
    member: str,
    role: str,
    signer: Sequence[Path],
    files: Mapping[str, Path | None],
    output: Path,
) -> None:
    from genesis import ceremony

    half = {
        "id": member,
        "role": role,
        **{purpose: None if path is None else _public(path, purpose) for purpose, path in files.items()},
        "signers": [{"key": _public(path, "signer"), "rights": ["*"]} for path in signer],
    }
    ceremony.write_member(output, half)
    public = {"id": member, "role": role, "path": str(output)}
    show(settings, public, [f"public half of {member} ({role}) written to {output}: hand it in"])


def _public(path: Path, purpose: str) -> bytes:
    from chain import keys

    half = keys.inspect(path)
    if half.purpose != purpose:
        raise CliError(
            f"{path} is {keys.named(half.purpose)} where {keys.named(purpose)} is needed: give the right file",
            code="KEY",
        )
    return half.public


def _show(settings: Settings, genesis: Genesis, lines: list[str]) -> None:
    from genesis import ceremony

    value = {
        "state": genesis.state,
        "network_id": genesis.network_id,
        "name": genesis.document["name"],
        "members": [{"id": row["id"], "role": row["role"]} for row in genesis.document["members"]],
        "missing": ceremony.missing(genesis),
        "summary": ceremony.summary(genesis),
    }
    show(settings, value, [*lines, *facts([("network id", genesis.network_id)])])


def _template(name: str) -> Mapping[str, Any]:
    from genesis import library

    return _json_object(Path(name)) if name.endswith(".json") else library.template(name)


def _model(name: str) -> Mapping[str, Any]:
    from genesis import library

    return _json_object(Path(name)) if name.endswith(".json") else library.model(name)


def _json_object(path: Path) -> dict[str, Any]:
    from genesis import strict_json

    value = strict_json.read(path)
    if not isinstance(value, dict):
        raise CliError(f"{path} is not a JSON object: give a template or model file")
    return value


def _numbers(texts: Sequence[str]) -> dict[str, int] | None:
    """NAME=NUMBER options as a map; None without any."""
    found: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name] = json.loads(number, parse_float=int, parse_constant=int)
        except ValueError:
            raise CliError(f"--parameter {text!r} is not NAME=NUMBER: write for example t0_ms=500") from None
    return found or None


def _party_row(text: str) -> dict[str, Any]:
    party, _, rest = text.partition("=")
    file, _, rest = rest.partition("=")
    name, *identifiers = rest.split("=")
    if not (party and file and name):
        raise CliError(f"--party {text!r} is not ID=KEYFILE[,ENCRYPTIONKEYFILE]=NAME[=IDENTIFIER…]")
    signing, _, encryption = file.partition(",")
    return {
        "id": party,
        "name": name,
        "identifiers": identifiers,
        "keys": [_public(Path(signing), "party")],
        "encryption": _public(Path(encryption), "encryption") if encryption else None,
    }


def _dev_party(text: str) -> Party:
    from genesis.dev import Party

    party, _, rest = text.partition("=")
    name, *identifiers = rest.split("=")
    if not (party and name):
        raise CliError(f"--party {text!r} is not ID=NAME[=IDENTIFIER…]")
    return Party(party, name, tuple(identifiers))


def _now() -> int:
    import time

    return time.time_ns() // 1_000_000
