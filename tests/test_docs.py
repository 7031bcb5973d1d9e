"""The pages do not go stale: links lead somewhere, commands, options and make targets exist, every page is listed."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from urllib.parse import urlparse

import click
import pytest

from cli.main import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "genesis").rglob("*.md"))
)
DECISIONS = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"^[A-Z][A-Z_]*$|…|[<>|]|^\$|\d[0-9a-f]*…")
DECISION_WORDS = 600


def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The names GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> list[tuple[Path, str]]:
    """(page, target) of every link that stays inside the repository."""
    return [
        (page, target)
        for page in PAGES
        for target in LINK.findall(FENCE.sub("", text_of(page)))
        if not urlparse(target).scheme
    ]


def words_of(line: str) -> list[str]:
    """A line as a shell reads it, without its comment; a part of a longer line may have a quote left open."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def command_lines(page: Path, program: str) -> list[list[str]]:
    """The calls of a program in a page's code: fenced lines, ``a && b`` taken apart, and code spans."""
    text = text_of(page)
    fenced = [line for _, body in FENCE.findall(text) for line in body.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    parts = [part.strip() for line in (*fenced, *spans) for part in re.split(r"&&|·", line)]
    starts = (f"{program} ", f".venv/bin/{program} ")
    return [words_of(part)[1:] for part in parts if part.startswith(starts)]


@cache
def options(command: click.Command) -> dict[str, click.Option]:
    return {name: p for p in command.params if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)}


def fault_of_call(words: list[str]) -> str | None:
    """What is wrong with the words after ``tally``: an unknown command or option. Arguments are not judged."""
    command: click.Command = main
    known = dict(options(main))
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-"):
            name = word.partition("=")[0]
            if name not in known:
                return f"no option {name} in {' '.join(words)}"
            if not known[name].is_flag and "=" not in word and waiting:
                waiting.pop(0)
        elif isinstance(command, click.Group):
            inner = command.get_command(click.Context(command), word)
            if inner is None:
                return None if PLACEHOLDER.search(word) else f"no command {word} in {' '.join(words)}"
            command = inner
            known |= options(inner)
    return None


@pytest.mark.parametrize(("page", "target"), links(), ids=lambda value: str(value))
def test_every_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    place = (ROOT / page).parent / path if path else ROOT / page
    assert place.exists()
    assert place.resolve().is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors(place.resolve().relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_is_in_the_tree(page: Path) -> None:
    faults = [fault for words in command_lines(page, "tally") if (fault := fault_of_call(words)) is not None]
    assert not faults


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_make_target_is_in_the_makefile(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {words[0] for words in command_lines(page, "make") if words and re.fullmatch(r"[a-z-]+", words[0])}
    assert named <= targets
    variables = {word.partition("=")[0] for words in command_lines(page, "make") for word in words[1:] if "=" in word}
    assert not {name for name in variables if name not in makefile}


def test_the_check_of_commands_can_fail() -> None:
    for words in ("credit forget X", "verify FILE --trusted x", "fly", "--as erp ingest . --all"):
        assert fault_of_call(words.split()) is not None
    assert fault_of_call(["--as", "erp", "ingest", "DIR", "--all-members", "--json"]) is None


def test_the_readme_shows_the_two_commands_and_a_tour() -> None:
    page = Path("README.md")
    assert {"demo", "test"} <= {words[0] for words in command_lines(page, "make")}
    first = {words[0] for words in command_lines(page, "tally") if words}
    assert {"genesis", "up", "verify"} <= first
    paragraph = text_of(page).split("\n\n")[1]
    assert len(paragraph.splitlines()) <= 5
    assert "## Not supported yet" in text_of(page)


def test_the_index_lists_every_page() -> None:
    index = text_of(Path("docs/README.md"))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_every_decision_is_numbered_and_listed() -> None:
    assert [name[:4] for name in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    index = text_of(Path("docs/adr/README.md"))
    assert re.findall(r"\((\d{4}-[\w-]+\.md)\)", index) == DECISIONS


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_has_its_parts_and_fits_a_page(name: str) -> None:
    text = text_of(Path("docs/adr") / name)
    assert text.startswith(f"# {name[:4]} ")
    places = [
        text.find(part)
        for part in ("**Context.**", "**Decision.**", "**Alternatives.**", "**Negative consequences.**")
    ]
    assert -1 not in places
    assert places == sorted(places)
    assert len(text.split()) <= DECISION_WORDS


def test_decisions_that_the_code_names_exist() -> None:
    folders = ("contracts", "chain", "consensus", "genesis", "node", "cli", "tallystick", "tests")
    numbers = {
        number
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for number in re.findall(r"docs/adr/(\d{4})", path.read_text(encoding="utf-8"))
    }
    assert numbers
    assert numbers <= {name[:4] for name in DECISIONS}


def test_changelog_names_formats() -> None:
    text = text_of(Path("CHANGELOG.md"))
    assert "## Unreleased" in text
    assert "### Formats" in text
