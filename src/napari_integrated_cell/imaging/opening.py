"""Open an image file of any readable format."""

from __future__ import annotations

from pathlib import Path

from napari_integrated_cell.imaging.formats import libraries
from napari_integrated_cell.imaging.formats.damage import one_sentence_about
from napari_integrated_cell.imaging.formats.scene import OpenedFile
from napari_integrated_cell.imaging.formats.tiff import open_tiff

#: Extensions of readable files and folders. CZI, ND2 and LIF need an extra.
READABLE_EXTENSIONS = (
    *(".ome.tiff", ".ome.tif", ".tiff", ".tif", ".lsm", ".stk"),
    *(".ome.zarr", ".zarr", ".zarr.zip", ".ozx"),
    *(".czi", ".nd2", ".lif"),
)
_KINDS = {
    **dict.fromkeys((".tiff", ".tif", ".lsm", ".stk"), "tiff"),
    **dict.fromkeys((".zarr", ".zarr.zip", ".ozx"), "zarr"),
}


def open_file(path: Path, reader: str = "auto") -> OpenedFile:
    """Open a file. Its scenes are described when they are asked for, and no pixel is read.

    Parameters
    ----------
    path : Path
        A file, or the folder of an OME-Zarr or of an image in it.
    reader : {"auto", "bioio", "aicsimageio"}
        "auto" reads with bioio, and with aicsimageio only what bioio has no reader for.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is another folder, of an unknown kind or damaged, or if an extra is missing.
    """
    kind = _kind(path)
    library = libraries.library_for(path, kind, reader)
    with one_sentence_about(path):
        if kind == "zarr":
            from napari_integrated_cell.imaging.formats.ome_zarr import open_ome_zarr  # imports zarr

            zarr = open_ome_zarr(path)
            return zarr if reader == "auto" else libraries.zarr_through_library(zarr, library)
        if kind == "tiff":
            return libraries.tiff_through_library(open_tiff(path), library, always=reader != "auto")
        return libraries.open_with_library(path, kind, library)


def _kind(path: Path) -> str:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the path.")
    if path.is_dir():
        from napari_integrated_cell.imaging.formats.zarr_tree import is_zarr_node  # imports zarr

        if is_zarr_node(path):
            return "zarr"
    name = path.name.lower()
    ending = next((e for e in READABLE_EXTENSIONS if name.endswith(e)), None)
    kind = next((k for e, k in _KINDS.items() if ending and ending.endswith(e)), (ending or "").lstrip("."))
    if path.is_dir() and kind != "zarr":
        raise ValueError(f"{path} is a folder: give an image file in it.")
    if ending is None:
        raise ValueError(
            f"{path.name} is not a file that can be read ({', '.join(READABLE_EXTENSIONS)}): export it as OME-TIFF."
        )
    return kind
