"""docs/architecture.md names files, folders and functions that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
DOCK_PARTS = ("dock.py", "actions.py", "state.py")
LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)[^)]*\)")
FOLDERS = (
    "",
    "src/napari_integrated_cell",
    "src/napari_integrated_cell/plugin",
    "training",
    "training/napari_ic_train",
)


def names_defined_in(path: Path) -> set[str]:
    """Functions, classes, methods (as ``Class.method``) and constants of a module."""
    found: set[str] = set()
    if not path.is_file():
        return found
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{method.name}" for method in node.body if isinstance(method, ast.FunctionDef)
            }
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def named_functions() -> Iterator[tuple[str, tuple[Path, ...]]]:
    """Every function of a table, with the files that its row links to."""
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)] if line.startswith("|") else []
        for files, functions in pairwise(cells):
            paths = tuple(PAGE.parent / target for target in LINK.findall(files) if target.endswith(".py"))
            for name in re.findall(r"`([\w.]+)`", functions) if paths else ():
                yield name, paths


def listed_in_the_tree() -> Iterator[str]:
    """Every file and folder of the tree, as a path from the repository's top."""
    (tree,) = (block for block in re.findall(r"```\n(.*?)```", TEXT, re.S) if block.startswith("src/"))
    parents: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        parents[depth:] = [line.split()[0].rstrip("/")]
        yield "/".join(parents)


def test_links_lead_to_files_that_exist() -> None:
    targets = [target for target in LINK.findall(TEXT) if "://" not in target]
    assert len(targets) > 50
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []


@pytest.mark.parametrize(
    ("name", "paths"), sorted(set(named_functions())), ids=lambda value: str(value)[-40:]
)
def test_functions_are_defined_in_the_files_beside_them(name: str, paths: tuple[Path, ...]) -> None:
    assert name in set().union(*(names_defined_in(path) for path in paths))


def test_the_tree_lists_what_exists() -> None:
    listed = list(listed_in_the_tree())
    assert len(listed) > 30
    assert [path for path in listed if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "package",
    ["src/napari_integrated_cell", "src/napari_integrated_cell/plugin", "training/napari_ic_train"],
)
def test_the_tree_lists_every_module_and_folder(package: str) -> None:
    listed = set(listed_in_the_tree())
    there = {f"{package}/{path.name}" for path in (ROOT / package).iterdir() if path.suffix in ("", ".py")}
    assert sorted(path for path in there - listed if not Path(path).name.startswith("_")) == []


def test_files_and_folders_in_the_text_exist() -> None:
    named = set(re.findall(r"`([\w/]+(?:/|\.py))`", TEXT)) - set(DOCK_PARTS)
    assert named
    assert [name for name in named if not any((ROOT / folder / name).exists() for folder in FOLDERS)] == []


@pytest.mark.parametrize("dock", ["integrate", "explore", "map", "traverse", "variation"])
def test_every_dock_has_the_parts_that_the_page_names(dock: str) -> None:
    folder = ROOT / "src" / "napari_integrated_cell" / "plugin" / dock
    assert [part for part in DOCK_PARTS if not (folder / part).is_file()] == []
    assert [part for part in DOCK_PARTS if f"`{part}`" not in TEXT] == []


def test_every_import_contract_is_described() -> None:
    contracts = re.findall(r'^name = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)[
        1:
    ]
    assert len(contracts) > 5
    assert [name for name in contracts if f"| {name} |" not in TEXT] == []
