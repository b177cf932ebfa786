"""What can be chosen for a scene of a file, in words and letters."""

from __future__ import annotations

from collections.abc import Sequence

from napari_integrated_cell.imaging.formats.scene import ImageScene

_MEANINGS = {"Z": "Z planes", "T": "time points", "C": "channels"}
# As many time points or channels of one plane may be what they are called.
_FEW = 3
_WORDS = {**_MEANINGS, "I": "unnamed planes", "S": "colours"}


def scene_label(index: int, name: str, scene: ImageScene) -> str:
    """Return a scene's index, name and the lengths of its axes."""
    lengths = {axis: n for axis, n in zip(scene.axes, scene.shape, strict=True) if axis not in "YX" and n > 1}
    stacked = "".join(f"{n} {_WORDS.get(axis, 'planes')}, " for axis, n in lengths.items())
    return f"{index}: {name} ({stacked}{scene.length('Y')} × {scene.length('X')})"


def open_axes(scene: ImageScene) -> tuple[int, ...]:
    """Return the dimensions of a scene whose meaning can be chosen: those longer than 1, without Y, X and colours."""
    return tuple(
        i
        for i, (axis, n) in enumerate(zip(scene.axes, scene.shape, strict=True))
        if axis not in "YXS" and n > 1
    )


def meanings(scene: ImageScene, dimension: int) -> dict[str, str]:
    """Return what a dimension may be: letters, and words for them. Two letters divide it into channels and planes."""
    found = dict(_MEANINGS)
    count, channels = scene.shape[dimension], scene.channels or 1
    if dimension == 0 and scene.axes[0] == "I" and 1 < channels < count and count % channels == 0:
        found["CZ"] = f"{channels} channels of {count // channels} Z planes each"
        found["ZC"] = f"{count // channels} Z planes of {channels} channels each"
    return found


def default_meaning(scene: ImageScene, dimension: int) -> str:
    """Return what a dimension most probably is. Many time points or channels of one plane are Z planes."""
    letter, count = scene.axes[dimension], scene.shape[dimension]
    has_z = scene.length("Z") > 1
    if letter == "Z" or (letter in "TC" and (has_z or count <= _FEW)):
        return letter
    if len(meanings(scene, dimension)) > len(_MEANINGS):
        return "CZ"
    others = [scene.shape[i] for i in open_axes(scene) if i != dimension]
    if has_z or any(n > count for n in others):
        return letter if letter in "TC" else "C"
    return "Z"


def axes_of(scene: ImageScene, chosen: Sequence[str]) -> str | None:
    """Return the letters of all axes longer than 1 if some of the chosen ones are not the file's, else None."""
    if list(chosen) == [scene.axes[i] for i in open_axes(scene)]:
        return None
    letters = dict(zip(open_axes(scene), chosen, strict=True))
    return "".join(
        letters.get(i, axis) for i, (axis, n) in enumerate(zip(scene.axes, scene.shape, strict=True)) if n > 1
    )


def length_of(scene: ImageScene, chosen: Sequence[str], axis: str) -> int:
    """Return how many channels ("C") or time points ("T") a scene has with the chosen meanings."""
    for i, letters in zip(open_axes(scene), chosen, strict=True):
        if letters == axis:
            return scene.shape[i]
        if axis in letters and axis == "C":
            return scene.channels or 1
    return 1
