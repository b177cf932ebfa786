"""Images in: stacks with their channels' names and voxel size, segmentations, the public dataset's crops."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell, checked_voxel_size
from napari_integrated_cell.imaging.opening import READABLE_EXTENSIONS, open_image
from napari_integrated_cell.vocabulary import recognise_channel
from napari_integrated_cell.vocabulary import structure as structure_called

__all__ = [
    "CROP_SEG_CHANNELS",
    "DATASET_VOXEL_SIZE",
    "READABLE_EXTENSIONS",
    "Image",
    "read_crop",
    "read_image",
    "read_labels",
]

#: Channels of a ``crop_seg`` file of the WTC-11 hiPSC Single-Cell Image Dataset; the file does not name them.
CROP_SEG_CHANNELS = (
    "dna_segmentation",
    "membrane_segmentation",
    "membrane_segmentation_roof",
    "struct_segmentation",
    "struct_segmentation_roof",
)
#: Voxel size of the dataset's crops, (Z, Y, X) in µm; the files do not give it either.
DATASET_VOXEL_SIZE = (0.108333, 0.108333, 0.108333)


@dataclass(frozen=True, eq=False)
class Image:
    """A stack of one or more channels.

    Attributes
    ----------
    data : array, (C, Z, Y, X)
    channel_names : tuple of str
        One per channel, each different.
    voxel_size : tuple of float or None
        (Z, Y, X) in µm; None where neither the file nor the caller gives it.
    path : str
        The file.
    notes : tuple of str
        What was left out or assumed (further time points, further scenes), in plain sentences.
    """

    data: NDArray[Any]
    channel_names: tuple[str, ...]
    voxel_size: tuple[float, float, float] | None
    path: str
    notes: tuple[str, ...] = ()

    def channel(self, name_or_index: str | int) -> NDArray[Any]:
        """One channel, (Z, Y, X).

        Parameters
        ----------
        name_or_index : str or int
            A channel's name in any case, its index (``1`` or ``"1"``), or a word of the vocabulary
            (``"membrane"``, ``"dna"``, a structure) that exactly one channel's name is recognised as.

        Raises
        ------
        ValueError
            If there is none, or more than one; the message lists the channels there are.
        """
        wanted = str(name_or_index).strip()
        index = self._index(wanted)
        if index is None:
            listed = ", ".join(f"{i} {name!r}" for i, name in enumerate(self.channel_names))
            raise ValueError(
                f"{Path(self.path).name} has no one channel {wanted!r}; its channels are {listed}: choose by "
                "name or index."
            )
        return self.data[index]

    def _index(self, wanted: str) -> int | None:
        if wanted in self.channel_names:
            return self.channel_names.index(wanted)
        alike = [i for i, name in enumerate(self.channel_names) if name.casefold() == wanted.casefold()]
        meant = recognise_channel(wanted)
        shown = [i for i, name in enumerate(self.channel_names) if meant and recognise_channel(name) == meant]
        for found in (alike, shown):
            if len(found) == 1:
                return found[0]
        if wanted.isdecimal() and int(wanted) < len(self.channel_names):
            return int(wanted)
        return None

    def named(self) -> dict[str, NDArray[Any]]:
        """The channels that are recognised, by the vocabulary's name; the first where several are one."""
        found: dict[str, NDArray[Any]] = {}
        for name, volume in zip(self.channel_names, self.data, strict=True):
            meant = recognise_channel(name)
            if meant is not None:
                found.setdefault(meant, volume)
        return found


def read_image(
    path: str | os.PathLike[str],
    *,
    channel_names: Sequence[str] | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    scene: int | str = 0,
    time: int = 0,
) -> Image:
    """Read a stack: OME-TIFF, TIFF, and CZI, ND2 or LIF where the reader's extra is installed.

    Parameters
    ----------
    path : path-like
        Axes are taken from the file's metadata, in whatever order they are stored.
    channel_names : sequence of str, optional
        Names, in place of the file's own; one per channel.
    voxel_size : tuple of float, optional
        (Z, Y, X) in µm, in place of the file's own.
    scene : int or str
        Index or name of the scene, in files of several.
    time : int
        Index of the time point, in a series.

    Returns
    -------
    Image
        What of the file was not read stands in its ``notes``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a readable stack (the message says what to install or do), or if the names do not fit its
        channels.
    """
    path = Path(path)
    opened = open_image(path, scene, time)
    names = opened.channel_names
    if channel_names is not None:
        if len(channel_names) != len(names):
            raise ValueError(
                f"{path.name} has {len(names)} channels but {len(channel_names)} names were given "
                f"({', '.join(channel_names)}): give one per channel, in order."
            )
        names = tuple(channel_names)
    if voxel_size is not None:
        voxel_size = checked_voxel_size(voxel_size)
    notes = []
    if opened.times > 1:
        notes.append(f"{path.name} is a series of {opened.times} time points: time point {time} was read.")
    if opened.scenes > 1:
        notes.append(f"{path.name} holds {opened.scenes} scenes: scene {scene} was read.")
    return Image(opened.data, _different(names), voxel_size or opened.voxel_size, str(path), tuple(notes))


def read_labels(path: str | os.PathLike[str]) -> tuple[NDArray[Any], tuple[float, float, float] | None]:
    """Read a segmentation: one channel of whole numbers, 0 the background.

    Returns
    -------
    labels : array of int, (Z, Y, X)
    voxel_size : tuple of float or None
        (Z, Y, X) in µm, where the file gives it.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_image`; and if the file has several channels, or negative or broken numbers.
    """
    image = read_image(path)
    name = Path(path).name
    if len(image.data) != 1:
        raise ValueError(f"{name} has {len(image.data)} channels: a segmentation is one channel of labels.")
    return checked_labels(image.data[0], name), image.voxel_size


def checked_labels(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a segmentation as whole numbers, (Z, Y, X).

    Raises
    ------
    ValueError
        If it holds negative or broken numbers; the message begins with ``name``.
    """
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    if labels.dtype.kind not in "iu":
        if not (np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
            raise ValueError(
                f"{name} holds intensities, not labels: a segmentation is whole numbers, one per cell."
            )
        labels = labels.astype(np.int32)
    if labels.min() < 0:
        raise ValueError(f"{name} holds negative labels: labels are positive, and 0 is the background.")
    return labels


def read_crop(
    crop_seg: str | os.PathLike[str],
    crop_raw: str | os.PathLike[str] | None = None,
    *,
    raw_channels: Sequence[str] = ("dna", "membrane", "structure"),
    seg_channels: Sequence[str] = CROP_SEG_CHANNELS,
    voxel_size: tuple[float, float, float] = DATASET_VOXEL_SIZE,
    structure: str | None = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Cell:
    """One cell of the WTC-11 hiPSC Single-Cell Image Dataset, or of files laid out like it.

    Parameters
    ----------
    crop_seg : path-like
        Its segmentations: the nucleus is channel ``dna_segmentation``, the cell ``membrane_segmentation``.
    crop_raw : path-like, optional
        Its intensities, not masked. Without them the cell has no channels.
    raw_channels, seg_channels : sequence of str
        What the files' channels are, in order (the manifest's ``name_dict``).
    voxel_size : tuple of float
        (Z, Y, X) in µm (the manifest's ``scale_micron``).
    structure : str, optional
        What channel ``"structure"`` shows: a structure's name or gene (the manifest's ``structure_name``).
        The channel is then called by the vocabulary's name.
    name : str, optional
        What to call the cell; the name of its file if not given.
    metadata : mapping, optional
        Anything to keep with it.

    Returns
    -------
    Cell

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_image`; if a segmentation is missing, or the structure is none of the eleven.
    """
    masks = read_image(crop_seg, channel_names=seg_channels)
    for needed in ("dna_segmentation", "membrane_segmentation"):
        if needed not in masks.channel_names:
            raise ValueError(
                f"{Path(crop_seg).name} has no channel {needed!r} among {', '.join(seg_channels)}: give its "
                "channels' names in order."
            )
    shown = structure_called(structure).name if structure is not None else None
    channels = {}
    if crop_raw is not None:
        raw = read_image(crop_raw, channel_names=raw_channels)
        for given, volume in zip(raw.channel_names, raw.data, strict=True):
            channels[shown if given == "structure" and shown else recognise_channel(given) or given] = volume
    return Cell(
        channels,
        masks.channel("membrane_segmentation") > 0,
        masks.channel("dna_segmentation") > 0,
        voxel_size,
        name=name or Path(crop_seg).name.split(".")[0],
        source=str(crop_raw or crop_seg),
        metadata={**({"structure": shown} if shown else {}), **(metadata or {})},
    )


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    """``names`` with a number after each that was there before."""
    taken: list[str] = []
    for name in names:
        again, count = name, 1
        while again in taken:
            count += 1
            again = f"{name} ({count})"
        taken.append(again)
    return tuple(taken)
