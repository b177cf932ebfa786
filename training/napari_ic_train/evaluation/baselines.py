"""Predictions that need no model: what a model must beat to have learnt where structures lie in a given shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.experiment import Context
from napari_ic_train.evaluation.features import coarse, masks_of
from napari_ic_train.evaluation.localisation import pearson

Volume = NDArray[np.float32]

BASELINES = ("mean image", "nearest cell", "uniform fill")
COMPARTMENTS = ("cytoplasm", "nucleus")


@dataclass(frozen=True, eq=False)
class Baselines:
    """The training cells, as far as they can predict.

    Attributes
    ----------
    context : Context
        Whose training cells they are.
    mean : mapping of str to array (Z, Y, X)
        The mean structure image of the training cells of each structure.
    compartment : mapping of str to str
        Which uniform fill fits a structure's training cells better.
    labels : array of int, (n,)
        The structure of each training cell.
    shapes : array (n, D)
        Cell and nucleus of each training cell, as coarse masks.
    """

    context: Context
    mean: dict[str, Volume]
    compartment: dict[str, str]
    labels: NDArray[np.int64]
    shapes: Volume

    def predict(self, references: Volume, structure: str) -> dict[str, Volume]:
        """Every baseline's image (Z, Y, X) of a structure, in the cell of references (2, Z, Y, X).

        ``structure`` must be one that a training cell has.
        """
        cell, nucleus = masks_of(references)
        fill = nucleus if self.compartment[structure] == "nucleus" else cell & ~nucleus
        nearest = self.nearest(cell, nucleus, structure)
        position = self.context.cells["train"][nearest]
        return {
            "mean image": self.mean[structure],
            "nearest cell": self.context.images(np.array([position]))[0, -1],
            "uniform fill": fill.astype(np.float32),
        }

    def nearest(self, cell: NDArray[np.bool_], nucleus: NDArray[np.bool_], structure: str) -> int:
        """Which of the training cells with a structure has the masks most alike, in the mean square."""
        mine = np.flatnonzero(self.labels == self.context.structures.index(structure))
        shape = _shape(cell, nucleus)
        return int(mine[((self.shapes[mine] - shape) ** 2).sum(1).argmin()])


def fit_baselines(context: Context) -> Baselines:
    """One pass over the chosen training cells.

    Raises
    ------
    ValueError
        If there are none.
    """
    labels = context.labels("train")
    if len(labels) == 0:
        raise ValueError("The store has no training cells, and baselines are made of them.")
    box = context.model.config.box
    sums = np.zeros((len(context.structures), *box))
    fits = np.zeros((len(context.structures), len(COMPARTMENTS)))
    shapes = []
    for part, images in context.batches("train", "measuring training cells' shapes"):
        for label, image in zip(labels[part], images, strict=True):
            cell, nucleus = masks_of(image[:2])
            shapes.append(_shape(cell, nucleus))
            sums[label] += image[-1]
            observed = image[-1][cell]
            fills = (cell & ~nucleus, nucleus)
            fits[label] += [pearson(observed, fill[cell].astype(np.float32)) for fill in fills]
    counts = np.bincount(labels, minlength=len(context.structures))
    there = [(i, name) for i, name in enumerate(context.structures) if counts[i]]
    return Baselines(
        context,
        {name: (sums[i] / counts[i]).astype(np.float32) for i, name in there},
        {name: COMPARTMENTS[int(fits[i].argmax())] for i, name in there},
        labels,
        np.stack(shapes),
    )


def _shape(cell: NDArray[np.bool_], nucleus: NDArray[np.bool_]) -> Volume:
    return coarse(np.stack([cell, nucleus]))
