"""The scenes of an OME-TIFF: what its metadata say, checked against the pages that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import tifffile

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage
from napari_integrated_cell.imaging.formats.damage import one_sentence_about
from napari_integrated_cell.imaging.formats.ome_layout import PlaneLayout, Unsound, layout_of
from napari_integrated_cell.imaging.formats.ome_xml import OmeImage, OmeXml, bare_uuid, read_ome_xml, uuid_in
from napari_integrated_cell.imaging.formats.plain_tiff import unnamed_planes
from napari_integrated_cell.imaging.formats.planes import counted, planes_of_pages
from napari_integrated_cell.imaging.formats.scene import ImageScene
from napari_integrated_cell.imaging.formats.sizes import seconds, stated_size
from napari_integrated_cell.imaging.formats.tiff_pages import Page, pages_of


def ome_scenes(path: Path, pages: Sequence[Page], text: str) -> list[tuple[str, ImageScene]]:
    """Return name and scene of every image in an OME-TIFF.

    An image whose metadata do not fit the file is a scene of unnamed planes, which refuses until axes are given.

    Raises
    ------
    ValueError
        If the metadata lie in another file that is not there.
    """
    ome = read_ome_xml(text)
    if ome.metadata_file and not ome.images:
        ome = _metadata_elsewhere(path, ome)
    return scenes_of(path, ome, pages)


def scenes_of(path: Path, ome: OmeXml, pages: Sequence[Page]) -> list[tuple[str, ImageScene]]:
    """Return name and scene of every image that metadata name; see :func:`ome_scenes`."""
    files = _Files(path, ome, pages)
    if not ome.images:
        return [("Image:0", _unsound(path, pages, OmeImage(), "they name no image", ome))]
    found = [_scene(path, ome, image, files) for image in ome.images]
    found = _checked_leftovers(path, ome, found, files)
    names = [image.name or f"Image:{i}" for i, image in enumerate(ome.images)]
    return [(name, scene) for name, (scene, _) in zip(names, found, strict=True)]


class _Files:
    """The pages of the files that an image is stored in."""

    def __init__(self, path: Path, ome: OmeXml, pages: Sequence[Page]) -> None:
        self._folder = path.parent
        self._pages: dict[str, tuple[Page, ...] | None] = {path.name: tuple(pages)}
        self._named: dict[str, set[str]] = {}
        for image in ome.images:
            for block in image.planes:
                self._named.setdefault(_name(block.file), set()).add(block.uuid)
        self.here, self.renamed = path.name, ""
        self._uuid = ome.uuid
        named = {_name(block.file) for image in ome.images for block in image.planes} - {""}
        inside = any(self._is_here(b.uuid, b.file) for image in ome.images for b in image.planes) or not any(
            image.planes for image in ome.images
        )
        # A file that was renamed does not find its own name.
        if not inside and len(named) == 1 and not (self._folder / next(iter(named))).exists():
            self.renamed = next(iter(named))

    def _is_here(self, uuid: str, name: str) -> bool:
        return not name or _name(name) == self.here or bool(uuid and uuid == self._uuid)

    def name_of(self, uuid: str, name: str) -> str:
        """Return the name of the file that a block of planes is in."""
        return self.here if self._is_here(uuid, name) or _name(name) == self.renamed else _name(name)

    def pages(self, name: str) -> tuple[Page, ...] | None:
        """Return the pages of a file of the set, or None if it is missing.

        Raises
        ------
        Unsound
            If a file of this name is there, but not the one that the metadata mean.
        """
        if name not in self._pages:
            path = self._folder / name
            self._pages[name] = None
            if path.is_file():
                with one_sentence_about(path), tifffile.TiffFile(path) as tif:
                    self._pages[name] = pages_of(tif, path)
            self._check_uuid(name)
        return self._pages[name]

    def _check_uuid(self, name: str) -> None:
        pages = self._pages[name]
        found = uuid_in(pages[0].description) if pages else ""
        named = self._named.get(name, set()) - {""}
        if found and named and found not in map(bare_uuid, named):
            del self._pages[name]
            raise Unsound(
                f"{name} beside it is another file than they mean (its UUID is not theirs)", mendable=False
            )


def _metadata_elsewhere(path: Path, ome: OmeXml) -> OmeXml:
    other = path.parent / _name(ome.metadata_file)
    if not other.is_file():
        raise UnsupportedImage(
            f"{path.name} has no metadata of its own: they are in {other.name}, which is not beside it, so copy that "
            "file to the same folder."
        )
    if other.suffix.lower() in (".tif", ".tiff"):
        with one_sentence_about(other), tifffile.TiffFile(other) as tif:
            text = pages_of(tif, other)[0].description
    else:
        text = other.read_text(encoding="utf-8", errors="replace")
    found = read_ome_xml(text)
    if not found.images:
        raise UnsupportedImage(
            f"{path.name} has its metadata in {other.name}, which names no image: it is empty or damaged, so copy or "
            "export it again."
        )
    return replace(found, uuid=ome.uuid, metadata_file=other.name)


def _scene(path: Path, ome: OmeXml, image: OmeImage, files: _Files) -> tuple[ImageScene, PlaneLayout | None]:
    here = files.pages(files.here) or ()
    try:
        layout = layout_of(
            image, files.name_of, files.pages, files.here, len(ome.images) == 1, not ome.damage
        )
    except Unsound as error:
        return _unsound(path, here, image, str(error), ome, mendable=error.mendable), None
    first = layout.pages[0]
    pages = layout.pages
    wrong = next((page.wrong for page in pages if page.wrong), "")
    if len({page.kind for page in pages}) > 1:
        wrong = "its planes differ in size or type"
    size_x, size_y = (first.shape[first.axes.index(axis)] for axis in "XY")
    stated = (image.sizes.get("X", size_x), image.sizes.get("Y", size_y))
    differs = f"{size_x} x {size_y} pixels but should have {stated[0]} x {stated[1]}"
    # Planes that agree with one another are right.
    if not wrong and stated != (size_x, size_y) and len(pages) == 1:
        wrong = f"its plane has {differs}"
    if wrong:
        return _unsound(path, here, image, wrong, ome, mendable=False), None
    notes: list[str] = []
    where = f" in {ome.metadata_file}" if ome.metadata_file else ""
    if ome.damage:
        damage = f"has damaged {ome.program} metadata{where} ({ome.damage})"
        notes.append(f"{path.name} {damage}: what is sound in them was used.")
    notes += layout.notes
    if stated != (size_x, size_y):
        notes.append(f"The planes of {path.name} have {differs} (X x Y) by its metadata.")
    if files.renamed:
        notes.append(f"{path.name} is called {files.renamed} in its metadata: it was renamed.")
    planes = planes_of_pages(pages, layout.shape)
    scene = ImageScene(
        layout.axes + first.axes,
        (*layout.shape, *first.shape),
        planes.dtype,
        layout.names,
        stated_size(image.physical),
        planes.array,
        tuple(notes),
        strict=not notes and layout.strict and not ome.damage and ome.program == "OME",
        ome=ome.program == "OME",
        interval=seconds(*image.interval),
    )
    return scene, layout


def _unsound(
    path: Path, pages: Sequence[Page], image: OmeImage, why: str, ome: OmeXml, *, mendable: bool = True
) -> ImageScene:
    """Return a scene that refuses, but can be read with given axes if ``mendable``."""
    kind = f"damaged {ome.program}" if ome.damage else ome.program
    damage = f" ({ome.damage})" if ome.damage else ""
    channels = len(image.channels)
    scene = unnamed_planes(pages, stated_size(image.physical))
    where = f" in {ome.metadata_file}" if ome.metadata_file else ""
    planes = counted(len(pages))
    sentence = f"{path.name} has {kind} metadata{where}{damage} that do not fit its {planes}: {why}"
    refusal: Exception = UnsupportedImage(
        f"{sentence}. It is damaged or incomplete: copy or export it again."
    )
    if mendable and scene.axes.startswith("I"):
        refusal = MissingInput("axes", f"{sentence}. Export it again, or give its axes, for example CZYX.")
    names = tuple(name for name, _ in image.channels)
    return scene.refusing(refusal, names, channels or None)


def _checked_leftovers(
    path: Path, ome: OmeXml, found: list[tuple[ImageScene, PlaneLayout | None]], files: _Files
) -> list[tuple[ImageScene, PlaneLayout | None]]:
    """Refuse images whose file holds further planes of their kind, unless the metadata name every plane."""
    here = files.pages(files.here) or ()
    used = {page.offset for _, layout in found if layout for page in layout.pages if page.file == str(path)}
    checked: list[tuple[ImageScene, PlaneLayout | None]] = []
    for image, (scene, layout) in zip(ome.images, found, strict=True):
        if layout is not None:
            kind = layout.pages[0].kind
            over = sum(p.kind == kind and p.offset not in used and not p.reduced for p in here)
            length = dict(zip(layout.axes, layout.shape, strict=True))
            if ome.program != "OME" and layout.explicit and length["T"] < image.sizes.get("T", 1):
                # Every page is named, also those of the last time point, which is not complete.
                over = over if over >= length["C"] * length["Z"] else 0
            if over and layout.explicit and layout.complete:
                note = f"{path.name} holds {counted(over)} that its metadata do not name: they are left out."
                scene = scene.noting(note)
            elif over:
                counts = f"they name {counted(len(layout.pages))}"
                why = counts if layout.complete else "they leave out planes that are there"
                scene, layout = _unsound(path, here, image, why, ome), None
        checked.append((scene, layout))
    return checked


def _name(given: str) -> str:
    """Return a file's name without its folder, which may be one of another computer."""
    return PureWindowsPath(given).name
