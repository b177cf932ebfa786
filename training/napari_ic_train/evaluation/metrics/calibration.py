"""Calibration of a classifier: compare its confidence with its accuracy (Naeini et al. 2015, Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Doubles, Indices, Reals

BINS = 10


@dataclass(frozen=True, eq=False)
class Calibration:
    """A reliability diagram with :data:`BINS` equally wide bins of the predicted label's probability.

    Attributes
    ----------
    counts : array of int, (bins,)
        Number of cells in each bin.
    confidence, accuracy : array (bins,)
        Mean probability of the predicted label, and share of correct labels; NaN in empty bins.
    error : float
        Expected calibration error: mean over cells of |accuracy - confidence| in their bin.
    """

    counts: Indices
    confidence: Doubles
    accuracy: Doubles
    error: float


def calibration(p: Reals, truth: NDArray[np.integer]) -> Calibration:
    """Return the calibration of label probabilities (N, K), with the true labels (N,)."""
    p, truth = np.asarray(p, np.float64), np.asarray(truth)
    if p.ndim != 2 or len(p) != len(truth) or len(p) == 0:
        raise ValueError(
            f"Probabilities {p.shape} and labels {truth.shape} do not match: give (N, K) and (N,)."
        )
    sure, right = p.max(1), p.argmax(1) == truth
    which = np.clip((sure * BINS).astype(int), 0, BINS - 1)
    counts = np.bincount(which, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(which, sure, BINS) / counts
        accuracy = np.bincount(which, right, BINS) / counts
    filled = counts > 0
    error = float((counts[filled] * np.abs(accuracy - confidence)[filled]).sum() / len(p))
    return Calibration(counts, confidence, accuracy, error)
