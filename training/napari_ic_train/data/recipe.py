"""Settings of a store, kept in its folder. A second run with other settings is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from napari_ic_train.data.splits import SPLIT_BY, SplitBy, split_of
from napari_integrated_cell.data.cell_table import CellTable
from napari_integrated_cell.data.entry import Entry
from napari_integrated_cell.imaging.pose import Box
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

RECIPE = "recipe.json"
FORMAT_VERSION = 1

ReferenceSource = Literal["stain", "segmentation", "mixed"]
REFERENCE_SOURCES: tuple[str, ...] = get_args(ReferenceSource)


@dataclass(frozen=True)
class Recipe:
    """All settings that decide what a store holds.

    Attributes
    ----------
    manifest : str
        SHA-256 of the table of cells.
    box : Box
    references : {"stain", "segmentation", "mixed"}
    test_fraction : float
    seed : int
    split_by : {"cell", "field", "plate"}
    keep_other, keep_outliers, keep_daughters, keep_edge : bool
        Whether to keep cells of structures beyond the eleven, outliers, single daughters of a division, and cells
        at the edge of their colony.
    keep_shapes : bool
        Whether to keep cells without a structure, which teach phase 1 only.
    """

    manifest: str
    box: Box
    references: ReferenceSource
    test_fraction: float
    seed: int
    split_by: SplitBy
    keep_other: bool
    keep_outliers: bool
    keep_daughters: bool
    keep_edge: bool
    keep_shapes: bool = False

    def __post_init__(self) -> None:
        if self.references not in REFERENCE_SOURCES:
            raise ValueError(
                f"References cannot come from {self.references!r}: choose {', '.join(REFERENCE_SOURCES)}."
            )
        if not 0 <= self.test_fraction < 1:
            raise ValueError(
                f"A fraction of {self.test_fraction} cannot be held out: give a number from 0 to below 1."
            )

    def left_out(self, entry: Entry) -> str | None:
        """Return why a cell is left out on purpose; None if it is not."""
        if not entry.structure:
            if (
                split_of(self.group_of(entry), self.seed, self.test_fraction) == "test"
                and self.split_by != "cell"
            ):
                return f"without a structure, in a held-out {self.split_by}"
        elif not self.keep_other and entry.structure not in STRUCTURE_NAMES:
            return f"other structure {entry.structure}"
        if not self.keep_outliers and entry.outlier:
            return "outlier"
        if not self.keep_daughters and entry.lone_daughter:
            return "daughter without the other"
        if not self.keep_edge and entry.edge:
            return "at the colony's edge"
        return None

    def group_of(self, entry: Entry) -> str:
        """Return the id that decides the side of the split: of the cell, its field or its plate."""
        group = {"cell": "", "field": entry.field, "plate": entry.plate}[self.split_by]
        return group or entry.cell_id

    def as_json(self) -> dict[str, Any]:
        """Return the fields as they are read back from a file."""
        own = {name: value for name, value in asdict(self).items() if name != "keep_shapes" or value}
        fields: dict[str, Any] = json.loads(json.dumps({"format_version": FORMAT_VERSION, **own}))
        return fields


def split_group(table: CellTable, asked: str | None) -> SplitBy:
    """Return what stays on one side of the split: as asked, else the field if the table names it, else the cell."""
    if asked is not None and asked not in SPLIT_BY:
        raise ValueError(f"Cells cannot be split by {asked!r}: choose {', '.join(SPLIT_BY)}.")
    if asked in ("field", "plate") and asked not in table.groups:
        raise ValueError(f"Cells cannot be split by {asked}: {table.path.name} has no column that names it.")
    chosen = asked or ("field" if "field" in table.groups else "cell")
    return chosen  # type: ignore[return-value]


def begun_with(folder: Path, recipe: Recipe) -> bool:
    """Return whether a store in ``folder`` was begun with this recipe; False if there is no store.

    Raises
    ------
    ValueError
        If it was begun with another recipe. The message names what differs.
    """
    file = folder / RECIPE
    if not file.is_file():
        return False
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"The settings of the store in {file} cannot be read: {error}.") from error
    now = recipe.as_json()
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if differing:
        raise ValueError(
            f"The folder {folder} holds a store prepared with other settings ({', '.join(differing)}; see {RECIPE}): "
            "use the same settings, or another folder."
        )
    return True


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the recipe into the store's folder."""
    aside = folder / f".{RECIPE}.part"
    aside.write_text(json.dumps(recipe.as_json(), indent=2), encoding="utf-8")
    aside.replace(folder / RECIPE)
