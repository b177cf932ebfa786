"""TIFF files without a container's metadata, and those that tifffile writes by default."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage
from napari_integrated_cell.imaging.formats.planes import counted, planes_in_one_piece, planes_of_pages
from napari_integrated_cell.imaging.formats.resolution import Resolution
from napari_integrated_cell.imaging.formats.scene import ImageScene
from napari_integrated_cell.imaging.formats.sizes import StatedSize
from napari_integrated_cell.imaging.formats.tiff_pages import Page

# As many planes or fewer may be channels where the file does not name its axes.
_MOST_CHANNELS = 6
#: Text in the description that tifffile writes.
SHAPED_SIGNS = ('"shape": [', '"axes": "')


def plain_scenes(path: Path, pages: Sequence[Page], resolution: Resolution) -> list[tuple[str, ImageScene]]:
    """Return one scene for each run of pages of one kind. Smaller copies of a page are left out."""
    full = [page for page in pages if not page.reduced]
    runs: list[list[Page]] = []
    for page in full:
        starts = _shaped(page.description) is not None and not _describes_itself(page)
        if runs and page.kind == runs[-1][0].kind and not starts:
            runs[-1].append(page)
        else:
            runs.append([page])
    kinds = [run[0].kind for run in runs]
    split = any(kind in kinds[:i] and not _shaped(runs[i][0].description) for i, kind in enumerate(kinds))
    if split or (len(runs) > 1 and any(_differs(run) for run in runs)):
        sentence = (
            f"{path.name} has pages of another size or type among its planes: it is damaged, or holds smaller copies "
            "of them, so export it again as OME-TIFF."
        )
        scene = unnamed_planes(pages, resolution.size())
        return [("Image:0", scene.refusing(UnsupportedImage(sentence)))]
    scenes = [_scene(path, run, resolution) for run in runs]
    return [(f"Image:{i}", scene) for i, scene in enumerate(scenes)]


def unnamed_planes(pages: Sequence[Page], size: StatedSize) -> ImageScene:
    """Return a scene of the pages of the most frequent kind, in their order, whose axis has no name."""
    full = [page for page in pages if not page.reduced and not page.wrong]
    kinds = Counter(page.kind for page in full)
    most = [page for page in full if page.kind == kinds.most_common(1)[0][0]]
    if not most:
        return ImageScene("YX", (1, 1), np.dtype(np.uint8), (), size, _nothing)
    planes = planes_of_pages(most, (len(most),))
    return ImageScene("I" + most[0].axes, (len(most), *most[0].shape), planes.dtype, (), size, planes.array)


def _scene(path: Path, pages: list[Page], resolution: Resolution) -> ImageScene:
    first, name = pages[0], path.name
    size = resolution.size()
    wrong = next((page.wrong for page in pages if page.wrong), "")
    if wrong:
        empty = ImageScene("YX", (1, 1), np.dtype(np.uint8), (), size, _nothing)
        return empty.refusing(
            UnsupportedImage(f"{name} is damaged or cut short ({wrong}): copy or export it again.")
        )
    shaped = _shaped(first.description)
    count = len(pages)
    shape: tuple[int, ...] = (count,)
    axes = "I" + first.axes
    refusal: Exception | None = None
    if shaped is not None:
        one_by_one = all(map(_describes_itself, pages))
        shape, axes, problem = _repeated(pages) if one_by_one else _lengths_and_letters(shaped, first, count)
        if problem:
            refusal = MissingInput(
                "axes", f"{name} holds {counted(count)}, but {problem}: give its axes, for example CZYX."
            )
            shape, axes = (count,), "I" + first.axes
    in_one_piece = count == 1 and int(np.prod(shape)) > 1
    planes = planes_in_one_piece(first, shape) if in_one_piece else planes_of_pages(pages, shape)
    whole = (*shape, *first.shape)
    axes, notes = _guessed(axes, whole, name)
    usual = axes.endswith(first.axes)
    # The tags give lengths along the plane's rows and columns.
    if not usual and resolution.y != resolution.x:
        size = StatedSize()
    return ImageScene(
        axes, whole, planes.dtype, (), size, planes.array, notes, refusal, strict=usual and refusal is None
    )


def _shaped(description: str) -> dict[str, Any] | None:
    """Return the metadata that tifffile writes: {"shape": [...], "axes": "ZYX"}."""
    if description.startswith("{"):
        try:
            found = json.loads(description)
        except ValueError:
            found = None
        if isinstance(found, dict) and "shape" in found:
            return found
    return {"shape": None} if any(sign in description for sign in SHAPED_SIGNS) else None


def _describes_itself(page: Page) -> bool:
    """Return whether tifffile describes this page alone, as in a stack that was written plane by plane."""
    return (_shaped(page.description) or {}).get("shape") == list(page.shape)


def _differs(run: list[Page]) -> bool:
    """Return whether the description that tifffile writes gives another number of values than a run of pages has."""
    shape = (_shaped(run[0].description) or {}).get("shape")
    if all(map(_describes_itself, run)):
        return False
    if not isinstance(shape, list) or not all(isinstance(n, int) and n > 0 for n in shape):
        return False
    return math.prod(shape) != sum(math.prod(page.shape) for page in run)


def _lengths_and_letters(shaped: dict[str, Any], page: Page, count: int) -> tuple[tuple[int, ...], str, str]:
    """Return the lengths of the axes before the plane, the letters of all axes, and what is wrong with them, or ""."""
    given = shaped["shape"]
    if not (isinstance(given, list) and given and all(isinstance(n, int) and n > 0 for n in given)):
        return (), "", "its own description is damaged"
    shape = tuple(given)
    while len(shape) > len(page.shape) and shape[-1] == 1 and shape[-len(page.shape) :] != page.shape:
        shape = shape[:-1]
    if shape[-len(page.shape) :] != page.shape and shape != page.shape:
        return (), "", f"its description says {' x '.join(map(str, given))}"
    leading = shape[: -len(page.shape)]
    promised = math.prod(leading)
    whole = page.whole and page.begin + promised * page.nbytes <= Path(page.file).stat().st_size
    if promised != count and not (count == 1 and whole):
        return (), "", f"its description says {promised}"
    letters, problem = _letters(shaped, len(given), "I" * len(leading) + page.axes)
    return leading, letters[: len(shape)], problem


def _repeated(pages: Sequence[Page]) -> tuple[tuple[int, ...], str, str]:
    """Return the same as :func:`_lengths_and_letters` for pages of which each describes itself."""
    usual = pages[0].axes
    found = {_letters(_shaped(page.description) or {}, len(page.shape), usual) for page in pages}
    letters, problem = found.pop()
    problem = "their descriptions give different axes" if found else problem
    return (len(pages),), "I" + letters, problem


def _letters(shaped: dict[str, Any], count: int, usual: str) -> tuple[str, str]:
    """Return the letters that a description gives to ``count`` axes, and what is wrong with them, or ""."""
    given = str(shaped.get("axes") or "").upper().replace("Q", "I")
    named = given.replace("I", "")
    if len(given) != count or len(set(named)) < len(named):
        return usual, ""
    if not {"Y", "X"} <= set(named):
        return usual, f"its description names the axes {given.replace('I', '?')}"
    return given, ""


def _guessed(axes: str, shape: tuple[int, ...], name: str) -> tuple[str, tuple[str, ...]]:
    """Return letters for axes without a name: one is Z; of two the short one is C and the long one Z."""
    unnamed = [i for i, axis in enumerate(axes) if axis not in "TCZYXS" and shape[i] > 1]
    letters = list(axes)
    if len(unnamed) == 1 and "Z" not in axes:
        letters[unnamed[0]] = "Z"
    elif len(unnamed) == 2 and not {"C", "Z"} & set(axes):
        short, long = sorted(unnamed, key=lambda i: shape[i])
        if shape[short] <= _MOST_CHANNELS < shape[long]:
            letters[short], letters[long] = "C", "Z"
            return "".join(letters), (
                f"{name} does not name its axes: {shape[short]} channels and {shape[long]} Z planes were assumed.",
            )
    return "".join(letters), ()


def _nothing(lazy: bool) -> Any:
    raise ValueError("its planes cannot be found")
