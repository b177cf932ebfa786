"""The four mirror images of a posed cell, and the mean and spread of what is predicted for them.

A pose flips Y and X by a rule. A small change of a nearly symmetric cell can change its flips, and then a model
predicts something else. The mean over all four flips stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Floats

#: The axes along which each mirror image is flipped: none, Y, X, and both. Z is never flipped.
MIRRORS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1))
#: What a file with such means and spreads states.
OF_SPREADS = (
    " Each structure is the mean of the predictions for the cell's four mirror images, flipped back. The channel with "
    "its name and the word spread is their standard deviation, on the same scale."
)


def mirror_images(image: NDArray[Any]) -> NDArray[Any]:
    """Return the four mirror images of an image in the model's box.

    Parameters
    ----------
    image : array, (..., Y, X)
        For example references (R, Z, Y, X). A flip mirrors it about the box's centre, as another flip of the pose
        would.

    Returns
    -------
    array, (4, ..., Y, X)
        In the order of :data:`MIRRORS`; the first is ``image`` itself.
    """
    return np.stack([np.flip(image, axes) for axes in MIRRORS])


def mirrored_back(images: NDArray[Any]) -> NDArray[Any]:
    """Undo the flips of :func:`mirror_images`: each of the four images (4, ..., Y, X) is flipped once more.

    Raises
    ------
    ValueError
        If there are not four images.
    """
    if len(images) != len(MIRRORS):
        raise ValueError(f"There are {len(images)} images: give one for each of the four flips.")
    return np.stack([np.flip(image, axes) for image, axes in zip(images, MIRRORS, strict=True)])


def mean_and_spread(volumes: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return the mean and the spread of volumes that were predicted for the four mirror images of a cell.

    Parameters
    ----------
    volumes : array, (4, Z, Y, X)
        In the order of :data:`MIRRORS`, as predicted. The flips are undone here.

    Returns
    -------
    mean : array of float32, (Z, Y, X)
    spread : array of float32, (Z, Y, X)
        Standard deviation over the four (divided by 4, not 3), in the volumes' unit. Four values from 0 to 1 have at
        most 0.5.
    """
    back = mirrored_back(volumes)
    return back.mean(axis=0, dtype=np.float32), back.std(axis=0, dtype=np.float32)


def relative_spreads(volumes: Mapping[str, Floats], spreads: Mapping[str, Floats]) -> dict[str, float]:
    """Return each spread divided by its structure's light, both summed over all voxels.

    Parameters
    ----------
    volumes, spreads : mapping of str to array, (Z, Y, X)
        The means and the spreads of the same structures.

    Returns
    -------
    dict of str to float
        0 means that the four predictions are the same. A structure without light has NaN.
    """
    light = {name: float(volumes[name].sum()) for name in spreads}
    return {
        name: float(s.sum()) / light[name] if light[name] > 0 else float("nan") for name, s in spreads.items()
    }
