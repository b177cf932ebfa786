"""Choose a scene, a time point and the meaning of the axes in an opened file."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage
from napari_integrated_cell.imaging.formats.planes import counted
from napari_integrated_cell.imaging.formats.scene import ImageScene, OpenedFile

#: Bytes up to which an image is small.
SMALL = 128 << 20
_MEANING = {"T": "time points", "C": "channels", "Z": "Z planes", "I": "planes", "S": "colours"}
_LENGTH = re.compile(r"[0-9]+")
_LETTER_AND_LENGTH = re.compile(r"([A-Z])([0-9]{0,9})")


class Stack(NamedTuple):
    """One scene: ``data`` (C, Z, Y, X), or (C, T, Z, Y, X) of a series; a numpy or dask array."""

    data: Any
    scene: ImageScene
    notes: tuple[str, ...]


def stack_of(
    opened: OpenedFile,
    scene: int | str | None,
    time: int | None,
    axes: str | None,
    lazy: bool | Literal["if large"],
    series: bool = False,
) -> Stack:
    """Return one scene of a file, at one time point or at all of them.

    Parameters
    ----------
    scene : int, str or None
        Index or name. None: the first scene that is a Z stack.
    time : int or None
        None: the first time point.
    axes : str or None
        One letter for each of the file's axes, in the file's order, instead of the file's own. A number after a letter
        is the length of this axis: ``"ZC2YX"`` divides the file's planes, of which none is named.
    lazy : bool or "if large"
        Whether to return a dask array, of which nothing is read. ``"if large"``: a small image is read at once if that
        needs neither dask nor a library, whose import takes longer than the reading.
    series : bool
        Whether to return all time points, if there are several.

    Raises
    ------
    MissingInput
        If there is no such scene or time point, the scene that was chosen is no stack, or the axes do not fit, or must
        be given.
    UnsupportedImage
        If the scene is no stack of real numbers.
    """
    chosen, notes = _scene(opened, scene, axes)
    name = opened.path.name
    chosen = _unfolded(chosen, axes, name)
    letters = _letters(chosen, axes, name)
    try:
        _refuse(chosen, letters, name)
    except UnsupportedImage as error:
        if scene is None or len(opened.scene_names) < 2:
            raise
        raise MissingInput("scene", f"{str(error).removesuffix('.')}, or choose another scene.") from error
    notes += list(chosen.notes)
    times = _length(chosen, letters, "T")
    if not 0 <= (time or 0) < times:
        raise MissingInput("time", f"{name} has no time point {time}: it has {times}, counted from 0.")
    if series and times > 1:
        return Stack(_native(_in_order(chosen.array(bool(lazy)), letters, None)), chosen, tuple(notes))
    if times > 1:
        notes.append(f"{name} has {times} time points: time point {time or 0} was read.")
    # Of a time series only the chosen time point is read.
    small = math.prod(chosen.shape) * chosen.dtype.itemsize <= SMALL
    if lazy == "if large" and chosen.at_once is not None and small:
        data = chosen.at_once()
    else:
        data = chosen.array(bool(lazy) or times > 1)
    data = _in_order(data, letters, time or 0)
    return Stack(_native(data), chosen, tuple(notes))


def why_no_stack(scene: ImageScene, axes: str | None, name: str) -> ValueError | None:
    """Return why a scene of the file ``name`` is no Z stack with these axes; None if it is one. Nothing is read."""
    try:
        scene = _unfolded(scene, axes, name)
        _refuse(scene, _letters(scene, axes, name), name)
    except ValueError as error:
        return error
    return None


def _scene(opened: OpenedFile, wanted: int | str | None, axes: str | None) -> tuple[ImageScene, list[str]]:
    names, name = opened.scene_names, opened.path.name
    if wanted is not None:
        index = _index(names, wanted)
        if index is None:
            listed = ", ".join(f"{i} {label!r}" for i, label in enumerate(names[:8]))
            alike = sum(label.casefold() == str(wanted).casefold() for label in names)
            found = f"{alike} scenes" if alike > 1 else "no scene"
            by = ": choose one by its number;" if alike > 1 else ":"
            counts = f"it has {len(names)}, counted from 0: {listed}"
            raise MissingInput("scene", f"{name} has {found} {wanted!r}{by} {counts}.")
        note = [f"{name} has {len(names)} scenes: scene {index} was read."] if len(names) > 1 else []
        return opened.scene(index), note
    reasons: list[Exception] = []
    for index in range(len(names)):
        scene = opened.scene(index)
        if (reason := why_no_stack(scene, axes, name)) is not None:
            reasons.append(reason)
            continue
        if len(names) == 1:
            return scene, []
        first = ", the first that is a Z stack" if index else ""
        return scene, [f"{name} has {len(names)} scenes: scene {index} was read{first}."]
    if not reasons:
        raise UnsupportedImage(f"{name} holds no image: export it again.")
    # What can be mended by a choice is the better answer.
    raise next((error for error in reasons if isinstance(error, MissingInput)), reasons[0])


def _index(names: tuple[str, ...], wanted: int | str) -> int | None:
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted) if names.count(wanted) == 1 else None
    if isinstance(wanted, int) or wanted.isdecimal():
        return int(wanted) if 0 <= int(wanted) < len(names) else None
    alike = [i for i, name in enumerate(names) if name.casefold() == wanted.casefold()]
    return alike[0] if len(alike) == 1 else None


def _unfolded(scene: ImageScene, axes: str | None, name: str) -> ImageScene:
    """Return a scene with an axis for each of the given ones, if these divide its planes."""
    if axes is None:
        return scene
    if any(character.isdigit() for character in axes):
        return _divided(scene, axes, name)
    if not scene.axes.startswith("I") or not scene.channels or "C" not in axes.upper():
        return scene
    given = axes.strip().upper()
    planes, channels = scene.shape[0], scene.channels
    if len(given) != len(scene.axes) + 1 or planes % channels or given.find("C") > 1:
        return scene
    leading = (channels, planes // channels) if given[0] == "C" else (planes // channels, channels)
    return _with_leading(scene, leading)


def _divided(scene: ImageScene, axes: str, name: str) -> ImageScene:
    """Return a scene whose planes are divided as axes with lengths say. One axis may have none."""
    given = [(letter, int(length or 0)) for letter, length in _LETTER_AND_LENGTH.findall(axes.upper())]
    plane = 3 if "S" in scene.axes else 2
    count = math.prod(scene.shape[:-plane])
    lengths = [length for _, length in given]
    known = math.prod(length for length in lengths[:-plane] if length)
    open_axes = lengths[:-plane].count(0)
    asked = f"{name} has {counted(count)}"
    if len(given) <= plane or open_axes > 1:
        wanted = "give the length of all axes before the plane but one, as in ZC2YX"
        raise MissingInput("axes", f"{asked}: {wanted}.")
    if count % known or (not open_axes and count != known):
        raise MissingInput("axes", f"{asked}, which {axes} does not divide: give other lengths.")
    whole = (*(length or count // known for length in lengths[:-plane]), *scene.shape[-plane:])
    wrong = [(letter, n) for (letter, length), n in zip(given, whole, strict=True) if length not in (0, n)]
    if wrong:
        raise MissingInput("axes", f"{name} has the length {wrong[0][1]} where {axes} has {wrong[0][0]}.")
    return _with_leading(scene, whole[:-plane])


def _with_leading(scene: ImageScene, leading: tuple[int, ...]) -> ImageScene:
    """Return a scene with other axes, of no name, before the plane."""
    plane = 3 if "S" in scene.axes else 2
    array, at_once, shape = scene.array, scene.at_once, (*leading, *scene.shape[-plane:])
    return replace(
        scene,
        axes="I" * len(leading) + scene.axes[-plane:],
        shape=shape,
        array=lambda lazy: array(lazy).reshape(shape),
        at_once=None if at_once is None else lambda: at_once().reshape(shape),
    )


def _letters(scene: ImageScene, axes: str | None, name: str) -> str:
    """Return one letter for each dimension of the scene's array; "_" for one of length 1 that is left out."""
    if axes is None:
        return scene.axes
    given = _LENGTH.sub("", axes.strip().upper())
    if not set(given) <= set("TCZYX") or len(set(given)) < len(given) or not {"Y", "X"} <= set(given):
        raise MissingInput(
            "axes",
            f"The axes {axes!r} are not some of the letters T, C, Z, Y and X, each once and with Y and X; a number "
            "after a letter is its length, as in ZC2YX.",
        )
    if len(given) == len(scene.shape):
        return given
    kept = [i for i, length in enumerate(scene.shape) if length > 1]
    if len(given) != len(kept):
        raise MissingInput(
            "axes",
            f"{name} has the axes {_listed(scene.axes, scene.shape)}, but {given} names {len(given)}: give one letter "
            "for each of them, in this order, or lengths that divide the planes, as in ZC2YX.",
        )
    letters = ["_"] * len(scene.shape)
    for i, letter in zip(kept, given, strict=True):
        letters[i] = letter
    return "".join(letters)


def _refuse(scene: ImageScene, letters: str, name: str) -> None:
    """Raise the reason why a scene is no stack with these axes, if there is one."""
    # Given axes mend only what was refused for want of axes.
    if scene.refusal is not None and (letters == scene.axes or not isinstance(scene.refusal, MissingInput)):
        raise scene.refusal
    if scene.dtype.kind not in "biuf":
        raise UnsupportedImage(
            f"{name} holds {scene.dtype.name} values: save it as integers or real numbers."
        )
    if "S" in letters and _length(scene, letters, "S") > 1:
        raise UnsupportedImage(f"{name} is a colour (RGB) picture: save its channels as an OME-TIFF stack.")
    if any(axis not in "TCZYX" and n > 1 for axis, n in zip(letters, scene.shape, strict=True)):
        raise MissingInput(
            "axes",
            f"{name} does not say what its axes {_listed(scene.axes, scene.shape)} are: give one letter of T, C, Z, Y, "
            "X for each of them, for example CZYX.",
        )
    if _length(scene, letters, "Z") > 1:
        return
    for axis in "TC":
        count = _length(scene, letters, axis)
        # Up to three channels of one plane are an ordinary flat picture.
        if count > (3 if axis == "C" else 1):
            asked = "".join("Z" if letter == axis else letter for letter in letters if letter not in "Z_S")
            raise MissingInput(
                "axes",
                f"{name} has {count} {_MEANING[axis]} of one plane each, and a cell needs a Z stack: if {axis} is "
                f"really Z, give its axes as {_short(asked, scene, letters)}.",
            )
    raise UnsupportedImage(f"{name} is a flat picture, and a cell needs a Z stack: export all planes.")


def _short(asked: str, scene: ImageScene, letters: str) -> str:
    """Return axes to give: those of length 1 are left out."""
    kept = [letter for letter, length in zip(letters, scene.shape, strict=True) if length > 1]
    renamed = dict(zip((x for x in letters if x not in "Z_S"), asked, strict=True))
    return "".join(renamed.get(letter, letter) for letter in kept)


def _listed(axes: str, shape: tuple[int, ...]) -> str:
    return ", ".join(
        f"{'?' if axis not in 'TCZYXS' else axis} {length}"
        for axis, length in zip(axes, shape, strict=True)
        if length > 1
    )


def _length(scene: ImageScene, letters: str, axis: str) -> int:
    return scene.shape[letters.index(axis)] if axis in letters else 1


def _in_order(data: Any, letters: str, time: int | None) -> Any:
    """Return (C, Z, Y, X) of one time point, or (C, T, Z, Y, X); axes of length 1 with other letters are left out."""
    wanted = "CTZYX" if time is None else "CZYX"
    keep = "".join(letter for letter in letters if letter in wanted)
    at = [slice(None) if letter in wanted else time if letter == "T" else 0 for letter in letters]
    data = data[tuple(at)]
    data = data.transpose([keep.index(letter) for letter in wanted if letter in keep])
    return data[tuple(slice(None) if letter in keep else None for letter in wanted)]


def _native(data: Any) -> Any:
    """Return the values in this computer's byte order: float16 as float32, bool as uint8."""
    dtype = data.dtype
    if dtype.kind == "b":
        return data.astype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return data.astype(np.float32 if dtype.itemsize < 4 else np.float64)
    return data.astype(dtype.newbyteorder("="), copy=False)


def computed(data: Any) -> NDArray[Any]:
    """Return a numpy array of a numpy or dask array."""
    # In this thread, so that log records about the file can be recognised by their thread.
    return np.asarray(data.compute(scheduler="synchronous") if hasattr(data, "compute") else data)
