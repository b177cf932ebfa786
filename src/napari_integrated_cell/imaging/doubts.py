"""Say what is doubtful about a cell: its size, its stains, and how well its image fits its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_integrated_cell.arrays import Mask
from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.frame import Pose

#: A human cell in culture has a volume between these, in µm³. hiPSCs have 600 to 5,000.
PLAUSIBLE_VOLUME = (250.0, 50_000.0)

_LABELS = {"dna": "DNA"}

# The stains are looked at on a grid of about this many µm. A membrane stain is bright within one such voxel of the
# cell's surface, and the blur of DNA reaches two such voxels beyond the nucleus.
_GRID = 0.5
# If less than this share of the cell's DNA light is in its nucleus, image and segmentation are apart.
_LEAST_INSIDE = 0.85


def warnings_of(cell: Cell, pose: Pose | None = None) -> tuple[str, ...]:
    """Return what is doubtful about a cell, and about its pose if one is given, each in one sentence.

    Specks that were left out, an implausible volume, stains that are blank or exchanged or do not lie on the masks, a
    cell that the image's edge cuts off, then :attr:`~napari_integrated_cell.imaging.frame.Pose.warnings`. This takes a
    few milliseconds.
    """
    return (
        *doubts_about_pieces(cell.metadata.get("left_out", {})),
        *doubts_about_nucleus(cell.cell_mask, cell.nucleus_mask),
        *doubts_about_other_nuclei(*cell.metadata.get("other_nuclei", ())),
        *doubts_about_values(cell.metadata),
        *doubts_about_volume(cell.volume, cell.voxel_size),
        *doubts_about_stains(
            cell.channels.get("membrane"),
            cell.channels.get("dna"),
            cell.cell_mask,
            cell.nucleus_mask,
            cell.voxel_size,
        ),
        *doubts_about_edges(cell.metadata.get("touches_edge", ())),
        *(pose.warnings if pose is not None else ()),
    )


def doubts_about_volume(volume: float, voxel_size: tuple[float, float, float]) -> list[str]:
    """Return a sentence if no cell has such a volume (µm³)."""
    low, high = PLAUSIBLE_VOLUME
    if low <= volume <= high:
        return []
    bound = f"less than {low:,.0f}" if volume < low else f"more than {high:,.0f}"
    edges = " × ".join(f"{edge:.4g}" for edge in voxel_size)
    return [
        f"The cell has a volume of {volume:,.3g} µm³, {bound} µm³: check the voxel size, {edges} µm (Z, Y, X)."
    ]


def doubts_about_pieces(left_out: Mapping[str, tuple[int, float]]) -> list[str]:
    """Return a sentence for each mask that specks were left out of.

    Parameters
    ----------
    left_out : mapping of str to tuple
        Number of pieces and share of the volume, of the ``"cell"`` and the ``"nucleus"``.
    """
    return [
        f"{pieces} stray piece{'s' if pieces > 1 else ''} of the {what} {'are' if pieces > 1 else 'is'} left out "
        f"({100 * share:.2g} % of its volume)."
        for what, (pieces, share) in left_out.items()
    ]


def doubts_about_nucleus(cell: Mask, nucleus: Mask) -> list[str]:
    """Return a sentence if a nucleus is not smaller than its cell."""
    if np.count_nonzero(nucleus) < np.count_nonzero(cell):
        return []
    return [
        "The nucleus is as large as the cell or larger: check that the masks of cells and nuclei are not exchanged."
    ]


def doubts_about_other_nuclei(used: Sequence[float] = (), reaching: Sequence[float] = ()) -> list[str]:
    """Return a sentence about nuclei with other labels that are used as the cell's, and about those that are not.

    Parameters
    ----------
    used, reaching : sequence of float
        Their sizes in the cell relative to its nucleus.
    """
    doubts = []
    if used:
        other = "Another nucleus" if len(used) == 1 else f"{len(used)} other nuclei"
        doubts.append(
            f"{other} with {'a label of its own lies' if len(used) == 1 else 'labels of their own lie'} in the cell "
            f"({_shares(used)} of the size of the first): all are used as its nucleus."
        )
    if reaching:
        other = "Another nucleus reaches" if len(reaching) == 1 else f"{len(reaching)} other nuclei reach"
        doubts.append(
            f"{other} into the cell ({_shares(reaching)} of the size of its own) and "
            f"{'is' if len(reaching) == 1 else 'are'} not used: check the segmentations there."
        )
    return doubts


def _shares(parts: Sequence[float]) -> str:
    return ", ".join(f"{100 * part:.0f} %" for part in parts)


def doubts_about_values(metadata: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each channel that is not used as a stain, or that was NaN or infinite within the cell.

    Parameters
    ----------
    metadata : mapping
        A cell's, with ``"not_stains"`` (names of channels) and ``"broken"`` (share of the cell's voxels by channel).
    """
    return [
        *(
            f"The {_LABELS.get(name, name)} channel holds labels, not a stain: it is not used."
            for name in metadata.get("not_stains", ())
        ),
        *(
            f"The {_LABELS.get(name, name)} channel was NaN or infinite in {max(share, 0.001):.1%} of the cell's "
            "voxels: they became background."
            for name, share in metadata.get("broken", {}).items()
        ),
    ]


def doubts_about_edges(axes: tuple[str, ...]) -> list[str]:
    """Return a sentence if the cell touches the image's edge along some axes."""
    if not axes:
        return []
    along = " and ".join(filter(None, (", ".join(axes[:-1]), axes[-1])))
    return [f"The cell touches the edge of the image along {along}: it may be cut off."]


def doubts_about_stains(
    membrane: NDArray[Any] | None,
    dna: NDArray[Any] | None,
    cell: Mask,
    nucleus: Mask,
    voxel_size: tuple[float, float, float],
) -> list[str]:
    """Return a sentence if the stains look blank or exchanged, or do not lie on the masks.

    Parameters
    ----------
    membrane, dna : array, (Z, Y, X), optional
        What is missing is not checked.
    cell, nucleus : array of bool, (Z, Y, X)
        A part of the cell's voxels is looked at.
    voxel_size : tuple of float
        (Z, Y, X) in µm.
    """
    stains = {name: stain for name, stain in (("membrane", membrane), ("DNA", dna)) if stain is not None}
    if not stains:
        return []
    part = tuple(slice(None, None, max(1, round(_GRID / v))) for v in voxel_size)
    cell, nucleus = cell[part], nucleus[part] & cell[part]
    seen = {name: stain[part].astype(np.float32) for name, stain in stains.items()}
    if not cell.any():
        return []
    blank = [name for name, stain in seen.items() if stain[cell].min() == stain[cell].max()]
    if blank:
        return [
            f"The {' and the '.join(blank)} channel of the cell hold{'s' if len(blank) == 1 else ''} one value only: "
            "check that it is the right channel and that it was recorded."
        ]
    surface = cell & _grown(~cell) & ~nucleus
    if not (nucleus.any() and surface.any()):
        return []
    if len(seen) == 2:
        brighter = {name: stain[nucleus].mean() > stain[surface].mean() for name, stain in seen.items()}
        if brighter["membrane"] and not brighter["DNA"]:
            return [
                "Membrane and DNA look exchanged: the DNA channel is brighter at the cell's surface than in its "
                "nucleus, and the membrane channel is not. Check which channel is which."
            ]
    if "DNA" in seen:
        share = _share_inside(seen["DNA"], cell, nucleus)
        if share < _LEAST_INSIDE:
            return [
                f"Image and segmentation do not lie on each other: {100 * share:.0f} % of the cell's DNA light is in "
                "its nucleus. Check that they are of the same image, that none is shifted or mirrored, and that no "
                "nucleus is missing."
            ]
    return []


def _share_inside(dna: NDArray[Any], cell: Mask, nucleus: Mask) -> float:
    """Return the share of the cell's DNA light that is in its nucleus, or in the blur around it."""
    near = _grown(_grown(nucleus)) & cell
    far = cell & ~near
    if not far.any():
        return 1.0
    above = dna - np.median(dna[far])
    light = float(above[near].sum())
    beyond = float(above[far].sum())
    return light / (light + beyond) if light > 0 else 0.0


def _grown(mask: Mask) -> Mask:
    """Return a mask grown by one voxel along each axis."""
    grown = mask.copy()
    for axis in range(3):
        here, there = np.moveaxis(grown, axis, 0), np.moveaxis(mask, axis, 0)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
    return grown
