"""Whether a channel shows none of the structures that a model knows, from the label logits of Enc^{r,s}.

ŷ (equation 7) sums to 1 over the model's structures, also for an image of another structure. Two values say more:

- The *energy* -log Σ exp(logits) (Liu et al., 2020). It is high if no structure fits.
- The *distance* (Mahalanobis, as of Lee et al., 2018) of what the structure's channel adds to the logits, from the
  nearest mean of the training cells of one structure. It is large if the channel changes the logits as no known
  structure does, for example because it shows the DNA or is evenly bright.

A channel is new if one of the two is above its limit. Importing this module imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import logsumexp

from napari_integrated_cell.arrays import Doubles, Mask, Reals
from napari_integrated_cell.model.archive import Archive, read_json
from napari_integrated_cell.model.config import ModelConfig, check_structures

NOVELTY = "novelty.json"
"""The bundle's file with the statistics of known structures. Bundles of older versions have none."""

NOT_MEASURED = "Whether the channel shows none of the model's structures is not measured for this model."
NONE_OF_THESE = "The channel looks like none of the structures that the model knows."


@dataclass(frozen=True, eq=False)
class KnownStructures:
    """Statistics of the label logits of a model's training cells, and limits beyond which a channel is new.

    K is the number of the model's structures. A logit has no unit.

    Attributes
    ----------
    means : mapping of str to array of float64, (K,)
        By structure: mean of what the structure's channel adds to the logits, over the training cells. Structures
        without training cells are left out.
    covariance : array of float64, (K, K)
        Covariance of what the channel adds, around the mean of its structure, over all training cells.
    largest_energy : float
        A channel of a higher energy is new.
    largest_distance : float
        A channel at a larger distance is new.
    n_training, n_held_out : int
        Number of training cells (for the means and the covariance) and of held-out cells (for the limits).
    held_out_rejected : float
        Share of the held-out cells that one of the limits, or both, reject.

    Raises
    ------
    ValueError
        If there is no mean, the shapes differ, a value is not finite, or the covariance is not positive definite.
    """

    means: Mapping[str, Doubles]
    covariance: Doubles
    largest_energy: float
    largest_distance: float
    n_training: int
    n_held_out: int
    held_out_rejected: float

    def __post_init__(self) -> None:
        means = {name: np.asarray(mean, np.float64) for name, mean in self.means.items()}
        covariance = np.asarray(self.covariance, np.float64)
        k = len(covariance)
        if not means or covariance.shape != (k, k) or any(mean.shape != (k,) for mean in means.values()):
            raise ValueError("The means and the covariance of known structures do not fit together.")
        limits = np.array([self.largest_energy, self.largest_distance])
        if not all(np.isfinite(values).all() for values in (*means.values(), covariance, limits)):
            raise ValueError("The statistics of known structures hold NaN or infinite values.")
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            raise ValueError("The covariance of known structures is not positive definite.") from None
        # Store checked values. In a frozen dataclass, object.__setattr__ is the documented way to do that.
        object.__setattr__(self, "means", MappingProxyType(means))
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "_factor", factor)

    def distances(self, added: Reals) -> Doubles:
        """Return the Mahalanobis distance to the nearest mean, (N,).

        Parameters
        ----------
        added : array (N, K)
            What each structure channel adds to the logits, as
            :func:`~napari_integrated_cell.model.label_logits.label_logits` returns it.
        """
        factor: Doubles = self._factor  # type: ignore[attr-defined]
        points = np.asarray(added, np.float64)
        # Whitened by the Cholesky factor, the distance is the Euclidean one.
        whitened = [np.linalg.solve(factor, (points - mean).T) for mean in self.means.values()]
        return np.sqrt(np.min([(w**2).sum(0) for w in whitened], axis=0))

    def are_new(self, logits: Reals, added: Reals) -> Mask:
        """Return which channels show none of the known structures, (N,).

        Parameters
        ----------
        logits, added : array (N, K)
            Label logits, and what each structure channel adds to them, as
            :func:`~napari_integrated_cell.model.label_logits.label_logits` returns them.
        """
        return (energies(logits) > self.largest_energy) | (self.distances(added) > self.largest_distance)

    def to_json(self) -> bytes:
        """Return the content of the file :data:`NOVELTY`."""
        content = {
            "means": {name: [float(value) for value in mean] for name, mean in self.means.items()},
            "covariance": [[float(value) for value in row] for row in self.covariance],
            "largest_energy": self.largest_energy,
            "largest_distance": self.largest_distance,
            "n_training": self.n_training,
            "n_held_out": self.n_held_out,
            "held_out_rejected": self.held_out_rejected,
        }
        return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def energies(logits: Reals) -> Doubles:
    """Return the energy -log Σ exp(logits) of label logits (N, K), (N,)."""
    return -logsumexp(np.asarray(logits, np.float64), axis=1)


def read_known_structures(archive: Archive, config: ModelConfig) -> KnownStructures | None:
    """Return the statistics of known structures in an open bundle, or None if it has none.

    Raises
    ------
    ValueError
        If they are damaged or do not fit the model.
    """
    if not archive.holds(NOVELTY):
        return None
    where = f"{NOVELTY} of {archive.path}"
    file = read_json(archive, NOVELTY, _File)
    check_structures(file.means, config, where)
    if len(file.covariance) != config.n_structures or len({len(row) for row in file.covariance}) != 1:
        raise ValueError(
            f"{where} does not fit the model: the covariance is not that of {config.n_structures} logits."
        )
    try:
        return KnownStructures(
            {name: np.array(file.means[name]) for name in config.structures if name in file.means},
            np.array(file.covariance),
            file.largest_energy,
            file.largest_distance,
            file.n_training,
            file.n_held_out,
            file.held_out_rejected,
        )
    except ValueError as error:
        raise ValueError(f"{where} cannot be used: {error}") from None


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    means: dict[str, list[float]]
    covariance: list[list[float]]
    largest_energy: float
    largest_distance: Annotated[float, Field(ge=0)]
    n_training: Annotated[int, Field(ge=0)]
    n_held_out: Annotated[int, Field(ge=0)]
    held_out_rejected: Annotated[float, Field(ge=0, le=1)]
