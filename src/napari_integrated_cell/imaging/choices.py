"""What can be chosen when an image is read, and errors that say which choice or input is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What can be missing or must be chosen.
Missing = Literal[
    "files", "nuclei", "channels", "channel", "voxel size", "label", "scene", "time", "axes", "reader"
]


class MissingInput(ValueError):
    """An input or a choice that is needed is missing, or does not fit the file.

    Attributes
    ----------
    what : {"files", "nuclei", "channels", "channel", "voxel size", "label", "scene", "time", "axes", "reader"}
        What to give. The commands name their option for it, and napari shows the field for it.
    """

    def __init__(self, what: Missing, sentence: str) -> None:
        super().__init__(sentence)
        self.what: Missing = what


class UnsupportedImage(ValueError):
    """The file holds no stack that can be used; the message says why in one sentence."""


@dataclass(frozen=True)
class ReadingChoices:
    """How a file is to be read; see :func:`~napari_integrated_cell.imaging.reading.read_image`."""

    scene: int | str | None = None
    time: int | None = None
    axes: str | None = None
    reader: str = "auto"
