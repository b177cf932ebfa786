"""How a store is prepared: one record, kept in its folder, against which a second run is checked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from napari_ic_train.data.manifests import Entry, Manifest
from napari_ic_train.data.splits import SPLIT_BY, SplitBy
from napari_integrated_cell.imaging.pose import Box
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

RECIPE = "recipe.json"
FORMAT_VERSION = 1

ReferenceSource = Literal["stain", "segmentation", "mixed"]
REFERENCE_SOURCES: tuple[str, ...] = get_args(ReferenceSource)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a store holds.

    Attributes
    ----------
    manifest : str
        The manifest's SHA-256: a changed manifest is another one.
    box : Box
    references : {"stain", "segmentation", "mixed"}
    test_fraction : float
    seed : int
    split_by : {"cell", "field", "plate"}
    keep_other, keep_outliers, keep_daughters, keep_edge : bool
        Cells of other structures than the eleven, of doubtful quality, of one daughter alone, at the edge of a
        colony.
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
        """Why a sound cell is not wanted; None where it is."""
        if not self.keep_other and entry.structure not in STRUCTURE_NAMES:
            return f"other structure {entry.structure}"
        if not self.keep_outliers and entry.outlier:
            return "outlier"
        if not self.keep_daughters and entry.lone_daughter:
            return "daughter without the other"
        if not self.keep_edge and entry.edge:
            return "at the colony's edge"
        return None

    def group_of(self, entry: Entry) -> str:
        """What is kept on one side of the split: the cell, its field or its plate."""
        group = {"cell": None, "field": entry.field, "plate": entry.plate}[self.split_by]
        return group or entry.cell_id

    def as_json(self) -> dict[str, Any]:
        """Plain fields, as they come back from a file."""
        fields: dict[str, Any] = json.loads(json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}))
        return fields


def split_group(manifest: Manifest, asked: str | None) -> SplitBy:
    """What to keep together: as asked, else the field, else, where the manifest has none, each cell by itself."""
    if asked is not None and asked not in SPLIT_BY:
        raise ValueError(f"Cells cannot be split by {asked!r}: choose {', '.join(SPLIT_BY)}.")
    if asked in ("field", "plate") and asked not in manifest.groups:
        raise ValueError(
            f"Cells cannot be split by {asked}: {manifest.path.name} has no column that names it."
        )
    chosen = asked or ("field" if "field" in manifest.groups else "cell")
    return chosen  # type: ignore[return-value]


def begun_with(folder: Path, recipe: Recipe) -> bool:
    """Whether a store in ``folder`` was begun with this recipe; False where there is none.

    Raises
    ------
    ValueError
        If it was begun with another one; the sentence names what differs.
    """
    file = folder / RECIPE
    if not file.is_file():
        return False
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"The record {file} of how a store was prepared is damaged: {error}.") from error
    now = recipe.as_json()
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if differing:
        raise ValueError(
            f"The folder {folder} holds a store prepared otherwise ({', '.join(differing)}; see {RECIPE} in "
            "it): prepare it with the same settings, or into another folder."
        )
    return True


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Keep the recipe in the store's folder, aside and renamed."""
    aside = folder / f".{RECIPE}.part"
    aside.write_text(json.dumps(recipe.as_json(), indent=2), encoding="utf-8")
    aside.replace(folder / RECIPE)
