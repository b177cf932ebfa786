"""A position in a model's latent spaces, with a name; as JSON for the clipboard and as a table for the disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
"""A table's column of whose positions its rows are."""


@dataclass(frozen=True, eq=False)
class Position:
    """Where a cell is: its shape, and each structure's remaining variation.

    Attributes
    ----------
    z_ref : array of float32, (n_ref,)
        Cell and nuclear shape.
    z_struct : mapping of str to array of float32, (n_struct,)
        By structure; one that is left out is at the prior's mode, zeros, as Algorithm 3 has it.
    name : str
        What the user calls it.
    weights : str
        The :func:`~.model.fingerprint.fingerprint` of the model whose latent spaces these are, where a position left
        the program with it: among the weights of another fit the same numbers are another cell.
    """

    z_ref: Floats
    z_struct: Mapping[str, Floats] = field(default_factory=dict)
    name: str = ""
    weights: str = ""

    def __post_init__(self) -> None:
        z_struct = {name: _vector(z, f"z^s of {name}") for name, z in self.z_struct.items()}
        # A frozen dataclass keeps checked, normalised values: object.__setattr__ is its documented way.
        object.__setattr__(self, "z_ref", _vector(self.z_ref, "z^r"))
        object.__setattr__(
            self, "z_struct", MappingProxyType({name: z for name, z in z_struct.items() if z.any()})
        )

    def __eq__(self, other: object) -> bool:
        """Whether two positions are one place, whatever they are called."""
        if not isinstance(other, Position):
            return NotImplemented
        return (
            np.array_equal(self.z_ref, other.z_ref)
            and self.z_struct.keys() == other.z_struct.keys()
            and all(np.array_equal(z, other.z_struct[name]) for name, z in self.z_struct.items())
        )

    __hash__ = None  # type: ignore[assignment]

    def z_struct_of(self, structure: str, n_struct: int) -> Floats:
        """z^s of a structure, (n_struct,): zeros where it is at its mode."""
        found = self.z_struct.get(structure)
        return np.zeros(n_struct, np.float32) if found is None else found

    def with_z_struct(self, structure: str, z_struct: Floats) -> Self:
        """The position with another z^s of one structure."""
        return replace(self, z_struct={**self.z_struct, structure: z_struct})

    def to_json(self) -> str:
        """The position as one JSON object, as :meth:`from_json` takes it."""
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
        """The position that :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            found = json.loads(text)
            if not isinstance(found, dict) or found.get("kind") != _KIND:
                raise ValueError("it is of another kind")
            words = (str(found.get(key, "")) for key in ("name", "weights"))
            return cls(found["z_ref"], found.get("z_struct", {}), *words)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"This is not a latent position as this program copies it ({error}).") from None

    def check_fits(self, model: IntegratedCell) -> None:
        """Refuse a position of another model.

        Raises
        ------
        ValueError
            If a length, a structure or, where the position has them, the weights are not the model's.
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
            what = f"{model.name!r} as it is open has other weights than the one it comes from"
        else:
            return
        raise ValueError(f"The position belongs to another model: {what}.")


def decode(
    model: IntegratedCell, position: Position, channels: Iterable[str], *, cancel: CancelToken | None = None
) -> dict[str, Floats]:
    """The cell at a position: x̂^r = Dec^r(z^r) (equation 2), and x̂^s of Dec^{r,s}(z^r, y, z^s) (equation 12).

    Parameters
    ----------
    model : IntegratedCell
    position : Position
        In its latent spaces.
    channels : iterable of str
        Reference channels and structures of the model's. Nothing else is computed.
    cancel : CancelToken, optional
        Looked at between batches.

    Returns
    -------
    dict of str to array (Z, Y, X)
        In the order asked for.
    """
    wanted = list(dict.fromkeys(channels))
    z_ref = position.z_ref[None]
    found: dict[str, Floats] = {}
    references = model.config.references
    if any(name in references for name in wanted):
        found.update(zip(references, model.decode_reference(z_ref, cancel=cancel)[0], strict=True))
    structures = [name for name in wanted if name not in references]
    # Structures at their mode share a batch, each of the others has a z^s of its own.
    at_mode = [name for name in structures if name not in position.z_struct]
    groups = [(at_mode, None), *(([n], position.z_struct[n][None]) for n in structures if n not in at_mode)]
    for names, z_struct in groups:
        if names:
            volumes = model.decode_structures(z_ref, names, z_struct, cancel=cancel)
            found.update({name: volumes[name][0] for name in names})
    return {name: found[name] for name in wanted}


def write_positions(path: str | Path, positions: Sequence[Position]) -> Path:
    """Write positions as a table, a row each.

    Its columns are ``name``, ``model_weights``, ``z_ref_0``... and ``STRUCTURE:z_struct_0``...

    Raises
    ------
    ValueError
        If there are none, or they are of several models.
    OSError
        If the file cannot be written; what was there before is kept.
    """
    if not positions:
        raise ValueError("There is no position to save.")
    n_ref = len(positions[0].z_ref)
    names = sorted({name for position in positions for name in position.z_struct})
    sizes = {len(z) for position in positions for z in position.z_struct.values()}
    if any(len(position.z_ref) != n_ref for position in positions) or len(sizes) > 1:
        raise ValueError("The positions are of several models: save each model's in a table of its own.")
    n_struct = sizes.pop() if sizes else 0
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["name", WEIGHTS, *(f"z_ref_{i}" for i in range(n_ref))]
        + [f"{name}:z_struct_{i}" for name in names for i in range(n_struct)]
    )
    for position in positions:
        struct = [float(v) for name in names for v in position.z_struct_of(name, n_struct)]
        rows.writerow(
            [position.name, position.weights, *(repr(v) for v in [*map(float, position.z_ref), *struct])]
        )
    target = Path(path)
    with atomic_write(target) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")
    return target


def read_positions(path: str | Path) -> list[Position]:
    """The positions of a table that :func:`write_positions` wrote, or one with columns of those names.

    Raises
    ------
    ValueError
        If it is no such table; the message names the row.
    OSError
        If it cannot be read.
    """
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or ()
        ref = _columns(columns, "z_ref_")
        names = dict.fromkeys(c.rpartition(":z_struct_")[0] for c in columns if ":z_struct_" in c)
        struct = {name: _columns(columns, f"{name}:z_struct_") for name in names}
        if not ref:
            raise ValueError(f"{path} is no table of positions: it has no columns z_ref_0, z_ref_1, ...")
        positions = []
        for number, row in enumerate(rows, 2):
            try:
                z_struct = {name: [float(row[c]) for c in of] for name, of in struct.items()}
                z_ref, words = [float(row[c]) for c in ref], (row.get(c) or "" for c in ("name", WEIGHTS))
                positions.append(Position(z_ref, z_struct, *words))  # type: ignore[arg-type]
            except (ValueError, TypeError) as error:
                raise ValueError(f"Row {number} of {path} is no position ({error}).") from None
    return positions


def _columns(columns: Sequence[str], start: str) -> list[str]:
    """The columns start0, start1, ..., as far as there are any."""
    found = set(columns)
    names: list[str] = []
    while f"{start}{len(names)}" in found:
        names.append(f"{start}{len(names)}")
    return names


def _vector(values: Any, what: str) -> Floats:
    vector = np.array(values, np.float32)
    if vector.ndim != 1 or not len(vector):
        raise ValueError(f"{what} has shape {vector.shape}: give one number a dimension")
    if not np.isfinite(vector).all():
        raise ValueError(f"{what} holds NaN or infinite values")
    vector.setflags(write=False)
    return vector
