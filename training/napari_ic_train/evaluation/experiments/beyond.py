"""The experiments that go past the paper, in the report's order."""

from __future__ import annotations

from napari_ic_train.evaluation.experiment import Experiment
from napari_ic_train.evaluation.experiments.against_baselines import AgainstBaselines
from napari_ic_train.evaluation.experiments.conditional_calibration import ConditionalCalibration
from napari_ic_train.evaluation.experiments.fidelity import Fidelity
from napari_ic_train.evaluation.experiments.independent_scores import IndependentScores
from napari_ic_train.evaluation.experiments.leakage import Leakage
from napari_ic_train.evaluation.experiments.truth import Truth

BEYOND: tuple[Experiment, ...] = (
    IndependentScores(),
    AgainstBaselines(),
    Fidelity(),
    ConditionalCalibration(),
    Leakage(),
    Truth(),
)
