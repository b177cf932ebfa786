"""Settings of a report, and its content: the evaluated bundles with a section for each experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from napari_ic_train.evaluation.experiment import Experiment
from napari_ic_train.evaluation.findings import Findings


@dataclass(frozen=True, eq=False)
class Settings:
    """Settings of a report.

    Attributes
    ----------
    only : sequence of str
        Names of the experiments to run; all if empty.
    cells : int, optional
        Maximum number of training cells, and of held-out cells, with equal numbers for each structure; all cells
        if left out.
    draws : int
        Number of draws of each structure in each cell. Some experiments take fewer.
    seed : int
        Random seed.
    device : str
        auto, cpu, cuda or mps.
    batch_size : int
        Number of cells in a batch.
    """

    only: Sequence[str] = ()
    cells: int | None = None
    draws: int = 100
    seed: int = 0
    device: str = "auto"
    batch_size: int = 16


@dataclass(eq=False)
class Section:
    """One experiment on one bundle.

    Attributes
    ----------
    findings : Findings or None
        None if the experiment cannot run, or has not run yet.
    missing : str
        Why the experiment cannot run.
    folder : str
        Folder of its files, relative to the report.
    """

    experiment: Experiment
    findings: Findings | None = None
    missing: str = ""
    folder: str = ""


@dataclass(eq=False)
class Evaluated:
    """A bundle and the results of its evaluation.

    Attributes
    ----------
    name : str
        Name of the bundle in the report, and of its folder there.
    model_name, trained_on : str
        Name of the model, and whether it was trained on simulated or on real cells.
    digest : str
        Fingerprint of the weights.
    sections : list of Section
        In the report's order.
    """

    name: str
    model_name: str
    trained_on: str
    digest: str
    sections: list[Section] = field(default_factory=list)
