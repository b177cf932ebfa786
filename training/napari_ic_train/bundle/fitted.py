"""The model of a finished run, with its latent statistics and landmarks.

Both are measured once and kept in the run's ``landmarks`` folder, in the same files as in a bundle, with fingerprints
of the weights and the cells. If one of these differs, they are measured again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from napari_ic_train.bundle.landmarks import stage_landmarks
from napari_ic_train.bundle.latent_statistics import check_box, latent_statistics
from napari_ic_train.config import read_config
from napari_ic_train.data.store import CellStore
from napari_ic_train.run.fitted_networks import fitted_conditional, fitted_reference
from napari_integrated_cell.model import archive
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import METRIC, Landmark, LatentStatistics, checked_metric
from napari_integrated_cell.model.latent_files import (
    LANDMARKS,
    landmark_files,
    read_landmarks,
    read_statistics,
    statistics_files,
)
from napari_integrated_cell.model.runtime import Progress

FOLDER = "landmarks"
MEASURED = "measured.json"


def fitted_model(run: str | Path, *, name: str | None = None) -> IntegratedCell:
    """Return the encoders and decoders of a run as a model, on the CPU; ValueError if a phase is not finished."""
    config = read_config(Path(run) / "config.yaml")
    reference, conditional = fitted_reference(run), fitted_conditional(run)
    return IntegratedCell(
        config.model, reference.enc, reference.dec, conditional.enc, conditional.dec, name=name
    )


def measure(
    model: IntegratedCell,
    store: CellStore,
    run: str | Path,
    *,
    metric: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Set the latent statistics and landmarks of a run's model: those kept in the run, or measured now and kept.

    Parameters
    ----------
    model : IntegratedCell
        The run's model, on the device to use. Its ``latent`` and ``landmarks`` are set.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    run : path-like
        The run's folder.
    metric : str, optional
        Distance for the landmarks; left out, that of the landmarks in the run's folder, or cityblock.
    progress : callable, optional
        Called with (done, total, what).

    Raises
    ------
    ValueError
        If there is no such metric, or the store does not hold the model's cells.
    """
    if metric is not None:
        checked_metric(metric)
    if read_config(Path(run) / "config.yaml").adapted_from is not None:
        store = store.in_classes_of(model.config.structures)
    elif store.structures != model.config.structures:
        raise ValueError(
            f"{store.path} holds {', '.join(store.structures)}, but the run's model has other structures: give the "
            "store that it was fitted on."
        )
    check_box(store, model)
    folder, measured = Path(run) / FOLDER, _measured(model, store)
    latent, landmarks, metric_before = _kept(folder, measured, model)
    fresh = latent is None or landmarks is None
    if latent is None:
        latent = latent_statistics(model, store, progress)
    if landmarks is None or metric not in (None, metric_before):
        landmarks = stage_landmarks(model, store, metric=metric or metric_before, progress=progress)
        fresh = True
    model.latent, model.landmarks = latent, landmarks
    if fresh:
        facts = (MEASURED, (json.dumps(measured, indent=2) + "\n").encode())
        archive.write(folder, [facts, *statistics_files(latent), *landmark_files(landmarks)])


def _measured(model: IntegratedCell, store: CellStore) -> dict[str, str]:
    """Return fingerprints of the weights, and of the cells with their splits and stages."""
    columns = [name for name in ("CellId", "structure", "stage", "split") if name in store.table]
    table = store.table[columns].to_csv(index=False)
    return {"weights": fingerprint(model), "cells": hashlib.sha256(table.encode()).hexdigest()}


def _kept(
    folder: Path, measured: dict[str, str], model: IntegratedCell
) -> tuple[LatentStatistics | None, tuple[Landmark, ...] | None, str]:
    """Return the kept statistics and landmarks of the same weights and cells, or None, and the landmarks' metric.

    The metric is kept for other weights too: version 0.1 wrote another fingerprint of the same weights.
    """
    if not (folder / MEASURED).is_file():
        return None, None, METRIC
    try:
        with archive.open_archive(folder, MEASURED) as kept:
            landmarks = read_landmarks(kept, model.config) if kept.holds(LANDMARKS) else None
            metric = landmarks[0].metric if landmarks else METRIC
            if json.loads(kept.read(MEASURED)) != measured:
                return None, None, metric
            return read_statistics(kept, model.config), landmarks, metric
    except ValueError:
        return None, None, METRIC
