"""Predict targets from latent codes by ridge regression (Alain and Bengio 2017)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from napari_integrated_cell.arrays import Doubles, Reals

FOLDS = 5
PENALTIES = np.logspace(-2, 4, 13)


def ridge_predictions(codes: Reals, targets: Reals, seed: int = 0) -> Doubles:
    """Predict targets (N, T) from codes (N, D) by cross-validation: each cell by a regression fitted without it.

    The penalty is selected within the fitted cells.

    Raises
    ------
    ValueError
        If there are too few cells for the folds, or if codes and targets differ in number.
    """
    codes, targets = np.asarray(codes, np.float64), np.asarray(targets, np.float64)
    if len(codes) < 2 * FOLDS or len(codes) != len(targets):
        raise ValueError(
            f"There are {len(codes)} codes and {len(targets)} targets: give the same number of both, "
            f"{2 * FOLDS} or more."
        )
    predicted = np.empty(targets.shape)
    for fitted, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(codes):
        for t in range(targets.shape[1]):
            ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(codes[fitted], targets[fitted, t])
            predicted[held_out, t] = ridge.predict(codes[held_out])
    return predicted


def r_squared(targets: Reals, predicted: Reals) -> Doubles:
    """Return R² (T,) of predictions (N, T) of targets (N, T); NaN for a target that is the same in all cells."""
    targets = np.asarray(targets, np.float64)
    total = ((targets - targets.mean(0)) ** 2).sum(0)
    flat = total <= 1e-12 * np.maximum((targets**2).sum(0), 1e-300)
    return np.where(flat, np.nan, 1 - ((targets - predicted) ** 2).sum(0) / np.where(flat, 1, total))


def largest_r_squared(targets: Reals, predicted: Reals) -> float:
    """Return R² of the direction of targets (N, T) that is predicted best, a linear combination of the targets.

    NaN if the targets do not vary in some direction, like those of a collapsed encoder: R² is not defined there.
    """
    targets = np.asarray(targets, np.float64)
    centred, errors = targets - targets.mean(0), targets - predicted
    total = centred.T @ centred
    variances = np.linalg.eigvalsh(total)
    if variances[0] <= 1e-9 * max(variances[-1], 1e-300):
        return float("nan")
    return float(1 - eigh(errors.T @ errors, total, eigvals_only=True)[0])
