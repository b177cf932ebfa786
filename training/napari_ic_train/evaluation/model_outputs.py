"""Run the model on the selected cells in batches: encode, reconstruct and generate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

import numpy as np

from napari_ic_train.evaluation.experiment import SPLIT_LABELS, Context, Split
from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.imaging.atomic import atomic_write


@dataclass(frozen=True, eq=False)
class Codes:
    """Outputs of the encoders for the selected training cells or held-out cells.

    Attributes
    ----------
    z_ref : array (n, n_ref)
        z^r = Enc^r(x^r) (equation 1).
    y : array (n, K)
        ŷ of Enc^{r,s} (equation 7), as probabilities.
    z_struct : array (n, n_struct)
        z^s of Enc^{r,s}.
    """

    z_ref: Floats
    y: Floats
    z_struct: Floats


def codes(context: Context, split: Split) -> Codes:
    """Return the codes of the selected cells; they are cached in the context's folder."""
    cached = context.folder / f"codes-{split}.npz"
    if cached.is_file():
        with np.load(cached, allow_pickle=False) as file:
            return Codes(**{field.name: file[field.name] for field in fields(Codes)})
    n, config = len(context.cells[split]), context.model.config
    widths = (config.n_ref, config.n_structures, config.n_struct)
    arrays = [np.zeros((n, width), np.float32) for width in widths]
    for part, images in context.batches(split, f"encoding {SPLIT_LABELS[split]} cells"):
        z_ref = context.model.encode(images[:, :-1], batch_size=context.batch_size)
        y, _, z_struct = context.model.encode_all(images, batch_size=context.batch_size)
        for array, values in zip(arrays, (z_ref, y, z_struct), strict=True):
            array[part] = values
    found = Codes(*arrays)
    context.folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(cached) as part_file:
        np.savez(part_file, **asdict(found))
    return found


def decoded(
    context: Context, split: Split, most: int | None = None, *, references_only: bool = False
) -> Iterator[tuple[Indices, Floats, Floats]]:
    """Yield cells and their reconstructions, Dec^{r,s}(Enc^{r,s}(x^{r,s})) or Dec^r(Enc^r(x^r)).

    With ``context.decoded_at="target"`` z^s of Enc^{r,s} is decoded at the known label and at z^r = Enc^r(x^r), where
    such a model learnt to decode.

    Parameters
    ----------
    most : int, optional
        Maximum number of cells, see `balanced`.
    references_only : bool
        Use the reference model, on images (n, R, Z, Y, X).

    Yields
    ------
    which, observed, decoded : array
        Places among the selected cells (n,), and images (n, R + 1, Z, Y, X).
    """
    wanted = balanced(context, split, most)
    for part in context.parts(len(wanted), f"reconstructing {SPLIT_LABELS[split]} cells"):
        observed = context.images(context.cells[split][wanted[part]])
        if references_only:
            observed = observed[:, :-1]
        if context.decoded_at == "predicted" or references_only:
            images = context.model.reconstruct(observed, batch_size=context.batch_size)
        else:
            images = _decoded_at_target(context, split, wanted[part])
        yield wanted[part], observed, images


def generated(
    context: Context, split: Split, most: int | None = None, *, observed_shapes: bool = False
) -> Iterator[tuple[Indices, Floats]]:
    """Yield one generated cell for each selected cell, with the same structure: z^r, z^s ~ N(0, I).

    The latent codes depend on the random seed and the place of the cell only: a second call yields the same images.

    Parameters
    ----------
    most : int, optional
        Maximum number of cells, see `balanced`.
    observed_shapes : bool
        Take z^r = Enc^r(x^r) of the selected cell and draw z^s only.

    Yields
    ------
    which, images : array
        Places among the selected cells (n,), and images (n, R + 1, Z, Y, X).
    """
    wanted, labels, config = balanced(context, split, most), context.labels(split), context.model.config
    shapes = codes(context, split).z_ref if observed_shapes else None
    for part in context.parts(len(wanted), f"generating cells like the {SPLIT_LABELS[split]} cells"):
        which = wanted[part]
        z_ref = _normal(context, split, which, 0, config.n_ref) if shapes is None else shapes[which]
        z_struct = _normal(context, split, which, 1, config.n_struct)
        images = np.empty((len(which), len(config.references) + 1, *config.box), np.float32)
        for label in np.unique(labels[which]):
            mine = labels[which] == label
            name = context.structures[label]
            images[mine] = context.model.decode(
                z_ref[mine], name, z_struct[mine], batch_size=context.batch_size
            )
        yield which, images


def _decoded_at_target(context: Context, split: Split, which: Indices) -> Floats:
    """Decode z^s of the selected cells ``which`` at their labels and z^r, (n, R + 1, Z, Y, X)."""
    found, labels, config = codes(context, split), context.labels(split)[which], context.model.config
    images = np.empty((len(which), len(config.references) + 1, *config.box), np.float32)
    for label in np.unique(labels):
        mine = labels == label
        z_ref, z_struct = found.z_ref[which[mine]], found.z_struct[which[mine]]
        images[mine] = context.model.decode(
            z_ref, context.structures[label], z_struct, batch_size=context.batch_size
        )
    return images


def decoded_in_words(context: Context) -> str:
    """Return at which label and z^r encoded cells are decoded, as words."""
    if context.decoded_at == "target":
        return "decoded at the known label and z^r of Enc^r, as the model was trained"
    return "decoded at ŷ, as probabilities, and ẑ^r of Enc^{r,s}"


def balanced(context: Context, split: Split, most: int | None) -> Indices:
    """Return sorted places of at most ``most`` selected cells, with equal numbers for each structure if possible."""
    labels = context.labels(split)
    if most is None or len(labels) <= most:
        return np.arange(len(labels))
    return balanced_sample(labels, most, context.seed)


def balanced_sample(labels: Indices, most: int, seed: int) -> Indices:
    """Return sorted positions of ``most`` random cells, with equal numbers for each label if possible."""
    order = np.random.default_rng([seed, 11]).permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        turn[mine] = np.arange(len(mine))
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels))
    return np.sort(np.lexsort((rank, turn))[:most])


def _normal(context: Context, split: Split, which: Indices, space: int, size: int) -> Floats:
    """Draw a latent code for each cell from its own random generator, (n, size)."""
    keys = ([context.seed, 17, split == "test", int(place), space] for place in which)
    return np.stack([np.random.default_rng(key).standard_normal(size, np.float32) for key in keys])
