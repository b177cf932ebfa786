"""The public names of the package: all of them exist, importing them is cheap, and old paths still work."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import napari_integrated_cell as nic

MOVED = {
    "axis_effects": "latent.axis_effects",
    "embedding": "latent.embedding",
    "groups": "latent.groups",
    "latent_axes": "latent.axes",
    "model.correlation": "variation.correlation",
    "model.paths": "walk.paths",
    "model.variation": "variation.structure_variation",
    "population": "latent.population",
    "position": "latent.position",
    "projection": "latent.projection",
    "store": "data.store",
    "traversal": "walk.traversal",
    "walk_files": "walk.files",
    "walk_pictures": "walk.pictures",
}


@pytest.mark.parametrize("name", nic.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(nic, name) is not None
    assert name in dir(nic)


def test_type_checkers_see_the_names_that_are_exported() -> None:
    tree = ast.parse(Path(nic.__file__).read_text(encoding="utf-8"))
    static = {
        alias.asname or alias.name: (node.module.removeprefix("napari_integrated_cell."), alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert static == {
        name: (home, nic._NAMES_AT_HOME.get(name, name))
        for home, names in nic._HOMES.items()
        for name in names
    }
    assert sorted(static) == sorted(nic.__all__)


def test_no_public_name_equals_a_modules() -> None:
    """The import system sets a module as an attribute of its package, in place of a function of that name."""
    modules = {module.name for module in pkgutil.iter_modules(nic.__path__)}
    old = {path.partition(".")[0] for path in MOVED}
    assert not (modules | old) & set(nic.__all__)


def test_the_function_that_plans_a_walk_has_a_name_of_its_own() -> None:
    package, module = (
        import_module("napari_integrated_cell.walk"),
        import_module("napari_integrated_cell.walk.traversal"),
    )
    assert nic.plan_walk is module.walk
    assert nic.walk is package


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = nic.no_such_name


def test_the_version_is_the_distributions() -> None:
    assert nic.__version__[0].isdigit()


def test_importing_the_package_loads_neither_torch_nor_qt_nor_images() -> None:
    code = (
        "import sys, napari_integrated_cell as nic\n"
        "nic.Cell; nic.STRUCTURES; nic.CancelToken; nic.preset('demo'); nic.simulate_cell; nic.pose_of\n"
        "nic.Position; nic.decode; nic.Population; nic.plan_walk; nic.principal_axes; nic.PosedStore; nic.open_table\n"
        "found = {'torch', 'qtpy', 'napari', 'PySide6', 'PyQt6', 'aicsimageio'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_module_path_of_version_0_1_gives_the_module_and_names_its_new_path(old: str, new: str) -> None:
    old, new = f"{nic.__name__}.{old}", f"{nic.__name__}.{new}"
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"^{old} is deprecated: import {new} instead") as caught:
        module = import_module(old)
    assert module is import_module(new)
    assert module.__spec__.name == new
    assert len(caught) == 1


def test_the_warning_shows_the_line_that_imports(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from napari_integrated_cell.model.latent import radial_path\n"
        "from napari_integrated_cell.traversal import Traversal, stop_at_stage, walk\n"
        "from napari_integrated_cell.model import variation\n"
        "from napari_integrated_cell import position\n"
        "assert walk.__module__ == 'napari_integrated_cell.walk.traversal'\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    shown = [line for line in run.stderr.splitlines() if "DeprecationWarning" in line]
    assert [line.partition(": Deprecation")[0] for line in shown] == [f"{script}:{i}" for i in (1, 2, 3, 4)]


def test_modules_of_other_packages_keep_their_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("traversal", "napari_integrated_cell.no_such_module", "napari_ic_train.traversal"):
            with pytest.raises(ModuleNotFoundError):
                import_module(name)
