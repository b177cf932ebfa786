"""``napari-ic models``."""

from __future__ import annotations

from napari_integrated_cell.commands.options import PROGRAM, JsonOption
from napari_integrated_cell.console import one_line_errors, report


def models(as_json: JsonOption = False) -> None:
    """List the models that can be used by name."""
    with one_line_errors(PROGRAM):
        from napari_integrated_cell.model.catalogue import list_models

        listed = [{"name": name, "path": str(path)} for name, path in list_models()]
        report({"models": listed}, as_json, "\n".join(f"{m['name']:12} {m['path']}" for m in listed))
