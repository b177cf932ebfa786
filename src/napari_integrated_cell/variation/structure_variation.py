"""Measure how much a structure's localisation varies for a given cell shape (section 3.4.5, Algorithm 4).

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from napari_integrated_cell.arrays import Doubles, Floats, Mask
from napari_integrated_cell.model.conditional_prior import (
    OBSERVED,
    PRIOR,
    DrawFrom,
    drawn_from,
    name_of_draws,
)
from napari_integrated_cell.processes import progress_of_part
from napari_integrated_cell.variation.correlation import CorrelationStream, Moments, correlation_matrix

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import CancelToken, Progress


RIDGE = 1e-9
"""Default ridge that is added to the diagonal of ρ; see :func:`structure_variation`."""


def variation_score(volumes: ArrayLike, ridge: float = 0.0) -> float:
    """Return -log|ρ + ridge·I| / n of n volumes, the result of Algorithm 4, in float64.

    ρ is the n x n matrix of Pearson correlations between the volumes. The score is 0 for uncorrelated volumes and
    grows as they become alike: **a larger score means less variation**.

    Choices where the paper's text and its printed algorithm differ, or leave something open:

    - Section 3.4.5 and Figure S7 use the (negative) log-determinant, and Algorithm 4 divides it by n. Here it is
      divided, so that it is a mean over draws.
    - The inner loop is printed as "for each j in j + 1 to n". Here it runs over every pair i < j; ρ is symmetric with
      ones on its diagonal.
    - Algorithm 4 does not draw z̃^s. :func:`structure_variation` draws it from p(z^s | z^r, y) if the model has it,
      or from the prior N(0, I).
    - The logarithm is natural, and correlations are over all given voxels.
    - The paper does not mention a singular ρ. A ridge of 0 is the paper's formula.

    Parameters
    ----------
    volumes : array (n, Z, Y, X)
        Volumes of any shape (n, ...).
    ridge : float
        Number that is added to the diagonal of ρ. Without it, equal volumes have a determinant of 0.

    Returns
    -------
    float
        ``inf`` if the matrix is singular to the precision of float64.

    Raises
    ------
    ValueError
        If a volume is constant or not finite, or the ridge is negative.
    """
    return Variation.of(correlation_matrix(volumes), ridge).score


@dataclass(frozen=True)
class Variation:
    """Variation of n draws, as computed from their correlation matrix.

    Attributes
    ----------
    score : float
        -log|ρ + ridge·I| / n; a larger score means less variation.
    n : int
        Number of draws.
    ridge : float
        Number that was added to the diagonal of ρ.
    effective_rank : float
        exp of the entropy of the eigenvalues of ρ / n (Roy and Vetterli 2007), without the ridge: 1 if all draws are
        equal, n if they are uncorrelated.
    """

    score: float
    n: int
    ridge: float
    effective_rank: float

    @classmethod
    def of(cls, correlation: Doubles, ridge: float = 0.0) -> Self:
        """Compute the variation from a correlation matrix (n, n)."""
        return cls(*_measured(correlation, ridge))


@dataclass(frozen=True)
class StructureVariation(Variation):
    """Variation of one structure in one cell, and its place in the cell.

    Attributes
    ----------
    structure : str
        The structure's name in the model.
    mean, deviation : array of float32, (Z, Y, X)
        Mean and standard deviation (with division by n) of each voxel over the draws, in the model's box.
    draw_from : {"prior", "conditional", "observed"}
        Where the draws are from (:class:`Draws`).
    """

    structure: str
    mean: Floats = field(repr=False, compare=False)
    deviation: Floats = field(repr=False, compare=False)
    draw_from: DrawFrom = PRIOR


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of one structure in one cell: x̃^s of Dec^{r,s}(z^r, y, z̃^s) with a random z̃^s, decoded on request.

    Draw ``i`` depends only on ``seed``, the structure, z^r, ``draw_from`` and ``i``. It equals draw ``i`` of
    ``model.sample(n, structure, z_ref=z_ref, seed=seed, draw_from=draw_from)``, unless it is drawn from ``"observed"``,
    which :meth:`~.integrated_cell.IntegratedCell.sample` takes as ``"conditional"``.

    Attributes
    ----------
    model : IntegratedCell
    z_ref : array (n_ref,)
        The cell's z^r.
    structure : str
        A structure of the model.
    seed : int
        Random seed.
    draw_from : {"prior", "conditional", "observed"}
        z̃^s ~ N(0, I); z̃^s ~ p(z^s | z^r, y), the default if the model has it; or this, and a draw also gets the texture
        and the noise that Dec^{r,s} leaves out of observed images. It is known inside cells only.
    """

    model: IntegratedCell
    z_ref: Floats
    structure: str
    seed: int = 0
    draw_from: DrawFrom | None = None

    def __post_init__(self) -> None:
        from napari_integrated_cell.model.inputs import latent, structure_names

        z_ref = latent(np.atleast_2d(self.z_ref), self.model.config.n_ref, "z_ref", n=1)
        (name,) = structure_names(self.structure, self.model.config)
        # Store checked values. In a frozen dataclass, object.__setattr__ is the documented way to do that.
        object.__setattr__(self, "z_ref", z_ref.numpy()[0])
        object.__setattr__(self, "structure", name)
        known = drawn_from(self.model.conditional_prior, self.draw_from, z_ref, self.model.name)
        object.__setattr__(self, "draw_from", name_of_draws(known, self.draw_from))

    def z_struct(self, n: int) -> Floats:
        """Return the first ``n`` draws of z^s, (n, n_struct)."""
        if self.seed < 0:
            raise ValueError(f"The seed {self.seed} is negative: give a whole number from 0 upwards.")
        return self.model.draw_z_struct(
            n, self.structure, self.seed, z_ref=self.z_ref[None], draw_from=self.draw_from
        )

    def draw(self, i: int) -> Floats:
        """Return draw ``i`` (Z, Y, X) in the model's box, counted from 0."""
        if i < 0:
            raise ValueError(f"There is no draw {i}: give a number from 0 upwards.")
        return self._decoded(self.z_struct(i + 1)[i:], i, None)[0]

    def blocks(self, n: int, size: int = 8, cancel: CancelToken | None = None) -> Iterator[Floats]:
        """Yield the first ``n`` draws in blocks of ``size``: (m, Z, Y, X) each."""
        z_struct = self.z_struct(n)
        for start in range(0, n, size):
            yield self._decoded(z_struct[start : start + size], start, cancel)

    def _decoded(self, z_struct: Floats, first: int, cancel: CancelToken | None) -> Floats:
        """Return draws (m, Z, Y, X) from number ``first`` on, for their z^s."""
        shapes = np.repeat(self.z_ref[None], len(z_struct), 0)
        volumes = self.model.decode_structures(
            shapes, self.structure, z_struct, batch_size=len(z_struct), cancel=cancel
        )[self.structure]
        known = self.model.conditional_prior
        if self.draw_from != OBSERVED or known is None or known.residuals is None:
            return volumes
        # Each draw has its own random numbers, and does not depend on how many are drawn.
        stream = 1 + self.model.config.structures.index(self.structure)
        for i, volume in enumerate(volumes, first):
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(stream, i)))
            volumes[i - first] = known.residuals.drawn(self.structure, volume, random)
        return volumes


def structure_variation(
    model: IntegratedCell,
    z_ref: ArrayLike,
    structure: str,
    n: int = 100,
    seed: int = 0,
    *,
    mask: ArrayLike | None = None,
    ridge: float = RIDGE,
    draw_from: DrawFrom | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> StructureVariation:
    """Measure how much one structure varies in one cell, according to the model (Algorithm 4).

    ``n`` draws of z̃^s are decoded with the cell's z^r and compared by :func:`variation_score`; their mean
    and standard deviation are kept. Draws are streamed
    (:class:`~napari_integrated_cell.variation.correlation.CorrelationStream`): apart from the matrix, memory does not
    grow with ``n``.

    Parameters
    ----------
    model : IntegratedCell
    z_ref : array (n_ref,) or (1, n_ref)
        z^r = Enc^r(x^r) of the cell.
    structure : str
        A structure of the model.
    n : int
        Number of draws, at least two; 1000 in the paper. Only scores with the same ``n`` can be compared: with more
        draws than dimensions in which they vary, the determinant of ρ shrinks with every further draw.
    seed : int
        Random seed of the draws (:class:`Draws`).
    mask : array (Z, Y, X), optional
        Voxels of the box in which draws are compared (above 0.5 in a soft mask). By default all voxels, as printed
        in Algorithm 4: all draws are then dark outside the cell, which makes them more alike. In the simulator's
        own draws fibrillarin, which disperses in mitosis, then seems to vary less in mitosis. Inside the cell it
        varies more, which is correct.
    ridge : float
        Number that is added to the diagonal of ρ; 0 in the paper. The default changes the score of different draws
        by 0.003 at most (1000 draws of the demo model). If draws are equal, because the model ignores z^s, the
        score stays finite: -log(ridge) / n for each missing dimension.
    draw_from : {"prior", "conditional", "observed"}
        Where the draws are from, as for :class:`Draws`. Only scores with the same one can be compared.
    batch_size : int
        Number of draws that are decoded at once.
    progress : callable, optional
        Called as ``progress(done, n, what)`` after each batch.
    cancel : CancelToken, optional
        Checked before each batch, and while the draws are compared.

    Raises
    ------
    ValueError
        For fewer than two draws, an unknown structure, an invalid mask or ridge, or a constant draw.
    Cancelled
        If ``cancel`` was set.
    """
    if n < 2:
        raise ValueError(f"Variation over {n} draws is undefined: give 2 or more.")
    if batch_size < 1:
        raise ValueError(f"The batch size is {batch_size}: give 1 or more.")
    _check_ridge(ridge)
    draws = Draws(model, np.asarray(z_ref), structure, seed, draw_from)
    moments = Moments()
    with CorrelationStream(_inside(mask, model.config.box)) as stream:
        for block in draws.blocks(n, batch_size, cancel):
            stream.add(block)
            moments.add(block)
            if progress is not None:
                progress(moments.n, n, f"Drawing {draws.structure}")
        measured = _measured(stream.matrix(cancel), ridge)
    where = draws.draw_from or PRIOR
    return StructureVariation(*measured, draws.structure, moments.mean, moments.deviation, where)


def structure_variations(
    model: IntegratedCell,
    z_ref: ArrayLike,
    structures: str | Iterable[str] | None = None,
    n: int = 100,
    seed: int = 0,
    *,
    mask: ArrayLike | None = None,
    ridge: float = RIDGE,
    draw_from: DrawFrom | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_structure: Callable[[StructureVariation], None] | None = None,
) -> dict[str, StructureVariation]:
    """Measure :func:`structure_variation` of several structures of one cell, by default of all; a dict by name.

    ``progress`` counts the draws of all structures. ``on_structure`` receives each result as soon as it is measured.
    """
    from napari_integrated_cell.model.inputs import structure_names

    names = structure_names(structures, model.config)
    found: dict[str, StructureVariation] = {}
    for name in names:
        counted = progress_of_part(progress, len(found) * n, len(names) * n, "Drawing structures")
        variation = structure_variation(
            model, z_ref, name, n, seed,
            mask=mask, ridge=ridge, draw_from=draw_from, batch_size=batch_size, progress=counted, cancel=cancel,
        )  # fmt: skip
        found[name] = variation
        if on_structure is not None:
            on_structure(variation)
    return found


def _check_ridge(ridge: float) -> None:
    if not (np.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"The ridge is {ridge}: give a number from 0 upwards, such as {RIDGE:g}.")


def _measured(correlation: Doubles, ridge: float) -> tuple[float, int, float, float]:
    """Return score, n, ridge and effective rank: the fields of :class:`Variation`."""
    _check_ridge(ridge)
    n = len(correlation)
    eigenvalues = np.linalg.eigvalsh(correlation).clip(0)
    share = eigenvalues[eigenvalues > 0] / eigenvalues.sum()
    effective_rank = float(np.exp(-(share * np.log(share)).sum()))
    # Rounding errors in ρ change its eigenvalues by up to n times eps: a smaller one may be zero.
    if eigenvalues[0] + ridge <= n * np.finfo(np.float64).eps:
        return float("inf"), n, ridge, effective_rank
    _, log_determinant = np.linalg.slogdet(correlation + ridge * np.eye(n))
    return float(-log_determinant / n) + 0.0, n, ridge, effective_rank


def _inside(mask: ArrayLike | None, box: tuple[int, int, int]) -> Mask | None:
    """Return the mask as the voxels to compare, or None for the whole box."""
    if mask is None:
        return None
    inside = np.asarray(mask) > 0.5
    if inside.shape != tuple(box):
        raise ValueError(
            f"The mask has shape {inside.shape} but the model's box is {tuple(box)}: pose it first."
        )
    if inside.sum() < 2:
        raise ValueError("The mask has fewer than two voxels: give a larger one.")
    return inside
