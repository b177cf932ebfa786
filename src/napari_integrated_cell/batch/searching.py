"""Search a folder for images. Results of earlier calls are no images."""

from __future__ import annotations

import os
import re
from pathlib import Path

from napari_integrated_cell.batch.found_fields import Faulty
from napari_integrated_cell.batch.journal import holds_results
from napari_integrated_cell.batch.targets import SEGMENTED, written_by_us
from napari_integrated_cell.imaging.reading import READABLE_EXTENSIONS

RESULTS = "results of this command are no images"
_CELL_FILE = re.compile(r"cell_-?\d+\.ome\.tiff")


def image_files(folder: Path, out: Path | None) -> tuple[list[Path], list[Faulty]]:
    """Return all image files in a folder and its subfolders in the order of their names, without hidden ones.

    Folders that are linked to are searched after the others, and each folder once.

    Parameters
    ----------
    out : Path, optional
        The folder of the results. It is not searched, nor is any other folder that holds the results of a batch.

    Returns
    -------
    images : list of Path
    left_out : list of Faulty
        Folders of results, and files that this program wrote.
    """
    skipped = out.resolve() if out is not None else None
    images, left_out = list[Path](), list[Faulty]()
    seen = set[Path]()
    waiting = [folder]
    while waiting:
        for where, folders, files in os.walk(waiting.pop(0)):
            here = Path(where)
            real = here.resolve()
            name = f"{here.relative_to(folder).as_posix()}/"
            if real in seen or (here != folder and (real == skipped or holds_results(here))):
                folders.clear()
                if real == skipped and real not in seen:
                    left_out += _among_results(here, name)
                elif real not in seen:
                    left_out.append(Faulty(name, str(here), RESULTS))
                seen.add(real)
                continue
            seen.add(real)
            zarrs = [item for item in folders if item.lower().endswith(".zarr")]
            inside = sorted(item for item in folders if not item.startswith(".") and item not in zarrs)
            waiting += [here / item for item in inside if (here / item).is_symlink()]
            folders[:] = [item for item in inside if not (here / item).is_symlink()]
            for path in (here / item for item in sorted((*files, *zarrs)) if _is_image(item)):
                if written_by_us(path):
                    left_out.append(Faulty(path.relative_to(folder).as_posix(), str(path), RESULTS))
                else:
                    images.append(path)
    return images, left_out


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(READABLE_EXTENSIONS)


def _among_results(out: Path, name: str) -> list[Faulty]:
    """Return what is to be said about images in the folder of the results, that are not results."""
    before = holds_results(out)
    count = 0
    for where, folders, files in os.walk(out):
        zarrs = [item for item in folders if item.lower().endswith(".zarr")]
        ours = {SEGMENTED} if before and Path(where) == out else set[str]()
        folders[:] = [f for f in folders if not f.startswith(".") and f not in zarrs and f not in ours]
        for item in filter(_is_image, (*files, *zarrs)):
            is_cell = before and _CELL_FILE.fullmatch(item)
            count += not is_cell and not written_by_us(Path(where) / item)
    if not count:
        return []
    images = "an image that is" if count == 1 else f"{count} images that are"
    return [
        Faulty(name, str(out), f"it is the folder of the results (--out), and holds {images} not searched")
    ]
