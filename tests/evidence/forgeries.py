"""Forged bundles, each with every checksum and the manifest made anew and signed again by the claimant's real key.

A row is (name, check, make): the check that refuses it. Where no other check does, ``only`` is true, and the forgery
passes as soon as that check is deleted. Those of whole rogue consortia are in rogues.py, outer forms of the file in
bad_archives.py, forged anchors in forged_anchors.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from chain.certificate import Certificate, ValidatorSet, VoteKind, vote_message
from chain.codec import decode, encode
from chain.crypto import SigningKey, sha256
from contracts import claims
from tallystick.evidence import archive, manifest
from tallystick.evidence.walk import PaperName
from tests.contracts.trading import BUYER
from tests.evidence.forger import FACTS, Forger
from tests.evidence.scene import Scene
from tests.evidence_bundle import bundle

BILLS: Final = {number: ("invoice", "party supplier", f"I-{number}") for number in (1, 2)}
"""How the books name the supplier's bills."""
STRANGER: Final = SigningKey.from_seed(sha256(b"a key of the forger's own"))


class Forgery(NamedTuple):
    """One forged bundle."""

    name: str
    check: str
    make: Callable[[Scene], bytes]
    only: bool = False


# -- the list and its signature -----------------------------------------------------------------------------------


def whole(forger: Forger) -> dict[str, bytes]:
    """All files of a sealed bundle, to be changed after the sealing."""
    return dict(archive.read(forger.sealed()))


def _sums(scene: Scene) -> bytes:
    files = whole(scene.honest)
    lines = files[manifest.SUMS].splitlines(keepends=True)
    return archive.pack({**files, manifest.SUMS: b"".join(lines[1:])})


def _unlisted(scene: Scene) -> bytes:
    """A file is there that the signed list does not have."""
    files = whole(scene.honest)
    said = json.loads(files[manifest.MANIFEST])
    said["files"] = said["files"][1:]
    changed = {**files, manifest.MANIFEST: manifest.to_json(said)}
    signature = scene.honest.key.sign(changed[manifest.MANIFEST])
    return archive.pack({**changed, manifest.SUMS: manifest.sums(changed), manifest.SIGNATURE: signature})


def _list_of_before(scene: Scene) -> bytes:
    """A changed bundle under the claimant's signature of the honest one."""
    changed = whole(scene.honest.text("README.txt", "evidence", "Evidence"))
    return archive.pack({**changed, manifest.SIGNATURE: whole(scene.honest)[manifest.SIGNATURE]})


def _signed_otherwise(scene: Scene) -> bytes:
    files = whole(scene.honest)
    return archive.pack({**files, manifest.SIGNATURE: STRANGER.sign(files[manifest.MANIFEST])})


# -- agreement ----------------------------------------------------------------------------------------------------


def _person(scene: Scene) -> str:
    """A proof whose content nothing else is held against: what a guarantor is called."""
    return scene.honest.state("registry", "party", "person")


def _renamed(proof: dict[str, Any]) -> None:
    value = decode(proof["claim"]["value"])
    proof["claim"]["value"] = encode({**value, "name": "李某"})


def _certified(scene: Scene, change: Callable[[Certificate, bytes], list[Any]]) -> bytes:
    """A proof whose certificate is replaced; the block hash is the proof's own."""

    def edit(proof: dict[str, Any]) -> None:
        proof["certificate"] = change(Certificate.from_value(proof["certificate"]), scene.network_id)

    return scene.honest.proof(_person(scene), edit).restated().sealed()


def _of_another_height(scene: Scene) -> bytes:
    other = scene.world.ledger.certificate(scene.height - 1)
    assert other is not None
    return _certified(scene, lambda _certificate, _network: other.to_value())


def _signed_by(
    certificate: Certificate, network_id: bytes, members: ValidatorSet, keys: dict[str, SigningKey]
) -> list[Any]:
    message = vote_message(
        network_id, members.epoch, VoteKind.COMMIT, certificate.height, certificate.round, certificate.digest
    )
    seals = [[name, keys[name].sign(message)] for name in members.ids]
    value = certificate.to_value()
    return [*value[:5], members.epoch, seals]


def _of_another_set(scene: Scene) -> bytes:
    """Really signed by validators of before, who were voted out of that very epoch."""
    before = scene.world.ledger.validators_after(0)
    keys = {name: scene.world.key(name, "validator") for name in before.ids}
    return _certified(scene, lambda found, network: _signed_by(found, network, before, keys))


def _by_own_keys(scene: Scene) -> bytes:
    now = scene.world.ledger.validators()
    keys = dict.fromkeys(now.ids, STRANGER)
    return _certified(scene, lambda found, network: _signed_by(found, network, now, keys))


def _another_round(found: Certificate, _network: bytes) -> list[Any]:
    return replace(found, round=found.round + 1).to_value()


def _too_few(found: Certificate, _network: bytes) -> list[Any]:
    return replace(found, signatures=found.signatures[1:]).to_value()


def _one_twice(found: Certificate, _network: bytes) -> list[Any]:
    return replace(found, signatures=(found.signatures[0], *found.signatures[:-1])).to_value()


def _no_handover(scene: Scene) -> bytes:
    return scene.honest.proof(_person(scene), lambda proof: {**proof, "epochs": []}).sealed()


def _own_handover(scene: Scene) -> bytes:
    """The validators hand over to the forger in a block that they never signed."""

    def edit(proof: dict[str, Any]) -> None:
        coming = decode(encode(proof["epochs"][-1][2]))
        coming[3] = [[name, STRANGER.public] for name, _ in coming[3][:1]]
        proof["epochs"][-1][2] = coming

    return scene.honest.proof(_person(scene), edit).sealed()


def _another_network(scene: Scene) -> bytes:
    """The second consortium under our name in manifest and pages."""
    strange = scene.opened(bundle(scene.stranger, scene.height), "forged")
    return replace(strange, network_id=scene.network_id).restated().sealed()


def _grafted(scene: Scene) -> bytes:
    """The second consortium's proofs on our genesis statement."""
    strange = scene.opened(bundle(scene.stranger, scene.height), "forged")
    statement = decode(scene.honest.files[_person(scene)])["statement"]
    for folder in ("states", "transactions", "records"):
        for name in strange.folder(folder):
            strange = strange.proof(name, lambda proof: {**proof, "statement": statement})
    return replace(strange, network_id=scene.network_id).restated().sealed()


def _minority(scene: Scene) -> bytes:
    """A second history that a minority of the validators certified."""
    height = scene.rewritten.ledger.height - 2
    forged = scene.opened(bundle(scene.rewritten, height, []))

    def thin(proof: dict[str, Any]) -> None:
        proof["certificate"][6] = proof["certificate"][6][:2]

    for name in forged.folder("states"):
        forged = forged.proof(name, thin)
    return forged.sealed()


# -- states -------------------------------------------------------------------------------------------------------


def _older(scene: Scene, height: int, *key: Any, chain: str = "consortium") -> Forger:
    """One state as it was; its block led to the anchored log, and everything restated."""
    name = next(file for file, at, found, _ in scene.honest.states() if (at, found) == (chain, list(key)))
    stale = scene.honest.with_file(name, scene.stale_state(height, *key, chain=chain))
    return stale.json("anchors/paths.json", lambda paths: paths["inclusion"].append(scene.path(height))).restated()


def _before_dispute(scene: Scene) -> bytes:
    height = scene.block_of("dispute") - 1
    return _older(scene, height, "credit", "dispute", *BILLS[2]).sealed()


def _before_pledge(scene: Scene) -> bytes:
    height = scene.block_of("pledge") - 1
    return _older(scene, height, "credit", "pledge", *BILLS[1]).sealed()


def _before_correction(scene: Scene) -> bytes:
    """Order O-2 as before its correction, with the earlier version's record, disclosure and original."""
    height = scene.block_of("dispute")
    forged = _older(scene, height, "records", "record", "order", BUYER, "O-2", chain="procurement")
    first = bundle(scene.world, height, [], papers=(PaperName("procurement", "order", BUYER, "O-2"),), opened=())
    earlier = scene.opened(first)
    ours, theirs = forged.record("order", "O-2"), earlier.record("order", "O-2")
    for folder, suffix in (("records", "proof"), ("disclosures", "disclosure"), ("originals", "json")):
        source = f"{folder}/{theirs[8:12]}.{suffix}"
        forged = forged.with_file(f"{folder}/{ours[8:12]}.{suffix}", earlier.files[source])
    return forged.restated().sealed()


def _before_repayment(scene: Scene) -> bytes:
    """The line, its lists and its schedule as before the second repayment, which is left out with its papers."""
    height = scene.block_of("repay P-2") - 1
    about = scene.world.application
    repaid = scene.world.transactions["repay P-2"]
    forged = scene.honest
    for key in (("line", about), ("schedule", about)):
        name = forged.state("credit", *key)
        forged = forged.with_file(name, scene.stale_state(height, "credit", *key))
    gone = [forged.state("credit", "repayment", repaid), forged.state("credit", "repayment_of", about, 1)]
    gone.append(forged.transaction("credit.repay", repayment=["GB-COH:4", "P-2"]))
    return forged.without(*gone).restated().sealed()


def _older_than_said(scene: Scene) -> bytes:
    return replace(scene.honest, height=scene.height + 1).restated().sealed()


def _spare_state(scene: Scene) -> bytes:
    proof = scene.stale_state(scene.height, "registry", "member", "court")
    return scene.honest.with_file("states/9999.proof", proof).restated().sealed()


def _truth_for_zero(scene: Scene) -> bytes:
    """The true absence of a key with a truth value in place of the key with a number."""
    name = scene.honest.state("notary", "refusal", scene.world.deed, 0)
    proof = scene.stale_state(scene.height, "notary", "refusal", scene.world.deed, False)
    return scene.honest.with_file(name, proof).restated().sealed()


def _left_out(*key: Any) -> Callable[[Scene], bytes]:
    def make(scene: Scene) -> bytes:
        return scene.honest.without(scene.honest.state(*key)).restated().sealed()

    return make


def _transaction_left_out(scene: Scene) -> bytes:
    name = scene.honest.transaction("notary.consent", deed=scene.world.deed, digest=_digest(scene))
    return scene.honest.without(name).restated().sealed()


def _digest(scene: Scene) -> bytes:
    found: bytes = scene.world.state("notary", "deed", scene.world.deed)["digest"]
    return found


def _value(scene: Scene, change: Callable[[dict[str, Any]], Any], *key: Any) -> bytes:
    """A state's value changed, and everything restated."""

    def edit(proof: dict[str, Any]) -> None:
        value = decode(proof["claim"]["value"])
        change(value)
        proof["claim"]["value"] = encode(value)

    return scene.honest.proof(scene.honest.state(*key), edit).restated().sealed()


# -- content ------------------------------------------------------------------------------------------------------


def _stated(scene: Scene) -> bytes:
    """Ten times the claim, on every page."""

    def edit(facts: dict[str, Any]) -> None:
        facts["claim"]["total"] *= 10

    return scene.honest.json("case.json", edit).repaged().sealed()


def _own_claim(scene: Scene) -> bytes:
    """A claim of the creditor's own, with costs that it makes up, while the notary's certificate stands."""
    costs = (claims.Cost("lawyer", "律师费", 99_999_999),)
    return bundle(scene.world, scene.height, as_of="2026-06-22", accelerated_on="2026-03-10", costs=costs)


def _disclosure(scene: Scene) -> str:
    return scene.honest.record("invoice", "I-1").replace("records", "disclosures").replace("proof", "disclosure")


def _swapped_value(scene: Scene) -> bytes:
    def edit(found: dict[str, Any]) -> None:
        found["openings"][0][2] = "6217 9999 9999 9999"

    return scene.honest.proof(_disclosure(scene), edit).restated().sealed()


def _more_opened(scene: Scene) -> bytes:
    """A sealed field is shown that this case does not name."""

    def edit(found: dict[str, Any]) -> None:
        body = scene.world.originals["invoice I-1"].body
        assert body is not None
        opening = body.open("payment_reference")
        row = [opening.name, opening.salt, opening.value, opening.index, opening.count, list(opening.path)]
        found["openings"].append(row)

    return scene.honest.proof(_disclosure(scene), edit).restated().sealed()


def _of_another_record(scene: Scene) -> bytes:
    other = scene.honest.record("invoice", "I-2").replace("records", "disclosures").replace("proof", "disclosure")
    return scene.honest.with_file(_disclosure(scene), scene.honest.files[other]).restated().sealed()


def _original(scene: Scene) -> str:
    return scene.honest.record("invoice", "I-1").replace("records", "originals").replace("proof", "json")


def _edited_original(scene: Scene) -> bytes:
    return scene.honest.text(_original(scene), '"1200.00"', '"9200.00"').restated().sealed()


def _swapped_original(scene: Scene) -> bytes:
    other = scene.honest.record("invoice", "I-2").replace("records", "originals").replace("proof", "json")
    return scene.honest.with_file(_original(scene), scene.honest.files[other]).restated().sealed()


def _papers_facts(scene: Scene) -> bytes:
    """What the route's papers were set from claims ten times the principal."""
    facts = json.loads(scene.honest.files[FACTS])
    facts["claim"]["principal"] *= 10
    text = json.dumps(facts, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    return scene.honest.with_file(FACTS, text.encode()).restated(papers=False).sealed()


def _page(name: str, old: str, new: str) -> Callable[[Scene], bytes]:
    return lambda scene: scene.honest.text(name, old, new).sealed()


FORGERIES: Final = (
    Forgery("SHA256SUMS without one line", "files", _sums, only=True),
    Forgery("a file that the signed list does not have", "files", _unlisted, only=True),
    Forgery("a list signed by another key", "signature", _signed_otherwise, only=True),
    Forgery("changed after the signing", "signature", _list_of_before),
    Forgery("signed by an unregistered key", "claimant", lambda s: s.honest.by(STRANGER).restated().sealed()),
    Forgery(
        "signed by another member", "claimant", lambda s: bundle(s.world, s.height, signer="erp"), only=True
    ),
    Forgery("in another's name", "claimant", lambda s: s.honest.by(s.honest.key, "notary").sealed(), only=True),
    Forgery(
        "in the name of another consortium", "height", lambda s: replace(s.honest, network_id=bytes(32)).sealed()
    ),
    Forgery("a whole second consortium", "proofs", lambda s: bundle(s.stranger, s.height)),
    Forgery("a second consortium under our name", "proofs", _another_network),
    Forgery("a second consortium on our genesis statement", "proofs", _grafted),
    Forgery("a second history of a minority", "proofs", _minority),
    Forgery("a certificate of another height", "proofs", _of_another_height),
    Forgery("a certificate of another set", "proofs", _of_another_set),
    Forgery("a certificate of another round", "proofs", lambda s: _certified(s, _another_round)),
    Forgery("a certificate of too few", "proofs", lambda s: _certified(s, _too_few)),
    Forgery("a certificate in which one signs twice", "proofs", lambda s: _certified(s, _one_twice)),
    Forgery("a certificate by the forger's keys", "proofs", _by_own_keys),
    Forgery("a change of validators left out", "proofs", _no_handover),
    Forgery("a change of validators to the forger", "proofs", _own_handover),
    Forgery(
        "a person renamed", "proofs", lambda s: s.honest.proof(_person(s), _renamed).restated().sealed(), only=True
    ),
    Forgery(
        "the deed's ceiling raised", "proofs",
        lambda s: _value(s, lambda deed: deed.update(ceiling=9_000_000), "notary", "deed", s.world.deed),
    ),
    Forgery(
        "a revoked key's end taken off", "proofs",
        lambda s: _value(s, lambda key: key.update(until=7), "registry", "key", s.world.signer("bank").public),
    ),
    Forgery("a pruned dispute", "height", _before_dispute, only=True),
    Forgery("a pruned pledge", "height", _before_pledge, only=True),
    Forgery("a pruned correction", "height", _before_correction),
    Forgery("a pruned repayment", "height", _before_repayment),
    Forgery("states older than the manifest says", "height", _older_than_said, only=True),
    Forgery("a dispute left out", "complete", _left_out("credit", "dispute", *BILLS[2]), only=True),
    Forgery("a pledge left out", "complete", _left_out("credit", "pledge", *BILLS[1]), only=True),
    Forgery(
        "what may have revoked the deed left out", "complete",
        lambda s: _left_out("notary", "revocation", s.world.deed)(s), only=True,
    ),
    Forgery("a state that belongs to nothing", "complete", _spare_state, only=True),
    Forgery("the absence of another key", "complete", _truth_for_zero),
    Forgery("ten times the claim", "statement", _stated, only=True),
    Forgery("a claim of one's own beside a certificate", "amounts", _own_claim, only=True),
    Forgery("a sealed value swapped", "disclosures", _swapped_value, only=True),
    Forgery("a sealed field opened that the case does not name", "disclosures", _more_opened, only=True),
    Forgery("a disclosure of another record", "disclosures", _of_another_record),
    Forgery("an original edited", "originals", _edited_original, only=True),
    Forgery("an original of another record", "originals", _swapped_original, only=True),
    Forgery("the facts of the papers edited", "documents", _papers_facts, only=True),
    Forgery("another amount on the first page", "pages", _page("index.html", "15443.66", "95443.66"), only=True),
    Forgery("a genesis hash in README", "pages", _page("README.txt", "--genesis HASH", "--genesis 00"), only=True),
    Forgery("a rule's page that says more", "pages", _page("rules/17.txt", "17", "17 (approved)"), only=True),
)  # fmt: skip
