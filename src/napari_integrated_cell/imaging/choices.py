"""Errors that say which input or choice is missing, or that a file is of a kind that is not read."""

from __future__ import annotations

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
    """The file can be read, but it holds no stack that this project can use."""
