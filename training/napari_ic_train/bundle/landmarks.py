"""One cell for each stage of the cell cycle: the medoid of its cells in the reference latent space."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from napari_ic_train.bundle.latent_statistics import BATCH, Indices
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of, stages_of
from napari_integrated_cell.model.integrated_cell import Floats, IntegratedCell
from napari_integrated_cell.model.latent import FEW_CELLS, METRIC, Landmark, checked_metric, medoid
from napari_integrated_cell.model.runtime import Progress
from napari_integrated_cell.picture import tile
from napari_integrated_cell.vocabulary import STAGE_NAMES

MOST_CELLS = 20_000
"""Of a stage with more cells than these so many are drawn: all pairs of 200,000 would take hours."""


def stage_landmarks(
    model: IntegratedCell, store: CellStore, *, metric: str = METRIC, progress: Progress | None = None
) -> tuple[Landmark, ...]:
    """Per stage the medoid of the held-out cells' z^r, from interphase on (section 3.4.6).

    Where fewer than three cells of a stage are held out, the medoid is that of all its cells, training cells
    too, and the landmark says so. A stage without any cell has no landmark.

    Parameters
    ----------
    model : IntegratedCell
        The fitted model, on the device to use.
    store : CellStore
        What it was fitted on, both sides of the split.
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
        before = done

        def told(count: int, before: int = before) -> None:
            if progress is not None:
                progress(before + count, total, "encoding cells of each stage")

        z_ref = encoded(model, store, candidates, told)
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
    model: IntegratedCell, store: CellStore, positions: Indices, told: Callable[[int], None] | None = None
) -> Floats:
    """z^r of cells by position in the store, (n, n_ref), read a batch at a time."""
    parts = []
    for start in range(0, len(positions), BATCH):
        part = positions[start : start + BATCH]
        parts.append(model.encode(store.references(part), batch_size=BATCH))
        if told is not None:
            told(start + len(part))
    return np.concatenate(parts)


def _at_most(most: int, positions: Indices) -> Indices:
    """Some of the positions, the same ones every time, where there are too many."""
    if len(positions) <= most:
        return positions
    return np.sort(np.random.default_rng(0).choice(positions, most, replace=False))


def _thumbnail(model: IntegratedCell, references: Floats) -> bytes:
    """Reference images (R, Z, Y, X) from above and from the side, as a PNG of one pixel a voxel."""
    file = io.BytesIO()
    picture = tile(dict(zip(model.config.references, references, strict=True)))
    Image.fromarray(picture).save(file, format="png", optimize=True)
    return file.getvalue()
