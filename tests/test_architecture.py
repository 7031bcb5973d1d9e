"""docs/architecture.md is held to the code: paths and names exist, what a step imports is imported, and so on."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
FOLDERS = ("contracts", "chain", "tallystick", "consensus", "genesis", "node", "cli")

CODE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
PATHS = sorted({text for text in CODE if re.fullmatch(r"[\w.\-]+(/[\w.\-]*)+", text)})
NAMES = sorted({text for text in CODE if re.fullmatch(rf"({'|'.join(FOLDERS)})(\.\w+)+", text)})
ROUTES = sorted({text for text in CODE if re.fullmatch(r"(GET|POST|PUT) /\S+", text)})


def section(title: str) -> str:
    """The text under a heading of the second level."""
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def ticked(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def file_of(module: str) -> str | None:
    """The file of a dotted module, or None if there is none."""
    base = module.replace(".", "/")
    return next((path for path in (f"{base}.py", f"{base}/__init__.py") if (ROOT / path).is_file()), None)


@cache
def imports(path: str, *, at_start: bool = False) -> frozenset[str]:
    """Files of ours that a file imports, wherever in it; ``at_start``: only what importing it loads."""
    found: set[str] = set()
    for node in walk(tree(path), at_start=at_start):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            candidates = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {file for name in candidates if (file := file_of(name)) is not None}
    return frozenset(found)


def walk(node: ast.AST, *, at_start: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        skipped = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        )
        if not (at_start and skipped):
            yield child
            yield from walk(child, at_start=at_start)


def defined(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What statements of a module or class define, by name."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, ast.Assign):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_the_page_names_what_it_should() -> None:
    assert len(PATHS) > 40
    assert len(NAMES) > 60
    assert len(ROUTES) >= 5


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_every_name_exists(name: str) -> None:
    parts = name.split(".")
    length = next((size for size in range(len(parts), 0, -1) if file_of(".".join(parts[:size]))), 0)
    path = file_of(".".join(parts[:length]))
    assert path is not None
    body = tree(path).body
    for part in parts[length:]:
        inner = defined(body)
        assert part in inner, f"{path} does not define {part}"
        body = getattr(inner[part], "body", [])


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_is_served_and_asked_for(route: str) -> None:
    method, path = route.split(" ")
    served = (ROOT / "node/api.py").read_text(encoding="utf-8")
    assert f'@app.{method.lower()}("{path}"' in served
    asked = (ROOT / "tallystick/client.py").read_text(encoding="utf-8")
    assert path.split("{")[0] in asked


def test_the_steps_are_in_order_and_complete() -> None:
    steps = [cells[0] for cells in rows("The way of a transaction") if cells[0]]
    assert [int(step.split()[0]) for step in steps] == list(range(1, len(steps) + 1))
    words = " ".join(steps).lower()
    stations = "sign api mempool gossip leader replicas prepare commit batch receipt proof verify"
    assert [word for word in stations.split() if word not in words] == []


def test_every_step_imports_what_the_page_says() -> None:
    wrong = []
    for _, file, _, names in rows("The way of a transaction"):
        (path,) = ticked(file)
        wrong += [f"{path} does not import {name}" for name in ticked(names) if name not in imports(path)]
    assert not wrong


def test_every_name_of_a_step_is_of_its_file_or_of_one_it_imports() -> None:
    wrong = []
    for _, file, text, _ in rows("The way of a transaction"):
        (path,) = ticked(file)
        for name in set(ticked(text)) & set(NAMES):
            home = next(f for size in range(1, name.count(".") + 1) if (f := file_of(name.rsplit(".", size)[0])))
            if home != path and home not in imports(path):
                wrong.append(f"{name} is neither in {path} nor imported by it")
    assert not wrong


def test_the_verifier_reaches_neither_store_nor_node_nor_agreement() -> None:
    seen, waiting = set[str](), ["chain/verification.py"]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imports(path)
    assert not {path for path in seen if path == "chain/store.py" or path.startswith(("node/", "consensus/"))}


def test_the_folder_table_lists_every_package_and_no_other() -> None:
    listed = [ticked(cells[0])[0].rstrip("/") for cells in rows("Folders")]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert set(listed) == packages | {"tests"}
    assert len(listed) == len(set(listed))


def test_the_direction_on_the_page_is_the_one_that_is_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert set(settings["root_packages"]) == set(FOLDERS)
    layers = next(rule["layers"] for rule in settings["contracts"] if rule["type"] == "layers")
    assert f"`{' → '.join(layers)}`" in section("Folders")
    assert "lint-imports" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("contracts", {"trio", "time", "random", "socket", "datetime", "os", "secrets", "msgpack"}),
        ("chain", {"trio", "socket", "random", "libp2p"}),
        ("consensus", {"trio", "libp2p", "plyvel", "time", "random", "socket", "secrets", "datetime"}),
        ("tallystick", {"plyvel", "libp2p", "trio", "numpy"}),
    ],
)
def test_no_file_of_a_folder_imports_what_the_table_says_it_never_has(folder: str, forbidden: set[str]) -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(tree(str(path.relative_to(ROOT))))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.partition(".")[0] in forbidden
    }
    assert not found


def test_importing_the_command_loads_nothing_of_the_node() -> None:
    seen, waiting = set[str](), ["cli/main.py"]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imports(path, at_start=True)
    assert not {path for path in seen if path.startswith("node/")}
