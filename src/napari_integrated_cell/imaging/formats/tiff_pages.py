"""The pages of a TIFF file: where each one lies, and its pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_integrated_cell.imaging.formats.damage import one_sentence_about


@dataclass(frozen=True)
class Page:
    """One page (IFD).

    Attributes
    ----------
    offset : int
        Where the page's tags begin.
    axes : str
        "YX", or with "S" for the samples of a colour.
    dtype : numpy.dtype or None
        With the file's byte order. None: no type of numpy.
    coding : tuple
        Compression, predictor and order of bits.
    begin, end : int
        The bytes that hold its pixels.
    whole : bool
        Whether the pixels are stored in one piece and not compressed.
    wrong : str
        What is wrong with the page, or "".
    reduced : bool
        Whether it is a smaller copy of another page.
    """

    file: str
    offset: int
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    coding: tuple[int, ...]
    begin: int
    end: int
    whole: bool
    wrong: str
    reduced: bool
    description: str

    @property
    def kind(self) -> tuple[Any, ...]:
        """What pages of one image have in common."""
        return (self.axes, self.shape, self.dtype, self.coding)

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels, uncompressed."""
        return int(np.prod(self.shape, dtype=np.int64)) * (self.dtype.itemsize if self.dtype else 0)


def pages_of(tif: tifffile.TiffFile, path: Path) -> tuple[Page, ...]:
    """Return all pages of an opened file, in order. No pixel is read."""
    size = tif.filehandle.size
    pages: list[Page] = []
    pixels: list[tuple[int, int, int]] = []  # begin, end, index of the page
    tags: list[tuple[int, int, int]] = []
    known: set[int] = set()
    for index, page in enumerate(tif.pages):
        if page.offset in known:  # tifffile would go on for ever
            raise ValueError("its pages follow one another in a circle")
        known.add(page.offset)
        try:
            found = _page(page, str(path), size, tif.byteorder)
            pages.append(found)
            pieces = zip(page.dataoffsets, page.databytecounts, strict=False)
            if found.whole:
                pieces = zip((found.begin,), (found.nbytes,), strict=True)
            pixels += [(begin, begin + count, index) for begin, count in pieces]
            tags += [(begin, end, -1) for begin, end in _tags(page, tif.is_bigtiff)]
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"the tags of page {index} are damaged") from error
    return _without_overlaps(pages, pixels, tags)


def read_pages(file: str, offsets: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Yield the pixels of the pages whose tags begin at ``offsets``."""
    path = Path(file)
    with one_sentence_about(path), tifffile.TiffFile(path) as tif:
        for offset in offsets:
            tif.filehandle.seek(offset)
            # tifffile corrects the tags of a page in an LSM, but those of a first page only by its own tags.
            yield np.asarray(tifffile.TiffPage(tif, int(tif.is_lsm)).asarray())


def read_bytes(file: str, begin: int, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a plane that is stored in one piece, not compressed."""
    path = Path(file)
    count = int(np.prod(shape, dtype=np.int64))
    with one_sentence_about(path):
        values = np.fromfile(path, dtype, count, offset=begin)
        if len(values) < count:
            raise ValueError("a plane is cut short")
        return values.reshape(shape)


def _tags(page: Any, big: bool) -> Iterator[tuple[int, int]]:
    """Yield the bytes that hold a page's tags and the values that do not fit into them."""
    entry = 20 if big else 12
    yield page.offset, page.offset + (16 if big else 6) + entry * len(page.tags)
    for tag in page.tags.values():
        if not page.offset <= tag.valueoffset < page.offset + entry * (len(page.tags) + 1):
            yield tag.valueoffset, tag.valueoffset + tag.valuebytecount


def _without_overlaps(
    pages: list[Page], pixels: list[tuple[int, int, int]], tags: list[tuple[int, int, int]]
) -> tuple[Page, ...]:
    """Return the pages, those marked as wrong whose pixels lie where tags or another page's pixels are."""
    wrong: set[int] = set()
    last, owner = 0, -1
    for begin, end, index in sorted(pixels + tags):
        if begin < last and (index, owner) != (-1, -1):
            wrong |= {index, owner}
        if end > last:
            last, owner = end, index
    said = "its pixels lie where something else is"
    return tuple(
        replace(page, wrong=said) if index in wrong and not page.wrong else page
        for index, page in enumerate(pages)
    )


def _page(page: Any, file: str, size: int, byteorder: str) -> Page:
    dtype = None if page.dtype is None else page.dtype.newbyteorder(byteorder)
    offsets, counts = page.dataoffsets, page.databytecounts
    begin = min(offsets, default=0)
    end = max((o + c for o, c in zip(offsets, counts, strict=False)), default=0)
    compression = int(page.compression)
    nbytes = int(np.prod(page.shape, dtype=np.int64)) * (dtype.itemsize if dtype else 0)
    regular = compression == 1 and page.bitspersample in (8, 16, 32, 64) and dtype is not None
    in_pieces = any(a + n != b for a, n, b in zip(offsets, counts, offsets[1:], strict=False))
    return Page(
        file,
        page.offset,
        "".join(page.axes),
        tuple(page.shape),
        dtype,
        (compression, int(page.predictor), int(page.fillorder)),
        begin,
        end,
        regular and not page.is_tiled and not in_pieces and int(page.fillorder) == 1,
        _wrong(page, dtype, begin, end, size, nbytes if regular else None),
        bool(page.is_reduced),
        page.description,
    )


def _wrong(
    page: Any, dtype: np.dtype[Any] | None, begin: int, end: int, size: int, nbytes: int | None
) -> str:
    if dtype is None:
        return f"its values have {page.bitspersample} bits of an unknown kind"
    if min(page.shape, default=0) < 1:
        return "it has no pixels"
    if min(page.dataoffsets, default=0) < 8 or min(page.databytecounts, default=0) < 1:
        return "its pixels are not in the file"
    if end > size:
        return "its pixels lie beyond the end of the file"
    # tifffile replaces counts that are not sound by one for all pieces, and reads only the first.
    if len(page.dataoffsets) != len(page.databytecounts):
        return "it does not say how long its pieces are"
    count, values, per_column, values_of_last = _pieces(page)
    if len(page.dataoffsets) != count:
        return f"it has {len(page.dataoffsets)} pieces of {count}"
    if nbytes is None:
        return ""
    if count > 1 or page.is_tiled:
        for i, there in enumerate(page.databytecounts):
            needed = values_of_last if i % per_column == per_column - 1 else values
            if there < needed * dtype.itemsize:
                return f"a piece of it has {there} bytes for {needed * dtype.itemsize}"
        return ""
    total = sum(page.databytecounts)
    # Some programs give the bytes of a whole stack here.
    if total < nbytes or total % nbytes:
        return f"it has {total} bytes for {nbytes}"
    return ""


def _pieces(page: Any) -> tuple[int, int, int, int]:
    """Return the number of tiles or strips and the values in each; the strips of a plane and the values in its last."""
    samples, planes = page.samplesperpixel, 1
    if page.planarconfig != 1:
        samples, planes = planes, samples
    depth, length, width = page.imagedepth, page.imagelength, page.imagewidth
    if page.is_tiled:
        edges = (page.tiledepth, page.tilelength, page.tilewidth)
        if min(edges) < 1:
            return 0, 0, 1, 0
        count = math.prod(-(-n // edge) for n, edge in zip((depth, length, width), edges, strict=True))
        values = math.prod(edges) * samples
        return count * planes, values, 1, values
    rows = max(1, min(page.rowsperstrip, length))
    strips = -(-length // rows)
    row = width * samples
    return strips * depth * planes, rows * row, strips, (length - (strips - 1) * rows) * row
