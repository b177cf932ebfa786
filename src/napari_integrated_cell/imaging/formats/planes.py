"""The planes of an image in a file or several: which page each one is, and how to read them lazily."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.imaging.formats.damage import one_sentence_about
from napari_integrated_cell.imaging.formats.tiff_pages import Page, read_bytes, read_pages


@dataclass(frozen=True, eq=False)
class Planes:
    """Planes of one kind.

    Attributes
    ----------
    where : array of int, (..., 2)
        For each plane the index of its file, and the byte where its tags, or its pixels if ``raw``, begin. The leading
        axes are those of the image without the plane.
    raw : bool
        Whether every plane is stored in one piece and not compressed.
    shape : tuple of int
        Of one plane.
    dtype : numpy.dtype
        With the byte order of the file.
    """

    files: tuple[str, ...]
    where: NDArray[np.int64]
    raw: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def plane(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read one plane."""
        ((_, plane),) = self._planes([index])
        return plane

    def _planes(self, indices: Sequence[tuple[int, ...]]) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
        """Yield planes with their index. Each file is opened once, or for each plane that lies in it in one piece."""
        for file, name in enumerate(self.files):
            here = [index for index in indices if self.where[index][0] == file]
            offsets = [int(self.where[index][1]) for index in here]
            if self.raw:
                yield from zip(
                    here, (read_bytes(name, o, self.shape, self.dtype) for o in offsets), strict=True
                )
                continue
            for index, plane in zip(here, read_pages(name, offsets), strict=True):
                with one_sentence_about(Path(name)):
                    yield index, plane.reshape(self.shape).astype(self.dtype, copy=False)

    def array(self, lazy: bool) -> Any:
        """Return all planes with their leading axes, at once or as a dask array of one plane per chunk."""
        leading = self.where.shape[:-1]
        if not lazy:
            whole = np.empty((*leading, *self.shape), self.dtype)
            for index, plane in self._planes(list(np.ndindex(*leading))):
                whole[index] = plane
            return whole
        import dask.array as da

        chunks = (*((1,) * n for n in leading), *((n,) for n in self.shape))
        return da.map_blocks(
            _block,
            chunks=chunks,
            dtype=self.dtype,
            meta=np.empty((0,) * len(chunks), self.dtype),
            name=f"planes-{uuid4().hex}",
            planes=self,
        )


def planes_of_pages(pages: Sequence[Page], leading: Sequence[int]) -> Planes:
    """Return the planes that pages of one kind are, in the order of the leading axes (last fastest)."""
    files = tuple(dict.fromkeys(page.file for page in pages))
    raw = all(page.whole for page in pages)
    where = np.array([(files.index(p.file), p.begin if raw else p.offset) for p in pages], np.int64)
    return Planes(files, where.reshape(*leading, 2), raw, pages[0].shape, _dtype(pages[0]))


def planes_in_one_piece(page: Page, leading: Sequence[int]) -> Planes:
    """Return the planes that lie one behind the other where the page's pixels begin."""
    count = int(np.prod(leading, dtype=np.int64))
    where = np.stack([np.zeros(count, np.int64), page.begin + page.nbytes * np.arange(count)], axis=-1)
    return Planes((page.file,), where.reshape(*leading, 2), True, page.shape, _dtype(page))


def counted(number: int, word: str = "plane") -> str:
    """Return a number and a word: "1 plane", "48 planes"."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def _dtype(page: Page) -> np.dtype[Any]:
    return page.dtype if page.dtype is not None else np.dtype(np.void)


def _block(planes: Planes, block_id: tuple[int, ...] | None = None) -> NDArray[Any]:
    leading = planes.where.ndim - 1
    index = (block_id or (0,) * leading)[:leading]
    return planes.plane(index)[(None,) * leading]
