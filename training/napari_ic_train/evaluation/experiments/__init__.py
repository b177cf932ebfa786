"""The experiments of the evaluation report, in the report's order."""

from __future__ import annotations

from napari_ic_train.evaluation.experiment import Experiment
from napari_ic_train.evaluation.experiments.baseline_comparison import BaselineComparison
from napari_ic_train.evaluation.experiments.classification import Classification
from napari_ic_train.evaluation.experiments.conditional_calibration import ConditionalCalibration
from napari_ic_train.evaluation.experiments.correlations import Correlations
from napari_ic_train.evaluation.experiments.counts import Counts
from napari_ic_train.evaluation.experiments.fidelity import Fidelity
from napari_ic_train.evaluation.experiments.inception import InceptionScores
from napari_ic_train.evaluation.experiments.independent_scores import IndependentScores
from napari_ic_train.evaluation.experiments.integration import MostProbableLocalisation
from napari_ic_train.evaluation.experiments.latent_spaces import LatentSpaces
from napari_ic_train.evaluation.experiments.leakage import Leakage
from napari_ic_train.evaluation.experiments.mitotic_walk import MitoticWalk
from napari_ic_train.evaluation.experiments.reconstruction import Reconstruction
from napari_ic_train.evaluation.experiments.simulator_comparison import SimulatorComparison
from napari_ic_train.evaluation.experiments.training_curves import TrainingCurves
from napari_ic_train.evaluation.experiments.variation import StructureVariations

PAPER: tuple[Experiment, ...] = (
    Counts(),
    TrainingCurves(),
    LatentSpaces(),
    Classification(),
    Reconstruction(),
    MostProbableLocalisation(),
    Correlations(),
    InceptionScores(),
    StructureVariations(),
    MitoticWalk(),
)
"""Experiments of the paper."""

ADDITIONAL: tuple[Experiment, ...] = (
    IndependentScores(),
    BaselineComparison(),
    Fidelity(),
    ConditionalCalibration(),
    Leakage(),
    SimulatorComparison(),
)
"""Experiments that are not in the paper."""

EXPERIMENTS: tuple[Experiment, ...] = (*PAPER, *ADDITIONAL)
