"""Check where results are to be written, before anything is computed."""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_integrated_cell.imaging.writing import check_tiff_path

if TYPE_CHECKING:
    from napari_integrated_cell.batch.cell_row import BatchSettings
    from napari_integrated_cell.batch.listing import ListedField
    from napari_integrated_cell.data.field_survey import CellPlace

_LEAST = 16 << 20  # bytes, for the tables and the journal
# Compressed bytes of one channel per voxel of a cell. On 116 real cells they are 1.4 to 2.9, 1.9 on average.
_BYTES_PER_VOXEL = 2.0


def check_out_file(path: Path, inputs: Iterable[Path]) -> None:
    """Check that one OME-TIFF may be written to ``path``. A missing folder is made.

    Raises
    ------
    ValueError
        If the name does not end as a TIFF's, or it is one of the inputs.
    OSError
        If it is a folder, or its folder cannot be made or written to.
    """
    for given in inputs:
        if given.exists() and path.exists() and os.path.samefile(given, path):
            raise ValueError(f"{path} is an input: give the result another name.")
    _make(path.parent)
    check_tiff_path(path)
    check_writable(path.parent)


def check_out_folder(folder: Path, inputs: Iterable[Path]) -> None:
    """Check that a batch may write into ``folder``. A missing folder is made.

    Parameters
    ----------
    inputs : iterable of Path
        The files that are read, and the folder that is searched.

    Raises
    ------
    ValueError
        If files that are read lie in the folder itself.
    OSError
        If it is a file, or cannot be made or written to.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: give a folder for the results.")
    place = folder.resolve()
    for given in inputs:
        if (given.resolve() if given.is_dir() else given.resolve().parent) == place:
            raise ValueError(f"{folder} holds images that are read: give the results a folder of their own.")
        if given.suffix.lower() == ".zarr" and given.resolve() in place.parents:
            raise ValueError(f"{folder} lies in the image {given}: give the results a folder of their own.")
    _make(folder)
    check_writable(folder)


def check_writable(folder: Path, needed: int = 0) -> None:
    """Check that a file can be written to a folder, and that so many bytes are free there.

    Raises
    ------
    OSError
        If not.
    """
    probe = folder / f".{secrets.token_hex(4)}.probe"
    try:
        probe.write_bytes(b"\0" * 4096)
    except OSError as error:
        raise OSError(
            f"Nothing can be written to {folder} ({error.strerror or error}): choose another folder or make room."
        ) from error
    finally:
        with suppress(OSError):  # the folder may be read-only
            probe.unlink(missing_ok=True)
    free = shutil.disk_usage(folder).free
    if free < max(needed, _LEAST):
        raise OSError(
            f"About {size(max(needed, _LEAST))} are needed in {folder} and {size(free)} are free: make room there, or "
            "choose another folder."
        )


def channels_of(structures: int, ensemble: bool) -> int:
    """Return how many channels a file has: membrane, DNA and the structures; with the ensemble also their spreads."""
    return 2 + structures * (2 if ensemble else 1)


def bytes_needed(
    listed: Sequence[ListedField], settings: BatchSettings, n_channels: int, entries: int, *, several: bool
) -> int:
    """Return about how many bytes a batch writes.

    Parameters
    ----------
    n_channels : int
        Channels of a file, as :func:`channels_of` counts them.
    entries : int
        Cells that have files of their own.
    several : bool
        Whether several processes share the planes of a field in files.
    """
    from napari_integrated_cell.data.field_cells import IN_MEMORY

    planes = max((f.nbytes for f in listed if several or f.nbytes > IN_MEMORY), default=0)
    if settings.write == "none":
        return planes
    usual = 1_500_000  # voxels of a cell at a tenth of a micrometre
    voxels = sum(f.voxels for f in listed) + usual * entries
    return int(voxels * n_channels * _BYTES_PER_VOXEL * (2 if settings.write == "field" else 1)) + planes


def bytes_joined(places: Iterable[CellPlace], n_channels: int) -> int:
    """Return about how many bytes are needed, for a while, to join cells in one file of so many channels."""
    crops = (math.prod(w.stop - w.start for w in place.window) for place in places)
    return sum(crops) * n_channels * 2


def size(count: int) -> str:
    """Return a number of bytes for people."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.3g} {units[0]}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"The folder {folder} cannot be made ({error.strerror or error}): choose another one."
        ) from error
