"""Read image stacks with channel names and voxel size, segmentations, and crops of the public dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell, checked_voxel_size
from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.formats.damage import one_sentence_about
from napari_integrated_cell.imaging.formats.scene import names_of_channels
from napari_integrated_cell.imaging.formats.sizes import absurd
from napari_integrated_cell.imaging.labels import checked_labels
from napari_integrated_cell.imaging.opening import READABLE_EXTENSIONS, open_file
from napari_integrated_cell.imaging.stacks import computed, stack_of
from napari_integrated_cell.vocabulary import recognise_channel
from napari_integrated_cell.vocabulary import structure as structure_called

__all__ = [
    "CROP_SEG_CHANNELS",
    "DATASET_VOXEL_SIZE",
    "READABLE_EXTENSIONS",
    "Image",
    "MissingInput",
    "checked_labels",
    "read_crop",
    "read_image",
    "read_labels",
]

#: Channels of a ``crop_seg`` file of the WTC-11 hiPSC Single-Cell Image Dataset. The files do not name them.
CROP_SEG_CHANNELS = (
    "dna_segmentation",
    "membrane_segmentation",
    "membrane_segmentation_roof",
    "struct_segmentation",
    "struct_segmentation_roof",
)
#: Voxel size of the dataset's crops, (Z, Y, X) in µm. The files do not give it.
DATASET_VOXEL_SIZE = (0.108333, 0.108333, 0.108333)


@dataclass(frozen=True, eq=False)
class Image:
    """A stack of one or more channels.

    Attributes
    ----------
    data : array, (C, Z, Y, X), or (C, T, Z, Y, X) of a series
        A numpy array, or a dask array if the image was read lazily.
    channel_names : tuple of str
        One name per channel, all different.
    voxel_size : tuple of float or None
        (Z, Y, X) in µm; None if neither the file nor the caller gives all three, or the file's cannot be true.
    path : str
        The file.
    notes : tuple of str
        Sentences about what was not read (other time points, other scenes) and what in the file is not sound.
    stated_size : tuple of float or None
        (Z, Y, X) in µm as the file states it, each None if it does not.
    size_found : str
        What the file states about its voxels, to follow its name: ``"states 0.4 µm in Y and X but nothing in Z"``.
    interval : float or None
        Seconds from one time point to the next; None if the file does not give them.
    """

    data: Any
    channel_names: tuple[str, ...]
    voxel_size: tuple[float, float, float] | None
    path: str
    notes: tuple[str, ...] = ()
    stated_size: tuple[float | None, float | None, float | None] = (None, None, None)
    size_found: str = "states no voxel size"
    interval: float | None = None

    def channel(self, name_or_index: str | int) -> NDArray[Any]:
        """Return one channel, (Z, Y, X).

        Parameters
        ----------
        name_or_index : str or int
            A channel's name in any case, its index (``1`` or ``"1"``), or a name of the vocabulary (``"membrane"``,
            ``"dna"``, a structure), if exactly one channel is recognised as that.

        Raises
        ------
        ValueError
            If no channel or more than one channel matches. The message lists the channels.
        """
        return self.data[self.index(name_or_index)]

    def index(self, name_or_index: str | int) -> int:
        """Return the index of a channel; see :meth:`channel`."""
        wanted = str(name_or_index).strip()
        index = self._index(wanted)
        if index is None:
            listed = ", ".join(f"{i} {name!r}" for i, name in enumerate(self.channel_names))
            if wanted.isdecimal() and len(self.channel_names) == 1:
                planes = self.data.shape[-3]
                raise MissingInput(
                    "axes",
                    f"{Path(self.path).name} has one channel of {planes} Z planes and no channel {wanted}: if its "
                    "planes are those of several channels, give its axes with their number, for example ZC2YX for 2 "
                    "channels that alternate.",
                )
            raise MissingInput(
                "channel",
                f"{Path(self.path).name} has no channel {wanted!r}, or several; its channels are {listed}: choose one "
                "by name or index.",
            )
        return index

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
        """Return the recognised channels by the vocabulary's names; the first if several have the same meaning."""
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
    scene: int | str | None = None,
    time: int | None = None,
    axes: str | None = None,
    reader: str = "auto",
    lazy: bool | Literal["if large"] = False,
    series: bool = False,
) -> Image:
    """Read a stack: TIFF of any kind, OME-Zarr, and CZI, ND2 or LIF if the reader's extra is installed.

    Parameters
    ----------
    path : path-like
        The image file. Its metadata give the order of the axes.
    channel_names : sequence of str, optional
        One name per channel, instead of the file's names.
    voxel_size : tuple of float, optional
        (Z, Y, X) in µm, instead of the file's voxel size.
    scene : int or str, optional
        Index or name of the scene, in a file with several. By default the first one that is a Z stack.
    time : int, optional
        Index of the time point, in a time series. By default the first.
    axes : str, optional
        What the file's axes really are, in the file's order, for example ``"ZYX"`` if its time points are planes.
        Axes of length 1 may be left out. A number after a letter is the length of this axis: ``"ZC2YX"`` divides
        planes that the file does not name into two channels that alternate.
    reader : {"auto", "bioio", "aicsimageio"}
        The library that reads. "auto" takes aicsimageio only for what bioio has no reader for.
    lazy : bool or "if large"
        Whether to return a dask array, one plane per chunk or as the file is chunked. No pixel is read. With
        ``"if large"`` a TIFF of at most 128 MiB is read at once: that is faster than to import dask.
    series : bool
        Whether to read all time points, if there are several. The image's data are then (C, T, Z, Y, X).

    Returns
    -------
    Image
        Its ``notes`` say what was not read and what is not sound.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    MissingInput
        If a scene, a time point, axes or a reader must be chosen, or the one chosen does not fit.
    ValueError
        If the file is not a readable stack (the message says what to install or do), or if the number of names is
        not the number of channels.
    """
    path = Path(path)
    opened = open_file(path, reader)
    with one_sentence_about(path):
        stack = stack_of(opened, scene, time, axes, lazy, series)
        data = stack.data if lazy else computed(stack.data)
    count = len(data)
    if channel_names is not None and len(channel_names) != count:
        raise ValueError(
            f"{path.name} has {count} channels but {len(channel_names)} names were given "
            f"({', '.join(channel_names)}): give one per channel, in order."
        )
    names = tuple(channel_names) if channel_names is not None else stack.scene.channel_names
    size = stack.scene.size
    notes = list(stack.notes)
    if voxel_size is not None:
        voxel_size = checked_voxel_size(voxel_size)
        if wrong := absurd(voxel_size):
            listed = " x ".join(f"{edge:g}" for edge in voxel_size)
            notes.append(f"The voxel size {listed} µm (Z, Y, X) given for {path.name} {wrong}: check it.")
    elif size.doubtful:
        use = "check it" if size.voxel_size is not None else "its voxel size is not known"
        notes.append(f"{path.name} {size.found}: {use}.")
    return Image(
        data,
        names_of_channels(names, count),
        voxel_size or size.voxel_size,
        str(path),
        tuple(notes),
        size.values,
        size.found,
        stack.scene.interval,
    )


def read_labels(
    path: str | os.PathLike[str],
    *,
    channel: int | str | None = None,
    scene: int | str | None = None,
    time: int | None = None,
    axes: str | None = None,
    reader: str = "auto",
    lazy: bool = False,
) -> tuple[Any, tuple[float, float, float] | None]:
    """Read a segmentation: one channel of integer labels, with 0 as background.

    Parameters
    ----------
    path : path-like
    channel : int or str, optional
        Index or name of the channel, in a file of several.
    scene, time, axes, reader, lazy
        As for :func:`read_image`.

    Returns
    -------
    labels : array of int, (Z, Y, X)
        If ``lazy``, a dask array; each of its chunks is checked when it is read.
    voxel_size : tuple of float or None
        (Z, Y, X) in µm; None if the file does not give it.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_image`; also if the file has several channels of which none is chosen, or negative or
        non-integer values.
    """
    image = read_label_image(
        path, channel=channel, scene=scene, time=time, axes=axes, reader=reader, lazy=lazy
    )
    return image.data[0], image.voxel_size


def read_label_image(
    path: str | os.PathLike[str],
    *,
    channel: int | str | None = None,
    lazy: bool | Literal["if large"] = False,
    **choices: Any,
) -> Image:
    """Read a segmentation as :func:`read_labels` does, and return it as an image of one channel, with its notes."""
    image = read_image(path, lazy=lazy, **choices)
    name = Path(path).name
    if channel is None and len(image.data) != 1:
        raise MissingInput(
            "channel",
            f"{name} has {len(image.data)} channels ({', '.join(image.channel_names)}): give a segmentation, one "
            "channel of labels, or say which channel it is.",
        )
    index = 0 if channel is None else image.index(channel)
    volume = image.data[index]
    if hasattr(volume, "map_blocks"):
        whole = volume.dtype if volume.dtype.kind in "iu" else np.dtype(np.int64)
        labels = volume.map_blocks(_checked_chunk, name, whole, dtype=whole, meta=np.empty((0, 0, 0), whole))
    else:
        labels = checked_labels(volume, name)
    return replace(image, data=labels[None], channel_names=(image.channel_names[index],))


def _checked_chunk(labels: NDArray[Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    return checked_labels(labels, name).astype(dtype, copy=False)


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
    """Read one cell of the WTC-11 hiPSC Single-Cell Image Dataset, or of files with the same layout.

    Parameters
    ----------
    crop_seg : path-like
        Segmentations: ``dna_segmentation`` is the nucleus, ``membrane_segmentation`` the cell.
    crop_raw : path-like, optional
        Intensities, not masked. Without this file the cell has no channels.
    raw_channels, seg_channels : sequence of str
        Names of the files' channels, in order (the manifest's ``name_dict``).
    voxel_size : tuple of float
        (Z, Y, X) in µm (the manifest's ``scale_micron``).
    structure : str, optional
        Name or gene of the structure in channel ``"structure"`` (the manifest's ``structure_name``). The channel
        then gets the vocabulary's name.
    name : str, optional
        Name of the cell; by default the file's name.
    metadata : mapping, optional
        Metadata of the cell.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_image`; also if a segmentation is missing, or the structure is not one of the eleven.
    """
    masks = read_image(crop_seg, channel_names=seg_channels)
    for needed in ("dna_segmentation", "membrane_segmentation"):
        if needed not in masks.channel_names:
            raise ValueError(
                f"{Path(crop_seg).name} has no channel {needed!r} among {', '.join(seg_channels)}: give the names of "
                "its channels in order."
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
