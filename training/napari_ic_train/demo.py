"""Make the demo model: simulate, prepare, fit both phases, export, embed, measure variation and score.

Each step continues if it was stopped.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from napari_ic_train.bundle.cells import bundle_cells
from napari_ic_train.bundle.export import export_bundle, hardware
from napari_ic_train.bundle.variation import measure_bundle
from napari_ic_train.config import TrainingConfig, preset
from napari_ic_train.data.prepare import prepare
from napari_ic_train.data.store import TABLE, CellStore
from napari_ic_train.evaluation.card_scores import score_bundle
from napari_ic_train.fit.fit_store import fit_store
from napari_ic_train.run.checkpoint import checkpoints
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.archive import MANIFEST
from napari_integrated_cell.model.catalogue import read_manifest
from napari_integrated_cell.model.runtime import Progress
from napari_integrated_cell.simulation import write_dataset

# The recipe of the bundled model, with presets/demo.yaml.
CELLS = 4400
SEED = 1
VOXEL_SIZE = 0.4
POPULATION = "field"
IMAGING = "ideal"
TEST_FRACTION = 0.05
NAME = "demo"
LICENCE = "BSD-3-Clause"
MINUTES = 60.0
"""Time limit for all steps; a slow machine fits fewer epochs."""
AFTERWARDS = 0.7
"""Time of the steps after the fit, relative to that of the steps before it."""
LEAST_MINUTES = 10.0
"""The fit gets at least this time."""


def build_demo(
    out: str | Path,
    *,
    n_cells: int = CELLS,
    config: TrainingConfig | None = None,
    real: Path | None = None,
    score_cells: int = 220,
    minutes: float | None = MINUTES,
    device: str = "auto",
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Simulate cells, fit a model on them and make its bundle.

    Parameters
    ----------
    out : path-like
        Folder for ``simulated/``, ``store/``, ``run/`` and ``bundle/``. Finished steps are not repeated.
    n_cells : int
        Number of simulated cells; :data:`CELLS` for the bundled model.
    config : TrainingConfig, optional
        The preset ``demo`` if left out.
    real : path, optional
        Folder of a real field of cells to score on.
    score_cells : int
        Number of unseen simulated cells to score on.
    minutes : float, optional
        Time limit of this call. The fit gets the time that is left, at least ten minutes. None fits all epochs
        without a limit, and continues a fit that an earlier call's limit ended.
    device : str
        The device to fit on.
    workers : int
        Number of processes for simulating, preparing and scoring.
    progress : callable, optional
        Called with (done, total, what), except by the fit, which prints its own progress.

    Returns
    -------
    Path
        The bundle.

    Raises
    ------
    Cancelled
        If SIGTERM or Ctrl-C stopped the fit; the same call continues.
    """
    out = Path(out)
    config = config or preset("demo")
    began = time.monotonic()
    bundle = out / "bundle"
    if minutes is not None and _is_scored(bundle, out / "run", score_cells, real):
        return bundle  # another call would continue a fit that its time limit ended
    manifest = out / "simulated" / "metadata.csv"
    if not ((out / "store" / TABLE).is_file() and manifest.is_file()):
        manifest = write_dataset(
            out / "simulated",
            n_cells,
            seed=SEED,
            voxel_size=VOXEL_SIZE,
            population=POPULATION,
            imaging=IMAGING,
            workers=workers,
            progress=progress,
        )
        # Half of the references are rendered from segmentations, so that the model accepts stains and masks.
        prepare(
            manifest,
            out / "store",
            model_box(config.model),
            references="mixed",
            test_fraction=TEST_FRACTION,
            seed=SEED,
            workers=workers,
            progress=progress,
        )
    if minutes is not None:
        gone = (time.monotonic() - began) / 60
        config = within(config, max(minutes - (1 + AFTERWARDS) * gone, LEAST_MINUTES))
    fit_store(out / "store", config, out / "run", device=device)
    if _is_scored(bundle, out / "run", score_cells, real):
        return bundle
    store = CellStore(out / "store")
    export_bundle(
        out / "run",
        store,
        bundle,
        name=NAME,
        licence=LICENCE,
        trained_on=hardware(device),
        weights="float16",
        device=device,
        progress=progress,
    )
    bundle_cells(bundle, store, device=device, progress=progress)
    measure_bundle(bundle, store, manifest=manifest, device=device, progress=progress)
    score_bundle(str(bundle), real=real, n_cells=score_cells, workers=workers, progress=progress)
    return bundle


def within(config: TrainingConfig, minutes: float) -> TrainingConfig:
    """Return a configuration whose two phases together take at most this time.

    Each phase gets a share in proportion to its epochs: an epoch takes about as long in both.
    """
    lengths = {"reference": config.reference, "conditional": config.conditional}
    each = minutes / sum(length.epochs for length in lengths.values())
    return config.model_copy(
        update={
            phase: length.model_copy(update={"max_minutes": length.epochs * each})
            for phase, length in lengths.items()
        }
    )


def _is_scored(bundle: Path, run: Path, n_cells: int, real: Path | None) -> bool:
    """Return whether a bundle was made of the run's last checkpoint and scored as asked, so that nothing is left to do.

    Scoring is the last step, and it writes the bundle again.
    """
    if not (bundle / MANIFEST).is_file() or not checkpoints(run / "conditional"):
        return False
    metrics: dict[str, Any] = read_manifest(bundle).card.metrics
    scored = metrics.get("simulated", {}).get("n_cells") == n_cells and (real is None or "real" in metrics)
    return scored and _last_fitted(run) <= (bundle / MANIFEST).stat().st_mtime


def _last_fitted(run: Path) -> float:
    return checkpoints(run / "conditional")[-1].stat().st_mtime
