"""Tell from a file's metadata whether this plugin can use it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage

_TIFF = (".tif", ".tiff", ".lsm", ".stk")
_OME_TIFF = (".ome.tif", ".ome.tiff")
# Formats that napari does not read itself.
_MICROSCOPES = (".czi", ".nd2", ".lif")
_ZIPPED_ZARR = (".zarr.zip", ".ozx")
# The first bytes of a TIFF of either byte order, also of one above 4 GB.
_TIFF_SIGNS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_IMAGEJ_SLICES = re.compile(r"^slices=([2-9]|[1-9]\d+)\s*$", re.M)


def can_use(path: Path) -> bool:
    """Return whether a file is for this plugin. Only its metadata are read, and no error is raised.

    True for Z stacks, and for files that become one by a choice of scene or axes, for example if Z is stored as time.
    False for flat and RGB pictures, unknown formats and missing files: other readers show them better.
    """
    try:
        return _can_use(path)
    except UnsupportedImage:
        return False
    except ValueError:
        # A damaged stack is ours: other readers often show a wrong picture of it, for example fewer planes, and say
        # nothing. Our reader says what is wrong.
        return True
    except Exception:  # napari must be able to ask about any file
        return False


def _can_use(path: Path) -> bool:
    from napari_integrated_cell.imaging.formats.zarr_tree import is_zarr_node

    name = path.name.lower()
    if path.is_dir():
        return is_zarr_node(path) and _holds_stack(path)
    if not path.is_file():
        return False
    if name.endswith(_MICROSCOPES):
        return True
    if name.endswith(_ZIPPED_ZARR):
        return _holds_stack(path)
    if not name.endswith(_TIFF):
        return False
    with path.open("rb") as file:
        if file.read(4) not in _TIFF_SIGNS:
            # No other reader can show it either, and ours says what is wrong with a file that is called OME-TIFF.
            return name.endswith(_OME_TIFF)
    return _begins_as_stack(path) or _holds_stack(path)


def _begins_as_stack(path: Path) -> bool:
    """Return whether the first pages of a TIFF are a stack without colours: faster than a look at all."""
    import tifffile

    from napari_integrated_cell.imaging.formats.damage import one_sentence_about
    from napari_integrated_cell.imaging.formats.imagej import looks_like_imagej
    from napari_integrated_cell.imaging.formats.ome_xml import looks_like_ome, read_ome_xml

    with one_sentence_about(path), tifffile.TiffFile(path) as tif:
        first: Any = tif.pages[0]
        text = first.description
        if "S" in first.axes:
            return False
        if looks_like_ome(text):
            return any(image.sizes.get("Z", 1) > 1 for image in read_ome_xml(text).images)
        if looks_like_imagej(text):
            return _IMAGEJ_SLICES.search(text) is not None
        # A description that begins so names the axes.
        return not text.startswith("{") and len(tif.pages) > 1 and tif.pages[1].shape == first.shape


def _holds_stack(path: Path) -> bool:
    """Return whether a scene of a file is a Z stack, or becomes one by a choice; raise why the file is damaged."""
    from napari_integrated_cell.imaging.opening import open_file
    from napari_integrated_cell.imaging.stacks import why_no_stack

    opened = open_file(path)
    damage: ValueError | None = None
    for index in range(len(opened.scene_names)):
        reason = why_no_stack(opened.scene(index), None, path.name)
        if reason is None or isinstance(reason, MissingInput):
            return True
        if not isinstance(reason, UnsupportedImage):
            damage = reason
    if damage is not None:
        raise damage
    return False
