"""The demo model from nothing: simulate, prepare, fit both phases, export, embed, measure variation, score.

Every step continues if stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
from napari_integrated_cell.simulation import write_dataset

Progress = Callable[[int, int, str], None]

# The committed recipe; the rest of it is presets/demo.yaml.
CELLS = 4400
SEED = 1
VOXEL_SIZE = 0.4
TEST_FRACTION = 0.05
NAME = "demo"
LICENCE = "BSD-3-Clause"
MINUTES = 60.0
"""How long all of it may take: a slow machine fits fewer epochs."""
AFTERWARDS = 0.7
"""Time that what follows the fit takes, of the time that went by before it."""
LEAST_MINUTES = 10.0
"""Given to the fit in any case."""


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
    """Simulate cells and make the demo bundle of them.

    Parameters
    ----------
    out : path-like
        Gets ``simulated/``, ``store/``, ``run/`` and ``bundle/``; what is finished there is not made again.
    n_cells : int
        Simulated cells, :data:`CELLS` for the bundled model.
    config : TrainingConfig, optional
        The preset ``demo`` when left out.
    real : path, optional
        Folder of a real field to score on.
    score_cells : int
        Unseen simulated cells to score on.
    minutes : float, optional
        How long this call may take: the fit gets what is left, ten minutes at least. None for all epochs, however
        long they take; they go on where an earlier call's clock ended a fit.
    device : str
        Where to fit.
    workers : int
        Processes for simulating, preparing and scoring.
    progress : callable, optional
        Called with (done, total, what), but for fitting, which speaks for itself.

    Returns
    -------
    Path
        The bundle.

    Raises
    ------
    Cancelled
        If SIGTERM or Ctrl-C stopped the fitting; the same call goes on.
    """
    out = Path(out)
    config = config or preset("demo")
    began = time.monotonic()
    bundle = out / "bundle"
    if minutes is not None and _is_scored(bundle, out / "run", score_cells, real):
        return bundle  # a fit that its clock ended would go on
    manifest = out / "simulated" / "metadata.csv"
    if not ((out / "store" / TABLE).is_file() and manifest.is_file()):
        manifest = write_dataset(
            out / "simulated", n_cells, seed=SEED, voxel_size=VOXEL_SIZE, workers=workers, progress=progress
        )
        # Half of the references rendered from segmentations, so that the model takes stains and masks alike.
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
    # How much structures vary in held-out cells, inside the segmentations that the manifest names.
    measure_bundle(bundle, store, manifest=manifest, device=device, progress=progress)
    score_bundle(str(bundle), real=real, n_cells=score_cells, workers=workers, progress=progress)
    return bundle


def within(config: TrainingConfig, minutes: float) -> TrainingConfig:
    """A configuration whose two phases together take no longer than so many minutes.

    They share them by their epochs, which take about as long in one as in the other.
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
    """Whether a bundle was made of the run's last checkpoint and scored as asked: then all is done.

    A bundle is scored last, which writes it anew.
    """
    if not (bundle / MANIFEST).is_file() or not checkpoints(run / "conditional"):
        return False
    metrics: dict[str, Any] = read_manifest(bundle).card.metrics
    scored = metrics.get("simulated", {}).get("n_cells") == n_cells and (real is None or "real" in metrics)
    return scored and _last_fitted(run) <= (bundle / MANIFEST).stat().st_mtime


def _last_fitted(run: Path) -> float:
    return checkpoints(run / "conditional")[-1].stat().st_mtime
