"""Refusals of the dock "Integrate structures": one sentence, and the actions that mend what it says."""

from __future__ import annotations

from typing import Literal

from napari.layers import Image, Labels, Layer

from napari_integrated_cell.plugin.layers.axes import channel_axis, more_likely_time, time_axis
from napari_integrated_cell.plugin.layers.volumes import full_data, is_volume, why_no_volume

Mend = Literal["split channels", "use time point", "make labels", "segment field", "set voxel size"]

TITLES: dict[Mend, tuple[str, str]] = {
    "split channels": (
        "Split channels",
        "Make a layer of each channel. The layer itself stays, hidden.",
    ),
    "use time point": (
        "Use time point {step}",
        "Make layers of the time point that is shown, from all layers with as many time points.\n"
        "The layers themselves stay, hidden.",
    ),
    "make labels": (
        "Make labels of this layer",
        "Make a Labels layer with the same values. The layer itself stays, hidden.",
    ),
    "segment field": (
        "Segment this field",
        "Find all cells and nuclei in the Membrane and DNA layers, as two Labels layers.",
    ),
    "set voxel size": (
        "Set voxel size",
        "Type the size of a voxel and press Enter. Layers that state no size get it as their scale.",
    ),
}
"""The text and the tool tip of the button of each action."""


class Refusal(ValueError):
    """A cell cannot be integrated yet.

    Attributes
    ----------
    mends : tuple of str
        The actions that mend it, the best first.
    layer : Layer or None
        The layer at fault.
    """

    def __init__(self, sentence: str, *mends: Mend, layer: Layer | None = None) -> None:
        super().__init__(sentence)
        self.mends = mends
        self.layer = layer


class MissingLayer(Refusal):
    """A layer must be chosen first."""


class Missed(Refusal):
    """No cell lies where the user has clicked."""


def refusal_of(layer: Layer) -> Refusal:
    """Return why a layer is no volume (Z, Y, X), with the actions that make volumes of it."""
    mends: list[Mend] = []
    if isinstance(layer, Image | Labels) and not is_volume(layer):
        channels, time = channel_axis(layer), time_axis(layer)
        if channels is not None:
            mends.append("split channels")
        if time is not None:
            mends.append("use time point")
        if len(mends) == 2 and (channels != time or more_likely_time(layer)):
            mends.reverse()  # first of all one time point
    if not mends or getattr(layer, "rgb", False):
        return Refusal(why_no_volume(layer), *mends, layer=layer)
    shape = tuple(int(n) for n in full_data(layer).shape)
    ways = {"split channels": "split its channels", "use time point": "use one of its time points"}
    return Refusal(
        f"{layer.name!r} has {len(shape)} axes {shape} and a cell needs three, (Z, Y, X): "
        f"{' or '.join(ways[mend] for mend in mends)}.",
        *mends,
        layer=layer,
    )
