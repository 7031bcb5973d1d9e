"""``tally gov``: the members with a vote change validators, parameters, contracts, templates, models and members."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from cli.command import EXISTING_FILE, Settings, group
from cli.errors import CliError, not_found
from cli.output import facts, moment, show, table
from cli.session import Session, submit
from cli.values import digest

command = group("gov", "Governance: admit, dismiss, propose, vote, adopt, show, list, parameters.")
propose = group("propose", "Put a change to the vote; the proposer votes for it.")
command.add_command(propose)

MEMBER_FILE: Final = "tally/genesis-member"


@propose.command("parameters", signs=True, example="tally gov propose parameters t0_ms=500 --home net --as erp")
@click.argument("values", nargs=-1, required=True, metavar="NAME=NUMBER…")
@click.pass_obj
def propose_parameters(settings: Settings, values: tuple[str, ...]) -> None:
    """Change parameters of the consortium; see `tally gov parameters`."""
    changed = {}
    for text in values:
        name, _, number = text.partition("=")
        if not number.isdecimal():
            raise CliError(f"{text!r} is not NAME=NUMBER: write for example t0_ms=500")
        changed[name] = int(number)
    _propose(settings, {"kind": "parameters", "values": changed})


@propose.command("contract", signs=True, example="tally gov propose contract credit 2 10000 --home net --as erp")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.argument("from_height", type=click.IntRange(min=1))
@click.pass_obj
def propose_contract(settings: Settings, name: str, version: int, from_height: int) -> None:
    """Run another version of a contract from a block on. Every node must have it by then."""
    _propose(settings, {"kind": "contract", "name": name, "version": version, "from_height": from_height})


@propose.command(
    "validators", signs=True, example="tally gov propose validators erp=8f75… lender=03ab… --home net --as erp"
)
@click.argument("validators", nargs=-1, required=True, metavar="MEMBER=KEY…")
@click.pass_obj
def propose_validators(settings: Settings, validators: tuple[str, ...]) -> None:
    """Put the whole next validator set to the vote; each key is one its member has registered."""
    rows = []
    for text in validators:
        member, _, key = text.partition("=")
        rows.append([member, digest(key, f"validator key of {member}")])
    _propose(settings, {"kind": "validators", "set": sorted(rows)})


@propose.command("approve", signs=True, example="tally gov propose approve my-template.json --home net --as erp")
@click.argument("path", required=False, type=EXISTING_FILE, metavar="[FILE]")
@click.option("--dismiss", metavar="MEMBER", help="end this membership instead")
@click.option("--title", help="what the members read; default the document's id and version")
@click.pass_obj
def propose_approve(settings: Settings, path: Path | None, dismiss: str | None, title: str | None) -> None:
    """Approve a template, a credit model or a new member's public half; then `tally gov adopt` enters it."""
    from chain.crypto import hash_value

    document, said, _, _ = _document(path, dismiss)
    _propose(settings, {"kind": "approve", "hash": hash_value(document), "title": title or said})


@command.command("adopt", signs=True, example="tally gov adopt my-template.json --home net --as erp")
@click.argument("path", required=False, type=EXISTING_FILE, metavar="[FILE]")
@click.option("--dismiss", metavar="MEMBER", help="end this membership instead")
@click.pass_obj
def adopt(settings: Settings, path: Path | None, dismiss: str | None) -> None:
    """Enter an approved document: a template, a credit model, a member; or end a membership."""
    document, said, contract, method = _document(path, dismiss)
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract=contract, method=method, args={"document": document})
    show(settings, {"adopted": said, "transaction": state}, [f"{said}: done in block {state['height']}"])


@command.command("admit", signs=True, example="tally gov admit office/member.json --home net --as erp")
@click.argument("path", type=EXISTING_FILE, metavar="FILE")
@click.option("--everyone", is_flag=True, help="with --home: for every member there, until it is done")
@click.pass_obj
def admit(settings: Settings, path: Path, everyone: bool) -> None:
    """Take the next step to admit a new member by its public half: propose, vote, or enter what was approved.

    Each member gives the same command; the one whose vote reaches the quorum enters the new member at once.
    """
    document, said, contract, method = _document(path, None)
    if contract != "registry":
        raise CliError(f"{path} is no member's public half: give the member.json of `tally node join`")
    _carry(settings, _Decision(document, said, contract, method), everyone=everyone)


@command.command("dismiss", signs=True, example="tally gov dismiss office --home net --as erp")
@click.argument("member", metavar="MEMBER")
@click.option("--everyone", is_flag=True, help="with --home: for every member there, until it is done")
@click.pass_obj
def dismiss(settings: Settings, member: str, everyone: bool) -> None:
    """Take the next step to end a membership: propose, vote, or enter what was approved. Each member gives it."""
    _carry(settings, _Decision(*_document(None, member)), everyone=everyone)


@command.command("vote", signs=True, example="tally gov vote 51ce… --accept --home net --as lender")
@click.argument("proposal", metavar="PROPOSAL")
@click.option("--accept/--reject", "accept", required=True, help="the vote; it may be changed while it is open")
@click.pass_obj
def vote(settings: Settings, proposal: str, accept: bool) -> None:
    """Vote on a proposal. What reaches the quorum is enacted in that block."""
    _cast(settings, "vote", {"proposal": digest(proposal, "proposal"), "accept": accept})


@command.command("show", reads=True, example="tally gov show 51ce…")
@click.argument("proposal", metavar="PROPOSAL")
@click.pass_obj
def show_proposal(settings: Settings, proposal: str) -> None:
    """Show one proposal with its votes."""
    with Session(settings) as session:
        found = session.client.state("consortium", "gov", "proposal", digest(proposal, "proposal"))
    if found is None:
        raise not_found(f"there is no proposal {proposal}: see `tally gov list`")
    lines = facts(
        [
            ("proposal", found["id"]),
            ("change", found["change"]),
            ("by", found["by"]),
            ("state", found["state"]),
            ("for", [member for member, voted in found["votes"].items() if voted] or None),
            ("against", [member for member, voted in found["votes"].items() if not voted] or None),
            ("void after", moment(found["expires"])),
        ]
    )
    show(settings, found, lines)


@command.command("list", reads=True, example="tally gov list")
@click.pass_obj
def list_open(settings: Settings) -> None:
    """List the open proposals."""
    with Session(settings) as session:
        ids = session.client.state("consortium", "gov", "open") or []
        found = [session.client.state("consortium", "gov", "proposal", proposal) for proposal in ids]
    rows = [
        [row["id"], row["change"]["kind"], row["by"], sum(row["votes"].values()), moment(row["expires"])]
        for row in found
    ]
    show(settings, found, table(["proposal", "change", "by", "votes for", "void after"], rows))


@command.command("parameters", reads=True, example="tally gov parameters")
@click.pass_obj
def parameters(settings: Settings) -> None:
    """Show the parameters in force and the contract versions."""
    with Session(settings) as session:
        values = session.client.state("consortium", "gov", "parameters") or {}
        names = sorted(session.client.genesis()["contracts"])
        versions = {name: session.client.state("consortium", "gov", "contract", name) for name in names}
    rows = [[name, ", ".join(f"{version} from block {start}" for version, start in versions[name])] for name in names]
    lines = [*facts(sorted(values.items())), "", *table(["contract", "versions"], rows)]
    show(settings, {"parameters": values, "contracts": versions}, lines)


@dataclass(frozen=True)
class _Decision:
    """A document on which the members decide by its hash, and where it is entered then."""

    document: dict[str, Any]
    said: str
    contract: str
    method: str


def _carry(settings: Settings, decision: _Decision, *, everyone: bool) -> None:
    """The next step of a decision for the acting member; for everyone in a development folder, all steps."""
    steps: list[dict[str, Any]] = []
    with Session(settings) as session:
        if not everyone:
            steps.append(_step(session, decision))
        else:
            voters = [member for member, _ in session.client.state("consortium", "gov", "validators")["set"]]
            for member in voters:
                with session.acting_as(member) as acting:
                    steps.append({"by": member, **_step(acting, decision)})
                if steps[-1]["done"]:
                    break
    show(settings, steps[-1] if not everyone else steps, [step["text"] for step in steps])


def _step(session: Session, decision: _Decision) -> dict[str, Any]:
    """Enter what is approved; else vote for the open proposal, or propose. What that approves is entered at once."""
    from chain.crypto import hash_value

    document_hash = hash_value(decision.document)
    approved = session.client.state("consortium", "gov", "approved", document_hash) is not None
    if not approved:
        result = _vote_for(session, document_hash, decision.said)
        if result["state"] != "passed":
            said = (
                f"{decision.said}: {result['accepted']} of the {result['needed']} votes needed; the others give the"
            )
            return {"done": False, **result, "text": f"{said} same command"}
    done = submit(
        session,
        chain="consortium",
        contract=decision.contract,
        method=decision.method,
        args={"document": decision.document},
    )
    return {"done": True, "transaction": done, "text": f"{decision.said}: done in block {done['height']}"}


def _vote_for(session: Session, document_hash: bytes, title: str) -> dict[str, Any]:
    """Vote for the open proposal to approve a document, or propose it. Raises CliError for who has voted."""
    open_ids = session.client.state("consortium", "gov", "open") or []
    for proposal in open_ids:
        found = session.client.state("consortium", "gov", "proposal", proposal)
        if found is not None and found["change"].get("hash") == document_hash:
            if found["votes"].get(session.owner["id"]):
                raise CliError(
                    f"{session.owner['id']} has voted for this: the others give the same command, or see"
                    f" `tally gov show {proposal.hex()}`",
                    code="VOTED_ALREADY",
                )
            args: dict[str, Any] = {"proposal": proposal, "accept": True}
            state = submit(session, chain="consortium", contract="gov", method="vote", args=args)
            break
    else:
        change = {"kind": "approve", "hash": document_hash, "title": title}
        state = submit(session, chain="consortium", contract="gov", method="propose", args={"change": change})
    result: dict[str, Any] = state["receipt"]["result"]
    return result


def _propose(settings: Settings, change: dict[str, Any]) -> None:
    _cast(settings, "propose", {"change": change})


def _cast(settings: Settings, method: str, args: dict[str, Any]) -> None:
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract="gov", method=method, args=args)
    result = state["receipt"]["result"]
    lines = facts(
        [
            ("proposal", result["id"]),
            ("state", result["state"]),
            ("votes for", f"{result['accepted']} of the {result['needed']} needed"),
        ]
    )
    show(settings, {**result, "transaction": state}, lines)


def _document(path: Path | None, dismiss: str | None) -> tuple[dict[str, Any], str, str, str]:
    """What is approved and adopted: (document, in words, contract, method)."""
    if (path is None) == (dismiss is None):
        raise CliError("give a FILE, or --dismiss MEMBER")
    if dismiss is not None:
        return {"dismiss": dismiss}, f"dismiss member {dismiss}", "registry", "dismiss_member"
    assert path is not None
    from genesis import ceremony, strict_json

    value = strict_json.read(path)
    if not isinstance(value, dict):
        raise CliError(f"{path} is not a JSON object: give a template, a model or a member's public half")
    if value.get("file") == MEMBER_FILE:
        member = ceremony.read_member(path)
        return member, f"admit member {member['id']} ({member['role']})", "registry", "admit_member"
    said = f"{value.get('id')} version {value.get('version')}"
    if "kinds" in value:
        _require_sound(path, value, "template")
        return value, f"template {said}", "credit", "adopt_template"
    if "bands" in value:
        _require_sound(path, value, "model")
        return value, f"model {said}", "credit", "adopt_model"
    raise CliError(f"{path} is neither a template, a model nor a member's public half")


def _require_sound(path: Path, document: dict[str, Any], what: str) -> None:
    """Refuse what the contract would not take, before anybody votes on it. Raises CliError."""
    from contracts import adoption
    from contracts import model as credit_model
    from contracts.errors import ContractError

    try:
        adoption.check_template(document) if what == "template" else credit_model.parse(document)
    except ContractError as error:
        raise CliError(f"{path}: {error.message}: correct the {what}", code=error.code) from None
