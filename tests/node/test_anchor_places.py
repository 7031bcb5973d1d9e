"""Backends for authorities and witnesses against services that really run: good ones, silent ones, liars."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio

from chain.anchor import DEVELOPMENT_NOTE, Trusted, verify_anchor
from chain.checkpoint import Log
from chain.cosignature import TYPE_LOG, origin_of, parse_verifier_key
from chain.crypto import SigningKey
from node.anchor_asking import CLOCK_SECONDS, wall_clock
from node.anchor_backend import Backend, BackendError, Job, State, Verdict
from node.anchor_tsa import TsaBackend
from node.anchor_witness import WitnessBackend
from tests import certificates as made
from tests.certificates import Token
from tests.outside import LocalAuthority, LocalWitness, Reply

NETWORK = bytes(range(32))
LOG_KEY = SigningKey(sha256(b"log").digest())
OTHER_LOG_KEY = SigningKey(sha256(b"another member's").digest())
WITNESS_KEY = SigningKey(sha256(b"witness").digest())


def log_of(size: int, *, forked_at: int | None = None) -> Log:
    log = Log()
    for number in range(size):
        log.append(b"fork %d" % number if number == forked_at else b"block %d" % number)
    return log


LOG = log_of(40)
ORIGIN = origin_of(LOG.checkpoint(NETWORK, 1))


def job(size: int, log: Log = LOG) -> Job:
    return Job("place", size, log.root(size))


def run(function: Callable[..., Any], *args: object) -> Any:
    return trio.run(function, *args)


async def to_the_end(backend: Backend, each: Job) -> tuple[Job, str | None]:
    """As far as the backend takes a job in one round; what was refused."""
    refusal: str | None = None
    if each.state is State.QUEUED:
        each = await backend.prepare(each, [each], wall_clock())
    if each.state in (State.PREPARED, State.SENT):
        each, refusal = await backend.submit(each)
    each = await backend.poll(each)
    if each.state is State.MINED:
        each = await backend.finalize(each)
    return each, refusal


def confirmed(backend: Backend, final: Job) -> dict[str, Any]:
    """The confirmation as the contract keeps it."""
    claim = {"backend": backend.kind, "size": final.size, "root": final.root, "proof": final.proof}
    return {**claim, **backend.confirmation(final), "time": wall_clock()}


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[LocalAuthority]:
    with LocalAuthority(tmp_path / "authority") as service:
        yield service


@pytest.fixture
def witness() -> Iterator[LocalWitness]:
    with LocalWitness("witness.test/w1", WITNESS_KEY, {ORIGIN: [LOG_KEY.public, OTHER_LOG_KEY.public]}) as service:
        yield service


def tsa(service: LocalAuthority, **changes: Any) -> TsaBackend:
    return TsaBackend("place", service.url, service.root.der, NETWORK, **changes)


def cosigner(service: LocalWitness, log: Log = LOG, key: SigningKey = LOG_KEY, **changes: Any) -> WitnessBackend:
    name, public = service.name, service.key.public
    return WitnessBackend(
        "place", service.url, name, public, NETWORK, log_key=key, consistency=log.consistency, **changes
    )


class TestAuthority:
    def test_a_checkpoint_is_stamped_confirmed_re_checked_and_read_by_openssl(
        self, authority: LocalAuthority, tmp_path: Path
    ) -> None:
        backend = tsa(authority)
        real = f"rfc3161:{sha256(authority.root.der).hexdigest()}"
        assert (backend.kind, backend.writes, backend.place) == ("rfc3161", True, real)
        final, refusal = run(to_the_end, backend, job(23))
        assert (final.state, refusal) == (State.FINAL, None)
        checkpoint = final.checkpoint(NETWORK)
        assert backend.place == f"{real}:development"
        assert backend.status()["note"] == DEVELOPMENT_NOTE

        trusted = Trusted(tsa_roots=(authority.root.der,), development=True)
        existed = verify_anchor("rfc3161", checkpoint, final.proof or b"", trusted)
        assert abs(existed.time - wall_clock() // 1000) < 5

        for name, content in {**backend.export(final), "checkpoint.txt": checkpoint.body}.items():
            (tmp_path / name).write_bytes(content)
        (tmp_path / "root.pem").write_bytes(authority.root.pem)
        command = ["openssl", "ts", "-verify", "-data", "checkpoint.txt", "-in", "place.tsr", "-CAfile", "root.pem"]
        assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0

        watcher = TsaBackend("other-name", None, authority.root.der, NETWORK)
        assert not watcher.writes
        claim = confirmed(backend, final)
        assert claim["public_time"] == existed.time
        assert run(watcher.check, claim, checkpoint).verdict is Verdict.MATCH

    def test_what_a_confirmation_lies_about_is_a_mismatch(self, authority: LocalAuthority) -> None:
        backend = tsa(authority)
        final, _ = run(to_the_end, backend, job(23))
        claim, checkpoint = confirmed(backend, final), final.checkpoint(NETWORK)
        for change in (
            {"public_time": claim["public_time"] - 1},
            {"development": False},
            {"proof": b""},
            {"proof": final.proof[:-1] if final.proof else b""},
            {"time": claim["time"] - 1000 * (CLOCK_SECONDS + 60)},
        ):
            assert run(backend.check, {**claim, **change}, checkpoint).verdict is Verdict.MISMATCH, change
        assert run(backend.check, claim, replace(checkpoint, size=24)).verdict is Verdict.MISMATCH
        assert run(backend.check, {**claim, "authority": bytes(32)}, checkpoint).verdict is Verdict.CANNOT

    def test_an_outage_leaves_the_job_where_it_is_and_passes(self, authority: LocalAuthority) -> None:
        async def story() -> None:
            backend = tsa(authority)
            prepared = await backend.prepare(job(23), [], wall_clock())
            authority.stop()
            with pytest.raises(BackendError, match=r"^127\.0\.0\.1 does not answer: "):
                await backend.submit(prepared)
            authority.start()
            final, refusal = await to_the_end(backend, prepared)
            assert (final.state, refusal) == (State.FINAL, None)
            await backend.close()

        run(story)

    def test_after_a_crash_the_same_request_is_sent_again_and_a_kept_token_is_not(
        self, authority: LocalAuthority
    ) -> None:
        async def story() -> None:
            prepared = await tsa(authority).prepare(job(23), [], wall_clock())
            lost, _ = await tsa(authority).submit(prepared)  # the crash comes before this is on disk
            assert lost.state is State.SENT
            kept, _ = await tsa(authority).submit(prepared)
            again, _ = await tsa(authority).submit(kept)
            assert again == kept
            assert authority.asked == 2
            final, _ = await to_the_end(tsa(authority), kept)
            assert final.state is State.FINAL

        run(story)

    def test_a_new_start_remembers_whether_the_authority_is_for_trials(self, authority: LocalAuthority) -> None:
        async def story() -> None:
            backend = tsa(authority)
            memory, _ = await backend.begin({}, [])
            assert memory == {}
            await to_the_end(backend, job(23))
            memory, _ = await backend.begin(memory, [])
            again = tsa(authority)
            assert await again.begin(memory, []) == (memory, [])
            assert again.place == backend.place
            elsewhere = TsaBackend("place", authority.url, made.root().der, NETWORK)
            assert await elsewhere.begin(memory, []) == ({}, [])

        run(story)

    @pytest.mark.parametrize(
        ("instead", "reason"),
        [
            (lambda reply: reply._replace(status=503), "HTTP status 503"),
            (lambda reply: reply._replace(body=b"<html>busy</html>"), "not a time-stamp response"),
            (lambda reply: reply._replace(body=reply.body[:-1] + bytes([reply.body[-1] ^ 1])), "does not stand"),
            (lambda reply: reply._replace(body=bytes.fromhex("30053003020102")), "gave no time stamp: rejection"),
        ],
    )
    def test_a_bad_answer_is_a_refusal_and_asked_again(
        self, authority: LocalAuthority, instead: Callable[[Reply], Reply], reason: str
    ) -> None:
        async def story() -> None:
            authority.instead = instead
            waiting, refusal = await to_the_end(tsa(authority), job(23))
            assert waiting.state is State.SENT
            assert refusal is not None
            assert reason in refusal
            authority.instead = None
            final, refusal = await to_the_end(tsa(authority), waiting)
            assert (final.state, refusal) == (State.FINAL, None)

        run(story)

    def test_an_answer_without_end_is_cut(self, authority: LocalAuthority) -> None:
        authority.instead = lambda reply: reply._replace(body=bytes(10**6))

        async def story() -> None:
            prepared = await tsa(authority).prepare(job(23), [], wall_clock())
            with pytest.raises(BackendError, match="more than"):
                await tsa(authority).submit(prepared)

        run(story)

    def test_a_lying_authority_gets_nothing_confirmed(self, authority: LocalAuthority) -> None:
        """Another root, another nonce (an old answer), another log, another time: each is refused."""
        stranger = made.authority(made.root())
        own = Token(made.authority(authority.root), job(23).checkpoint(NETWORK).body)

        async def story() -> None:
            backend = tsa(authority)
            prepared = await backend.prepare(job(23), [], wall_clock())
            nonce = prepared.data["nonce"]
            assert isinstance(nonce, int)
            now = wall_clock() // 1000
            for forged, reason in (
                (replace(own, signer=stranger, nonce=nonce), "pin the root"),
                (own, "another request"),
                (replace(own, nonce=nonce, data=job(24).checkpoint(NETWORK).body), "other bytes"),
                (replace(own, nonce=nonce, stamped=made.moment(now - 3600)), "another time than this node"),
                (replace(own, nonce=nonce, stamped=made.moment(now + 3600)), "another time than this node"),
            ):
                authority.instead = lambda reply, forged=forged: reply._replace(body=forged.response())
                waiting, refusal = await to_the_end(backend, prepared)
                assert waiting.state is State.SENT
                assert refusal is not None
                assert reason in refusal

        run(story)

    def test_a_revoked_authority_is_not_believed(self, authority: LocalAuthority) -> None:
        own = made.authority(authority.root)
        crl = made.revocations(authority.root, own, made.BEGIN, None)

        async def story() -> None:
            backend = tsa(authority, crls=[crl])
            prepared = await backend.prepare(job(23), [], wall_clock())
            nonce = prepared.data["nonce"]
            assert isinstance(nonce, int)
            stamped = made.moment(wall_clock() // 1000)
            token = Token(own, job(23).checkpoint(NETWORK).body, nonce=nonce, stamped=stamped)
            authority.instead = lambda reply: reply._replace(body=token.response())
            _, refusal = await to_the_end(backend, prepared)
            assert refusal is not None
            assert "is revoked (no reason given)" in refusal

        run(story)

    def test_what_is_final_and_stands_no_more_begins_anew(self, authority: LocalAuthority) -> None:
        async def story() -> None:
            backend = tsa(authority)
            final, _ = await to_the_end(backend, job(23))
            queued = job(24)
            assert (await backend.begin({}, [final, queued]))[1] == [final, queued]
            elsewhere = TsaBackend("place", authority.url, made.root().der, NETWORK)
            assert (await elsewhere.begin({}, [final]))[1] == [job(23)]
            assert (await elsewhere.begin({}, [final, queued]))[1] == [queued]

        run(story)

    def test_a_node_without_an_address_only_re_checks(self, authority: LocalAuthority) -> None:
        backend = TsaBackend("place", None, authority.root.der, NETWORK)
        with pytest.raises(BackendError, match="set its url"):
            run(to_the_end, backend, job(23))


class TestWitness:
    def test_a_growing_log_is_cosigned_confirmed_and_re_checked(self, witness: LocalWitness) -> None:
        async def story() -> None:
            backend = cosigner(witness)
            assert (backend.kind, backend.writes) == ("witness", True)
            assert backend.place == f"witness:{WITNESS_KEY.public.hex()}:development"
            for size in (10, 23, 23, 40):
                final, refusal = await to_the_end(backend, job(size))
                assert (final.state, refusal) == (State.FINAL, None)
                checkpoint = final.checkpoint(NETWORK)
                trusted = Trusted(witnesses={witness.name: witness.key.public}, development=True)
                existed = verify_anchor("witness", checkpoint, final.proof or b"", trusted)
                assert (existed.where, existed.note) == (witness.name, DEVELOPMENT_NOTE)
                watcher = WitnessBackend(
                    "w", None, witness.name, witness.key.public, NETWORK, log_key=None, consistency=LOG.consistency
                )
                assert not watcher.writes
                assert (await watcher.check(confirmed(backend, final), checkpoint)).verdict is Verdict.MATCH
            assert backend.export(final) == {"place.note": final.proof}
            assert witness.asked == 4
            await backend.close()

        run(story)

    def test_the_log_key_shown_is_the_one_to_give_to_the_operator(self, witness: LocalWitness) -> None:
        status = cosigner(witness).status()
        assert parse_verifier_key(status["log_key"], TYPE_LOG) == (ORIGIN, LOG_KEY.public)
        assert status["key"] == witness.verifier_key

    def test_a_second_member_goes_on_from_what_the_first_had_cosigned(self, witness: LocalWitness) -> None:
        async def story() -> None:
            await to_the_end(cosigner(witness), job(10))
            other = cosigner(witness, key=OTHER_LOG_KEY)
            final, refusal = await to_the_end(other, job(23))
            assert (final.state, refusal) == (State.FINAL, None)
            assert witness.asked == 3, "the first answer told the size to prove from"
            late, refusal = await to_the_end(cosigner(witness), job(10))
            assert late.state is State.SENT
            assert refusal == f"{witness.name} has cosigned 23 blocks already: this checkpoint is too old"

        run(story)

    @pytest.mark.parametrize("size", [23, 40])
    def test_a_forked_history_is_refused_and_shown(self, witness: LocalWitness, size: int) -> None:
        forked = log_of(40, forked_at=5)

        async def story() -> None:
            await to_the_end(cosigner(witness), job(23))
            backend = cosigner(witness, forked, OTHER_LOG_KEY)
            waiting, refusal = await to_the_end(backend, job(size, forked))
            assert waiting.state is State.SENT
            assert refusal is not None
            assert refusal.startswith("FORK: ")
            assert "another history" in backend.status()["fork"]
            final, _ = await to_the_end(cosigner(witness), job(40))
            assert final.state is State.FINAL

        run(story)

    def test_an_unknown_key_and_an_unknown_log_say_what_to_do(self, witness: LocalWitness) -> None:
        stranger = SigningKey(sha256(b"stranger").digest())
        _, refusal = run(to_the_end, cosigner(witness, key=stranger), job(10))
        assert refusal == "127.0.0.1 answers with HTTP status 403: give its operator this node's log key"
        witness.log_keys = {}
        _, refusal = run(to_the_end, cosigner(witness), job(10))
        assert refusal == "127.0.0.1 answers with HTTP status 404: its operator does not know this log"

    def test_an_outage_passes_and_a_log_that_is_behind_waits(self, witness: LocalWitness) -> None:
        async def story() -> None:
            await to_the_end(cosigner(witness), job(10))
            backend = cosigner(witness)
            prepared = await backend.prepare(job(23), [], wall_clock())
            witness.stop()
            with pytest.raises(BackendError, match="does not answer"):
                await backend.submit(prepared)
            witness.start()
            short = cosigner(witness, log_of(12))
            with pytest.raises(BackendError, match="does not reach 23 blocks"):
                await short.submit(prepared)
            final, _ = await to_the_end(backend, prepared)
            assert final.state is State.FINAL

        run(story)

    def test_a_witness_that_forgot_is_told_of_in_the_log(
        self, witness: LocalWitness, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def story() -> None:
            backend = cosigner(witness)
            final, _ = await to_the_end(backend, job(23))
            assert (await backend.begin({}, [final]))[1] == [final]
            witness.latest.clear()
            final, refusal = await to_the_end(backend, job(40))
            assert (final.state, refusal) == (State.FINAL, None)

        run(story)
        assert "witness has forgotten what it cosigned" in capsys.readouterr().out

    def test_a_lying_witness_gets_nothing_confirmed(self, witness: LocalWitness) -> None:
        wrong = SigningKey(sha256(b"not the witness").digest())

        async def story() -> None:
            for key, clock, reason in (
                (wrong, 0, "no witness under the checkpoint"),
                (WITNESS_KEY, -3600, "another time than this node"),
                (WITNESS_KEY, 3600, "another time than this node"),
            ):
                with LocalWitness(witness.name, key, witness.log_keys) as liar:
                    liar.late = clock
                    backend = WitnessBackend(
                        "place", liar.url, liar.name, WITNESS_KEY.public, NETWORK,
                        log_key=LOG_KEY, consistency=LOG.consistency,
                    )  # fmt: skip
                    waiting, refusal = await to_the_end(backend, job(10))
                    assert waiting.state is State.SENT
                    assert refusal is not None
                    assert reason in refusal
            witness.instead = lambda reply: reply._replace(body=b"busy")
            _, refusal = await to_the_end(cosigner(witness), job(10))
            assert refusal == "127.0.0.1: every signature line ends in a newline, and there is one at least"

        run(story)

    def test_what_a_confirmation_lies_about_is_a_mismatch(self, witness: LocalWitness) -> None:
        backend = cosigner(witness)
        final, _ = run(to_the_end, backend, job(23))
        claim, checkpoint = confirmed(backend, final), final.checkpoint(NETWORK)
        for change in (
            {"public_time": claim["public_time"] - 1},
            {"development": False},
            {"proof": (final.proof or b"")[:-2]},
            {"time": claim["time"] - 1000 * (CLOCK_SECONDS + 60)},
        ):
            assert run(backend.check, {**claim, **change}, checkpoint).verdict is Verdict.MISMATCH, change
        assert run(backend.check, {**claim, "witness": bytes(32)}, checkpoint).verdict is Verdict.CANNOT
