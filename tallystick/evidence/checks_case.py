"""Checks of who did what: the case is whole and as of one block, each step is backed by who alone could do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chain.codec import encode
from chain.verification import VerificationError
from contracts.access import CONSORTIUM, MEMBER, METHOD_ROLES, PARTY, covers, is_valid_at
from contracts.enforceable_certificate import PERFORMED
from contracts.enforceable_deed import CHAIN, obligors, parties, statement
from contracts.record import moment as day_moment
from contracts.registry import WEAK_KEYS
from tallystick.evidence import manifest
from tallystick.evidence.case import Case
from tallystick.evidence.facts import plain
from tallystick.evidence.view import hash_value
from tallystick.evidence.walk import DeedFile, Dossier, Person

MS_PER_DAY: Final = 86_400_000
UNPAID: Final = "unpaid"


def one_block(case: Case) -> list[str]:
    """All states are of one block, that of the manifest: nothing is shown as it was before something happened."""
    if bytes.fromhex(case.manifest["network_id"]) != case.network_id:
        raise VerificationError("manifest.json names another consortium than the given genesis hash")
    height = case.manifest["height"]
    digests = {entry.block.digest for entry in case.states.values()}
    for (chain, key), entry in case.states.items():
        if entry.block.height != height:
            raise VerificationError(
                f"the state of {chain} {key[0]} {key[1]} is as of block {entry.block.height}, not {height}"
            )
    if len(digests) != 1:
        raise VerificationError(f"the states are of {len(digests)} different blocks of height {height}")
    above = max(case.blocks)
    if above > height:
        raise VerificationError(f"block {above} is in the bundle, its states are as of block {height}")
    return [f"{len(case.states)} state entries, all as of block {height}"]


def complete(case: Case) -> list[str]:
    """Everything that the case needs is proved, and nothing else is in the bundle."""
    found = case.anew
    if case.view.missing:
        more = f" and {len(case.view.missing) - 1} more" if len(case.view.missing) > 1 else ""
        raise VerificationError(f"the bundle leaves out {case.view.missing[0]}{more}")
    spare = [f"state {chain} {key[0]} {key[1]}" for chain, key in case.states if (chain, key) not in case.view.used]
    spare += [f"transaction {tx.hex()[:16]}" for tx in case.transactions if tx not in case.view.used_transactions]
    if spare:
        raise VerificationError(f"{spare[0]} is proved and belongs to nothing in the case")
    wanted = [(paper.name.chain, identity) for paper in found.dossier.papers for identity in paper.versions]
    numbers = _numbers(len(wanted))
    for folder, count in (("states", len(case.states)), ("transactions", len(case.transactions))):
        if list(case.folder(folder)) != [f"{folder}/{number}.proof" for number in _numbers(count)]:
            raise VerificationError(f"the files of {folder}/ are not numbered from 0001 to {count:04d}")
    if list(case.records) != numbers:
        raise VerificationError(f"the bundle holds {len(case.records)} records, the case has {len(wanted)}")
    for number, (chain, identity) in zip(numbers, wanted, strict=True):
        if (case.records[number].done.chain, case.records[number].id) != (chain, identity):
            raise VerificationError(f"records/{number}.proof is not record {identity.hex()[:16]} of {chain}")
    return [
        f"{len(case.states)} states, {len(case.transactions)} transactions, {len(wanted)} records: all that the case "
        "asks for, and no more"
    ]


def statement_stands(case: Case) -> list[str]:
    """case.json states what the proofs give."""
    anew = manifest.to_json(case.anew.facts)
    if case.files["case.json"] != anew:
        raise VerificationError(f"case.json states otherwise than the proofs{_first_difference(case)}")
    return ["case.json is what the proofs give"]


def claimant(case: Case) -> list[str]:
    """The key under the manifest is the creditor's own, and valid."""
    found, key = case.anew.dossier, bytes.fromhex(case.manifest["key"])
    name, entry = case.manifest["claimant"], found.keys.get(key)
    if name != found.line["lender"]:
        raise VerificationError(f"the bundle is {name[:40]}'s, the claim is {found.line['lender']}'s")
    _require_key(key, entry, (MEMBER, name), case.manifest["height"], "signed the bundle")
    return [f"{name}, the creditor, signed it with a key that was valid at block {case.manifest['height']}"]


def backed(case: Case) -> list[str]:
    """Each step is what its transaction did, and that succeeded."""
    found = case.anew.dossier
    for step in found.steps:
        done = case.transactions.get(step.transaction)
        if done is None:
            continue  # that it is missing is for `complete`
        what = f"{step.method} of block {step.height}"
        if done.status != 0 or f"{done.contract}.{done.method}" != step.method or done.chain != CONSORTIUM:
            raise VerificationError(f"{what}: its transaction {step.transaction.hex()[:16]} did something else")
        if (done.block.height, done.block.time) != (step.height, step.time):
            raise VerificationError(f"{what}: its transaction stands in block {done.block.height}")
        if step.signers is not None and step.signers != done.signers:
            raise VerificationError(f"{what}: other keys signed its transaction than the chain says")
        for name, value in step.about.items():
            if name not in done.args or encode(done.args[name]) != encode(value):
                raise VerificationError(f"{what}: its transaction is about another {name}")
    return [f"{len(found.steps)} steps, each done by a signed transaction that succeeded"]


def keys(case: Case) -> list[str]:
    """Each step is signed by keys of who did it, valid at its block, with the right to it."""
    found = case.anew.dossier
    count = 0
    for step in found.steps:
        done = case.transactions.get(step.transaction)
        signers = step.signers if done is None else done.signers
        for key in signers or ():
            _require_key(key, found.keys.get(key), step.by, step.height, f"signed {step.method}", step.method)
            count += 1
    return [f"{count} signatures, each by a registered key of its signer, valid at the block and not revoked by then"]


def roles(case: Case) -> list[str]:
    """Each step is done by who has the part: the creditor, an obligor, the deed's notary, the case's court."""
    found = case.anew.dossier
    for step in found.steps:
        entry = found.people.get(step.by)
        role = PARTY if step.by[0] == PARTY else (entry or {}).get("role", "nobody")
        if entry is None or role not in METHOD_ROLES[step.method]:
            raise VerificationError(f"{step.method} is not for {step.by[1]}, who is {role}")
    for file in found.deeds:
        _require_parts(file, found)
    for one in found.cases:
        for row in one["steps"]:
            wanted = one["court"] if row["step"] in ("acknowledge", "ask", "accept", "reject") else one["creditor"]
            if row["by"] != wanted:
                raise VerificationError(f"court.{row['step']} is for {wanted}, and was done by {row['by']}")
    return ["every step was done by the creditor, obligor, notary or court whose part it is"]


def order(case: Case) -> list[str]:
    """The deed's steps follow one another as the law wants, and the obligors had the agreed time to answer."""
    found = case.anew.dossier
    for file in found.deeds:
        _require_confirmed(file)
        drafted = _place(found, file.deed)
        consented = [_place(found, entry) for entry in file.consents.values()]
        if any(place <= drafted for place in consented):
            raise VerificationError("a consent was given before the deed was drafted")
        if file.countersignature is None:
            continue
        signed = _place(found, file.countersignature)
        if any(place >= signed for place in consented):
            raise VerificationError("a consent was given after the notary countersigned the deed")
        last = signed
        for entry in _proceedings(file):
            if _place(found, entry) <= last:
                raise VerificationError("default, verification and certificate do not follow one another")
            last = _place(found, entry)
        for number, (claimed, verified) in enumerate(zip(file.defaults, file.verifications, strict=False), start=1):
            _require_time_to_answer(file, number, claimed, verified)
    return ["draft, consents, countersignature, default, verification and certificate follow one another"]


def consents(case: Case) -> list[str]:
    """The deed's content is what every party and the notary signed; nobody is enforced against without consent."""
    lines = []
    for file in case.anew.dossier.deeds:
        deed = file.deed
        digest = hash_value(statement(case.network_id, deed))
        signed = [*file.consents.values(), *([file.countersignature] if file.countersignature else [])]
        if deed["digest"] != digest or any(entry["digest"] != digest for entry in signed):
            raise VerificationError("a consent or countersignature is to another text than the deed's content")
        if any(
            entry["enforcement"] is not True or entry["verification"] is not True for entry in file.consents.values()
        ):
            raise VerificationError("a consent accepts not both enforcement and the way of verification")
        if file.countersignature is not None:
            bare = [identity for owner, identity in parties(deed) if (owner, identity) not in file.consents]
            if bare:
                raise VerificationError(f"the deed is countersigned without the consent of {', '.join(bare)}")
        _require_covered(file)
        lines.append(f"deed {deed['number'] or deed['id'].hex()[:16]}: {len(file.consents)} consents to one content")
    return lines or ["there is no deed"]


def route(case: Case) -> list[str]:
    """A case that is still to be filed goes the way that the chain leaves now, against its respondents."""
    way, file = case.anew.route, case.anew.dossier.deed
    if way.certificate and (file is None or file.certificate is None or file.certificate["id"] != way.certificate):
        raise VerificationError("the deed's state names an execution certificate that is not there")
    if way.certificate and file is not None and (file.revocation or file.execution):
        raise VerificationError("the deed's state says that its certificate stands, and it was revoked or executed")
    if way.certificate and file is not None and any(row["reason"] != PERFORMED for row in file.refusals):
        raise VerificationError("the deed's state says that its certificate stands, and the notary refused it")
    for one in case.anew.dossier.cases:
        now = case.anew.routes.get(one["id"])
        if now is not None and now.letter != one["route"]:
            raise VerificationError(
                f"case {one['id'].hex()[:16]} goes way {one['route']}, the chain leaves way {now.letter} only: "
                f"{now.reasons[0][1]}"
            )
    return [f"way {way.letter}: {text}" for _, text in way.reasons]


def _numbers(count: int) -> list[str]:
    return [f"{number:04d}" for number in range(1, count + 1)]


def _require_key(
    key: bytes, entry: Mapping[str, Any] | None, who: Person, height: int, did: str, method: str = ""
) -> None:
    short = f"key {key.hex()[:16]}… {did}"
    if entry is None or (entry["owner"], entry["id"]) != who:
        raise VerificationError(f"{short} and is not a key of {who[1][:40]}")
    if entry["purpose"] != "signer" or key in WEAK_KEYS:
        raise VerificationError(f"{short} and is no key for signing")
    if not is_valid_at(dict(entry), height):
        until = "" if entry["until"] is None else f" to {entry['until'] - 1}"
        raise VerificationError(f"{short} at block {height}; it is valid from {entry['from']}{until} only")
    if method and not covers(entry["rights"], method):
        raise VerificationError(f"{short} and has no right to that")


def _require_parts(file: DeedFile, found: Dossier) -> None:
    deed = file.deed
    notary, creditor = (MEMBER, deed["notary"]), (MEMBER, deed["creditor"])
    if (found.people.get(notary) or {}).get("role") != "notary":
        raise VerificationError(f"{deed['notary']} has not the role of a notary")
    if deed["creditor"] != found.line["lender"] or deed["debtor"] != found.line["enterprise"]:
        raise VerificationError("the deed is of another creditor or debtor than the loan")
    if deed["creditor"] == deed["notary"]:
        raise VerificationError("the creditor countersigned its own deed")
    obliged = {(one.owner, one.id) for one in obligors(deed)}
    groups: tuple[tuple[list[dict[str, Any]], set[Person]], ...] = (
        ([deed, *file.defaults, *file.demands], {creditor}),
        ([row for row in (file.countersignature, file.certificate) if row], {notary}),
        ([*file.verifications, *file.refusals], {notary}),
        (file.answers, obliged),
    )
    for entries, allowed in groups:
        for entry in entries:
            if (entry["owner"], entry["by"]) not in allowed:
                raise VerificationError(f"{entry['by']} did a step of the deed that is for {_names(allowed)}")
    for who, entry in file.consents.items():
        if (entry["owner"], entry["by"]) != who:
            raise VerificationError(f"the consent of {who[1]} was given by {entry['by']}")


def _require_covered(file: DeedFile) -> None:
    """Respondents of the certificate are obligors who consented, for what they cover. Raises VerificationError."""
    if file.certificate is None:
        return
    total = file.certificate["claim"]["total"]
    known = {(one.owner, one.id): one for one in obligors(file.deed) if (one.owner, one.id) in file.consents}
    for row in file.certificate["respondents"]:
        one = known.get((row["owner"], row["id"]))
        if one is None:
            raise VerificationError(f"the certificate is against {row['id']}, who did not consent to enforcement")
        if row["amount"] != (total if one.covers is None else min(one.covers, total)):
            raise VerificationError(f"the certificate asks {row['id']} for another amount than the deed covers")


def _require_time_to_answer(
    file: DeedFile, number: int, claimed: Mapping[str, Any], verified: Mapping[str, Any]
) -> None:
    """Before default is confirmed every obligor is asked and heard (contracts/enforceable_default.py)."""
    if verified["outcome"] != UNPAID:
        return
    deed = file.deed
    days, on_chain = deed["verification"]["answer_days"], deed["verification"]["method"] == CHAIN
    answers = [entry for entry in file.answers if entry["claim"] == number]
    heard = {(row["owner"], row["id"]) for row in verified["objections"]}
    for entry in answers:
        if not entry["admits"] and (entry["owner"], entry["by"]) not in heard:
            raise VerificationError(f"the notary passed over the objection of {entry['by']}")
    contacts = {(row["owner"], row["id"]): row for row in verified["contacts"]}
    for one in obligors(deed):
        row = contacts.get((one.owner, one.id))
        if row is None:
            raise VerificationError(f"the notary verified without asking {one.id}")
        said = any((entry["owner"], entry["by"]) == (one.owner, one.id) for entry in answers)
        said = said or (row["answered"] and not on_chain)
        asked = day_moment(row["asked_on"], deed["zone"])
        over = asked.last * 1_000 + days * MS_PER_DAY
        if asked.last * 1_000 < claimed["time"] or (not said and verified["time"] < over):
            raise VerificationError(f"{one.id} had not the {days} days to answer that the deed gives")


def _require_confirmed(file: DeedFile) -> None:
    """A certificate rests on a countersigned deed and on a default that the notary found to be one."""
    if file.certificate is None:
        return
    if file.countersignature is None:
        raise VerificationError("the certificate is issued on a deed that no notary countersigned")
    outcomes = [row["outcome"] for row in file.verifications]
    if not outcomes or len(outcomes) != len(file.defaults) or outcomes[-1] != UNPAID:
        raise VerificationError("the certificate is issued on a default that the notary did not confirm")


def _proceedings(file: DeedFile) -> list[dict[str, Any]]:
    """Defaults and verifications in turn, then the certificate."""
    found: list[dict[str, Any]] = []
    for number, claimed in enumerate(file.defaults):
        found += [claimed, *file.verifications[number : number + 1]]
    return [*found, *([file.certificate] if file.certificate else [])]


def _place(found: Dossier, entry: Mapping[str, Any]) -> tuple[int, int]:
    return found.places.get(entry["transaction"], (entry["height"], 0))


def _names(people: set[Person]) -> str:
    return ", ".join(sorted(identity for _, identity in people))


def _first_difference(case: Case) -> str:
    """Where case.json first differs, for the line that fails."""
    stated, anew = case.stated, plain(case.anew.facts)
    names = sorted(set(stated) | set(anew))
    name = next((name for name in names if stated.get(name) != anew.get(name)), None)
    return "" if name is None else f": see {name!r}"
