"""Which labels are taken for which (Table S11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def confusion_matrix(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], n_labels: int
) -> NDArray[np.int64]:
    """Counts (K, K): rows are what cells are, columns what they are taken for."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(
            f"{truth.shape} labels were compared with {predicted.shape}: give one of each a cell."
        )
    pairs = truth.astype(np.int64) * n_labels + predicted
    return np.bincount(pairs, minlength=n_labels**2).reshape(n_labels, n_labels)


def macro_recall(matrix: NDArray[np.integer]) -> float:
    """The mean over labels of the share of their cells that are labelled right; labels without cells are left out."""
    present = matrix.sum(1)
    there = present > 0
    if not there.any():
        raise ValueError("There are no cells: a recall needs some.")
    return float((matrix.diagonal()[there] / present[there]).mean())
