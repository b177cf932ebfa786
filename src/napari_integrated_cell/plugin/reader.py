"""Reader: whether a file is for this plugin, and its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_integrated_cell.plugin.opening.claim import can_use

if TYPE_CHECKING:
    from napari_integrated_cell.plugin.layers.cell_layers import LayerData


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the reader for files that the plugin can use, else None."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(can_use(Path(p)) for p in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers of one file, or of several. What is to know about them is shown as notifications.

    Raises
    ------
    NotOpened
        If a file is not a readable stack.
    """
    from napari_integrated_cell.imaging.choices import ReadingChoices
    from napari_integrated_cell.plugin import preferences
    from napari_integrated_cell.plugin.opening.layers import layers_of_file
    from napari_integrated_cell.plugin.opening.notices import refused, tell

    paths = [path] if isinstance(path, str) else list(path)
    layers: list[LayerData] = []
    for each in map(Path, paths):
        try:
            found, notes = layers_of_file(each, ReadingChoices(reader=preferences.reader()))
        except (ValueError, OSError) as error:
            raise refused(error, each) from error
        tell(notes, each)
        layers += found
    return layers
