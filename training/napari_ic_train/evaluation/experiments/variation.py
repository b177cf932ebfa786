"""Section 3.4.5, Figures S7 and S8: how much of a structure's localisation a cell's shape leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.bundle.variation import manifest_of, posed_masks
from napari_ic_train.data.subsets import stages_of
from napari_ic_train.evaluation.drawing import COLOURS, cell_tile, label_of, panels, sheet, svg
from napari_ic_train.evaluation.experiment import (
    SPLITS,
    Context,
    Figure,
    Findings,
    Interval,
    Split,
    Table,
    Value,
)
from napari_ic_train.evaluation.metrics.bootstrap import bootstrap
from napari_integrated_cell.model.runtime import Progress
from napari_integrated_cell.model.variation_reference import GROUPS, group_of
from napari_integrated_cell.picture import Rgb
from napari_integrated_cell.variation.structure_variation import (
    RIDGE,
    Draws,
    StructureVariation,
    structure_variation,
)

CELLS = 6
"""Cells of each side and group at most."""
SHOWN = 3
ALL = "all stages"

DARK = 1e-6

Volume = NDArray[np.float32]
Masks = dict[str, Volume]


@dataclass(frozen=True, eq=False)
class Scored:
    """A cell's scores of Algorithm 4, and what its structures look like on average."""

    cell_id: str
    split: Split
    group: str
    stage: str
    scores: dict[str, float] = field(default_factory=dict)
    ranks: dict[str, float] = field(default_factory=dict)
    tiles: dict[str, Rgb] = field(default_factory=dict, repr=False)


class StructureVariations:
    """Scores by structure, in interphase and in mitosis, and the cells with most and least variation."""

    name = "structure-variation"
    title = "Variation of structures in given shapes"
    section = "3.4.5, Algorithm 4, Figures S7 and S8"

    def needs(self, context: Context) -> str | None:
        """Cells, and two draws."""
        if context.draws < 2:
            return f"{context.draws} draws cannot vary: ask for two at least."
        return None if any(len(context.cells[s]) for s in SPLITS) else "The store has no cells."

    def run(self, context: Context) -> Findings:
        """Draw every structure in every chosen cell."""
        chosen = chosen_cells(context)
        table = context.store.table
        ids = {int(i): str(table["CellId"].iloc[i]) for found in chosen.values() for i in found}
        masks, where = _masks(context, ids)
        stages, cells = stages_of(context.store), []
        each = context.draws * len(context.structures)
        total, done = len(ids) * each, 0
        dark: list[str] = []
        for (split, group), positions in chosen.items():
            for position in positions:
                cell = Scored(ids[int(position)], split, group, str(stages[position] or ""))
                references = context.images(np.array([position]))[:, :-1]

                def told(structure: int, part: int, _: int, what: str, before: int = done) -> None:
                    drawn = before + structure * context.draws + part
                    context.progress(drawn, total, "measuring how much structures vary")

                z_ref = context.model.encode(references)
                for i, name in enumerate(context.structures):
                    found = _varied(context, z_ref, name, masks.get(cell.cell_id), partial(told, i))
                    if found is None:
                        dark.append(f"{name} in cell {cell.cell_id}")
                        continue
                    cell.scores[name], cell.ranks[name] = found.score, found.effective_rank
                    cell.tiles[name] = cell_tile(np.concatenate([references[0], found.mean[None]]), name)
                cells.append(cell)
                done += each
        keys = list(chosen)
        return Findings(
            headline=_headline(context, cells),
            tables=(_medians(context, cells, keys), _by_cell(context, cells)),
            figures=(
                Figure("Scores by structure (Figure S7)", _strips(context, cells, keys)),
                *_extremes(context, cells),
            ),
            notes=f"The score is -log|ρ + {RIDGE:g} I| / n of the correlations ρ between n = {context.draws} draws "
            f"(the paper draws 1000; scores of different n do not compare), compared {where}: a larger score is "
            f"less variation. At most {CELLS} cells of each side and group."
            + (f"\n\nWithout a score, for nothing of it is drawn: {', '.join(dark)}." if dark else ""),
        )


def _varied(
    context: Context, z_ref: Volume, name: str, mask: Volume | None, progress: Progress
) -> StructureVariation | None:
    """A structure's variation in a cell; None where its draws are the same in every voxel."""
    try:
        return structure_variation(
            context.model,
            z_ref,
            name,
            context.draws,
            context.seed,
            mask=mask,
            batch_size=context.batch_size,
            progress=progress,
            cancel=context.cancel,
        )
    except ValueError:
        first = next(Draws(context.model, z_ref, name, context.seed).blocks(context.draws))
        if np.ptp(first[:, mask > 0.5] if mask is not None else first) < DARK:
            return None
        raise


def chosen_cells(context: Context) -> dict[tuple[Split, str], NDArray[np.int64]]:
    """Some cells of each side in interphase and in mitosis, by position; of all stages where none is known."""
    stages = stages_of(context.store)
    groups = np.array(["" if stage is None else group_of(stage) for stage in stages])
    found = {}
    for split in SPLITS:
        positions = np.asarray(context.cells[split])
        known = [group for group in GROUPS if (groups[positions] == group).any()]
        for group in known or [ALL]:
            members = positions[groups[positions] == group] if known else positions
            drawn = np.random.default_rng(context.seed).permutation(members)[:CELLS]
            if len(drawn):
                found[split, group] = np.sort(drawn)
    return found


def _masks(context: Context, ids: dict[int, str]) -> tuple[Masks, str]:
    """Where cells are in the box, by their segmentations, as far as those can be found."""
    try:
        masks = posed_masks(manifest_of(context.store), ids.values(), context.model)
        return masks, "inside each cell"
    except (ValueError, OSError):
        return {}, "in the whole box (the segmentations of the cells are not at hand)"


def _headline(context: Context, cells: list[Scored]) -> dict[str, Interval]:
    """How many structures vary more in mitosis, in held-out cells if there are any; the paper reports it of four."""
    split = "test" if any(c.split == "test" for c in cells) else "train"
    mine = [c for c in cells if c.split == split]
    if {c.group for c in mine} != set(GROUPS):
        return {}
    mitotic = np.array([c.group == GROUPS[1] for c in mine])
    scores = np.array([[c.scores.get(name, np.nan) for name in context.structures] for c in mine])
    scores = scores[:, np.isfinite(scores).all(0)]

    def more(chosen: NDArray[np.int64]) -> float:
        groups = [scores[chosen[mitotic[chosen] == group]] for group in (False, True)]
        if not all(map(len, groups)):
            return float("nan")
        interphase, mitosis = (np.median(group, 0) for group in groups)
        return float((mitosis < interphase).sum())

    name = f"structures that vary more in mitosis, of {len(context.structures)}"
    return {name: bootstrap(np.arange(len(mine)), more, seed=context.seed)}


def _medians(context: Context, cells: list[Scored], keys: list[tuple[Split, str]]) -> Table:
    rows: list[list[Value]] = []
    for name in context.structures:
        row: list[Value] = [label_of(name)]
        for figures in ("scores", "ranks"):
            for key in keys:
                row.append(
                    _median([getattr(c, figures).get(name) for c in cells if (c.split, c.group) == key])
                )
        rows.append(row)
    columns = [f"{what}, {split}, {group}" for what in ("score", "effective rank") for split, group in keys]
    return Table(
        "Medians by structure",
        ("structure", *columns),
        rows,
        "The effective rank of the draws is 1 where all are the same and n where they have nothing in common.",
    )


def _median(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.median(there)) if there else None


def _by_cell(context: Context, cells: list[Scored]) -> Table:
    rows: list[list[Value]] = [
        [c.cell_id, c.split, c.stage, *(c.scores.get(name) for name in context.structures)] for c in cells
    ]
    labels = [label_of(name) for name in context.structures]
    return Table("Scores by cell", ("cell", "split", "stage", *labels), rows)


def _strips(context: Context, cells: list[Scored], keys: list[tuple[Split, str]]) -> bytes:
    figure, (ax,) = panels(11, 4)
    markers = dict(zip((*GROUPS, ALL), ("o", "D", "o"), strict=True))
    for j, (split, group) in enumerate(keys):
        shift = (j - (len(keys) - 1) / 2) * 0.8 / len(keys)
        for i, name in enumerate(context.structures):
            mine = [c for c in cells if (c.split, c.group) == (split, group) and name in c.scores]
            scores = [c.scores[name] for c in mine]
            ax.scatter(
                [i + shift] * len(scores),
                scores,
                s=16,
                marker=markers[group],
                color=COLOURS[split],
                alpha=0.75,
                lw=0,
                label=f"{split}, {group}" if i == 0 else None,
            )
            if scores:
                ax.plot(
                    [i + shift - 0.07, i + shift + 0.07], [np.median(scores)] * 2, color="#000000", lw=1.2
                )
    ax.set_xticks(
        range(len(context.structures)), [label_of(n) for n in context.structures], rotation=30, ha="right"
    )
    ax.set_ylabel("score (larger: less variation)")
    ax.legend(frameon=False, fontsize=8, ncols=len(keys), loc="lower left", bbox_to_anchor=(0, 1))
    return svg(figure)


def _extremes(context: Context, cells: list[Scored]) -> list[Figure]:
    """The cells in which each structure varies least and most; no figure where nothing was drawn at all."""
    shown = max(1, min(SHOWN, len(cells) // 2))
    names = [name for name in context.structures if any(name in c.scores for c in cells)]
    if not names:
        return []
    tiles = []
    for name in names:
        by_score = sorted((c for c in cells if name in c.scores), key=lambda c: -c.scores[name])
        line = by_score if len(by_score) <= 2 * shown else by_score[:shown] + by_score[-shown:]
        tiles.append([c.tiles[name] for c in line])
    columns = [""] * max(map(len, tiles))
    columns[0] = "least varied"
    columns[-1] = "most varied"
    of = " (simulated cells)" if context.store.simulated else ""
    return [
        Figure(
            "Least and most varied cells (Figure S8)",
            sheet(names, columns, tiles, "Least to most varied" + of),
            "The mean of a cell's draws over its membrane and DNA; a larger score is less variation.",
        )
    ]
