"""What a report is asked for, and what it holds: a bundle's sections, an experiment each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from napari_ic_train.evaluation.experiment import Experiment, Findings


@dataclass(frozen=True, eq=False)
class Settings:
    """What may be chosen of a report.

    Attributes
    ----------
    only : sequence of str
        Names of the experiments to perform; all if empty.
    cells : int, optional
        Cells of each side of the split at most, in equal numbers a structure; all if left out.
    draws : int
        Draws of each structure in each cell, where an experiment draws.
    seed : int
        Of whatever is drawn.
    device : str
        auto, cpu, cuda or mps.
    batch_size : int
        Cells computed at once.
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
    experiment : Experiment
    findings : Findings or None
        None where it could not be done, or was not reached.
    missing : str
        Why there are no findings.
    seconds : float
        How long it took, when it was done.
    folder : path
        Where its files are, relative to the report.
    """

    experiment: Experiment
    findings: Findings | None = None
    missing: str = ""
    seconds: float | None = None
    folder: str = ""


@dataclass(eq=False)
class Evaluated:
    """A bundle and what was found of it.

    Attributes
    ----------
    name : str
        What the report calls it; its folder's name in the report.
    model_name, trained_on, digest : str
        What it says of itself, and the fingerprint of its weights.
    sections : list of Section
        In the report's order.
    """

    name: str
    model_name: str
    trained_on: str
    digest: str
    sections: list[Section] = field(default_factory=list)
