"""A named position in a model's latent spaces, as JSON for the clipboard and as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.imaging.atomic import atomic_write

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import CancelToken


_KIND = "napari-integrated-cell position"

WEIGHTS = "model_weights"
"""Column of a position table with the fingerprint of the model."""


@dataclass(frozen=True, eq=False)
class Position:
    """A cell in the latent spaces: its shape z^r, and the remaining variation z^s of each structure.

    Attributes
    ----------
    z_ref : array of float32, (n_ref,)
        z^r, the cell and nuclear shape.
    z_struct : mapping of str to array of float32, (n_struct,)
        z^s by structure. A structure that is left out is at the prior's mode, zeros, as in Algorithm 3.
    name : str
        The user's name for it.
    weights : str
        :func:`~.model.fingerprint.fingerprint` of the model, if the position comes from a file or the clipboard. With
        other weights the same numbers are another cell. Empty if unknown.
    """

    z_ref: Floats
    z_struct: Mapping[str, Floats] = field(default_factory=dict)
    name: str = ""
    weights: str = ""

    def __post_init__(self) -> None:
        z_struct = {name: _vector(z, f"z^s of {name}") for name, z in self.z_struct.items()}
        # Store checked values. In a frozen dataclass, object.__setattr__ is the documented way to do that.
        object.__setattr__(self, "z_ref", _vector(self.z_ref, "z^r"))
        object.__setattr__(
            self, "z_struct", MappingProxyType({name: z for name, z in z_struct.items() if z.any()})
        )

    def __eq__(self, other: object) -> bool:
        """Return whether two positions have the same latent codes. Names are ignored."""
        if not isinstance(other, Position):
            return NotImplemented
        return (
            np.array_equal(self.z_ref, other.z_ref)
            and self.z_struct.keys() == other.z_struct.keys()
            and all(np.array_equal(z, other.z_struct[name]) for name, z in self.z_struct.items())
        )

    __hash__ = None  # type: ignore[assignment]

    def z_struct_of(self, structure: str, n_struct: int) -> Floats:
        """Return z^s (n_struct,) of a structure; zeros if it is at its mode."""
        found = self.z_struct.get(structure)
        return np.zeros(n_struct, np.float32) if found is None else found

    def with_z_struct(self, structure: str, z_struct: Floats) -> Self:
        """Return the position with another z^s (n_struct,) of one structure."""
        return replace(self, z_struct={**self.z_struct, structure: z_struct})

    def to_json(self) -> str:
        """Return the position as a JSON object, for :meth:`from_json`."""
        return json.dumps(
            {
                "kind": _KIND,
                "name": self.name,
                "weights": self.weights,
                "z_ref": [float(v) for v in self.z_ref],
                "z_struct": {name: [float(v) for v in z] for name, z in self.z_struct.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the position from the text that :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not a position.
        """
        try:
            found = json.loads(text)
            if not isinstance(found, dict) or found.get("kind") != _KIND:
                raise ValueError("it does not describe a position")
            words = (str(found.get(key, "")) for key in ("name", "weights"))
            return cls(found["z_ref"], found.get("z_struct", {}), *words)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"This is not a latent position ({error}): copy one from the latent explorer."
            ) from None

    def check_fits(self, model: IntegratedCell) -> None:
        """Raise an error if the position belongs to another model.

        Raises
        ------
        ValueError
            If a length, a structure or, if they are known, the weights are not the model's.
        """
        from napari_integrated_cell.model.fingerprint import fingerprint

        config = model.config
        foreign = sorted(self.z_struct.keys() - set(config.structures))
        lengths = {len(z) for z in self.z_struct.values()} - {config.n_struct}
        if len(self.z_ref) != config.n_ref:
            what = f"its z^r has {len(self.z_ref)} of {config.n_ref} dimensions"
        elif foreign:
            what = f"the model has no {foreign[0]}"
        elif lengths:
            what = f"its z^s has {lengths.pop()} of {config.n_struct} dimensions"
        elif self.weights and self.weights != fingerprint(model):
            what = f"{model.name!r} has other weights than the model it comes from"
        else:
            return
        raise ValueError(f"The position belongs to another model: {what}.")


def decode(
    model: IntegratedCell, position: Position, channels: Iterable[str], *, cancel: CancelToken | None = None
) -> dict[str, Floats]:
    """Decode the cell at a position: x̂^r = Dec^r(z^r) (equation 2), x̂^s of Dec^{r,s}(z^r, y, z^s) (equation 12).

    Parameters
    ----------
    model : IntegratedCell
    position : Position
        A position in the model's latent spaces.
    channels : iterable of str
        Names of reference channels and structures. Nothing else is computed.
    cancel : CancelToken, optional
        Checked between batches.

    Returns
    -------
    dict of str to array (Z, Y, X)
        Volumes in the model's box, in the order of ``channels``.

    Raises
    ------
    ValueError
        If a latent code has the wrong length, or the model has no such channel.
    Cancelled
        If ``cancel`` was set.
    """
    wanted = list(dict.fromkeys(channels))
    z_ref = position.z_ref[None]
    found: dict[str, Floats] = {}
    references = model.config.references
    if any(name in references for name in wanted):
        found.update(zip(references, model.decode_reference(z_ref, cancel=cancel)[0], strict=True))
    structures = [name for name in wanted if name not in references]
    # Structures at their mode share one call. Each other structure has its own z^s.
    at_mode = [name for name in structures if name not in position.z_struct]
    groups = [(at_mode, None), *(([n], position.z_struct[n][None]) for n in structures if n not in at_mode)]
    for names, z_struct in groups:
        if names:
            volumes = model.decode_structures(z_ref, names, z_struct, cancel=cancel)
            found.update({name: volumes[name][0] for name in names})
    return {name: found[name] for name in wanted}


def write_positions(path: str | Path, positions: Sequence[Position]) -> Path:
    """Write positions as a table with one row each.

    The columns are ``name``, ``model_weights``, ``z_ref_0``... and ``STRUCTURE:z_struct_0``...

    Raises
    ------
    ValueError
        If there are none, or they belong to several models.
    OSError
        If the file cannot be written. An existing file is unchanged.
    """
    if not positions:
        raise ValueError("There is no position to save: give at least one.")
    n_ref = len(positions[0].z_ref)
    names = sorted({name for position in positions for name in position.z_struct})
    sizes = {len(z) for position in positions for z in position.z_struct.values()}
    if any(len(position.z_ref) != n_ref for position in positions) or len(sizes) > 1:
        raise ValueError(
            "The positions belong to several models: save the positions of each in a separate table."
        )
    n_struct = sizes.pop() if sizes else 0
    rows = [["name", WEIGHTS, *latent_columns(n_ref, names, n_struct)]]
    for position in positions:
        struct = [float(v) for name in names for v in position.z_struct_of(name, n_struct)]
        codes = (repr(v) for v in [*map(float, position.z_ref), *struct])
        rows.append([position.name, position.weights, *codes])
    return write_rows(path, rows)


def latent_columns(n_ref: int, structures: Sequence[str], n_struct: int) -> list[str]:
    """Return the column names of z^r and of each structure's z^s in a table of positions."""
    struct = [f"{name}:z_struct_{i}" for name in structures for i in range(n_struct)]
    return [f"z_ref_{i}" for i in range(n_ref)] + struct


def write_rows(path: str | Path, rows: Iterable[Sequence[Any]]) -> Path:
    """Write rows, with the column names first, as a CSV file. After an error, an existing file is unchanged."""
    target = Path(path)
    with atomic_write(target) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return target


def read_positions(path: str | Path) -> list[Position]:
    """Read positions from a table that :func:`write_positions` wrote, or from one with the same columns.

    Raises
    ------
    ValueError
        If the file is not such a table. The message names the row.
    OSError
        If the file cannot be read.
    """
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or ()
        ref = _columns(columns, "z_ref_")
        names = dict.fromkeys(c.rpartition(":z_struct_")[0] for c in columns if ":z_struct_" in c)
        struct = {name: _columns(columns, f"{name}:z_struct_") for name in names}
        if not ref:
            raise ValueError(f"{path} is not a table of positions: it has no columns z_ref_0, z_ref_1, ...")
        positions = []
        for number, row in enumerate(rows, 2):
            try:
                z_struct = {name: [float(row[c]) for c in of] for name, of in struct.items()}
                z_ref, words = [float(row[c]) for c in ref], (row.get(c) or "" for c in ("name", WEIGHTS))
                positions.append(Position(z_ref, z_struct, *words))  # type: ignore[arg-type]
            except (ValueError, TypeError) as error:
                raise ValueError(f"Row {number} of {path} is not a position ({error}): correct it.") from None
    return positions


def _columns(columns: Sequence[str], start: str) -> list[str]:
    """Return the columns start0, start1, ... without gaps."""
    return list(takewhile(set(columns).__contains__, (f"{start}{i}" for i in count())))


def _vector(values: Any, what: str) -> Floats:
    vector = np.array(values, np.float32)
    if vector.ndim != 1 or not len(vector):
        raise ValueError(f"{what} has shape {vector.shape}: give one number per dimension")
    if not np.isfinite(vector).all():
        raise ValueError(f"{what} holds NaN or infinite values")
    vector.setflags(write=False)
    return vector
