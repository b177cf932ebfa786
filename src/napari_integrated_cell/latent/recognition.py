"""Recognise the structure that a cell's channel shows, or say that the model knows no such structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.frame import Pose
from napari_integrated_cell.imaging.pose import pose_of, posed_image
from napari_integrated_cell.integration import classify_cell, model_box
from napari_integrated_cell.model.novelty import NONE_OF_THESE, NOT_MEASURED, energies

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell


@dataclass(frozen=True)
class Recognition:
    """Which structure a model takes a channel for, and whether it knows such a structure at all.

    Attributes
    ----------
    probabilities : dict of str to float
        Probability of each structure, highest first, as
        :func:`~napari_integrated_cell.integration.classify_cell` returns it. They sum to 1 also if the channel shows
        another structure.
    none_of_these : bool or None
        Whether the channel looks like none of the model's structures; None if the model has no statistics for it.
    energy, distance : float or None
        The two values that decide; :mod:`napari_integrated_cell.model.novelty` explains them. No unit.
    largest_energy, largest_distance : float or None
        The model's limits. A channel with a value above one of them is none of the structures.
    """

    probabilities: dict[str, float]
    none_of_these: bool | None = None
    energy: float | None = None
    distance: float | None = None
    largest_energy: float | None = None
    largest_distance: float | None = None

    @property
    def sentence(self) -> str:
        """What to say beside the probabilities; empty if the channel looks like one of the structures."""
        if self.none_of_these is None:
            return NOT_MEASURED
        return NONE_OF_THESE if self.none_of_these else ""

    @property
    def novelty(self) -> dict[str, Any]:
        """Everything but the probabilities, for a summary in JSON."""
        names = ("none_of_these", "energy", "largest_energy", "distance", "largest_distance")
        return {name: getattr(self, name) for name in names}


def recognise_cell(
    cell: Cell, channel: str, model: IntegratedCell, *, pose: Pose | None = None
) -> Recognition:
    """Return the probability of each structure for ``channel``, and whether it looks like none of them.

    Parameters
    ----------
    cell : Cell
        A cell that has the channel.
    channel : str
        The channel to classify. Its name does not matter.
    model : IntegratedCell
        A trained model. Without ``model.known_structures``, nothing is rejected and ``none_of_these`` is None.
    pose : Pose, optional
        The cell's pose, if it is known already.

    Raises
    ------
    ValueError
        If the cell has no such channel.
    """
    known = model.known_structures
    if known is None:
        return Recognition(classify_cell(cell, channel, model, pose=pose))
    from napari_integrated_cell.model.label_logits import label_logits  # imports torch

    pose = pose or pose_of(cell, model_box(model.config))
    image = posed_image(cell, channel, pose)
    logits, added = label_logits(model, image[None])
    energy = energies(logits)[0]
    probabilities = np.exp(logits[0] + energy)  # the energy normalises the softmax
    ranked = sorted(zip(model.config.structures, probabilities, strict=True), key=lambda pair: -pair[1])
    return Recognition(
        {name: float(p) for name, p in ranked},
        bool(known.are_new(logits, added)[0]),
        float(energy),
        float(known.distances(added)[0]),
        known.largest_energy,
        known.largest_distance,
    )
