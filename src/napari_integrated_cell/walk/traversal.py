"""A walk through the reference latent space, from stage to stage or from a cell, decoded frame by frame.

Section 3.4.6 and Figure S9: landmarks of the stages are joined by paths that are linear in radial coordinates,
and every structure is decoded at each position from the centre of its own latent space.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from napari_integrated_cell.arrays import Doubles, Floats
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
"""Frames from one stop to the next where nobody says how many: the ten points a segment of the paper's walk."""


@dataclass(frozen=True, eq=False)
class Stop:
    """A position that a walk goes through.

    Attributes
    ----------
    name : str
        A stage's name in the vocabulary, or a cell's own.
    label : str
        How it is shown.
    z_ref : array (n_ref,)
        Where it is.
    warnings : tuple of str
        What is to be said of it: of a landmark with few cells, of a cell's uncertain pose.
    """

    name: str
    label: str
    z_ref: Floats
    warnings: tuple[str, ...] = ()


def stop_at_stage(model: IntegratedCell, name: str) -> Stop:
    """The landmark of a stage.

    Raises
    ------
    ValueError
        If there is no such stage, or the model has no landmark of it; the message lists those it has.
    """
    wanted, marks = stage(name), _landmarks(model)
    if wanted.name not in marks:
        raise ValueError(
            f"The model {model.name!r} has no landmark of {wanted.name}; it has {', '.join(marks)}."
            if marks
            else f"The model {model.name!r} has no landmarks, so there is no {wanted.name} to walk to: "
            "choose a model whose training cells were annotated with stages."
        )
    mark = marks[wanted.name]
    note = (f"{wanted.name}: {mark.note}",) if mark.note else ()
    return Stop(wanted.name, wanted.label, mark.z_ref, note)


def stop_at_cell(model: IntegratedCell, cell: Cell) -> Stop:
    """A cell in its place: posed into the model's box and encoded, z^r = Enc^r(x^r) (equation 1)."""
    pose = pose_of(cell, model_box(model.config))
    z_ref = model.encode(posed_references(cell, pose)[None])[0]
    return Stop(cell.name, cell.name, z_ref, tuple(f"{cell.name}: {warning}" for warning in pose.warnings))


def stages_between(model: IntegratedCell, start: str, end: str) -> list[str]:
    """The stages with a landmark that lie between two stages, in the order in which a walk meets them."""
    first, last = (STAGE_NAMES.index(stage(name).name) for name in (start, end))
    low, high = sorted((first, last))
    between = [name for name in STAGE_NAMES[low + 1 : high] if name in _landmarks(model)]
    return between if first <= last else between[::-1]


@dataclass(frozen=True, eq=False)
class Walk:
    """Positions from stop to stop, the stops among them.

    Attributes
    ----------
    stops : tuple of Stop
        Two or more.
    at : tuple of int
        The frame that shows each stop.
    z_ref : array of float64 (T, n_ref)
        The position of every frame.
    path, easing : str
        How it goes from stop to stop.
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
        """|z^r| of every frame, (T,)."""
        return np.linalg.norm(self.z_ref, axis=1)

    @property
    def turned(self) -> Doubles:
        """How far z^r has turned since the first frame, added up from frame to frame, in degrees, (T,)."""
        lengths = np.maximum(self.norm, np.finfo(float).tiny)[:, None]
        direction = self.z_ref / lengths
        step, sum_ = direction[1:] - direction[:-1], direction[1:] + direction[:-1]
        turns = 2 * np.arctan2(np.linalg.norm(step, axis=1), np.linalg.norm(sum_, axis=1))
        return np.degrees(np.concatenate([[0.0], np.cumsum(turns)]))

    def same_positions(self, other: Walk) -> bool:
        """Whether another walk has the same position at every frame."""
        return np.array_equal(self.z_ref, other.z_ref)

    def title(self, frame: int) -> str:
        """Where a frame is: at a stop, or between two."""
        if frame in self.at:
            return self.stops[self.at.index(frame)].label
        after = int(np.searchsorted(self.at, frame))
        return f"{self.stops[after - 1].label} to {self.stops[after].label}"


def walk(
    stops: Sequence[Stop], frames: int | None = None, *, path: str = "radial", easing: str = "linear"
) -> Walk:
    """The walk through ``stops`` in so many frames, shared out evenly between them.

    Parameters
    ----------
    stops : sequence of Stop
        Two or more, no two neighbours in one place.
    frames : int, optional
        Altogether, both ends and all stops among them; ten from each stop to the next if left out.
    path : {"radial", "great-circle", "straight"}
        Linear in radial coordinates as in section 3.4.6, or another of :data:`~.model.paths.PATHS`.
    easing : {"linear", "smooth"}
        An even pace, or one that slows down at every stop.

    Raises
    ------
    ValueError
        If the stops are too few or do not move, the frames too few for the stops, or the path or easing
        unknown.
    """
    if path not in PATHS:
        raise ValueError(f"There is no path {path!r}: choose {', '.join(PATHS)}.")
    if easing not in EASINGS:
        raise ValueError(f"There is no easing {easing!r}: choose {', '.join(EASINGS)}.")
    if len(stops) < 2:
        raise ValueError("A walk needs two stops or more.")
    for one, other in pairwise(stops):
        if np.array_equal(one.z_ref, other.z_ref):
            raise ValueError(f"The walk stands still: {one.name} and {other.name} are one position.")
    count = STEPS * (len(stops) - 1) + 1 if frames is None else frames
    if count < len(stops):
        listed = ", ".join(stop.name for stop in stops)
        raise ValueError(f"{count} frames cannot show {len(stops)} stops ({listed}): ask for more frames.")
    at = np.linspace(0, count - 1, len(stops)).round().astype(int)
    z_ref = np.empty((count, len(stops[0].z_ref)))
    for i, (first, last) in enumerate(pairwise(at)):
        share = np.linspace(0, 1, last - first + 1)
        if easing == "smooth":
            share = share**2 * (3 - 2 * share)
        z_ref[first : last + 1] = PATHS[path](stops[i].z_ref, stops[i + 1].z_ref, share)
    return Walk(tuple(stops), tuple(at.tolist()), z_ref, path, easing)


class Traversal:
    """A walk as a sequence of volumes: frame ``t`` is decoded when it is asked for, and not kept.

    Reads like an array of ``shape`` (T, C, Z, Y, X) along its first axis, at the memory of one frame.

    Parameters
    ----------
    model : IntegratedCell
        The model, on the device to use.
    walk : Walk
        Through the model's latent space.
    structures : iterable of str, optional
        By name; all of the model's if left out, none but the reference channels if empty.

    Attributes
    ----------
    channels : tuple of str
        The reference channels, then the structures.
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
        """(Z, Y, X) in µm."""
        return (self.model.config.voxel_size,) * 3

    @property
    def frame_bytes(self) -> int:
        """The memory of one decoded frame."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    @property
    def trained_on(self) -> str:
        """On what cells the model was trained, which is what its predictions look like."""
        return self.model.trained_on

    @property
    def description(self) -> str:
        """What a file that holds the walk has to say of itself."""
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
        """Frame (C, Z, Y, X): Dec^r(z^r), and each x̂^s of Dec^{r,s}(z^r, y, argmax p(z^s)) (Algorithm 3)."""
        return self.decoded(frame)

    def decoded(self, frame: int, cancel: CancelToken | None = None) -> Floats:
        """A frame, as by indexing; ``cancel`` is looked at between batches of structures."""
        if not -len(self) <= frame < len(self):
            raise IndexError(f"There is no frame {frame}: the walk has {len(self)}.")
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
        """Frames one at a time: all, or those of ``at``. ``progress(done, total, what)`` is told of each."""
        wanted = range(len(self)) if at is None else at
        for done, frame in enumerate(wanted, 1):
            if cancel is not None:
                cancel.raise_if_cancelled()
            yield self.decoded(frame, cancel)
            if progress is not None:
                progress(done, len(wanted), what)

    def brightest(self, *, cancel: CancelToken | None = None, progress: Progress | None = None) -> Floats:
        """Each channel's greatest value at the stops, (C,).

        Shown with one contrast throughout, what changes from frame to frame has changed in the cell.
        """
        stops = self.frames(self.walk.at, cancel=cancel, progress=progress, what="Choosing the contrast")
        return np.max([frame.max(axis=(1, 2, 3)) for frame in stops], axis=0)


def _landmarks(model: IntegratedCell) -> dict[str, Landmark]:
    return {mark.stage: mark for mark in model.landmarks}
