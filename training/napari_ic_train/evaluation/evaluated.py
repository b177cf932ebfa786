"""Settings of a report, and its content: the evaluated bundles with a section for each experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from napari_ic_train.evaluation.caps import Caps
from napari_ic_train.evaluation.experiment import DecodedAt, Experiment
from napari_ic_train.evaluation.findings import Findings
from napari_ic_train.evaluation.selection import Side


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
    side : {"both", "train", "test", "all"}
        Which cells of the store are used, see :data:`napari_ic_train.evaluation.selection.Side`.
    decoded_at : {"predicted", "target"}, optional
        Where encoded cells are decoded, see `Context`. If left out, it is where the bundle was trained to decode
        them.
    caps : Caps
        Maximum numbers of cells in single experiments.
    """

    only: Sequence[str] = ()
    cells: int | None = None
    draws: int = 100
    seed: int = 0
    device: str = "auto"
    batch_size: int = 16
    side: Side = "both"
    decoded_at: DecodedAt | None = None
    caps: Caps = field(default_factory=Caps)


def settings_of(*, side: str = "both", decoded_at: str | None = None, **others: Any) -> Settings:
    """Return settings from words; ValueError if one of them is none of its choices."""
    for name, word, choices in (
        ("side", side, get_args(Side)),
        ("decoded_at", decoded_at, (None, *get_args(DecodedAt))),
    ):
        if word not in choices:
            listed = ", ".join(choice for choice in choices if choice)
            raise ValueError(f"{name} is {word!r}: choose one of {listed}.")
    return Settings(**others, side=cast(Side, side), decoded_at=cast(DecodedAt | None, decoded_at))


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
    set_aside : str
        A sentence about the cells whose structure the model does not have; empty if there are none.
    sections : list of Section
        In the report's order.
    """

    name: str
    model_name: str
    trained_on: str
    digest: str
    set_aside: str = ""
    sections: list[Section] = field(default_factory=list)
