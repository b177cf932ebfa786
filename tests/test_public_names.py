"""The package's front door: what is offered, that all of it is there, and that opening it is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_integrated_cell as nic


@pytest.mark.parametrize("name", nic.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(nic, name) is not None
    assert name in dir(nic)


def test_what_tools_see_is_what_is_offered() -> None:
    tree = ast.parse(Path(nic.__file__).read_text(encoding="utf-8"))
    static = {
        alias.name: node.module.removeprefix("napari_integrated_cell.")
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert static == {name: home for home, names in nic._HOMES.items() for name in names}
    assert sorted(static) == sorted(nic.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = nic.no_such_name


def test_the_version_is_the_distributions() -> None:
    assert nic.__version__[0].isdigit()


def test_importing_the_package_loads_neither_torch_nor_qt_nor_images() -> None:
    code = (
        "import sys, napari_integrated_cell as nic\n"
        "nic.Cell; nic.STRUCTURES; nic.CancelToken; nic.preset('demo'); nic.simulate_cell; nic.pose_of\n"
        "found = {'torch', 'qtpy', 'napari', 'PySide6', 'PyQt6', 'aicsimageio'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
