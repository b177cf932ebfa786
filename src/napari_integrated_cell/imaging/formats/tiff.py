"""Open TIFF files of any kind: OME, ImageJ, Micro-Manager, LSM, STK, tifffile's own, and plain ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tifffile

from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.formats.imagej import imagej_scene, looks_like_imagej
from napari_integrated_cell.imaging.formats.lsm import LSM_MARKS, is_lsm, lsm_facts, lsm_scenes
from napari_integrated_cell.imaging.formats.micromanager import micromanager_of, with_micromanager
from napari_integrated_cell.imaging.formats.ome_tiff import ome_scenes
from napari_integrated_cell.imaging.formats.ome_xml import looks_like_ome
from napari_integrated_cell.imaging.formats.plain_tiff import SHAPED_SIGNS, plain_scenes
from napari_integrated_cell.imaging.formats.resolution import resolution_of
from napari_integrated_cell.imaging.formats.scene import ImageScene, OpenedFile
from napari_integrated_cell.imaging.formats.stk import stk_of, stk_scene
from napari_integrated_cell.imaging.formats.tiff_pages import pages_of

# A damaged tag hides a file's metadata; their text is still in the file, near the beginning or the end.
_SEARCHED = 1 << 20
_TRACES = (b"openmicroscopy.org", b"</OME>", b"ImageJ=", *(sign.encode() for sign in SHAPED_SIGNS))


def open_tiff(path: Path) -> OpenedFile:
    """Open a TIFF. Its tags and metadata are read, and no pixel."""
    with tifffile.TiffFile(path) as tif:
        lsm = lsm_facts(tif) if is_lsm(tif, path) else None
        pages = pages_of(tif, path)
        texts = _texts(tif.pages[0])
        resolution = resolution_of(tif.pages[0])
        stk = stk_of(tif)
        micromanager = micromanager_of(tif, pages, path)
    ome = next((text for text in texts if looks_like_ome(text)), None)
    imagej = next((text for text in texts if looks_like_imagej(text)), None)
    found: list[tuple[str, ImageScene]]
    if lsm is not None:
        found = lsm_scenes(path, pages, lsm)
    elif stk is not None:
        found = [("Image:0", stk_scene(path, pages, stk))]
    elif ome is not None:
        found = ome_scenes(path, pages, ome)
    elif imagej is not None:
        found = [("Image:0", imagej_scene(path, pages, imagej, resolution))]
    else:
        found = plain_scenes(path, pages, resolution)
        described = any(sign in pages[0].description for sign in SHAPED_SIGNS)
        # In an LSM, small copies lie among the planes.
        traces = (*_TRACES, *LSM_MARKS) if any(page.reduced for page in pages) else _TRACES
        if not described and _has_hidden_metadata(path, traces):
            refusal = MissingInput(
                "axes",
                f"{path.name} has metadata, but the tag that leads to them is damaged: export it again, or give its "
                "axes, for example CZYX.",
            )
            found = [(name, scene.unnamed().refusing(refusal)) for name, scene in found]
    if micromanager is not None:
        kind = "OME" if ome is not None else "ImageJ" if imagej is not None else ""
        found = with_micromanager(path, pages, micromanager, found, kind)
    return OpenedFile(path, tuple(name for name, _ in found), lambda index: found[index][1])


def _texts(page: Any) -> list[str]:
    """Return the texts in a page's tags, the description first. A damaged tag may hold it under another number."""
    texts = [page.description]
    for tag in page.tags.values():
        try:
            value = tag.value
        except Exception:  # an old tifffile raises errors of any class about a damaged tag
            continue
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str) and value not in texts:
            texts.append(value)
    return texts


def _has_hidden_metadata(path: Path, traces: tuple[bytes, ...]) -> bool:
    with path.open("rb") as file:
        head = file.read(_SEARCHED)
        file.seek(max(0, path.stat().st_size - _SEARCHED))
        tail = file.read(_SEARCHED)
    return any(trace in part for trace in traces for part in (head, tail))
