"""Section 3.4.5, Figures S7 and S8: how much the localisation of structures varies in a given shape."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_ic_train.bundle.variation import manifest_of, posed_masks
from napari_ic_train.data.subsets import stages_of
from napari_ic_train.evaluation.drawing import (
    COLOURS,
    cell_tile,
    legend_above,
    name_structures,
    panels,
    sheet,
    svg,
)
from napari_ic_train.evaluation.experiment import SPLITS, Context, Experiment, Split
from napari_ic_train.evaluation.findings import Figure, Findings, Interval, Table, Value
from napari_integrated_cell.arrays import Floats, Indices, Rgb
from napari_integrated_cell.model.variation_reference import GROUPS, group_of
from napari_integrated_cell.processes import Progress, progress_of_part
from napari_integrated_cell.variation.structure_variation import (
    RIDGE,
    Draws,
    StructureVariation,
    structure_variation,
)
from napari_integrated_cell.vocabulary import label_of

SHOWN = 3
ALL = "all stages"

DARK = 1e-6
"""Range of values below which a structure counts as empty."""


@dataclass(frozen=True, eq=False)
class ScoredCell:
    """Scores of Algorithm 4 for the structures of a cell, and pictures of their mean draws."""

    cell_id: str
    split: Split
    group: str
    stage: str
    scores: dict[str, float] = field(default_factory=dict)
    ranks: dict[str, float] = field(default_factory=dict)
    tiles: dict[str, Rgb] = field(default_factory=dict, repr=False)


class StructureVariations(Experiment):
    """Variation scores by structure, in interphase and in mitosis, and the cells with most and least variation."""

    name = "structure-variation"
    title = "Variation of structures in given shapes"
    section = "3.4.5, Algorithm 4, Figures S7 and S8"
    settings = ("variation",)

    def needs(self, context: Context) -> str | None:
        """Require cells, and two draws."""
        if context.draws < 2:
            return f"The number of draws is {context.draws}, and variation needs 2 or more."
        return context.shortage(either=1)

    def run(self, context: Context) -> Findings:
        """Draw every structure in some cells of each split and group."""
        chosen = _cells_by_group(context)
        table = context.store.table
        ids = {int(i): str(table["CellId"].iloc[i]) for found in chosen.values() for i in found}
        masks, where = _masks(context, ids)
        stages = stages_of(context.store)
        cells: list[ScoredCell] = []
        total, done = len(ids) * context.draws * len(context.structures), 0
        empty: list[str] = []
        for (split, group), positions in chosen.items():
            for position in positions:
                cell = ScoredCell(ids[int(position)], split, group, str(stages[position] or ""))
                references = context.images(np.array([position]))[:, :-1]
                z_ref = context.model.encode(references)
                for name in context.structures:
                    drawn = progress_of_part(
                        context.progress, done, total, "measuring how much structures vary"
                    )
                    found = _varied(context, z_ref, name, masks.get(cell.cell_id), drawn)
                    done += context.draws
                    if found is None:
                        empty.append(f"{name} in cell {cell.cell_id}")
                        continue
                    cell.scores[name], cell.ranks[name] = found.score, found.effective_rank
                    cell.tiles[name] = cell_tile(np.concatenate([references[0], found.mean[None]]), name)
                cells.append(cell)
        keys = list(chosen)
        return Findings(
            headline=_headline(context, cells),
            tables=(_medians(context, cells, keys), _by_cell(context, cells)),
            figures=(
                Figure("Scores by structure (Figure S7)", _strips(context, cells, keys)),
                *_extremes(context, cells),
            ),
            notes=f"The score is -log|ρ + {RIDGE:g} I| / n of the correlations ρ between n = {context.draws} draws, "
            f"{where}. A larger score means less variation. The paper takes 1000 draws; scores with different numbers "
            f"of draws cannot be compared. At most {context.caps.variation} training cells and "
            f"{context.caps.variation} held-out cells of each group are used."
            + (
                f"\n\nThere is no score for structures with empty draws: {', '.join(empty)}." if empty else ""
            ),
        )


def _varied(
    context: Context, z_ref: Floats, name: str, mask: Floats | None, progress: Progress | None
) -> StructureVariation | None:
    """Return a structure's variation in a cell; None if its draws are constant."""
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


def _cells_by_group(context: Context) -> dict[tuple[Split, str], Indices]:
    """Select cells of each split in interphase and in mitosis; cells of all stages if no stage is known."""
    stages = stages_of(context.store)
    groups = np.array(["" if stage is None else group_of(stage) for stage in stages])
    found = {}
    for split in SPLITS:
        positions = np.asarray(context.cells[split])
        known = [group for group in GROUPS if (groups[positions] == group).any()]
        for group in known or [ALL]:
            members = positions[groups[positions] == group] if known else positions
            drawn = np.random.default_rng(context.seed).permutation(members)[: context.caps.variation]
            if len(drawn):
                found[split, group] = np.sort(drawn)
    return found


def _masks(context: Context, ids: dict[int, str]) -> tuple[dict[str, Floats], str]:
    """Return the posed masks of the cells, and a note; no masks if their segmentations are not found."""
    try:
        masks = posed_masks(manifest_of(context.store), ids.values(), context.model)
        return masks, "inside each cell"
    except (ValueError, OSError):
        return {}, "in the whole box (the segmentations of the cells are not found)"


def _headline(context: Context, cells: list[ScoredCell]) -> dict[str, Interval]:
    """Count the structures that vary more in mitosis, in held-out cells if there are any; the paper has four."""
    split = "test" if any(c.split == "test" for c in cells) else "train"
    mine = [c for c in cells if c.split == split]
    if {c.group for c in mine} != set(GROUPS):
        return {}
    mitotic = np.array([c.group == GROUPS[1] for c in mine])
    scores = np.array([[c.scores.get(name, np.nan) for name in context.structures] for c in mine])
    scores = scores[:, np.isfinite(scores).all(0)]

    def more(chosen: Indices) -> float:
        groups = [scores[chosen[mitotic[chosen] == group]] for group in (False, True)]
        if not all(map(len, groups)):
            return float("nan")
        interphase, mitosis = (np.median(group, 0) for group in groups)
        return float((mitosis < interphase).sum())

    name = f"structures that vary more in mitosis, of {len(context.structures)}"
    return {name: context.interval(np.arange(len(mine)), more)}


def _medians(context: Context, cells: list[ScoredCell], keys: list[tuple[Split, str]]) -> Table:
    rows: list[list[Value]] = []
    for name in context.structures:
        row: list[Value] = [label_of(name)]
        for measure in ("scores", "ranks"):
            for key in keys:
                mine = [getattr(c, measure).get(name) for c in cells if (c.split, c.group) == key]
                known = [value for value in mine if value is not None]
                row.append(float(np.median(known)) if known else None)
        rows.append(row)
    columns = [f"{what}, {split}, {group}" for what in ("score", "effective rank") for split, group in keys]
    note = "The effective rank is 1 if all draws are the same, and n if they have nothing in common."
    return Table("Medians by structure", ("structure", *columns), rows, note)


def _by_cell(context: Context, cells: list[ScoredCell]) -> Table:
    rows: list[list[Value]] = [
        [c.cell_id, c.split, c.stage, *(c.scores.get(name) for name in context.structures)] for c in cells
    ]
    labels = [label_of(name) for name in context.structures]
    return Table("Scores by cell", ("cell", "split", "stage", *labels), rows)


def _strips(context: Context, cells: list[ScoredCell], keys: list[tuple[Split, str]]) -> bytes:
    figure, (ax,) = panels(11, 4)
    markers = dict(zip((*GROUPS, ALL), ("o", "D", "o"), strict=True))
    for j, (split, group) in enumerate(keys):
        shift = (j - (len(keys) - 1) / 2) * 0.8 / len(keys)
        for i, name in enumerate(context.structures):
            mine = [c.scores for c in cells if (c.split, c.group) == (split, group)]
            scores = [known[name] for known in mine if name in known]
            x, colour, label = i + shift, COLOURS[split], f"{split}, {group}" if i == 0 else None
            place = [x] * len(scores)
            ax.scatter(place, scores, 16, colour, marker=markers[group], alpha=0.75, lw=0, label=label)
            if scores:
                ax.plot([x - 0.07, x + 0.07], [np.median(scores)] * 2, color="#000000", lw=1.2)
    name_structures(ax, context.structures)
    ax.set_ylabel("score (larger: less variation)")
    legend_above(ax, len(keys))
    return svg(figure)


def _extremes(context: Context, cells: list[ScoredCell]) -> list[Figure]:
    """Draw the cells in which each structure varies least and most; return no figure if all draws are empty."""
    shown = max(1, min(SHOWN, len(cells) // 2))
    names = [name for name in context.structures if any(name in c.scores for c in cells)]
    if not names:
        return []
    tiles = []
    for name in names:
        by_score = sorted((c for c in cells if name in c.scores), key=lambda c: -c.scores[name])
        extremes = by_score if len(by_score) <= 2 * shown else by_score[:shown] + by_score[-shown:]
        tiles.append([c.tiles[name] for c in extremes])
    columns = [""] * max(map(len, tiles))
    columns[0], columns[-1] = "least varied", "most varied"
    return [
        Figure(
            "Least and most varied cells (Figure S8)",
            sheet(names, columns, tiles, "Least to most varied", simulated=context.store.simulated),
            "Each tile shows the mean of a cell's draws over its membrane and DNA. A larger score means less "
            "variation.",
        )
    ]
