"""How much of a structure's localisation the cell's shape leaves open (section 3.4.5, Algorithm 4).

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from napari_integrated_cell.arrays import Doubles, Floats, Mask
from napari_integrated_cell.variation.correlation import CorrelationStream, Moments, correlation_matrix

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import CancelToken, Progress


RIDGE = 1e-9
"""Added to ρ where a model's draws are compared; see :func:`structure_variation`."""


def variation_score(volumes: ArrayLike, ridge: float = 0.0) -> float:
    """-log|ρ + ridge·I| / n of n volumes: what Algorithm 4 returns, in float64.

    ρ is the n x n matrix of Pearson correlations between the volumes. The score is 0 where they have nothing
    in common, and grows as they become alike: **a larger score is less variation**.

    Where the paper's text and its printed algorithm differ, or leave something open:

    - section 3.4.5 and Figure S7 speak of the (negative) log-determinant, Algorithm 4 divides it by n: divided
      here, so that it is a mean over draws;
    - the inner loop is printed as "for each j in j + 1 to n": every pair i < j is meant; ρ is symmetric with
      ones on its diagonal;
    - z̃^s is nowhere drawn in Algorithm 4: :func:`structure_variation` draws it from the prior N(0, I);
    - the logarithm is natural, and correlations are over all voxels that are given;
    - a singular ρ is not spoken of: hence the ridge, which is the paper's at 0.

    Parameters
    ----------
    volumes : array (n, Z, Y, X)
        Or of any shape (n, ...).
    ridge : float
        Added to the diagonal of ρ. Equal volumes have a determinant of 0 without.

    Returns
    -------
    float
        ``inf`` where the matrix is singular to the precision of float64.

    Raises
    ------
    ValueError
        If a volume is the same everywhere or not finite, or the ridge is negative.
    """
    return Variation.of(correlation_matrix(volumes), ridge).score


@dataclass(frozen=True)
class Variation:
    """What a correlation matrix says of how much n draws vary.

    Attributes
    ----------
    score : float
        -log|ρ + ridge·I| / n; a larger score is less variation.
    n : int
        Draws.
    ridge : float
        What was added to the diagonal of ρ.
    effective_rank : float
        exp of the entropy of the eigenvalues of ρ over n (Roy and Vetterli 2007), without the ridge: 1 where all
        draws are the same, n where they have nothing in common.
    """

    score: float
    n: int
    ridge: float
    effective_rank: float

    @classmethod
    def of(cls, correlation: Doubles, ridge: float = 0.0) -> Self:
        """The variation that a correlation matrix (n, n) shows."""
        return cls(*_measured(correlation, ridge))


@dataclass(frozen=True)
class StructureVariation(Variation):
    """The variation of one structure in one cell, and where in the cell it is.

    Attributes
    ----------
    structure : str
        The model's name of it.
    mean, deviation : array of float32, (Z, Y, X)
        Of each voxel over the draws, in the model's box; the deviation is the root of the mean square.
    """

    structure: str
    mean: Floats = field(repr=False, compare=False)
    deviation: Floats = field(repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of one structure in one cell: x̃^s of Dec^{r,s}(z^r, y, z̃^s) with z̃^s ~ N(0, I), made when asked for.

    Draw ``i`` depends on ``seed``, the structure and ``i`` alone, and is that of
    ``model.sample(n, structure, z_ref=z_ref, seed=seed)``.

    Attributes
    ----------
    model : IntegratedCell
    z_ref : array (n_ref,)
        The cell's place in the latent space of shapes.
    structure : str
        A name that the model knows.
    seed : int
    """

    model: IntegratedCell
    z_ref: Floats
    structure: str
    seed: int = 0

    def __post_init__(self) -> None:
        from napari_integrated_cell.model.inputs import latent, structure_names

        z_ref = latent(np.atleast_2d(self.z_ref), self.model.config.n_ref, "z_ref", n=1)
        (name,) = structure_names(self.structure, self.model.config)
        # A frozen dataclass keeps checked, normalised values: object.__setattr__ is its documented way.
        object.__setattr__(self, "z_ref", z_ref.numpy()[0])
        object.__setattr__(self, "structure", name)

    def z_struct(self, n: int) -> Floats:
        """The first ``n`` draws of z^s, (n, n_struct)."""
        if self.seed < 0:
            raise ValueError(f"The seed {self.seed} is negative: give a whole number from 0 upwards.")
        return self.model.draw_z_struct(n, self.structure, self.seed)

    def draw(self, i: int) -> Floats:
        """Draw ``i``, from 0 upwards, (Z, Y, X) in the model's box."""
        if i < 0:
            raise ValueError(f"There is no draw {i}: they are counted from 0.")
        return self._decoded(self.z_struct(i + 1)[i:], None)[0]

    def blocks(self, n: int, size: int = 8, cancel: CancelToken | None = None) -> Iterator[Floats]:
        """The first ``n`` draws, ``size`` at a time: (m, Z, Y, X) each."""
        z_struct = self.z_struct(n)
        for start in range(0, n, size):
            yield self._decoded(z_struct[start : start + size], cancel)

    def _decoded(self, z_struct: Floats, cancel: CancelToken | None) -> Floats:
        shapes = np.repeat(self.z_ref[None], len(z_struct), 0)
        return self.model.decode_structures(
            shapes, self.structure, z_struct, batch_size=len(z_struct), cancel=cancel
        )[self.structure]


def structure_variation(
    model: IntegratedCell,
    z_ref: ArrayLike,
    structure: str,
    n: int = 100,
    seed: int = 0,
    *,
    mask: ArrayLike | None = None,
    ridge: float = RIDGE,
    batch_size: int = 8,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> StructureVariation:
    """How much one structure varies in one cell, as the model has it (Algorithm 4).

    ``n`` draws of z̃^s ~ N(0, I) are decoded in the cell's shape, compared by :func:`variation_score`, and their
    mean and standard deviation kept. They are worked through in a stream (see
    :class:`~napari_integrated_cell.variation.correlation.CorrelationStream`): beside the matrix itself, memory does
    not grow with ``n``.

    Parameters
    ----------
    model : IntegratedCell
    z_ref : array (n_ref,) or (1, n_ref)
        z^r = Enc^r(x^r) of the cell.
    structure : str
        A name that the model knows.
    n : int
        Draws, two or more; 1000 in the paper. Scores of different ``n`` cannot be compared: draws crowd, and |ρ|
        with them, once there are more of them than dimensions they vary in.
    seed : int
        The same seed gives the same draws (:class:`Draws`).
    mask : array (Z, Y, X), optional
        Voxels of the box to compare the draws in (above 0.5, of a soft mask); all if left out, which is the
        algorithm to the letter. Then draws agree in being dark where the cell is not, and a structure that fills
        the cell agrees in the cell's outline: of the simulator's own draws fibrillarin, which disperses in
        mitosis, seems to vary less there, while inside the cell it varies more, as it does.
    ridge : float
        Added to the diagonal of ρ; the paper has none. The default is too small to be seen in the score of draws
        that differ (0.003 or less, of 1000 draws of the demo model), and where they do not, as those of a model
        whose z^s says nothing, keeps it finite: -log(ridge) / n for each dimension that is missing.
    batch_size : int
        Draws decoded at once.
    progress : callable, optional
        Called as ``progress(done, n, what)`` after each batch.
    cancel : CancelToken, optional
        Looked at before each batch, and while the draws are compared.

    Returns
    -------
    StructureVariation

    Raises
    ------
    ValueError
        For fewer than two draws, an unknown structure, a bad mask or ridge, or draws that are the same in every
        voxel.
    Cancelled
        When ``cancel`` is set in the middle.
    """
    if n < 2:
        raise ValueError(f"{n} draws cannot vary: ask for two at least.")
    if batch_size < 1:
        raise ValueError(f"The batch size is {batch_size}: give 1 or more.")
    _check_ridge(ridge)
    draws = Draws(model, np.asarray(z_ref), structure, seed)
    moments = Moments()
    with CorrelationStream(_inside(mask, model.config.box)) as stream:
        for block in draws.blocks(n, batch_size, cancel):
            stream.add(block)
            moments.add(block)
            if progress is not None:
                progress(moments.n, n, f"Drawing {draws.structure}")
        measured = _measured(stream.matrix(cancel), ridge)
    return StructureVariation(*measured, draws.structure, moments.mean, moments.deviation)


def structure_variations(
    model: IntegratedCell,
    z_ref: ArrayLike,
    structures: str | Iterable[str] | None = None,
    n: int = 100,
    seed: int = 0,
    *,
    mask: ArrayLike | None = None,
    ridge: float = RIDGE,
    batch_size: int = 8,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_structure: Callable[[StructureVariation], None] | None = None,
) -> dict[str, StructureVariation]:
    """:func:`structure_variation` of several structures of one cell, by name; of all if none are named.

    ``progress`` counts the draws of all of them; ``on_structure`` receives each as soon as it is measured.
    """
    from napari_integrated_cell.model.inputs import structure_names

    names = structure_names(structures, model.config)
    found: dict[str, StructureVariation] = {}

    def counted(done: int, _: int, what: str) -> None:
        if progress is not None:
            progress(len(found) * n + done, len(names) * n, "Drawing structures")

    for name in names:
        variation = structure_variation(
            model, z_ref, name, n, seed,
            mask=mask, ridge=ridge, batch_size=batch_size, progress=counted, cancel=cancel,
        )  # fmt: skip
        found[name] = variation
        if on_structure is not None:
            on_structure(variation)
    return found


def _check_ridge(ridge: float) -> None:
    if not (np.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"The ridge is {ridge}: give a number from 0 upwards, such as {RIDGE:g}.")


def _measured(correlation: Doubles, ridge: float) -> tuple[float, int, float, float]:
    """Score, n, ridge and effective rank: the fields of :class:`Variation`."""
    _check_ridge(ridge)
    n = len(correlation)
    eigenvalues = np.linalg.eigvalsh(correlation).clip(0)
    share = eigenvalues[eigenvalues > 0] / eigenvalues.sum()
    effective_rank = float(np.exp(-(share * np.log(share)).sum()))
    # Rounded entries of ρ move its eigenvalues by up to n times the rounding: what is smaller may be zero.
    if eigenvalues[0] + ridge <= n * np.finfo(np.float64).eps:
        return float("inf"), n, ridge, effective_rank
    _, log_determinant = np.linalg.slogdet(correlation + ridge * np.eye(n))
    return float(-log_determinant / n) + 0.0, n, ridge, effective_rank


def _inside(mask: ArrayLike | None, box: tuple[int, int, int]) -> Mask | None:
    """The mask as the voxels to compare, or None for all of the box."""
    if mask is None:
        return None
    inside = np.asarray(mask) > 0.5
    if inside.shape != tuple(box):
        raise ValueError(
            f"The mask has shape {inside.shape} but the model's box is {tuple(box)}: pose it first."
        )
    if inside.sum() < 2:
        raise ValueError("The mask holds no two voxels: draws cannot be compared in it.")
    return inside
