"""p(z^s | z^r, y): how a structure's remaining variation depends on the cell's shape, and where z^s is drawn from.

In the paper's prior z^s ~ N(0, I) is independent of z^r. In a fitted model it is not: Enc^{r,s} also codes in z^s what
z^r tells, for example the stage of mitosis. A z^s of the prior can then belong to another shape, and Dec^{r,s} has seen
no such pair. The conditional prior is a linear Gaussian for each structure, fitted on training cells. Importing this
module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from napari_integrated_cell.arrays import Doubles, Floats, Reals
from napari_integrated_cell.model.archive import Archive
from napari_integrated_cell.model.config import ModelConfig, check_structures
from napari_integrated_cell.model.decoding_residuals import DecodingResiduals, read_decoding_residuals

CONDITIONAL_PRIOR = "latent/conditional_prior.safetensors"
"""The bundle's file with p(z^s | z^r, y). Bundles of older versions have none."""

DrawFrom = Literal["prior", "conditional", "observed"]
PRIOR: DrawFrom = "prior"
CONDITIONAL: DrawFrom = "conditional"
OBSERVED: DrawFrom = "observed"
DRAW_FROM: tuple[DrawFrom, ...] = get_args(DrawFrom)
"""Where draws are from: z^s ~ N(0, I) as in the paper; z^s ~ p(z^s | z^r, y); or this, and what Dec^{r,s} leaves out
of observed images is drawn too."""


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """p(z^s | z^r) = N(slope · z^r + intercept, covariance) of one structure. Latent positions have no unit.

    Attributes
    ----------
    slope : array of float64, (n_struct, n_ref)
    intercept : array of float64, (n_struct,)
    covariance : array of float64, (n_struct, n_struct)
        What z^r does not tell about z^s.

    Raises
    ------
    ValueError
        If the shapes do not fit together, a value is not finite, or the covariance is not positive definite.
    """

    slope: Doubles
    intercept: Doubles
    covariance: Doubles

    def __post_init__(self) -> None:
        arrays = {f.name: np.asarray(getattr(self, f.name), np.float64) for f in fields(self)}
        slope, intercept, covariance = arrays.values()
        d = intercept.size
        if intercept.shape != (d,) or covariance.shape != (d, d) or slope.ndim != 2 or len(slope) != d:
            raise ValueError("Slope, intercept and covariance do not fit together.")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("A value is NaN or infinite.")
        try:
            factor = np.linalg.cholesky((covariance + covariance.T) / 2)
        except np.linalg.LinAlgError:
            raise ValueError("The covariance is not positive definite.") from None
        # Store checked values. In a frozen dataclass, object.__setattr__ is the documented way to do that.
        for name, array in arrays.items():
            object.__setattr__(self, name, array)
        object.__setattr__(self, "_factor", factor)

    def mean(self, z_ref: ArrayLike) -> Doubles:
        """Return the mean of z^s in shapes z^r (n, n_ref), (n, n_struct)."""
        return np.asarray(z_ref, np.float64) @ self.slope.T + self.intercept

    def drawn(self, z_ref: ArrayLike, normal: Reals) -> Doubles:
        """Return draws of z^s (n, n_struct) in shapes z^r (n, n_ref) or (1, n_ref).

        Parameters
        ----------
        z_ref : array
            z^r of each draw, or one for all.
        normal : array (n, n_struct)
            Draws of N(0, I), one for each draw of z^s.
        """
        factor: Doubles = self._factor  # type: ignore[attr-defined]
        return self.mean(z_ref) + np.asarray(normal, np.float64) @ factor.T

    def log_density(self, z_ref: ArrayLike, z_struct: Reals) -> Doubles:
        """Return log p(z^s | z^r) of cells, (n,), in nats."""
        factor: Doubles = self._factor  # type: ignore[attr-defined]
        white = np.linalg.solve(factor, (np.asarray(z_struct, np.float64) - self.mean(z_ref)).T)
        constant = np.log(np.diag(factor)).sum() + len(factor) / 2 * np.log(2 * np.pi)
        return -(white**2).sum(0) / 2 - constant


@dataclass(frozen=True, eq=False)
class ConditionalPrior:
    """p(z^s | z^r, y) of a model.

    Attributes
    ----------
    structures : mapping of str to LinearGaussian
        By structure. A structure without an entry has too few training cells: its z^s ~ N(0, I).
    residuals : DecodingResiduals, optional
        What Dec^{r,s} leaves out of observed images. Draws from ``"observed"`` need it.
    """

    structures: Mapping[str, LinearGaussian]
    residuals: DecodingResiduals | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "structures", MappingProxyType(dict(self.structures)))

    def drawn(self, structure: str, z_ref: ArrayLike, normal: Floats) -> Floats:
        """Return draws of z^s of a structure; the same as :meth:`LinearGaussian.drawn`, or ``normal`` if unknown."""
        known = self.structures.get(structure)
        return normal if known is None else known.drawn(z_ref, normal).astype(np.float32)

    def to_bytes(self) -> bytes:
        """Return the content of the file :data:`CONDITIONAL_PRIOR`, as float32."""
        return save(
            {
                f"{name}/{field.name}": np.ascontiguousarray(getattr(known, field.name), np.float32)
                for name, known in self.structures.items()
                for field in fields(known)
            }
        )


def read_conditional_prior(archive: Archive, config: ModelConfig) -> ConditionalPrior | None:
    """Return p(z^s | z^r, y) in an open bundle, or None if it has none.

    Raises
    ------
    ValueError
        If it is damaged or does not fit the model.
    """
    if not archive.holds(CONDITIONAL_PRIOR):
        return None
    where = f"{CONDITIONAL_PRIOR} of {archive.path}"
    r, s = config.n_ref, config.n_struct
    shapes = {"slope": (s, r), "intercept": (s,), "covariance": (s, s)}
    limit = (1 << 20) + 4 * config.n_structures * s * (r + s + 1)
    try:
        tensors = load(archive.read(CONDITIONAL_PRIOR, limit))
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"{where} is not a safetensors file ({error}): get the model again.") from None
    named = {name.rpartition("/")[0] for name in tensors}
    check_structures(named, config, where)

    def array(name: str, part: str) -> NDArray[Any]:
        found = tensors.get(f"{name}/{part}")
        if found is None or found.shape != shapes[part] or found.dtype.kind != "f":
            raise ValueError(
                f"{where} does not fit the model: {name}/{part} is not {shapes[part]} floating-point numbers."
            )
        return found

    structures = {}
    for name in filter(named.__contains__, config.structures):
        arrays = {part: array(name, part) for part in shapes}
        try:
            structures[name] = LinearGaussian(**arrays)
        except ValueError as error:
            raise ValueError(f"{where} cannot be used for {name}: {error} Get the model again.") from None
    return ConditionalPrior(structures, read_decoding_residuals(archive, config))


def checked_draw_from(text: str | None) -> DrawFrom | None:
    """Return where z^s is drawn from, as checked text; None if nothing is asked for.

    Raises
    ------
    ValueError
        If there is no such choice. The message lists the choices.
    """
    for choice in DRAW_FROM:
        if text == choice:
            return choice
    if text is None:
        return None
    raise ValueError(f"z^s cannot be drawn from {text!r}: choose {', '.join(DRAW_FROM)}.")


def drawn_from(
    known: ConditionalPrior | None, draw_from: DrawFrom | None, z_ref: object | None, model: str
) -> ConditionalPrior | None:
    """Return the p(z^s | z^r, y) that a model draws from, or None if it draws from N(0, I).

    Parameters
    ----------
    known : ConditionalPrior or None
        What the model has.
    draw_from : {"prior", "conditional", "observed"}, optional
        What is asked for; by default ``"conditional"`` if the model has it and there is a shape.
    z_ref : object, optional
        The shape, if there is one.
    model : str
        Name of the model, for the error.

    Raises
    ------
    ValueError
        If there is no such choice, or the model or the shape is not known that it needs.
    """
    if checked_draw_from(draw_from) is None:
        return None if z_ref is None else known
    if draw_from == PRIOR:
        return None
    if known is None:
        raise ValueError(
            f"The model {model!r} has no p(z^s | z^r, y) to draw from: draw from the prior, or measure it in the "
            "cells that the model was fitted on."
        )
    if z_ref is None:
        raise ValueError("z^s given z^r needs a shape: give z_ref, or draw from the prior.")
    if draw_from == OBSERVED and known.residuals is None:
        raise ValueError(
            f"The model {model!r} does not say what its decoder leaves out: draw from {CONDITIONAL} or {PRIOR}, or "
            "measure it in the cells that the model was fitted on."
        )
    return known


def name_of_draws(known: ConditionalPrior | None, draw_from: DrawFrom | None) -> DrawFrom:
    """Return where draws are from, given what :func:`drawn_from` returned and what was asked for."""
    return PRIOR if known is None else draw_from or CONDITIONAL
