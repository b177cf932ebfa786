"""The experiments of the evaluation report, one file each, in the report's order."""

from __future__ import annotations

from napari_ic_train.evaluation.experiment import Experiment
from napari_ic_train.evaluation.experiments.beyond import BEYOND
from napari_ic_train.evaluation.experiments.classification import Classification
from napari_ic_train.evaluation.experiments.correlations import Correlations
from napari_ic_train.evaluation.experiments.counts import Counts
from napari_ic_train.evaluation.experiments.inception import Inception
from napari_ic_train.evaluation.experiments.integration import Integration
from napari_ic_train.evaluation.experiments.latent_spaces import LatentSpaces
from napari_ic_train.evaluation.experiments.mitotic_walk import MitoticWalk
from napari_ic_train.evaluation.experiments.reconstruction import Reconstruction
from napari_ic_train.evaluation.experiments.training_curves import TrainingCurves
from napari_ic_train.evaluation.experiments.variation import StructureVariations

PAPER: tuple[Experiment, ...] = (
    Counts(),
    TrainingCurves(),
    LatentSpaces(),
    Classification(),
    Reconstruction(),
    Integration(),
    Correlations(),
    Inception(),
    StructureVariations(),
    MitoticWalk(),
)
"""The paper's own."""

EXPERIMENTS: tuple[Experiment, ...] = (*PAPER, *BEYOND)
"""The paper's own, then those that go past it."""
