"""What can be read from a code by a straight line (Alain and Bengio 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS = 5
PENALTIES = np.logspace(-2, 4, 13)


def linear_probe(
    codes: NDArray[np.floating], targets: NDArray[np.floating], folds: int = FOLDS, seed: int = 0
) -> NDArray[np.float64]:
    """R² of ridge regressions from codes (N, D) to targets (N, T), on cells that a regression was not fitted to, (T,).

    1 is a target that can be read off, 0 one of which the codes say nothing; NaN is a target that is the same in all
    cells.
    """
    return explained(targets, read_off(codes, targets, folds, seed))


def read_off(
    codes: NDArray[np.floating], targets: NDArray[np.floating], folds: int = FOLDS, seed: int = 0
) -> NDArray[np.float64]:
    """Targets (N, T) as ridge regressions have them from codes (N, D), each cell by one not fitted to it.

    The penalty is chosen within the fitted cells.
    """
    codes, targets = np.asarray(codes, np.float64), np.asarray(targets, np.float64)
    if len(codes) < 2 * folds or len(codes) != len(targets):
        raise ValueError(
            f"{len(codes)} codes and {len(targets)} targets cannot be probed in {folds} folds: "
            f"give as many of each, {2 * folds} or more."
        )
    predicted = np.empty_like(targets)
    for fitted, kept in KFold(folds, shuffle=True, random_state=seed).split(codes):
        for t in range(targets.shape[1]):
            probe = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(codes[fitted], targets[fitted, t])
            predicted[kept, t] = probe.predict(codes[kept])
    return predicted


def explained(targets: NDArray[np.floating], predicted: NDArray[np.floating]) -> NDArray[np.float64]:
    """R² of predictions (N, T) of targets (N, T), (T,); NaN for a target that is the same in all cells."""
    targets = np.asarray(targets, np.float64)
    total = ((targets - targets.mean(0)) ** 2).sum(0)
    flat = total <= 1e-12 * np.maximum((targets**2).sum(0), 1e-300)
    return np.where(flat, np.nan, 1 - ((targets - predicted) ** 2).sum(0) / np.where(flat, 1, total))


def most_explained(targets: NDArray[np.floating], predicted: NDArray[np.floating]) -> float:
    """R² of that direction of targets (N, T) whose errors are the least share of its variance.

    NaN where targets lie in a plane, as those of a collapsed encoder: a direction of no variance has no R².
    """
    targets = np.asarray(targets, np.float64)
    centred, errors = targets - targets.mean(0), targets - predicted
    total = centred.T @ centred
    variances = np.linalg.eigvalsh(total)
    if variances[0] <= 1e-9 * max(variances[-1], 1e-300):
        return float("nan")
    return float(1 - eigh(errors.T @ errors, total, eigvals_only=True)[0])
