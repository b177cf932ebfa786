"""Landmarks: for each stage of the cell cycle the medoid of its cells in the reference latent space."""

from __future__ import annotations

import numpy as np

from napari_ic_train.bundle.latent_statistics import BATCH
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of, stages_of
from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import FEW_CELLS, METRIC, Landmark, checked_metric, medoid
from napari_integrated_cell.picture import png_bytes, tile
from napari_integrated_cell.processes import Progress, progress_of_part, slices
from napari_integrated_cell.vocabulary import STAGE_NAMES

MOST_CELLS = 20_000
"""Largest number of cells per stage, drawn at random: the distances of all pairs of 200,000 take hours."""


def stage_landmarks(
    model: IntegratedCell, store: CellStore, *, metric: str = METRIC, progress: Progress | None = None
) -> tuple[Landmark, ...]:
    """Find the medoid of the held-out cells' z^r for each stage, from interphase on (section 3.4.6).

    If a stage has fewer than three held-out cells, its medoid is that of all its cells, training cells included, and
    the landmark says so. A stage without cells has no landmark.

    Parameters
    ----------
    model : IntegratedCell
        The fitted model, on the device to use.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    metric : {"cityblock", "euclidean", "cosine", "chebyshev"}
        The distance between z^r.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    ValueError
        If there is no such metric.
    """
    checked_metric(metric)
    stages, held_out = stages_of(store), cells_of(store, held_out=True)
    groups: dict[str, tuple[Indices, int, int]] = {}
    for name in STAGE_NAMES:
        everyone = np.flatnonzero(stages == name)
        apart = np.intersect1d(everyone, held_out)
        if len(everyone):
            candidates = apart if len(apart) >= FEW_CELLS else everyone
            groups[name] = (_at_most(MOST_CELLS, candidates), len(apart), len(everyone))

    total, done = sum(len(candidates) for candidates, _, _ in groups.values()), 0
    landmarks = []
    for name, (candidates, n_held_out, n_cells) in groups.items():
        z_ref = encoded(model, store, candidates, progress_of_part(progress, done, total))
        done += len(candidates)
        chosen = medoid(z_ref, metric)
        position = candidates[chosen]
        reference = store.references(np.array([position]))
        landmarks.append(
            Landmark(
                stage=name,
                cell_id=str(store.table["CellId"].iloc[position]),
                z_ref=z_ref[chosen],
                metric=metric,
                among="held-out" if n_held_out >= FEW_CELLS else "all",
                n_held_out=n_held_out,
                n_cells=n_cells,
                thumbnail=_thumbnail(model, reference.numpy()[0]),
                decoded_thumbnail=_thumbnail(model, model.reconstruct(reference)[0]),
            )
        )
    return tuple(landmarks)


def encoded(
    model: IntegratedCell, store: CellStore, positions: Indices, progress: Progress | None = None
) -> Floats:
    """Return z^r of cells by position in the store, (n, n_ref)."""
    parts = slices(len(positions), BATCH, "encoding cells of each stage", progress)
    return np.concatenate([model.encode(store.references(positions[p]), batch_size=BATCH) for p in parts])


def _at_most(most: int, positions: Indices) -> Indices:
    """Return at most ``most`` of the positions, drawn at random, the same ones every time."""
    if len(positions) <= most:
        return positions
    return np.sort(np.random.default_rng(0).choice(positions, most, replace=False))


def _thumbnail(model: IntegratedCell, references: Floats) -> bytes:
    """Return reference images (R, Z, Y, X) from above and from the side, as a PNG with one pixel per voxel."""
    return png_bytes(tile(dict(zip(model.config.references, references, strict=True))), optimize=True)
