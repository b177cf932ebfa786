"""Decode a walk through the latent space of cell shape frame by frame, between stages or cells.

As in section 3.4.6 and Figure S9, paths that are linear in radial coordinates connect the landmarks of the stages.
Every structure is decoded at each position with z^s at its prior's mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from napari_integrated_cell.arrays import Doubles, Floats
from napari_integrated_cell.imaging.doubts import warnings_of
from napari_integrated_cell.imaging.pose import pose_of, posed_references
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.vocabulary import STAGE_NAMES, stage
from napari_integrated_cell.walk.paths import PATHS

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.latent import Landmark
    from napari_integrated_cell.model.runtime import CancelToken, Progress


EASINGS = ("linear", "smooth")
STEPS = 10
"""Default number of frames from one stop to the next: ten, as in the paper."""


@dataclass(frozen=True, eq=False)
class Stop:
    """A position that a walk passes through.

    Attributes
    ----------
    name : str
        A stage's name in the vocabulary, or a cell's name.
    label : str
        Name for people.
    z_ref : array (n_ref,)
        Its z^r.
    warnings : tuple of str
        Warnings about a landmark of few cells, or about a cell's uncertain pose.
    """

    name: str
    label: str
    z_ref: Floats
    warnings: tuple[str, ...] = ()


def stop_at_stage(model: IntegratedCell, name: str) -> Stop:
    """Return the landmark of a stage as a stop.

    Raises
    ------
    ValueError
        If there is no such stage, or the model has no landmark of it. The message lists its landmarks.
    """
    wanted, marks = stage(name), _landmarks(model)
    if wanted.name not in marks:
        raise ValueError(
            f"The model {model.name!r} has no landmark of {wanted.name}; it has {', '.join(marks)}."
            if marks
            else f"The model {model.name!r} has no landmarks, and so no {wanted.name}: choose a model whose training "
            "cells were annotated with stages."
        )
    mark = marks[wanted.name]
    note = (f"{wanted.name}: {mark.note}",) if mark.note else ()
    return Stop(wanted.name, wanted.label, mark.z_ref, note)


def stop_at_cell(model: IntegratedCell, cell: Cell) -> Stop:
    """Pose and encode a cell, z^r = Enc^r(x^r) (equation 1), and return it as a stop."""
    pose = pose_of(cell, model_box(model.config))
    z_ref = model.encode(posed_references(cell, pose)[None])[0]
    warnings = tuple(f"{cell.name}: {warning}" for warning in warnings_of(cell, pose))
    return Stop(cell.name, cell.name, z_ref, warnings)


def stages_between(model: IntegratedCell, start: str, end: str) -> list[str]:
    """Return the stages with a landmark between two stages, in the order from ``start`` to ``end``."""
    first, last = (STAGE_NAMES.index(stage(name).name) for name in (start, end))
    low, high = sorted((first, last))
    between = [name for name in STAGE_NAMES[low + 1 : high] if name in _landmarks(model)]
    return between if first <= last else between[::-1]


@dataclass(frozen=True, eq=False)
class Walk:
    """Positions from stop to stop, including the stops.

    Attributes
    ----------
    stops : tuple of Stop
        At least two stops.
    at : tuple of int
        Frame of each stop.
    z_ref : array of float64 (T, n_ref)
        Position of every frame.
    path, easing : str
        Names of the path and the easing between stops.
    """

    stops: tuple[Stop, ...]
    at: tuple[int, ...]
    z_ref: Doubles
    path: str
    easing: str

    def __len__(self) -> int:
        return len(self.z_ref)

    @property
    def norm(self) -> Doubles:
        """Length of z^r in every frame, (T,)."""
        return np.linalg.norm(self.z_ref, axis=1)

    @property
    def turned(self) -> Doubles:
        """Angle in degrees by which z^r has turned since the first frame, summed over frames, (T,)."""
        lengths = np.maximum(self.norm, np.finfo(float).tiny)[:, None]
        direction = self.z_ref / lengths
        step, sum_ = direction[1:] - direction[:-1], direction[1:] + direction[:-1]
        turns = 2 * np.arctan2(np.linalg.norm(step, axis=1), np.linalg.norm(sum_, axis=1))
        return np.degrees(np.concatenate([[0.0], np.cumsum(turns)]))

    def same_positions(self, other: Walk) -> bool:
        """Return whether another walk has the same position in every frame."""
        return np.array_equal(self.z_ref, other.z_ref)

    def title(self, frame: int) -> str:
        """Return a frame's stop, or the two stops that it lies between."""
        if frame in self.at:
            return self.stops[self.at.index(frame)].label
        after = int(np.searchsorted(self.at, frame))
        return f"{self.stops[after - 1].label} to {self.stops[after].label}"


def walk(
    stops: Sequence[Stop], frames: int | None = None, *, path: str = "radial", easing: str = "linear"
) -> Walk:
    """Return the walk through ``stops``, with the same number of frames between any two stops.

    Parameters
    ----------
    stops : sequence of Stop
        At least two stops. Neighbours must have different positions.
    frames : int, optional
        Total number of frames, including the stops; by default ten from each stop to the next.
    path : {"radial", "great-circle", "straight"}
        Linear in radial coordinates as in section 3.4.6, or another of :data:`~.paths.PATHS`.
    easing : {"linear", "smooth"}
        Constant speed, or slower at every stop.

    Raises
    ------
    ValueError
        If there are too few stops or frames, two neighbouring stops are equal, or the path or easing is unknown.
    """
    if path not in PATHS:
        raise ValueError(f"There is no path {path!r}: choose {', '.join(PATHS)}.")
    if easing not in EASINGS:
        raise ValueError(f"There is no easing {easing!r}: choose {', '.join(EASINGS)}.")
    if len(stops) < 2:
        raise ValueError("A walk needs two stops or more: add a stop.")
    for one, other in pairwise(stops):
        if np.array_equal(one.z_ref, other.z_ref):
            raise ValueError(f"{one.name} and {other.name} are the same position: leave out one of them.")
    count = STEPS * (len(stops) - 1) + 1 if frames is None else frames
    if count < len(stops):
        listed = ", ".join(stop.name for stop in stops)
        raise ValueError(f"{count} frames cannot show {len(stops)} stops ({listed}): give more frames.")
    at = np.linspace(0, count - 1, len(stops)).round().astype(int)
    z_ref = np.empty((count, len(stops[0].z_ref)))
    for i, (first, last) in enumerate(pairwise(at)):
        share = np.linspace(0, 1, last - first + 1)
        if easing == "smooth":
            share = share**2 * (3 - 2 * share)
        z_ref[first : last + 1] = PATHS[path](stops[i].z_ref, stops[i + 1].z_ref, share)
    return Walk(tuple(stops), tuple(at.tolist()), z_ref, path, easing)


class Traversal:
    """A walk as a sequence of volumes. Frame ``t`` is decoded on access and not kept in memory.

    It can be indexed and iterated like an array of ``shape`` (T, C, Z, Y, X) along its first axis.

    Parameters
    ----------
    model : IntegratedCell
        The model, on the device to use.
    walk : Walk
        A walk in the model's latent space.
    structures : iterable of str, optional
        Names of structures; all of the model's by default. If empty, only the reference channels are decoded.

    Attributes
    ----------
    channels : tuple of str
        The reference channels, then the structures.
    shape : tuple of int
        (T, C, Z, Y, X).

    Raises
    ------
    ValueError
        If the model has no such structure.
    """

    def __init__(self, model: IntegratedCell, walk: Walk, structures: Iterable[str] | None = None) -> None:
        from napari_integrated_cell.model.inputs import structure_names

        wanted = None if structures is None else list(structures)
        self.structures = () if wanted == [] else tuple(structure_names(wanted, model.config))
        self.model, self.walk = model, walk
        self.channels = (*model.config.references, *self.structures)
        self.shape = (len(walk), len(self.channels), *model.config.box)
        self.dtype = np.dtype(np.float32)

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Voxel size (Z, Y, X) in µm."""
        return (self.model.config.voxel_size,) * 3

    @property
    def frame_bytes(self) -> int:
        """Memory of one decoded frame in bytes."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    @property
    def trained_on(self) -> str:
        """Kind of cells that the model was trained on, for example ``"simulated cells"``."""
        return self.model.trained_on

    @property
    def description(self) -> str:
        """Text for the metadata of a file: stops, model, path and easing."""
        ends, middle = (self.walk.stops[0], self.walk.stops[-1]), self.walk.stops[1:-1]
        through = f" through {', '.join(stop.name for stop in middle)}" if middle else ""
        frames = ", ".join(f"{t} {stop.name}" for t, stop in zip(self.walk.at, self.walk.stops, strict=True))
        return (
            f"Walk from {ends[0].name} to {ends[1].name}{through}: every image is decoded by "
            f"napari-integrated-cell with the model {self.model.name!r}, trained on {self.trained_on}, and none was "
            f"observed. Path: {self.walk.path}, easing: {self.walk.easing}. Frames of the stops: {frames}."
        )

    def __len__(self) -> int:
        return len(self.walk)

    def __getitem__(self, frame: int) -> Floats:
        """Decode frame (C, Z, Y, X): Dec^r(z^r), and each x̂^s of Dec^{r,s}(z^r, y, argmax p(z^s)) (Algorithm 3)."""
        return self.decoded(frame)

    def decoded(self, frame: int, cancel: CancelToken | None = None) -> Floats:
        """Decode a frame (C, Z, Y, X). ``cancel`` is checked between batches of structures."""
        if not -len(self) <= frame < len(self):
            raise IndexError(f"There is no frame {frame}: the walk has {len(self)} frames.")
        position = self.walk.z_ref[frame][None]
        volumes = np.empty(self.shape[1:], np.float32)
        n_ref = len(self.model.config.references)
        volumes[:n_ref] = self.model.decode_reference(position, cancel=cancel)[0]
        if self.structures:
            decoded = self.model.decode_structures(position, self.structures, cancel=cancel)
            for channel, name in enumerate(self.structures, n_ref):
                volumes[channel] = decoded[name][0]
        return volumes

    def __iter__(self) -> Iterator[Floats]:
        return self.frames()

    def frames(
        self,
        at: Sequence[int] | None = None,
        *,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
        what: str = "Decoding frames",
    ) -> Iterator[Floats]:
        """Yield all frames, or those in ``at``; ``progress(done, total, what)`` is called after each."""
        wanted = range(len(self)) if at is None else at
        for done, frame in enumerate(wanted, 1):
            if cancel is not None:
                cancel.raise_if_cancelled()
            yield self.decoded(frame, cancel)
            if progress is not None:
                progress(done, len(wanted), what)

    def brightest(self, *, cancel: CancelToken | None = None, progress: Progress | None = None) -> Floats:
        """Return each channel's maximum over the stops, (C,), for one contrast in all frames."""
        stops = self.frames(self.walk.at, cancel=cancel, progress=progress, what="Choosing the contrast")
        return np.max([frame.max(axis=(1, 2, 3)) for frame in stops], axis=0)


def _landmarks(model: IntegratedCell) -> dict[str, Landmark]:
    return {mark.stage: mark for mark in model.landmarks}
