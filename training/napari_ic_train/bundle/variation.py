"""Variation scores of each structure in held-out cells (Algorithm 4): the reference distribution of a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from napari_ic_train.bundle.latent_statistics import check_box
from napari_ic_train.data.recipe import RECIPE
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of, stages_of
from napari_ic_train.data.training_entries import training_entries
from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.data.cell_table import CellTable, open_table
from napari_integrated_cell.data.entry import Entry
from napari_integrated_cell.data.entry_cell import pose_in_box, read_entry
from napari_integrated_cell.imaging.pose import posed_mask
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.bundle import load_model, replace_files
from napari_integrated_cell.model.catalogue import locate
from napari_integrated_cell.model.conditional_prior import DrawFrom, drawn_from, name_of_draws
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import FEW_CELLS
from napari_integrated_cell.model.variation_reference import GROUPS, VARIATION, VariationReference, group_of
from napari_integrated_cell.processes import Progress, progress_of_part
from napari_integrated_cell.variation.structure_variation import RIDGE, structure_variations

CELLS = 20
DRAWS = 100


def measure_bundle(
    bundle: str | Path,
    store: CellStore,
    *,
    manifest: str | Path | None = None,
    cells: int = CELLS,
    draws: int = DRAWS,
    seed: int = 0,
    draw_from: DrawFrom | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> VariationReference:
    """Compute :func:`reference_variation` of a bundle's model and put it into the bundle."""
    model = load_model(bundle, device=device)
    found = reference_variation(
        model,
        store,
        manifest=manifest,
        cells=cells,
        draws=draws,
        seed=seed,
        draw_from=draw_from,
        progress=progress,
    )
    replace_files(locate(bundle), {VARIATION: found.to_json()})
    return found


def reference_variation(
    model: IntegratedCell,
    store: CellStore,
    *,
    manifest: str | Path | None = None,
    cells: int = CELLS,
    draws: int = DRAWS,
    seed: int = 0,
    draw_from: DrawFrom | None = None,
    progress: Progress | None = None,
) -> VariationReference:
    """Score every structure's variation in held-out cells of interphase and of mitosis, inside each cell.

    If a group has fewer than three held-out cells, training cells are used too.

    Parameters
    ----------
    model : IntegratedCell
        The fitted model, on the device to use.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    manifest : path-like, optional
        The table that the store was prepared from, with the cells' segmentations; left out, it is searched in the
        folders above the store's images.
    cells : int
        Largest number of cells of each group.
    draws, seed : int
        Number of draws of each structure in each cell, and their random seed.
    draw_from : {"prior", "conditional", "observed"}
        Where draws are from; by default p(z^s | z^r, y) if the model has it.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    ValueError
        If the store does not fit the model, no cell of it has a stage, or the manifest is another one or lacks a cell.
    ManifestNotFound
        If the manifest is left out and not found.
    """
    config = model.config
    check_box(store, model)
    where = name_of_draws(drawn_from(model.conditional_prior, draw_from, config, model.name), draw_from)
    chosen = chosen_cells(store, cells, seed)
    ids = {group: tuple(store.table["CellId"].iloc[p].astype(str)) for group, p in chosen.items()}
    listed = manifest_of(store, manifest)
    masks = posed_masks(listed, {i for group in ids.values() for i in group}, model)
    total, done = sum(map(len, ids.values())) * config.n_structures * draws, 0
    scores: dict[str, dict[str, list[float]]] = {name: {g: [] for g in chosen} for name in config.structures}
    for group, positions in chosen.items():
        for position, cell_id in zip(positions, ids[group], strict=True):
            counted = progress_of_part(progress, done, total, "measuring how much structures vary")
            z_ref = model.encode(store.references(np.array([position])))
            found = structure_variations(
                model,
                z_ref,
                n=draws,
                seed=seed,
                mask=masks[cell_id],
                draw_from=where,
                progress=counted,
            )
            for name, variation in found.items():
                scores[name][group].append(variation.score)
            done += config.n_structures * draws
    return VariationReference(
        draws,
        seed,
        RIDGE,
        "cell",
        ids,
        {name: {g: np.array(s) for g, s in groups.items()} for name, groups in scores.items()},
        where,
    )


def chosen_cells(store: CellStore, most: int, seed: int = 0) -> dict[str, Indices]:
    """Choose some cells of each group by position in the store: held-out cells if there are three or more.

    Raises
    ------
    ValueError
        If no cell has a stage.
    """
    stages, held_out = stages_of(store), cells_of(store, held_out=True)
    groups = np.array(["" if name is None else group_of(name) for name in stages])
    chosen = {}
    for group in GROUPS:
        everyone = np.flatnonzero(groups == group)
        apart = np.intersect1d(everyone, held_out)
        candidates = apart if len(apart) >= FEW_CELLS else everyone
        if len(candidates):
            chosen[group] = np.sort(np.random.default_rng(seed).permutation(candidates)[:most])
    if not chosen:
        raise ValueError(
            f"No cell of {store.path} has a stage: variation is measured for interphase and for mitosis."
        )
    return chosen


class ManifestNotFound(ValueError):
    """The table that a store was prepared from is not in the folders above its images."""


def manifest_of(store: CellStore, manifest: str | Path | None = None) -> CellTable:
    """Return the table that a store was prepared from: the given one, or one found above the store's images.

    Raises
    ------
    ValueError
        If the given table is another one.
    ManifestNotFound
        If no table is given and none is found.
    """
    try:
        wanted = json.loads((store.path / RECIPE).read_text(encoding="utf-8"))["manifest"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{store.path} does not say which table it was prepared from ({error}).") from None
    if manifest is not None:
        listed = open_table(manifest)
        if listed.sha256 != wanted:
            raise ValueError(
                f"{store.path} was prepared from another table than {listed.path}, or it was changed."
            )
        return listed
    for folder in Path(store.table["path"].iloc[0]).parents[:3]:
        for table in sorted(folder.glob("*.csv")):
            with suppress(OSError, ValueError):  # the file is not a table of cells
                found = open_table(table)
                if found.sha256 == wanted:
                    return found
    raise ManifestNotFound(
        f"The table that {store.path} was prepared from is not in the folders above its images: give the table, which "
        "names the cells' segmentations."
    )


def posed_masks(manifest: CellTable, ids: Iterable[str], model: IntegratedCell) -> dict[str, Floats]:
    """Return masks of cells in the model's box, by cell id, from their segmentations."""
    wanted, masks = set(ids), {}
    for entry in training_entries(manifest):
        if isinstance(entry, Entry) and entry.cell_id in wanted:
            cell = read_entry(entry, channels=())
            masks[entry.cell_id] = posed_mask(cell, pose_in_box(cell, model_box(model.config)))
    missing = sorted(wanted - masks.keys())
    if missing:
        raise ValueError(f"{manifest.path} does not hold the cell {missing[0]} of the store.")
    return masks
