"""The evaluation report: every experiment on one bundle or several, resumable, as one page beside its numbers."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_ic_train.data.store import TABLE, CellStore
from napari_ic_train.data.subsets import cells_of
from napari_ic_train.evaluation.evaluated import Evaluated, Section, Settings
from napari_ic_train.evaluation.experiment import SPLITS, Context, Experiment, Indices, Split
from napari_ic_train.evaluation.experiments import EXPERIMENTS
from napari_ic_train.evaluation.kept import read_findings, write_findings
from napari_ic_train.evaluation.page import write_page
from napari_ic_train.evaluation.passes import equal_numbers
from napari_ic_train.run.folder import CONFIG, LOSSES
from napari_integrated_cell import __version__
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.catalogue import locate
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import CancelToken, Progress

PAGE = "index.html"
CACHE = ".cache"
PRESENTATION = ("report.py", "page.py", "kept.py", "evaluated.py", "model_card.py")
"""Files beside this one on which no finding depends."""


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
    """Perform experiments on bundles and write the report; what an earlier sitting found is read back.

    The report is ``out/index.html``; findings are in ``out/BUNDLE/EXPERIMENT/``. Findings are found again by the
    bundle's weights, the store, the settings and the experiment's own code, and the page is written anew after
    each experiment, so that a report that was stopped goes on where it was. What was not asked for now is still
    shown where an earlier sitting found it.

    Parameters
    ----------
    bundles : sequence
        Paths, or names that ``napari-ic models`` lists. Several are compared.
    store : CellStore
        Both sides of the split.
    out : path-like
        The report's folder.
    settings : Settings, optional
    run : path-like, optional
        The run's folder that the one bundle came from; looked for beside each bundle if left out.
    experiments : sequence of Experiment
        In the report's order.
    progress : callable, optional
        Called with (done, total, what).
    cancel : CancelToken, optional

    Raises
    ------
    ValueError
        If a bundle, the store and the choice do not go together, in a sentence.
    Cancelled
        When ``cancel`` is set in the middle; what was finished is kept.
    """
    settings = settings or Settings()
    chosen = _chosen(experiments, settings.only)
    if not bundles:
        raise ValueError("There is no bundle to evaluate: name one or more.")
    if run is not None and len(bundles) > 1:
        raise ValueError(
            "One run cannot be that of several bundles: leave --run out, or evaluate one bundle."
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    digest = store_digest(store)
    results: list[Evaluated] = []
    for bundle, name in zip(bundles, _folders(bundles), strict=True):
        model = load_model(bundle, device=settings.device)
        _check(model, store)
        found = Evaluated(name, model.name, _trained_on(model), fingerprint(model))
        results.append(found)
        config = model.config
        common = _digest(digest, settings.cells, settings.seed, config.references, config.structures, _code())
        context = Context(
            model=model,
            store=store,
            cells=_cells(store, settings),
            folder=out / CACHE / _digest(found.digest, common)[:16],
            shared=out / CACHE / common[:16],
            run=_run_of(bundle, run),
            seed=settings.seed,
            draws=settings.draws,
            batch_size=settings.batch_size,
            limit=settings.cells,
            progress=progress or (lambda done, total, what: None),
            cancel=cancel or CancelToken(),
        )
        context.folder.mkdir(parents=True, exist_ok=True)
        for experiment in experiments:
            section = _section(experiment, context, found, digest, out, perform=experiment in chosen)
            if experiment in chosen or section.findings is not None:
                found.sections.append(section)
                write_page(out / PAGE, results, store, settings)
    return results


def store_digest(store: CellStore) -> str:
    """By what a store is known again: its table and its images' attributes."""
    attributes = (store.channels, store.structures, store.voxel_size, store.simulated, store.box, len(store))
    return _digest(hashlib.sha256((store.path / TABLE).read_bytes()).hexdigest(), *map(str, attributes))


def _section(
    experiment: Experiment, context: Context, of: Evaluated, store: str, out: Path, *, perform: bool
) -> Section:
    """An experiment's findings: read back, or made and kept if it is to be performed."""
    folder = out / of.name / experiment.name
    section = Section(experiment, folder=f"{of.name}/{experiment.name}")
    section.missing = experiment.needs(context) or ""
    if section.missing:
        return section
    mark = _digest(
        of.digest,
        store,
        context.limit,
        context.seed,
        context.draws,
        _landmarks(context.model),
        _logs(context.run),
        _source(experiment),
    )
    section.findings = read_findings(folder, mark)
    if section.findings is None and perform:
        began = time.monotonic()
        try:
            findings = experiment.run(context)
        except ValueError as error:
            raise ValueError(f"{experiment.name}, of {of.name}: {error}") from error
        section.seconds = time.monotonic() - began
        facts = {
            "fingerprint": mark,
            "experiment": experiment.name,
            "title": experiment.title,
            "section": experiment.section,
            "bundle": {"name": of.name, "weights": of.digest},
            "store": {"path": str(context.store.path), "simulated": context.store.simulated},
            "cells": {split: len(context.cells[split]) for split in SPLITS},
            "seed": context.seed,
            "draws": context.draws,
            "seconds": round(section.seconds, 1),
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


def _check(model: IntegratedCell, store: CellStore) -> None:
    if store.box != model.config.box:
        raise ValueError(
            f"{store.path} holds cells on a grid of {store.box}, but the box of {model.name!r} is "
            f"{model.config.box}: prepare a store for this model."
        )
    foreign = set(store.table["structure"]) - set(model.config.structures)
    if foreign:
        raise ValueError(
            f"{store.path} holds cells labelled {min(foreign)!r}, which the model {model.name!r} does not know."
        )


def _cells(store: CellStore, settings: Settings) -> dict[Split, Indices]:
    chosen: dict[Split, Indices] = {}
    for split in SPLITS:
        cells = cells_of(store, held_out=split == "test")
        if settings.cells is not None and len(cells) > settings.cells:
            cells = cells[equal_numbers(store.labels[cells], settings.cells, settings.seed)]
        chosen[split] = cells
    return chosen


def _folders(bundles: Sequence[str | Path]) -> list[str]:
    """What to call each bundle: its own name, with its parent's where two have the same."""
    paths = [locate(bundle) for bundle in bundles]
    names = [path.stem if path.suffix == ".zip" else path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.resolve().parent.name}-{name}" for path, name in zip(paths, names, strict=True)]
    return [name if names.count(name) == 1 else f"{name}-{i + 1}" for i, name in enumerate(names)]


def _run_of(bundle: str | Path, run: str | Path | None) -> Path | None:
    """The run that is given, or one that lies beside the bundle."""
    if run is not None:
        if not (Path(run) / CONFIG).is_file():
            raise ValueError(f"{run} holds no run: it has no {CONFIG}.")
        return Path(run)
    beside = locate(bundle).resolve().parent / "run"
    return beside if (beside / CONFIG).is_file() else None


def _trained_on(model: IntegratedCell) -> str:
    return "simulated cells" if model.card.get("simulated") else "real cells"


def _landmarks(model: IntegratedCell) -> str:
    return _digest(*(f"{m.stage} {m.cell_id} {np.asarray(m.z_ref).tobytes().hex()}" for m in model.landmarks))


def _logs(run: Path | None) -> str:
    if run is None:
        return ""
    return _digest(
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(run.glob(f"*/{LOSSES}")))
    )


def _code() -> str:
    """The code that all experiments share: what was kept by another version does not stand for it."""
    here = Path(__file__).parent
    files = [path for path in sorted(here.glob("*.py")) if path.name not in PRESENTATION]
    files += sorted((here / "metrics").glob("*.py"))
    return _digest(*(path.read_text(encoding="utf-8") for path in files))


def _source(experiment: Experiment) -> str:
    """The experiment's code and what it may build on, other experiments too where it borrows from them."""
    module = sys.modules[type(experiment).__module__]
    lenders = {str(getattr(value, "__module__", "")) for value in vars(module).values()}
    modules = {module.__name__, *(name for name in lenders if name.startswith(f"{__package__}.experiments."))}
    try:
        files = [Path(inspect.getfile(sys.modules[name])) for name in sorted(modules)]
        return _digest(_code(), *(path.read_text(encoding="utf-8") for path in files))
    except (OSError, TypeError):
        return __version__


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
