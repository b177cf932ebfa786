"""Confusion matrix and macro recall (Table S11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Indices


def confusion_matrix(truth: NDArray[np.integer], predicted: NDArray[np.integer], n_labels: int) -> Indices:
    """Count cells by true label (rows) and predicted label (columns), (K, K)."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(
            f"True labels {truth.shape} and predicted labels {predicted.shape} do not match: give (N,) and (N,)."
        )
    pairs = truth.astype(np.int64) * n_labels + predicted
    return np.bincount(pairs, minlength=n_labels**2).reshape(n_labels, n_labels)


def macro_recall(matrix: NDArray[np.integer]) -> float:
    """Return the mean recall over labels; labels without cells are left out."""
    cells = matrix.sum(1)
    present = cells > 0
    if not present.any():
        raise ValueError("The confusion matrix has no cells, so its recall is not defined.")
    return float((matrix.diagonal()[present] / cells[present]).mean())
