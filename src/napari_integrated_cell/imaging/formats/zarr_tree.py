"""Groups and arrays of a Zarr (format 2 or 3) in a folder or a zip file: what they say, and which chunks are there."""

from __future__ import annotations

import json
import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_integrated_cell.imaging.choices import UnsupportedImage
from napari_integrated_cell.imaging.formats.damage import one_sentence_about

_FORMAT_2 = (".zgroup", ".zarray", ".zattrs")
_FORMAT_3 = "zarr.json"
_READS_FORMAT_3 = not zarr.__version__.startswith("2.")


def is_zarr_node(folder: Path) -> bool:
    """Return whether a folder is a group or an array of a Zarr."""
    return any((folder / name).is_file() for name in (*_FORMAT_2, _FORMAT_3))


@dataclass(frozen=True)
class ArrayLayout:
    """How an array is cut into chunks.

    Attributes
    ----------
    shape, chunks : tuple of int
        ``chunks`` is the shape of what one file holds: of a shard, if there are shards.
    prefix, separator : str
        The key of a chunk is the prefix and the chunk's index along each axis, with the separator in between.
    fill : float
        What a chunk that is not there is read as.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    prefix: str
    separator: str
    fill: float

    @property
    def grid(self) -> tuple[int, ...]:
        """Return the number of chunks along each axis."""
        return tuple(math.ceil(n / size) for n, size in zip(self.shape, self.chunks, strict=True))


class ZarrTree:
    """A Zarr in a folder, or in a zip file at its top or in its only folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: frozenset[str] | None = None
        self._top = ""
        if path.is_file():
            with zipfile.ZipFile(path) as file:
                names = [name for name in file.namelist() if not name.endswith("/")]
            nodes = [name for name in names if name.rsplit("/", 1)[-1] in (*_FORMAT_2, _FORMAT_3)]
            # A file manager puts the folder itself into the zip file.
            top = min(nodes, key=lambda name: name.count("/"), default="").rpartition("/")[0]
            self._top = f"{top}/" if top else ""
            self._files = frozenset(
                name.removeprefix(self._top) for name in names if name.startswith(self._top)
            )

    def attributes(self, node: str = "") -> dict[str, Any]:
        """Return the attributes of a group or array; none if there is none."""
        if (found := self._json(node, _FORMAT_3)) is not None:
            return dict(found.get("attributes") or {})
        return dict(self._json(node, ".zattrs") or {})

    def layout(self, node: str) -> ArrayLayout | None:
        """Return the layout of an array, or None if there is no array at ``node``."""
        if (found := self._json(node, _FORMAT_3)) is not None:
            if found.get("node_type") != "array":
                return None
            if not _READS_FORMAT_3:
                raise UnsupportedImage(
                    f"{self.path.name} has Zarr's format 3, and the Zarr {zarr.__version__} that is installed reads "
                    "only format 2: read it where aicsimageio, which needs this old Zarr, is not installed."
                )
            keys = found.get("chunk_key_encoding") or {}
            new = keys.get("name", "default") == "default"
            separator = (keys.get("configuration") or {}).get("separator", "/" if new else ".")
            chunks = found["chunk_grid"]["configuration"]["chunk_shape"]
            return _layout(found, chunks, f"c{separator}" if new else "", separator)
        if (found := self._json(node, ".zarray")) is not None:
            return _layout(found, found["chunks"], "", found.get("dimension_separator", "."))
        return None

    def groups(self, node: str = "") -> list[str]:
        """Return the groups and arrays directly in a group, by name; numbers in their order."""
        if self._files is None:
            names = [entry.name for entry in os.scandir(self.path / node) if is_zarr_node(Path(entry.path))]
        else:
            start = _joined(node, "")
            parts = [f.removeprefix(start).split("/") for f in self._files if f.startswith(start)]
            names = sorted({p[0] for p in parts if len(p) == 2 and p[1] in (*_FORMAT_2, _FORMAT_3)})
        return sorted(names, key=lambda n: (not n.isdecimal(), int(n) if n.isdecimal() else 0, n))

    def missing_chunks(self, node: str, layout: ArrayLayout) -> NDArray[np.bool_]:
        """Return for each chunk of an array whether it is not there. No chunk is read."""
        here = self._keys(node)
        missing = np.zeros(layout.grid, bool)
        for index in np.ndindex(*layout.grid):
            missing[index] = layout.prefix + layout.separator.join(map(str, index)) not in here
        return missing

    def array(self, node: str) -> Any:
        """Open an array with zarr. No chunk is read."""
        if self._files is None:
            return zarr.open_array(str(self.path / node), mode="r")
        store = zarr.storage.ZipStore(str(self.path), mode="r")
        return zarr.open_array(store, path=self._top + node, mode="r")

    def _keys(self, node: str) -> set[str]:
        """Return the paths of all files below an array, from the array on."""
        if self._files is not None:
            start = _joined(node, "")
            return {name.removeprefix(start) for name in self._files if name.startswith(start)}
        top = str(self.path / node)
        keys: set[str] = set()
        for folder, _, names in os.walk(top):
            inside = "" if folder == top else os.path.relpath(folder, top).replace(os.sep, "/") + "/"
            keys.update(inside + name for name in names)
        return keys

    def _json(self, node: str, name: str) -> dict[str, Any] | None:
        key = _joined(node, name)
        if self._files is None:
            file = self.path / key
            if not file.is_file():
                return None
            text = file.read_text("utf-8")
        elif key in self._files:
            with zipfile.ZipFile(self.path) as archive:
                text = archive.read(self._top + key).decode("utf-8")
        else:
            return None
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"its metadata file {key} is damaged: {error}") from None
        if not isinstance(found, dict):
            raise ValueError(f"its metadata file {key} is damaged")
        return found


@dataclass(frozen=True, eq=False)
class ZarrPixels:
    """The pixels of an array, with damaged chunks reported in one sentence."""

    tree: ZarrTree
    node: str
    layout: ArrayLayout
    dtype: np.dtype[Any]

    def array(self, lazy: bool) -> Any:
        """Return the pixels at once, or as a dask array of the file's chunks."""
        opened = self.tree.array(self.node)
        if not lazy:
            with one_sentence_about(self.tree.path):
                return np.asarray(opened[...])
        import dask.array as da

        return da.map_blocks(
            _block,
            chunks=tuple(
                tuple(min(size, n - start) for start in range(0, n, size))
                for n, size in zip(self.layout.shape, self.layout.chunks, strict=True)
            ),
            dtype=self.dtype,
            meta=np.empty((0,) * len(self.layout.shape), self.dtype),
            name=f"zarr-{id(opened)}-{self.tree.path.name}",
            opened=opened,
            chunk=self.layout.chunks,
            path=self.tree.path,
        )


def _block(opened: Any, chunk: tuple[int, ...], path: Path, block_id: tuple[int, ...] = ()) -> NDArray[Any]:
    where = tuple(slice(i * size, (i + 1) * size) for i, size in zip(block_id, chunk, strict=True))
    with one_sentence_about(path):
        return np.asarray(opened[where])


def _layout(found: dict[str, Any], chunks: list[int], prefix: str, separator: str) -> ArrayLayout:
    shape = tuple(int(n) for n in found["shape"])
    sizes = tuple(max(1, min(int(size), n)) for size, n in zip(chunks, shape, strict=True))
    try:
        fill = float(found.get("fill_value") or 0)
    except (TypeError, ValueError):
        fill = math.nan
    return ArrayLayout(shape, sizes, prefix, separator, fill)


def _joined(node: str, name: str) -> str:
    return f"{node}/{name}" if node else name
