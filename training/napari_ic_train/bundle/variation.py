"""How much each structure varies in held-out cells, as a fitted model has it: a bundle's reference distribution."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.bundle.latent_statistics import Indices
from napari_ic_train.data.recipe import RECIPE
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of, stages_of
from napari_ic_train.data.training_entries import training_entries
from napari_integrated_cell.data.cell_table import CellTable, open_table
from napari_integrated_cell.data.entry import Entry
from napari_integrated_cell.data.entry_cell import pose_in_box, read_entry
from napari_integrated_cell.imaging.pose import posed_mask
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.bundle import load_model, replace_files
from napari_integrated_cell.model.catalogue import locate
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import FEW_CELLS
from napari_integrated_cell.model.runtime import Progress
from napari_integrated_cell.model.variation_reference import GROUPS, VARIATION, VariationReference, group_of
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
    device: str = "cpu",
    progress: Progress | None = None,
) -> VariationReference:
    """:func:`reference_variation` of a bundle's model, put into the bundle."""
    model = load_model(bundle, device=device)
    found = reference_variation(
        model, store, manifest=manifest, cells=cells, draws=draws, seed=seed, progress=progress
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
    progress: Progress | None = None,
) -> VariationReference:
    """Algorithm 4 of every structure in held-out cells of interphase and of mitosis, inside each cell.

    Where fewer than three cells of a group are held out, cells that were trained on are taken too.

    Parameters
    ----------
    model : IntegratedCell
        The fitted model, on the device to use.
    store : CellStore
        What it was fitted on, both sides of the split.
    manifest : path-like, optional
        The table the store was prepared from, which knows the cells' segmentations; looked for in the folders
        above the store's images when left out.
    cells : int
        Cells of each group at most.
    draws, seed : int
        Draws of each structure in each cell, and their seed.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    ValueError
        If the store is not one of the model's, no cell of it has a stage, or the manifest is missing, another
        one, or lacks a cell.
    """
    config = model.config
    if store.box != config.box:
        raise ValueError(
            f"{store.path} holds cells on a grid of {store.box}, but the model's box is {config.box}: give the "
            "store that it was fitted on."
        )
    chosen = chosen_cells(store, cells, seed)
    ids = {group: tuple(store.table["CellId"].iloc[p].astype(str)) for group, p in chosen.items()}
    listed = manifest_of(store, manifest)
    masks = posed_masks(listed, {i for group in ids.values() for i in group}, model)
    total, done = sum(map(len, ids.values())) * config.n_structures * draws, 0
    scores: dict[str, dict[str, list[float]]] = {name: {g: [] for g in chosen} for name in config.structures}
    for group, positions in chosen.items():
        for position, cell_id in zip(positions, ids[group], strict=True):

            def counted(part: int, _: int, what: str, before: int = done) -> None:
                if progress is not None:
                    progress(before + part, total, "measuring how much structures vary")

            z_ref = model.encode(store.references(np.array([position])))
            found = structure_variations(
                model, z_ref, n=draws, seed=seed, mask=masks[cell_id], progress=counted
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
    )


def chosen_cells(store: CellStore, most: int, seed: int = 0) -> dict[str, Indices]:
    """Some cells of each group by position in the store, held-out ones where there are three or more.

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
            drawn = np.random.default_rng(seed).permutation(candidates)[:most]
            chosen[group] = np.sort(drawn)
    if not chosen:
        raise ValueError(
            f"No cell of {store.path} has a stage: scores are gathered for interphase and for mitosis."
        )
    return chosen


def manifest_of(store: CellStore, manifest: str | Path | None = None) -> CellTable:
    """The manifest that a store was prepared from: the one given, or one found above the store's images.

    Raises
    ------
    ValueError
        If there is none, or the one given is another.
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
            found = _opened(table)
            if found is not None and found.sha256 == wanted:
                return found
    raise ValueError(
        f"The table that {store.path} was prepared from is not above its images: say where it is with --manifest, "
        "for the cells' segmentations."
    )


def posed_masks(
    manifest: CellTable, ids: Iterable[str], model: IntegratedCell
) -> dict[str, NDArray[np.float32]]:
    """Where cells are in the model's box, by id, from their segmentations."""
    wanted, masks = set(ids), {}
    for entry in training_entries(manifest):
        if isinstance(entry, Entry) and entry.cell_id in wanted:
            cell = read_entry(entry, channels=())
            masks[entry.cell_id] = posed_mask(cell, pose_in_box(cell, model_box(model.config)))
    missing = sorted(wanted - masks.keys())
    if missing:
        raise ValueError(f"{manifest.path} does not hold the cell {missing[0]} of the store.")
    return masks


def _opened(table: Path) -> CellTable | None:
    """The manifest that a table is, if it is one."""
    try:
        return open_table(table)
    except (OSError, ValueError):
        return None
