"""Run the experiments on one or several bundles and write the evaluation report. A stopped report can be continued."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_ic_train.config import read_config
from napari_ic_train.data.store import TABLE, CellStore
from napari_ic_train.evaluation.evaluated import Evaluated, Section, Settings
from napari_ic_train.evaluation.experiment import SPLITS, Context, DecodedAt, Experiment
from napari_ic_train.evaluation.experiments import EXPERIMENTS
from napari_ic_train.evaluation.page import write_page
from napari_ic_train.evaluation.selection import check_fits, selected_cells, set_aside
from napari_ic_train.evaluation.stored_findings import read_findings, write_findings
from napari_ic_train.run.folder import CONFIG, LOSSES
from napari_integrated_cell import __version__
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.catalogue import locate
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import CancelToken, Progress

PAGE = "index.html"
CACHE = ".cache"


def evaluate(
    bundles: Sequence[str | Path],
    store: CellStore,
    out: str | Path,
    settings: Settings | None = None,
    *,
    run: str | Path | None = None,
    experiments: Sequence[Experiment] = EXPERIMENTS,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> list[Evaluated]:
    """Run experiments on bundles and write the report ``out/index.html``.

    Findings are stored in ``out/BUNDLE/EXPERIMENT/``. An experiment does not run again while the weights, the store,
    the settings and the package's version are the same. The page is written after each experiment, so a stopped
    report is continued by the next call. The report also shows stored findings of experiments that ``settings.only``
    leaves out.

    Parameters
    ----------
    bundles : sequence
        Paths of bundles, or names that ``napari-ic models`` lists. The report compares several bundles.
    store : CellStore
        Has training cells and held-out cells.
    out : path-like
        Folder of the report.
    run : path-like, optional
        Run folder of the bundle, if there is one bundle. If left out, a folder ``run`` beside each bundle is used.
    experiments : sequence of Experiment
        In the report's order.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    list of Evaluated
        One for each bundle.

    Raises
    ------
    ValueError
        If the store does not fit a bundle, or if a setting is wrong.
    Cancelled
        When ``cancel`` is set. Finished experiments stay stored.
    """
    settings = settings or Settings()
    chosen = _chosen(experiments, settings.only)
    if not bundles:
        raise ValueError("There is no bundle to evaluate: give one or more.")
    if run is not None and len(bundles) > 1:
        raise ValueError(
            "A run folder belongs to one bundle, and several bundles are given: leave out the run folder."
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    of_store = _store_digest(store)
    results: list[Evaluated] = []
    for bundle, name in zip(bundles, _folders(bundles), strict=True):
        model = load_model(bundle, device=settings.device)
        check_fits(model, store)
        cells = selected_cells(model, store, side=settings.side, most=settings.cells, seed=settings.seed)
        found = Evaluated(name, model.name, model.trained_on, fingerprint(model), set_aside(model, store))
        results.append(found)
        config = model.config
        shared = _digest(
            of_store,
            settings.cells,
            settings.seed,
            settings.side,
            config.references,
            config.structures,
            __version__,
        )
        run_folder = _run_of(bundle, run)
        context = Context(
            model=model,
            store=store,
            cells=cells,
            folder=out / CACHE / _digest(found.digest, shared)[:16],
            shared=out / CACHE / shared[:16],
            run=run_folder,
            seed=settings.seed,
            draws=settings.draws,
            batch_size=settings.batch_size,
            limit=settings.cells,
            pooled=settings.side == "all",
            decoded_at=settings.decoded_at or trained_to_decode_at(model, run_folder),
            caps=settings.caps,
            progress=progress or (lambda done, total, what: None),
            cancel=cancel or CancelToken(),
        )
        context.folder.mkdir(parents=True, exist_ok=True)
        for experiment in experiments:
            section = _section(
                experiment, context, found, (of_store, settings.side), out, run=experiment in chosen
            )
            if experiment in chosen or section.findings is not None:
                found.sections.append(section)
                write_page(out / PAGE, results, store, settings)
    return results


def _store_digest(store: CellStore) -> str:
    """Return a fingerprint of a store, of its table and the attributes of its images."""
    attributes = (store.channels, store.structures, store.voxel_size, store.simulated, store.box, len(store))
    return _digest(hashlib.sha256((store.path / TABLE).read_bytes()).hexdigest(), *map(str, attributes))


def _section(
    experiment: Experiment,
    context: Context,
    bundle: Evaluated,
    of_cells: tuple[str, str],
    out: Path,
    *,
    run: bool,
) -> Section:
    """Read stored findings of an experiment; if there are none and ``run`` is true, run it and store them."""
    folder = out / bundle.name / experiment.name
    section = Section(experiment, folder=f"{bundle.name}/{experiment.name}")
    section.missing = experiment.needs(context) or ""
    if section.missing:
        return section
    mark = _digest(
        bundle.digest,
        *of_cells,
        context.limit,
        context.seed,
        context.draws,
        _landmarks(context.model),
        _losses(context.run),
        __version__,
        *_draws(context.model),
        *(_setting(context, name) for name in getattr(experiment, "settings", ())),
    )
    section.findings = read_findings(folder, mark)
    if section.findings is None and run:
        began = time.monotonic()
        try:
            findings = experiment.run(context)
        except ValueError as error:
            raise ValueError(f"The experiment {experiment.name} failed for {bundle.name}. {error}") from error
        facts = {
            "fingerprint": mark,
            "experiment": experiment.name,
            "title": experiment.title,
            "section": experiment.section,
            "bundle": {"name": bundle.name, "weights": bundle.digest},
            "store": {"path": str(context.store.path), "simulated": context.store.simulated},
            "cells": {split: len(context.cells[split]) for split in SPLITS},
            "seed": context.seed,
            "draws": context.draws,
            "side": of_cells[1],
            **{name: _setting(context, name) for name in getattr(experiment, "settings", ())},
            "seconds": round(time.monotonic() - began, 1),
            "software": f"napari-integrated-cell {__version__}",
        }
        write_findings(folder, findings, facts)
        section.findings = read_findings(folder, mark)
    return section


def _chosen(experiments: Sequence[Experiment], only: Sequence[str]) -> list[Experiment]:
    known = {experiment.name: experiment for experiment in experiments}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise ValueError(f"There is no experiment {unknown[0]!r}: choose {', '.join(known)}.")
    return [experiment for name, experiment in known.items() if not only or name in only]


def _folders(bundles: Sequence[str | Path]) -> list[str]:
    """Return a unique folder name for each bundle: its name, after its parent's name if two are the same."""
    paths = [locate(bundle) for bundle in bundles]
    names = [path.stem if path.suffix == ".zip" else path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.resolve().parent.name}-{name}" for path, name in zip(paths, names, strict=True)]
    return [name if names.count(name) == 1 else f"{name}-{i + 1}" for i, name in enumerate(names)]


def _run_of(bundle: str | Path, run: str | Path | None) -> Path | None:
    """Return the given run folder, or the folder ``run`` beside the bundle if there is one."""
    if run is not None:
        if not (Path(run) / CONFIG).is_file():
            raise ValueError(f"{run} is not a run folder: it has no {CONFIG}.")
        return Path(run)
    beside = locate(bundle).resolve().parent / "run"
    return beside if (beside / CONFIG).is_file() else None


def trained_to_decode_at(model: IntegratedCell, run: Path | None = None) -> DecodedAt:
    """Return where a model was trained to decode encoded cells: by its card, else by its run, else as in the paper."""
    known: dict[str, DecodedAt] = {"predicted": "predicted", "target": "target"}
    if (stated := str(model.card.get("decoded_at", ""))) in known:
        return known[stated]
    return "predicted" if run is None else read_config(run / CONFIG).decoded_at


def _setting(context: Context, name: str) -> Any:
    return context.decoded_at if name == "decoded_at" else getattr(context.caps, name)


def _landmarks(model: IntegratedCell) -> str:
    return _digest(*(f"{m.stage} {m.cell_id} {np.asarray(m.z_ref).tobytes().hex()}" for m in model.landmarks))


def _draws(model: IntegratedCell) -> list[str]:
    """Return a fingerprint of what structures are drawn from; nothing for the prior, so that older findings stay."""
    known = model.conditional_prior
    if known is None:
        return []
    residuals = b"" if known.residuals is None else known.residuals.to_bytes()
    return [hashlib.sha256(known.to_bytes() + residuals).hexdigest()]


def _losses(run: Path | None) -> str:
    if run is None:
        return ""
    return _digest(
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(run.glob(f"*/{LOSSES}")))
    )


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
