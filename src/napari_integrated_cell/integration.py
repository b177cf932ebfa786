"""Integrate a cell: pose it, encode it, decode every structure, and place the result back in the image.

This module joins images and models (section 2.4, Algorithm 3). The plugin and the command line both call it,
so they give the same answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging import mirroring
from napari_integrated_cell.imaging.frame import shape_of
from napari_integrated_cell.imaging.placing import FIELD_DILATION, save_field, to_cell_image, to_field
from napari_integrated_cell.imaging.pose import (
    Box,
    Pose,
    pose_of,
    posed_image,
    posed_mask,
    posed_references,
)
from napari_integrated_cell.imaging.stained_masks import overlaps
from napari_integrated_cell.imaging.writing import (
    FILE_TYPES,
    ChannelVolumes,
    FileType,
    quantised,
    quantised_volumes,
    write_ome_tiff,
)

if TYPE_CHECKING:
    from napari_integrated_cell.model.config import ModelConfig
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import CancelToken, Progress
    from napari_integrated_cell.model.typicality import Typicality

__all__ = [
    "FIELD_DILATION",
    "FILE_TYPES",
    "FileType",
    "Integration",
    "classify_cell",
    "integrate_cell",
    "model_box",
    "quantised",
    "quantised_volumes",
    "save_field",
    "to_cell_image",
    "to_field",
    "typicality_of",
]


@dataclass(frozen=True, eq=False, repr=False)
class Integration:
    """A cell with the structures that a model predicts for it.

    Attributes
    ----------
    cell : Cell
        The cell that was integrated.
    pose : Pose
        The affine between the cell's image and the model's box. Its inverse places ``volumes`` over the image.
    references : array of float32, (R, Z, Y, X)
        The posed reference images, which are the model's input.
    z_ref : array of float32, (n_ref,)
        The latent code of cell and nuclear shape, z^r.
    volumes : dict of str to array of float32, (Z, Y, X)
        Most probable localisation of each structure in the model's box, in [0, 1]. The dictionary has the
        box's ``voxel_size``. :meth:`save` writes the volumes with the voxel size of their grid.
    model_name : str
        The name of the model.
    trained_on : str
        What the model was trained on: ``"simulated cells"``, ``"real cells"``, or empty if it is not known.
    typicality : Typicality, optional
        Where the cell lies among the cells that the model knows; None if the model does not hold their distribution.
    spreads : dict of str to array of float32, (Z, Y, X), optional
        With the ensemble over the four flips: the standard deviation of each structure over the four predictions,
        whose mean is in ``volumes``. It has the same scale, so it is at most 0.5. None without the ensemble.

    Raises
    ------
    ValueError
        If a volume does not have the shape of the model's box, or the spreads are not of the same structures.
    """

    cell: Cell
    pose: Pose
    references: Floats
    z_ref: Floats
    volumes: dict[str, Floats]
    model_name: str
    trained_on: str = ""
    typicality: Typicality | None = None
    spreads: Mapping[str, Floats] | None = None

    def __post_init__(self) -> None:
        box = self.pose.box
        object.__setattr__(self, "volumes", ChannelVolumes(self.volumes, (box.voxel_size,) * 3))
        if self.spreads is not None:
            if list(self.spreads) != list(self.volumes):
                raise ValueError(
                    f"The spreads are of {', '.join(self.spreads)}, but the volumes of {', '.join(self.volumes)}: give "
                    "both for the same structures, in the same order."
                )
            object.__setattr__(self, "spreads", ChannelVolumes(self.spreads, (box.voxel_size,) * 3))
        for name, volume in self.in_box.items():
            if volume.shape != box.shape:
                raise ValueError(
                    f"The volume {name!r} has shape {volume.shape}, but the model's box {box.shape}."
                )

    def __repr__(self) -> str:
        names = ", ".join(self.volumes) or "no structures"
        return f"<Integration of {self.cell.name!r} by {self._model}: {names}; {self.pose.box}>"

    @property
    def in_box(self) -> ChannelVolumes:
        """Membrane, DNA, the structures, then the spread of each if there is one; (Z, Y, X) in the model's box.

        The name of a spread is that of the structure and the word spread, for example ``"TOM20 spread"``.
        """
        named = {"membrane": self.references[0], "dna": self.references[1], **self.volumes}
        named |= {f"{name} spread": spread for name, spread in (self.spreads or {}).items()}
        return ChannelVolumes(named, (self.pose.box.voxel_size,) * 3)

    @property
    def relative_spreads(self) -> dict[str, float]:
        """Each structure's spread divided by its light, both summed over the box; empty without the ensemble."""
        return mirroring.relative_spreads(self.volumes, self.spreads or {})

    def save(
        self,
        path: str | os.PathLike[str],
        frame: Literal["image", "model"] = "image",
        *,
        shape: tuple[int, int, int] | None = None,
        overwrite: bool = True,
        dtype: FileType = "uint16",
    ) -> Path:
        """Write membrane, DNA and the structures as one OME-TIFF, with the voxel size of their grid.

        With the ensemble, one more channel for each structure follows, for example ``"TOM20 spread"``: the standard
        deviation over the four flips, on the scale of the structures.

        Parameters
        ----------
        path : path-like
            As for :func:`~napari_integrated_cell.imaging.writing.write_ome_tiff`.
        frame : {"image", "model"}
            The grid of the cell's image, or the model's box.
        shape : tuple of int, optional
            With ``frame="image"``: the grid (Z, Y, X) of the whole image that the cell was cut from. If it is not
            given, the file has the grid of the cell's crop, which begins at ``cell.offset`` in that image.
        overwrite : bool
            Whether an existing file may be replaced.
        dtype : {"uint16", "uint8"}
            Type of the values. The largest value, 65535 or 255, means an intensity of 1; the file says so. A file of
            ``uint8`` has a quarter of the size, and steps of 0.004.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ValueError
            If the frame or the type is unknown, the cell does not fit into ``shape``, or the path is not a TIFF's.
        OSError
            If the file cannot be written. An existing file is then unchanged.
        """
        if frame not in ("image", "model"):
            raise ValueError(f"There is no frame {frame!r}: choose image or model.")
        if frame == "model" and shape is not None:
            raise ValueError("The model's box has a fixed shape: give a shape only with the frame image.")
        if shape is not None:
            return save_field(path, [self], shape, overwrite=overwrite, dtype=dtype)
        volumes = self.in_box if frame == "model" else to_cell_image(self)
        return write_ome_tiff(
            path,
            quantised_volumes(volumes, dtype),
            volumes.voxel_size,
            description=self.description_for(dtype),
            overwrite=overwrite,
        )

    @property
    def description(self) -> str:
        """Sentences that a file of ``uint16`` with the prediction states."""
        return self.description_for("uint16")

    def description_for(self, dtype: FileType) -> str:
        """Return the sentences that a file with the prediction states, if its values are of this type."""
        typical = "" if self.typicality is None else f" {self.typicality.sentence}"
        return (
            f"Structures predicted by napari-integrated-cell with {self._model}; {np.iinfo(dtype).max} means an "
            f"intensity of 1. Membrane and DNA are the model's reference input.{typical}"
            + ("" if self.spreads is None else mirroring.OF_SPREADS)
        )

    @property
    def _model(self) -> str:
        """The model's name and training cells, for sentences."""
        trained_on = f", trained on {self.trained_on}" if self.trained_on else ""
        return f"the model {self.model_name!r}{trained_on}"


def model_box(config: ModelConfig) -> Box:
    """Return the box of a model with this configuration."""
    return Box(shape=config.box, voxel_size=config.voxel_size)


def integrate_cell(
    cell: Cell,
    model: IntegratedCell,
    structures: Sequence[str] | None = None,
    *,
    pose: Pose | None = None,
    masked: bool = True,
    ensemble: bool = False,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
    on_structure: Callable[[str, Floats], None] | None = None,
) -> Integration:
    """Predict the most probable localisation of every requested structure in one cell (Algorithm 3).

    Parameters
    ----------
    cell : Cell
        With or without membrane and DNA channels. A missing channel is rendered from the masks.
    model : IntegratedCell
        A trained model.
    structures : sequence of str, optional
        Names from the vocabulary. All of the model's structures if it is not given.
    pose : Pose, optional
        The cell's pose, if it is known already.
    masked : bool
        Whether to mask the predictions by the cell, as section 3.1 masks the training images. The segmentation
        gives the cell's outline more exactly than z^r does. False gives Algorithm 3 as the paper states it.
    ensemble : bool
        Whether to predict for the cell's four mirror images (no flip, Y, X, both) and take the mean of the four,
        flipped back. The standard deviation of the four becomes ``spreads`` of the result. z^r and the references stay
        those of the cell as it is posed. The networks have four times the work.
    cancel, progress
        Checked and called between batches.
    on_structure : callable, optional
        Called with a structure's name and its volume (Z, Y, X) as soon as it is decoded; with the ensemble, its mean.

    Raises
    ------
    ValueError
        If the model does not have a structure.
    Cancelled
        If ``cancel`` is set meanwhile.
    """
    pose = pose or pose_of(cell, model_box(model.config))
    references = posed_references(cell, pose)
    # These are the two steps of IntegratedCell.integrate. They are separate here because the result holds z^r.
    z_ref = model.encode(mirroring.mirror_images(references) if ensemble else references[None], cancel=cancel)
    mask = posed_mask(cell, pose) if masked else np.float32(1)

    def predicted(decoded: Floats) -> Floats:
        return mask * (mirroring.mean_and_spread(decoded)[0] if ensemble else decoded[0])

    volumes = model.decode_structures(
        z_ref,
        structures,
        cancel=cancel,
        progress=progress,
        on_structure=None if on_structure is None else lambda name, v: on_structure(name, predicted(v)),
    )
    masked_volumes = {name: predicted(decoded) for name, decoded in volumes.items()}
    spreads = (
        {name: mask * mirroring.mean_and_spread(v)[1] for name, v in volumes.items()} if ensemble else None
    )
    typical = typicality_of(cell, pose, references, z_ref[0], model)
    return Integration(
        cell, pose, references, z_ref[0], masked_volumes, model.name, model.trained_on, typical, spreads
    )


def typicality_of(
    cell: Cell, pose: Pose, references: Floats, z_ref: Floats, model: IntegratedCell
) -> Typicality | None:
    """Return where a posed and encoded cell lies among the cells that the model knows.

    Parameters
    ----------
    cell : Cell
    pose : Pose
    references : array (R, Z, Y, X)
        Its posed reference images x^r.
    z_ref : array (n_ref,)
        z^r = Enc^r(x^r) (equation 1).
    model : IntegratedCell

    Returns
    -------
    Typicality or None
        None if the model does not hold the distribution of the cells that it knows.
    """
    if model.typicality is None or model.latent is None:
        return None
    from napari_integrated_cell.model.typicality import mahalanobis

    distance = float(mahalanobis(z_ref, model.latent.z_ref)[0])
    fit = overlaps(references, model.decode_reference(z_ref[None])[0])
    return model.typicality.typicality(distance, fit, shape_of(cell, pose))


def classify_cell(
    cell: Cell, channel: str, model: IntegratedCell, *, pose: Pose | None = None
) -> dict[str, float]:
    """Return the probability of each structure for ``channel``: ŷ of Enc^{r,s} (equation 7), highest first.

    Parameters
    ----------
    cell : Cell
        A cell that has the channel.
    channel : str
        The channel to classify. Its name does not matter.
    model : IntegratedCell
    pose : Pose, optional
        The cell's pose, if it is known already.

    Returns
    -------
    dict of str to float
        Probability by structure name, summing to 1.

    Raises
    ------
    ValueError
        If the cell has no such channel.
    """
    pose = pose or pose_of(cell, model_box(model.config))
    image = posed_image(cell, channel, pose)
    probabilities = model.classify(image[None])[0]
    ranked = sorted(zip(model.config.structures, probabilities, strict=True), key=lambda pair: -pair[1])
    return {name: float(p) for name, p in ranked}
