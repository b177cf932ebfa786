"""Check a model's inputs, and convert images, latent positions and names to tensors and indices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from napari_integrated_cell import vocabulary
from napari_integrated_cell.model.config import ModelConfig

# Images must be in [0, 1]. Resampling may exceed that by a rounding error.
TOLERANCE = 1e-3


def images(x: ArrayLike | Tensor, channels: Sequence[str], config: ModelConfig) -> Tensor:
    """Return images (N, C, Z, Y, X) in the model's box as a float32 tensor.

    Raises
    ------
    ValueError
        If the channels or the box are not the model's, or a value is not in [0, 1].
    """
    tensor = _finite(x, "The images hold")
    wanted = (len(channels), *config.box)
    if tensor.ndim != 5 or len(tensor) == 0 or tuple(tensor.shape[1:]) != wanted:
        raise ValueError(
            f"The images have shape {tuple(tensor.shape)} but the model takes (N, {str(wanted)[1:]}: cells "
            f"of {', '.join(channels)} in its box (Z, Y, X) at {config.voxel_size} µm a voxel."
        )
    low, high = (float(v) for v in tensor.aminmax())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise ValueError(
            f"The images hold values from {low:.4g} to {high:.4g}: scale each channel to [0, 1] first."
        )
    return tensor


def latent(z: ArrayLike | Tensor, size: int, what: str, *, n: int | None = None) -> Tensor:
    """Return latent positions (N, size), optionally of exactly ``n`` cells, as a float32 tensor.

    Raises
    ------
    ValueError
        If the shape is wrong, or a value is NaN or infinite.
    """
    tensor = _finite(z, f"{what} holds")
    if tensor.ndim != 2 or len(tensor) == 0 or tensor.shape[1] != size:
        raise ValueError(f"{what} has shape {tuple(tensor.shape)} but the model takes (N, {size}).")
    if n is not None and len(tensor) != n:
        raise ValueError(f"{what} holds {len(tensor)} positions for {n} cells: give one for each.")
    return tensor


def latent_of_each(z: ArrayLike | Tensor, size: int, what: str, n: int) -> Tensor:
    """Return latent positions (n, size) of ``n`` cells, from one for each or one for all. Raises as `latent` does."""
    positions = latent(z, size, what)
    return latent(positions.expand(n, -1) if len(positions) == 1 else positions, size, what, n=n)


def structure_index(structure: str, config: ModelConfig) -> int:
    """Return the index of a structure in the model, by its name or a name that the vocabulary knows.

    Raises
    ------
    ValueError
        If the model has no such structure. The message lists its structures.
    """
    known = config.structures
    try:
        return known.index(structure if structure in known else vocabulary.structure(structure).name)
    except ValueError:
        raise ValueError(f"The model has no structure {structure!r}; it has {', '.join(known)}.") from None


def structure_names(structures: str | Iterable[str] | None, config: ModelConfig) -> list[str]:
    """Return the model's names of the given structures (None: all), each once, in the given order.

    Raises
    ------
    ValueError
        If the list is empty, or the model has no such structure.
    """
    if structures is None:
        return list(config.structures)
    asked = [structures] if isinstance(structures, str) else list(structures)
    if not asked:
        raise ValueError("No structure was chosen: choose at least one.")
    return list(dict.fromkeys(config.structures[structure_index(s, config)] for s in asked))


def _finite(values: ArrayLike | Tensor, what: str) -> Tensor:
    """Return a float32 tensor of finite values. Arrays are copied, because they may be read-only."""
    if isinstance(values, Tensor):
        tensor = values.detach().to(torch.float32)
    else:
        tensor = torch.from_numpy(np.array(values, dtype=np.float32))
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{what} NaN or infinite values: replace them first.")
    return tensor
