"""Predict structures without a model, from the training cells. A model should beat these baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ic_train.bundle.localisation_scores import pearson
from napari_ic_train.evaluation.depth import DepthProfile, surface_distances
from napari_ic_train.evaluation.experiment import Context
from napari_ic_train.evaluation.features import coarse, masks_of
from napari_integrated_cell.arrays import Floats, Indices, Mask

BASELINES = ("mean image", "nearest cell", "uniform fill", "depth")
COMPARTMENTS = ("cytoplasm", "nucleus")
DEPTH_CELLS = 200
"""Maximum number of training cells of each structure for the depth baseline: distances in 3D take time."""


@dataclass(frozen=True, eq=False)
class Baselines:
    """Baselines fitted to the training cells.

    Attributes
    ----------
    context : Context
        Has the training cells.
    mean : mapping of str to array (Z, Y, X)
        Mean structure image of the training cells, for each structure.
    compartment : mapping of str to str
        Compartment whose uniform fill correlates best with the training cells, for each structure.
    depth : mapping of str to DepthProfile
        Mean light by the distances to the surfaces of cell and nucleus, for each structure.
    labels : array of int, (n,)
        Structure of each training cell.
    shapes : array (n, D)
        Coarse masks of each training cell and its nucleus.
    """

    context: Context
    mean: dict[str, Floats]
    compartment: dict[str, str]
    depth: dict[str, DepthProfile]
    labels: Indices
    shapes: Floats

    def predict(self, references: Floats, structure: str) -> dict[str, Floats]:
        """Return the image (Z, Y, X) of a structure that each baseline predicts for references (2, Z, Y, X).

        At least one training cell must have the structure.
        """
        cell, nucleus = masks_of(references)
        fill = nucleus if self.compartment[structure] == "nucleus" else cell & ~nucleus
        position = self.context.cells["train"][self.nearest(cell, nucleus, structure)]
        return {
            "mean image": self.mean[structure],
            "nearest cell": self.context.images(np.array([position]))[0, -1],
            "uniform fill": fill.astype(np.float32),
            "depth": self.depth[structure].predict(
                *surface_distances(cell, nucleus, self.context.model.config.voxel_size)
            ),
        }

    def nearest(self, cell: Mask, nucleus: Mask, structure: str) -> int:
        """Return the place of the training cell with this structure whose masks are most similar."""
        mine = np.flatnonzero(self.labels == self.context.structures.index(structure))
        shape = _shape(cell, nucleus)
        return int(mine[((self.shapes[mine] - shape) ** 2).sum(1).argmin()])


def fit_baselines(context: Context) -> Baselines:
    """Fit the baselines in one pass over the selected training cells.

    Raises
    ------
    ValueError
        If there are no training cells.
    """
    labels = context.labels("train")
    if len(labels) == 0:
        raise ValueError("The store has no training cells, and the baselines are fitted to them.")
    box, voxel_size = context.model.config.box, context.model.config.voxel_size
    profiles = [DepthProfile(voxel_size / 2) for _ in context.structures]
    sums = np.zeros((len(context.structures), *box))
    fits = np.zeros((len(context.structures), len(COMPARTMENTS)))
    shapes = []
    for part, images in context.batches("train", "measuring the shapes of training cells"):
        for label, image in zip(labels[part], images, strict=True):
            cell, nucleus = masks_of(image[:2])
            shapes.append(_shape(cell, nucleus))
            sums[label] += image[-1]
            observed = image[-1][cell]
            fills = (cell & ~nucleus, nucleus)
            if profiles[label].cells < DEPTH_CELLS:
                profiles[label].add(image[-1], *surface_distances(cell, nucleus, voxel_size))
            fits[label] += [pearson(observed, fill[cell].astype(np.float32)) for fill in fills]
    counts = np.bincount(labels, minlength=len(context.structures))
    present = [(i, name) for i, name in enumerate(context.structures) if counts[i]]
    return Baselines(
        context,
        {name: (sums[i] / counts[i]).astype(np.float32) for i, name in present},
        {name: COMPARTMENTS[int(fits[i].argmax())] for i, name in present},
        {name: profiles[i] for i, name in present},
        labels,
        np.stack(shapes),
    )


def _shape(cell: Mask, nucleus: Mask) -> Floats:
    return coarse(np.stack([cell, nucleus]))
