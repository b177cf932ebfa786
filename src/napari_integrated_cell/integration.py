"""From a cell to an integrated cell: pose it, encode it, decode every structure, keep where it all lies.

This is the one room that knows both images and models (section 2.4, Algorithm 3); the plugin and the
command line call it, so that both give the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import (
    Box,
    Pose,
    pose_of,
    posed_mask,
    posed_references,
    posed_structure,
    to_image,
)

if TYPE_CHECKING:
    from napari_integrated_cell.model.config import ModelConfig
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import CancelToken, Progress

Volume = NDArray[np.float32]

# Predictions are cut this far outside the cell's own mask when a whole field is put together, in µm: far
# enough for a membrane structure's blur, near enough that neighbours do not write into each other.
FIELD_DILATION = 0.5


@dataclass(frozen=True, eq=False)
class Integration:
    """A cell with the structures that a model predicts for it.

    Attributes
    ----------
    cell : Cell
        The cell as it came in.
    pose : Pose
        The affine between the cell's image and the model's box; its inverse places ``volumes`` over the image.
    references : array of float32, (R, Z, Y, X)
        The posed reference images that the model saw.
    z_ref : array of float32, (n_ref,)
        The cell's place in the latent space of cell and nuclear shape, z^r.
    volumes : dict of str to array of float32, (Z, Y, X)
        Most probable localisation of each structure, in the model's box, in [0, 1]; masked by the cell unless
        `integrate_cell` was told otherwise.
    model_name : str
        The model that predicted them.
    """

    cell: Cell
    pose: Pose
    references: Volume
    z_ref: NDArray[np.float32]
    volumes: dict[str, Volume]
    model_name: str


def model_box(config: ModelConfig) -> Box:
    """The box that a model of this configuration looks into."""
    return Box(shape=config.box, voxel_size=config.voxel_size)


def integrate_cell(
    cell: Cell,
    model: IntegratedCell,
    structures: Sequence[str] | None = None,
    *,
    pose: Pose | None = None,
    masked: bool = True,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
    on_structure: Callable[[str, Volume], None] | None = None,
) -> Integration:
    """Predict the most probable localisation of every requested structure in one cell (Algorithm 3).

    Parameters
    ----------
    cell : Cell
        With membrane and DNA channels, or with none: they are then rendered from its masks.
    model : IntegratedCell
        A trained model.
    structures : sequence of str, optional
        Names from the vocabulary; all that the model knows when left out.
    pose : Pose, optional
        If it has been worked out already, for a preview say.
    masked : bool
        Mask the predictions by the cell, as section 3.1 masks the images that a model learns from: z^r knows the
        cell's outline to a micrometre or two, the segmentation knows it exactly. Without, Algorithm 3 to the
        letter.
    cancel, progress
        Looked at and called between batches.
    on_structure : callable, optional
        Receives each structure's name and (Z, Y, X) volume as soon as it is decoded.

    Returns
    -------
    Integration

    Raises
    ------
    ValueError
        For a structure that the model does not know.
    Cancelled
        When ``cancel`` is set in the middle.
    """
    pose = pose or pose_of(cell, model_box(model.config))
    references = posed_references(cell, pose)
    # The two halves of IntegratedCell.integrate, apart: z^r tells the caller where the cell lies.
    z_ref = model.encode(references[None], cancel=cancel)
    mask = posed_mask(cell, pose) if masked else np.float32(1)
    volumes = model.decode_structures(
        z_ref,
        structures,
        cancel=cancel,
        progress=progress,
        on_structure=None if on_structure is None else lambda name, v: on_structure(name, mask * v[0]),
    )
    return Integration(
        cell, pose, references, z_ref[0], {k: mask * v[0] for k, v in volumes.items()}, model.name
    )


def classify_cell(cell: Cell, channel: str, model: IntegratedCell) -> dict[str, float]:
    """The classifier's opinion of what ``channel`` shows: ŷ of Enc^{r,s} (equation 7), most probable first.

    Parameters
    ----------
    cell : Cell
        With the channel in question among its channels.
    channel : str
        Which of the cell's channels to judge; its name is not looked at.

    Returns
    -------
    dict of str to float
        Probability by structure name, summing to 1.

    Raises
    ------
    ValueError
        If the cell has no such channel.
    """
    pose = pose_of(cell, model_box(model.config))
    image = np.concatenate([posed_references(cell, pose), posed_structure(cell, channel, pose)[None]])
    probabilities = model.classify(image[None])[0]
    ranked = sorted(zip(model.config.structures, probabilities, strict=True), key=lambda pair: -pair[1])
    return {name: float(p) for name, p in ranked}


def to_cell_image(integration: Integration) -> dict[str, Volume]:
    """References and predicted structures on the cell's own grid, cut at the cell's dilated mask.

    Returns
    -------
    dict of str to array of float32, (Z, Y, X)
        ``membrane``, ``dna``, then one volume per structure, on the grid of ``integration.cell``.
    """
    cell, pose = integration.cell, integration.pose
    # Distance from the cell in µm, so that an anisotropic voxel dilates evenly in space.
    near = ndimage.distance_transform_edt(~cell.cell_mask, sampling=cell.voxel_size) <= FIELD_DILATION
    boxed = {"membrane": integration.references[0], "dna": integration.references[1], **integration.volumes}
    return {
        name: np.where(near, to_image(v, pose, cell.shape, cell.voxel_size, offset=cell.offset), 0).astype(
            np.float32
        )
        for name, v in boxed.items()
    }


def to_field(
    integrations: Iterable[Integration], shape: tuple[int, int, int], dtype: type[np.generic] = np.float32
) -> dict[str, NDArray[Any]]:
    """Every integrated cell back in the image it was cut from; where two meet, the brighter one stays.

    Parameters
    ----------
    integrations : iterable of Integration
        Cells of one image, on one voxel size. Consumed one at a time.
    shape : tuple of int
        Grid (Z, Y, X) of that image.
    dtype : numpy type
        Of the result. In an integer type an intensity of 1 becomes the type's greatest value, which keeps a
        field of thirteen channels within a laptop's memory.

    Returns
    -------
    dict of str to array, (Z, Y, X)
        ``membrane``, ``dna``, then one field-sized volume per structure.
    """
    field: dict[str, NDArray[Any]] = {}
    for integration in integrations:
        offset, size = integration.cell.offset, integration.cell.shape
        window = tuple(slice(o, o + n) for o, n in zip(offset, size, strict=True))
        for name, volume in to_cell_image(integration).items():
            target = field.setdefault(name, np.zeros(shape, dtype))[window]
            np.maximum(target, quantised(volume, dtype), out=target)
    return field


def quantised(volume: Volume, dtype: type[np.generic]) -> NDArray[Any]:
    """Intensities in [0, 1] as ``dtype``; an integer type is used over its whole positive range."""
    if issubclass(dtype, np.integer):
        return np.round(np.clip(volume, 0, 1) * np.float32(np.iinfo(dtype).max)).astype(dtype)
    return volume.astype(dtype)
