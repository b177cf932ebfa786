"""The manifest is valid, its menus exist, and napari starts with it without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from integrate_window import PLUGIN, needs_display
from npe2 import PluginManifest

MANIFEST = PluginManifest.from_distribution(PLUGIN)


def test_every_command_can_be_imported():
    MANIFEST.validate_imports()


def test_what_the_user_is_offered():
    offered = MANIFEST.contributions
    assert [w.display_name for w in offered.widgets] == [
        "Integrate structures",
        "Latent explorer",
        "Mitosis traversal",
        "Cell map",
        "Structure variation",
    ]
    assert {s.key for s in offered.sample_data} == {"interphase", "mitotic", "field"}
    assert all("simulated" in s.display_name.lower() for s in offered.sample_data)
    assert {p for r in offered.readers for p in r.filename_patterns} >= {
        "*.ome.tif",
        "*.tif",
        "*.lsm",
        "*.stk",
        "*.czi",
        "*.nd2",
        "*.lif",
        "*.zarr.zip",
    }
    assert any(r.accepts_directories for r in offered.readers)
    assert MANIFEST.categories


def test_menus_are_ones_that_napari_shows():
    from napari._app_model.constants._menus import is_menu_contributable

    assert MANIFEST.contributions.menus
    for menu, items in MANIFEST.contributions.menus.items():
        assert menu.startswith(("napari/layers/", "napari/file/"))
        assert is_menu_contributable(menu), f"napari has no contributable menu {menu}"
        assert items


def test_icon_is_shipped():
    from importlib.resources import files

    package, name = MANIFEST.icon.split(":")
    assert files(package).joinpath(name).read_text().startswith("<svg")


def test_preferences_are_read_back_from_napari(plugin_settings, npe2pm):
    from napari.settings import get_plugin_settings

    from napari_integrated_cell.plugin import preferences

    npe2pm.register(MANIFEST)
    assert (preferences.model(), preferences.device(), preferences.reader()) == ("demo", "auto", "auto")
    get_plugin_settings(PLUGIN).models.device = "cpu"
    get_plugin_settings(PLUGIN).models.model = "/models/mine.zip"
    get_plugin_settings(PLUGIN).files.reader = "bioio"
    assert (preferences.model(), preferences.device()) == ("/models/mine.zip", "cpu")
    assert preferences.reader() == "bioio"


def test_importing_the_manifest_s_modules_imports_no_torch():
    modules = sorted({c.python_name.split(":")[0] for c in MANIFEST.contributions.commands})
    lines = [f"import {m}" for m in modules] + ["import sys", "assert 'torch' not in sys.modules"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=120)


@needs_display
@pytest.mark.gui
@pytest.mark.slow
def test_napari_starts_with_the_plugin_and_without_torch(tmp_path: Path):
    script = f"""
import sys, napari
from napari._app_model import get_app_model
viewer = napari.Viewer(show=False)
assert {PLUGIN + ".integrate"!r} in get_app_model().commands
viewer.window.add_plugin_dock_widget  # known, not yet opened
assert 'torch' not in sys.modules, 'torch was imported when napari started'
viewer.close()
"""
    env = {"NAPARI_CONFIG": str(tmp_path / "settings.yaml"), "NAPARI_ASYNC": "0"}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=180, env={**os.environ, **env})
