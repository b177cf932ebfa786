"""What Dec^{r,s} leaves out of an observed image: texture and noise that z^r, y and z^s do not tell.

Dec^{r,s} is trained with a voxel-wise cross entropy (equation 13), so that a decoded image is a mean of images. An
observed image has fine detail around it. For each structure the detail is described by the distribution of an observed
voxel given the decoded one, and by the correlation of neighbouring voxels (a Gaussian copula). Importing this module
imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.special import ndtr

from napari_integrated_cell.arrays import Doubles, Floats
from napari_integrated_cell.model.archive import Archive
from napari_integrated_cell.model.config import ModelConfig, check_structures

DECODING_RESIDUALS = "latent/decoding_residuals.safetensors"
"""The bundle's file with what Dec^{r,s} leaves out. Bundles of older versions have none."""

LEVELS: Doubles = np.concatenate(
    [
        [0, 0.001, 0.01],
        np.linspace(0.05, 0.9, 18),
        [0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1],
    ]
)
"""Levels of the stored quantiles. They are dense near 1: the brightest voxel sets an image's scale."""
_MOST_BINS, _MOST_LAGS = 256, 256


@dataclass(frozen=True, eq=False)
class Residuals:
    """What Dec^{r,s} leaves out of images of one structure, whose values are 0 to 1.

    Attributes
    ----------
    decoded : array of float64, (B,)
        Increasing values of decoded voxels.
    quantiles : array of float64, (B, L)
        Quantiles of the observed voxels at each, at :data:`LEVELS`.
    correlation : array of float64, (lags in Z, lags in the plane)
        Correlation of the normal scores of two voxels, by their distance in Z and in the plane of Y and X, in
        voxels from 0. It is 0 at larger distances.

    Raises
    ------
    ValueError
        If the shapes do not fit together, a value is not finite, or values do not increase.
    """

    decoded: Doubles
    quantiles: Doubles
    correlation: Doubles

    def __post_init__(self) -> None:
        arrays = {f.name: np.asarray(getattr(self, f.name), np.float64) for f in fields(self)}
        decoded, quantiles, correlation = arrays.values()
        if decoded.ndim != 1 or not 1 <= len(decoded) <= _MOST_BINS or correlation.ndim != 2:
            raise ValueError("Decoded values, quantiles and correlation do not fit together.")
        if quantiles.shape != (len(decoded), len(LEVELS)) or min(correlation.shape) < 1:
            raise ValueError("Decoded values, quantiles and correlation do not fit together.")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("A value is NaN or infinite.")
        if (np.diff(decoded) <= 0).any() or (np.diff(quantiles) < 0).any():
            raise ValueError("Decoded values or quantiles do not increase.")
        if correlation[0, 0] <= 0:
            raise ValueError("The correlation of a voxel with itself is not positive.")
        # Store checked values. In a frozen dataclass, object.__setattr__ is the documented way to do that.
        for name, array in arrays.items():
            object.__setattr__(self, name, array)
        object.__setattr__(self, "_amplitudes", {})

    def drawn(self, decoded: Floats, random: np.random.Generator) -> Floats:
        """Return an image as it could be observed, (Z, Y, X), for a decoded image of the same shape."""
        field = np.fft.irfftn(
            np.fft.rfftn(random.standard_normal(decoded.shape)) * self._amplitude(decoded.shape),
            decoded.shape,
            (0, 1, 2),
        )
        at, to_next = _places(decoded, self.decoded)
        level, above = _places(ndtr(field), LEVELS)
        table, width = self.quantiles.ravel(), len(LEVELS)
        # The next bin or level of the last one is itself.
        row = at * width
        next_row = np.minimum(at + 1, len(self.decoded) - 1) * width
        next_level = np.minimum(level + 1, width - 1)
        low = table[row + level] * (1 - above) + table[row + next_level] * above
        high = table[next_row + level] * (1 - above) + table[next_row + next_level] * above
        return (low * (1 - to_next) + high * to_next).astype(np.float32)

    def _amplitude(self, shape: tuple[int, ...]) -> Doubles:
        """Return the amplitudes of a periodic Gaussian field of variance 1 with this correlation."""
        known: dict[tuple[int, ...], Doubles] = self._amplitudes  # type: ignore[attr-defined]
        if shape not in known:
            z, y, x = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
            in_plane = np.hypot(y[:, None], x[None, :])
            lags = np.arange(self.correlation.shape[1])
            rows = np.array([np.interp(in_plane, lags, row, right=0) for row in self.correlation])
            everywhere = np.zeros(shape)
            near = z < len(rows)
            everywhere[near] = rows[z[near]]
            # An estimated correlation can have small negative powers.
            power = np.fft.rfftn(everywhere).real.clip(0)
            variance = np.fft.irfftn(power, shape, (0, 1, 2))[0, 0, 0]
            known[shape] = np.sqrt(power / variance)
        return known[shape]


@dataclass(frozen=True, eq=False)
class DecodingResiduals:
    """What Dec^{r,s} leaves out, by structure. Images of a structure without an entry are left as they are decoded."""

    structures: Mapping[str, Residuals]

    def __post_init__(self) -> None:
        object.__setattr__(self, "structures", MappingProxyType(dict(self.structures)))

    def drawn(self, structure: str, decoded: Floats, random: np.random.Generator) -> Floats:
        """Return an image (Z, Y, X) as it could be observed, as :meth:`Residuals.drawn` does."""
        known = self.structures.get(structure)
        return decoded if known is None else known.drawn(decoded, random)

    def to_bytes(self) -> bytes:
        """Return the content of the file :data:`DECODING_RESIDUALS`, as float32."""
        return save(
            {
                f"{name}/{field.name}": np.ascontiguousarray(getattr(known, field.name), np.float32)
                for name, known in self.structures.items()
                for field in fields(known)
            }
        )


def read_decoding_residuals(archive: Archive, config: ModelConfig) -> DecodingResiduals | None:
    """Return what Dec^{r,s} leaves out from an open bundle, or None if the bundle does not say.

    Raises
    ------
    ValueError
        If it is damaged or does not fit the model.
    """
    if not archive.holds(DECODING_RESIDUALS):
        return None
    where = f"{DECODING_RESIDUALS} of {archive.path}"
    limit = (1 << 20) + 4 * config.n_structures * (_MOST_BINS * (len(LEVELS) + 1) + _MOST_LAGS**2)
    try:
        tensors = load(archive.read(DECODING_RESIDUALS, limit))
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"{where} is not a safetensors file ({error}): get the model again.") from None
    named = {name.rpartition("/")[0] for name in tensors}
    check_structures(named, config, where)
    structures = {}
    for name in filter(named.__contains__, config.structures):
        try:
            structures[name] = Residuals(*(tensors[f"{name}/{field.name}"] for field in fields(Residuals)))
        except KeyError as error:
            raise ValueError(f"{where} cannot be used: it lacks {error}. Get the model again.") from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where} cannot be used for {name}: {error} Get the model again.") from None
    return DecodingResiduals(structures)


def _places(values: Floats | Doubles, steps: Doubles) -> tuple[np.ndarray, Doubles]:
    """Return the step below each value, and the part of the way to the next one; values outside are at an end."""
    place = np.interp(values, steps, np.arange(len(steps)))
    below = place.astype(np.intp)
    return below, place - below
