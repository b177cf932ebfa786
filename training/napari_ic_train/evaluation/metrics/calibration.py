"""Whether a classifier is right as often as it says (Naeini et al. 2015, Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """A reliability diagram, by equally wide bins of the probability of the label chosen.

    Attributes
    ----------
    edges : array (bins + 1,)
    counts : array of int, (bins,)
        Cells of each bin.
    confidence, accuracy : array (bins,)
        Mean probability of the label chosen, and share of cells labelled right; NaN where there is no cell.
    error : float
        The expected calibration error: the mean over cells of |accuracy - confidence| of their bin.
    """

    edges: Floats
    counts: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats
    error: float


def calibration(p: NDArray[np.floating], truth: NDArray[np.integer], bins: int = 10) -> Calibration:
    """The reliability of probabilities (N, K) of labels whose truth (N,) is known."""
    p, truth = np.asarray(p, np.float64), np.asarray(truth)
    if p.ndim != 2 or len(p) != len(truth) or len(p) == 0:
        raise ValueError(
            f"Probabilities {p.shape} do not go with labels {truth.shape}: give (N, K) and (N,)."
        )
    sure, right = p.max(1), p.argmax(1) == truth
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip((sure * bins).astype(int), 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(which, sure, bins) / counts
        accuracy = np.bincount(which, right, bins) / counts
    there = counts > 0
    error = float((counts[there] * np.abs(accuracy - confidence)[there]).sum() / len(p))
    return Calibration(edges, counts, confidence, accuracy, error)
