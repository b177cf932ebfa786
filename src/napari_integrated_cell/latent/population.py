"""Embedded cells: latent codes, a table of what is known about each cell, and their file.

The file is Parquet. It has the table's columns, ``z_ref`` and ``z_struct`` as lists of one length, and in its
metadata the model that embedded the cells. A bundle may contain such a file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Floats, Mask, Reals
from napari_integrated_cell.imaging.atomic import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from napari_integrated_cell.model.integrated_cell import IntegratedCell


CELL_ID = "cell_id"
ROW = "row"
"""Column with a cell's row in the store or table that was embedded."""

_KIND = "napari-integrated-cell population"
_LARGEST = 1 << 32  # bytes of a bundle's file, enough for ten million cells


@dataclass(frozen=True)
class Measure:
    """Label and unit of a column of measured shape."""

    label: str
    unit: str


MEASURES: dict[str, Measure] = {
    "cell_volume": Measure("Cell volume", "µm³"),
    "nucleus_volume": Measure("Nucleus volume", "µm³"),
    "height": Measure("Height", "µm"),
    "length": Measure("Length", "µm"),
    "width": Measure("Width", "µm"),
    "elongation": Measure("Elongation", ""),
}
"""Shape columns that :mod:`napari_integrated_cell.latent.embedding` measures on the segmentations."""


@dataclass(frozen=True, eq=False)
class Population:
    """Embedded cells.

    Attributes
    ----------
    z_ref : array of float32, (N, n_ref)
        z^r = Enc^r(x^r) (equation 1).
    z_struct : array of float32, (N, n_struct), or None
        z^s of Enc^{r,s} (equation 7), NaN for cells without a structure channel; None if no cell has one.
    table : pandas.DataFrame
        One row per cell: ``cell_id`` and, if known, ``stage``, ``structure``, ``split`` and other columns.
    name : str
        Name of the cells' source, for people.
    model, weights : str
        Name and :func:`~.model.fingerprint.fingerprint` of the model that embedded the cells.
    source : str
        Path of the embedded store or table, to which the column ``row`` refers; empty if it is not available.
    """

    z_ref: Floats
    z_struct: Floats | None
    table: pd.DataFrame
    name: str = ""
    model: str = ""
    weights: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if len({len(part) for part in (self.z_ref, self.z_struct, self.table) if part is not None}) > 1:
            raise ValueError(
                "The table and the embeddings have different lengths: give each one row for every cell."
            )

    def __len__(self) -> int:
        return len(self.z_ref)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        model = f" embedded by the model {self.model!r}" if self.model else ""
        return (
            f"<Population{name}: {len(self):,} cells{model}, {int(self.has_z_struct.sum()):,} of them with z_struct; "
            f"z_ref of {self.z_ref.shape[1]} dimensions; table of {', '.join(map(str, self.table))}>"
        )

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures for which at least one cell has z^s, in alphabetical order."""
        if self.z_struct is None or "structure" not in self.table:
            return ()
        return tuple(sorted(self.table["structure"][self.has_z_struct].dropna().unique()))

    @property
    def has_z_struct(self) -> Mask:
        """Whether each cell has a z^s, (N,)."""
        if self.z_struct is None:
            return np.zeros(len(self), bool)
        return np.asarray(np.isfinite(self.z_struct).all(1))

    def taken(self, rows: NDArray[Any] | Sequence[int]) -> Self:
        """Return some of the cells, by index or by a mask (N,)."""
        index = np.arange(len(self))[np.asarray(rows)]
        return replace(
            self,
            z_ref=self.z_ref[index],
            z_struct=None if self.z_struct is None else self.z_struct[index],
            table=self.table.iloc[index].reset_index(drop=True),
        )

    def check_fits(self, model: IntegratedCell) -> None:
        """Raise an error if another model embedded the cells.

        Raises
        ------
        ValueError
            If a length or the model's weights differ.
        """
        from napari_integrated_cell.model.fingerprint import fingerprint

        config = model.config
        n_struct = config.n_struct if self.z_struct is None else self.z_struct.shape[1]
        same_size = self.z_ref.shape[1] == config.n_ref and n_struct == config.n_struct
        if not same_size or (self.weights and self.weights != fingerprint(model)):
            raise ValueError(
                f"These cells were embedded by another model ({self.model or 'it has no name'}) than "
                f"{model.name!r}: embed them again with `napari-ic embed`."
            )


def write_population(path: str | Path, population: Population) -> Path:
    """Write a population as one Parquet file.

    Raises
    ------
    OSError
        If the file cannot be written. An existing file is unchanged.
    """
    target = Path(path)
    with atomic_write(target) as aside:
        aside.write_bytes(population_bytes(population))
    return target


def read_population(path: str | Path) -> Population:
    """Read a population that :func:`write_population` wrote.

    Raises
    ------
    ValueError
        If the file is not a population.
    OSError
        If the file cannot be read.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}: check the path.")
    return population_of_bytes(file.read_bytes(), str(file))


def bundled_population(source: str | Path, model: IntegratedCell) -> Population | None:
    """Return the cells in a model's bundle, or None if it has none.

    Parameters
    ----------
    source : str or path
        Name or path of the model, as for :func:`~.model.bundle.load_model`.
    model : IntegratedCell
        The model.

    Raises
    ------
    ValueError
        If there is no such bundle, its cells are damaged, or another model embedded them.
    """
    from napari_integrated_cell.model import archive
    from napari_integrated_cell.model.catalogue import locate
    from napari_integrated_cell.model.latent_files import CELLS

    with archive.open_archive(locate(source)) as bundle:
        if not bundle.holds(CELLS):
            return None
        content, where = bundle.read(CELLS, limit=_LARGEST), f"{CELLS} of {bundle.path}"
    found = population_of_bytes(content, where)
    found.check_fits(model)
    return found


def population_bytes(population: Population, dtype: type[np.floating] = np.float32) -> bytes:
    """Return the Parquet file of a population. ``dtype`` float16 halves it and keeps three digits."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array(column, from_pandas=True) for name, column in population.table.items()}
    columns["z_ref"] = _lists(population.z_ref.astype(dtype))
    if population.z_struct is not None:
        columns["z_struct"] = _lists(population.z_struct.astype(dtype), population.has_z_struct)
    about = {name: getattr(population, name) for name in ("name", "model", "weights", "source")}
    text = json.dumps({"kind": _KIND, "format_version": 1, **about})
    file = io.BytesIO()
    pq.write_table(pa.table(columns, metadata={_KIND: text}), file, compression="zstd")
    return file.getvalue()


def population_of_bytes(content: bytes, where: str) -> Population:
    """Return the population in a file's content. Errors call the file ``where``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content))
        about = json.loads((table.schema.metadata or {}).get(_KIND.encode(), b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{where} is not a Parquet file ({' '.join(str(error).split())}).") from None
    if not isinstance(about, dict) or about.get("kind") != _KIND:
        raise ValueError(f"{where} has no embedded cells: make such a file with `napari-ic embed`.")
    if about.get("format_version") != 1:
        raise ValueError(f"{where} is from a newer version: update napari-integrated-cell.")
    z_ref = _matrix(table, "z_ref", where)
    if not len(z_ref) or not np.isfinite(z_ref).all() or CELL_ID not in table.column_names:
        raise ValueError(f"{where} cannot be used: it needs cells, each with a cell_id and a finite z_ref.")
    z_struct = _matrix(table, "z_struct", where) if "z_struct" in table.column_names else None
    rest = table.select([name for name in table.column_names if name not in ("z_ref", "z_struct")])
    facts = {name: str(about.get(name, "")) for name in ("name", "model", "weights", "source")}
    return Population(z_ref, z_struct, rest.to_pandas(ignore_metadata=True), **facts)


def _lists(values: Reals, there: Mask | None = None) -> pa.Array:
    import pyarrow as pa

    missing = None if there is None else pa.array(~there)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1], mask=missing)


def _matrix(table: pa.Table, name: str, where: str) -> Floats:
    """Return a column of lists as (N, d) float32, with rows of NaN for null."""
    import pyarrow as pa

    if name not in table.column_names or not pa.types.is_fixed_size_list(table.schema.field(name).type):
        raise ValueError(f"{where} cannot be used: its column {name} must hold lists of one length.")
    kind = table.schema.field(name).type
    if not pa.types.is_floating(kind.value_type):
        raise ValueError(f"{where} cannot be used: its column {name} must hold floating-point numbers.")
    column = table[name].combine_chunks()
    found = np.full((len(column), kind.list_size), np.nan, np.float32)
    # `flatten` skips nulls.
    present = column.is_valid().to_numpy(zero_copy_only=False)
    found[present] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, kind.list_size)
    return found
