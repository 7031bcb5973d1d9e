"""Parts of ``tally demo`` without processes: who the parties are, which folder is taken, how commands are told."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError
from cli.story_cast import Cast, cast_of
from cli.story_stage import MARK, claim
from cli.story_teller import Tally, Teller
from genesis.library import example_documents
from node.connectors import RecordDraft, read
from node.connectors.draft import Party
from node.processes import free_ports


def draft(enterprise: Party, counterparty: Party | None = None, kind: str = "invoice", **fields: str) -> RecordDraft:
    issuer = fields.pop("issuer", enterprise.id)
    return RecordDraft(kind, issuer, "1", enterprise, counterparty, "2026-01-01", (), fields)


def identifiers(cast: Cast) -> dict[str, tuple[str, ...]]:
    return {person.id: person.identifiers for person in cast.people}


class TestCast:
    def test_the_shipped_documents_name_four_parties_whatever_the_files_are_called(self) -> None:
        drafts = [d for path in example_documents().iterdir() for d in read(path.read_bytes(), "x")]
        cast = cast_of(drafts, ())
        roles = {person.identifiers[0]: person.roles for person in cast.people}
        assert roles == {
            "GB-COH:99900217": ("enterprise",),
            "GB-COH:99900101": ("buyer",),
            "GB-COH:99900342": ("guarantor",),
            "GB-COH:99900455": ("beneficiary",),
        }
        kestrel = cast.by_identifier["GB-COH:99900217"]
        assert (kestrel.id, kestrel.signs) == ("kestrel-pumps-valves", True)
        assert "GB-VAT:GB999002172" in kestrel.identifiers
        assert not cast.by_identifier["GB-COH:99900342"].signs

    def test_a_shared_identifier_with_a_scheme_makes_one_party(self) -> None:
        one, other = Party("S:1", "Anna", ("V:9",)), Party("V:9", "Anna Ltd")
        assert identifiers(cast_of([draft(one), draft(other)], ())) == {"anna": ("S:1", "V:9")}

    def test_one_without_a_scheme_needs_the_name_too(self) -> None:
        one = Party("S:1", "Anna", ("77",))
        assert identifiers(cast_of([draft(one), draft(Party("77", "ANNA"))], ())) == {"anna": ("S:1", "77")}
        apart = cast_of([draft(one), draft(Party("77", "Berta"))], ())
        assert identifiers(apart) == {"anna": ("S:1",), "berta": ("77",)}

    def test_who_face_each_other_are_never_one(self) -> None:
        seller, buyer = Party("S:1", "Anna", ("V:9",)), Party("S:2", "Berta", ("V:9",))
        cast = cast_of([draft(seller, buyer)], ())
        assert identifiers(cast) == {"anna": ("S:1", "V:9"), "berta": ("S:2",)}
        through_a_third = cast_of([draft(seller, Party("S:2", "Berta")), draft(Party("V:9", "C", ("S:2",)))], ())
        assert through_a_third.by_identifier["S:1"] is not through_a_third.by_identifier["S:2"]

    def test_equal_names_stay_two_parties_and_are_told_apart(self) -> None:
        cast = cast_of([draft(Party("S:1", "Anna")), draft(Party("S:2", "Anna")), draft(Party("S:3", "Ødegård"))], ())
        assert [person.label for person in cast.people] == ["Anna (anna)", "Anna (anna-2)", "Ødegård"]

    def test_ids_that_are_taken_and_names_without_a_latin_letter(self) -> None:
        cast = cast_of([draft(Party("S:1", "Lender"), Party("S:2", "某公司"))], ("lender",))
        assert list(identifiers(cast)) == ["lender-2", "party"]

    def test_a_guarantor_is_the_issuer_of_a_guarantee(self) -> None:
        paper = draft(Party("S:1", "A"), Party("S:2", "Bank"), "guarantee", issuer="S:3", guarantor_name="Surety")
        assert [(p.name, p.roles) for p in cast_of([paper], ()).people] == [
            ("A", ("enterprise",)),
            ("Bank", ("beneficiary",)),
            ("Surety", ("guarantor",)),
        ]


class TestFolder:
    def test_an_earlier_one_is_replaced(self, tmp_path: Path) -> None:
        folder = tmp_path / "run"
        stage = claim(folder, example_documents())
        (folder / "net/erp").mkdir(parents=True)
        (folder / "trust.json").write_text("{}")
        (folder / "elsewhere").symlink_to(tmp_path)
        stage.stop()
        stage.release()
        claim(folder, example_documents()).release()
        assert [path.name for path in folder.iterdir()] == [MARK]
        assert tmp_path.is_dir()

    def test_a_folder_of_somebody_else_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years")
        with pytest.raises(CliError, match="was not made by a demo: choose another"):
            claim(tmp_path, example_documents())
        assert (tmp_path / "thesis.txt").exists()
        with pytest.raises(CliError, match="was not made by a demo"):
            claim(tmp_path / "thesis.txt", example_documents())

    def test_one_that_another_demo_plays_in(self, tmp_path: Path) -> None:
        with (tmp_path / MARK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(CliError, match="another demo plays in"):
                claim(tmp_path, example_documents())

    def test_documents_inside_the_folder_would_be_lost(self, tmp_path: Path) -> None:
        papers = tmp_path / "run/papers"
        papers.mkdir(parents=True)
        with pytest.raises(CliError, match="choose another folder with --dir"):
            claim(tmp_path / "run", papers)
        with pytest.raises(CliError, match="choose another folder with --dir"):
            claim(tmp_path / "run", example_documents(), papers)
        assert papers.is_dir()

    def test_a_mark_without_nodes_or_that_is_damaged_is_an_earlier_one(self, tmp_path: Path) -> None:
        for text in ("", "no json", json.dumps({"genesis": "00", "pids": [1]})):
            (tmp_path / MARK).write_text(text)
            claim(tmp_path, example_documents()).release()

    def test_neighbouring_ports(self) -> None:
        assert 20_000 <= free_ports(9) <= 32_000 - 9


class TestTelling:
    def test_a_command_is_told_as_it_is_typed_and_run(self, tmp_path: Path, capsys: Any) -> None:
        settled: list[bool] = []
        tally = Tally(tmp_path, Teller(aside=False), lambda: settled.append(True))
        path = tmp_path / "a key.json"
        with pytest.raises(CliError, match="no passphrase"):
            tally.do("erp", "keys new", str(path), purpose="party", development=True)
        assert f"$ tally --as erp keys new '{path}' --purpose=party --development" in capsys.readouterr().out
        assert settled == []
        (tmp_path / "passphrase").write_text("correct horse\n")
        (tmp_path / "passphrase").chmod(0o600)
        made = tally.do("erp", "keys new", str(path), purpose="party", development=True)
        assert (made["path"], settled) == (str(path), [True])
        with pytest.raises(CliError, match="exit code 3"):
            tally.ask("erp", "ingest", str(path), dry_run=True)
        refused = tally.do("erp", "ingest", str(path), dry_run=True, all_members=True, allow=(3,))
        assert refused["counts"] == {"refused": 1}

    def test_hashes_are_shortened_and_control_characters_stopped(self, capsys: Any) -> None:
        teller = Teller(aside=True)
        tally = Tally(Path("home"), teller, lambda: None)
        with pytest.raises(CliError):
            tally.ask("erp", "query record", f"x:{'ab' * 32}", "-1", "a\x1b[2Jb", issuer=f"{'cd' * 32}")
        told = capsys.readouterr()
        assert told.out == ""
        assert "x:abababababab… -1 'a?[2Jb' --issuer=cdcdcdcdcdcd…" in told.err
