"""The demo model from nothing: simulate, prepare, fit both phases, export, score. Every step continues if stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_ic_train.config import TrainingConfig, preset
from napari_ic_train.data.prepare import prepare
from napari_ic_train.data.store import TABLE, CellStore
from napari_ic_train.export import export_bundle, hardware, score_bundle
from napari_ic_train.trainer import EpochProgress, fit_conditional, fit_reference
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.simulation import write_dataset

Progress = Callable[[int, int, str], None]

# The committed recipe; the rest of it is presets/demo.yaml.
CELLS = 4400
SEED = 1
VOXEL_SIZE = 0.4
TEST_FRACTION = 0.05
NAME = "demo"
LICENCE = "BSD-3-Clause"


def fit_phases(
    store: CellStore,
    config: TrainingConfig,
    out: Path,
    *,
    phase: str = "both",
    device: str = "auto",
    progress: Progress | None = None,
) -> None:
    """Fit the reference phase, the conditional phase or both on a store; a run found in ``out`` continues.

    Raises
    ------
    ValueError
        For an unknown phase, or a store of another box than the model's.
    """
    if phase not in ("reference", "conditional", "both"):
        raise ValueError(f"There is no phase {phase!r}: choose reference, conditional or both.")
    if store.structures != config.model.structures:
        raise ValueError(
            f"The store holds {', '.join(store.structures)} but the model {', '.join(config.model.structures)}: "
            "prepare the store with all of the model's structures, or list the store's in the configuration."
        )
    loaded = store.in_memory()

    def told(name: str) -> EpochProgress:
        def tell(epoch: int, epochs: int, losses: dict[str, float], rate: float, left: float) -> None:
            if progress is not None:
                progress(epoch, epochs, f"{name} phase, epochs")

        return tell

    if phase != "conditional":
        fit_reference(loaded, config, out, device=device, resume=True, progress=told("reference"))
    if phase != "reference":
        fit_conditional(loaded, config, out, device=device, resume=True, progress=told("conditional"))


def build_demo(
    out: str | Path,
    *,
    n_cells: int = CELLS,
    config: TrainingConfig | None = None,
    real: Path | None = None,
    score_cells: int = 220,
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
    device : str
        Where to fit.
    workers : int
        Processes for simulating, preparing and scoring.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    Path
        The bundle.
    """
    out = Path(out)
    config = config or preset("demo")
    if not (out / "store" / TABLE).is_file():
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
    fit_phases(CellStore(out / "store", "train"), config, out / "run", device=device, progress=progress)
    bundle = export_bundle(
        out / "run",
        CellStore(out / "store"),
        out / "bundle",
        name=NAME,
        licence=LICENCE,
        trained_on=hardware(device),
    )
    score_bundle(str(bundle), real=real, n_cells=score_cells, workers=workers, progress=progress)
    return bundle
