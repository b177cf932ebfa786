"""Cells through the model, a batch at a time: their codes, their reconstructions, and cells drawn in their stead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ic_train.evaluation.experiment import Context, Indices, Split

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Codes:
    """What the encoders say of the chosen cells of a side.

    Attributes
    ----------
    z_ref : array (n, n_ref)
        z^r = Enc^r(x^r) (equation 1).
    y : array (n, K)
        ŷ of Enc^{r,s} (equation 7), as probabilities.
    z_ref_hat : array (n, n_ref)
        ẑ^r of Enc^{r,s}.
    z_struct : array (n, n_struct)
        z^s of Enc^{r,s}.
    """

    z_ref: Floats
    y: Floats
    z_ref_hat: Floats
    z_struct: Floats


def codes(context: Context, split: Split) -> Codes:
    """The codes of the chosen cells of a side; kept in the context's folder, so that they are made once."""
    names = ("z_ref", "y", "z_ref_hat", "z_struct")
    kept = context.folder / f"codes-{split}.npz"
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as file:
            return Codes(*(file[name] for name in names))
    n, config = len(context.cells[split]), context.model.config
    widths = (config.n_ref, config.n_structures, config.n_ref, config.n_struct)
    arrays = [np.zeros((n, width), np.float32) for width in widths]
    for part, images in context.batches(split, f"encoding {_words(split)} cells"):
        arrays[0][part] = context.model.encode(images[:, :-1], batch_size=context.batch_size)
        for array, found in zip(
            arrays[1:], context.model.encode_all(images, batch_size=context.batch_size), strict=True
        ):
            array[part] = found
    context.folder.mkdir(parents=True, exist_ok=True)
    aside = kept.with_suffix(".part")
    with aside.open("wb") as stream:
        z_ref, y, z_ref_hat, z_struct = arrays
        np.savez(stream, z_ref=z_ref, y=y, z_ref_hat=z_ref_hat, z_struct=z_struct)
    aside.replace(kept)
    return Codes(*arrays)


def decoded(
    context: Context, split: Split, most: int | None = None
) -> Iterator[tuple[Indices, Floats, Floats]]:
    """The chosen cells of a side and what the structure model makes of them, Dec^{r,s}(Enc^{r,s}(x^{r,s})).

    Yields
    ------
    which, observed, decoded : array
        Places among the chosen cells (n,), and images (n, R + 1, Z, Y, X).
    """
    wanted = spread(context, split, most)
    what = f"reconstructing {_words(split)} cells"
    for part in _parts(context, len(wanted), what):
        observed = context.images(context.cells[split][wanted[part]])
        yield wanted[part], observed, context.model.reconstruct(observed, batch_size=context.batch_size)


def generated(
    context: Context, split: Split, most: int | None = None, *, observed_shapes: bool = False
) -> Iterator[tuple[Indices, Floats]]:
    """As many cells drawn from the model as are chosen of a side, of the same structures: z^r, z^s ~ N(0, I).

    With ``observed_shapes`` z^r = Enc^r(x^r) is the cell's own, and only z^s is drawn. What is drawn in a cell's
    stead depends on the seed and the cell's place alone.

    Yields
    ------
    which, images : array
        Places among the chosen cells (n,), and images (n, R + 1, Z, Y, X).
    """
    wanted, labels, config = spread(context, split, most), context.labels(split), context.model.config
    shapes = codes(context, split).z_ref if observed_shapes else None
    for part in _parts(context, len(wanted), f"drawing cells like the {_words(split)} ones"):
        which = wanted[part]
        z_ref = (
            np.stack([_normal(context, split, int(i), 0, config.n_ref) for i in which])
            if shapes is None
            else shapes[which]
        )
        z_struct = np.stack([_normal(context, split, int(i), 1, config.n_struct) for i in which])
        images = np.empty((len(which), len(config.references) + 1, *config.box), np.float32)
        for label in np.unique(labels[which]):
            mine = labels[which] == label
            name = context.structures[label]
            images[mine] = context.model.decode(
                z_ref[mine], name, z_struct[mine], batch_size=context.batch_size
            )
        yield which, images


def spread(context: Context, split: Split, most: int | None) -> Indices:
    """Places among the chosen cells of a side, ``most`` of them in equal numbers a structure, sorted."""
    labels = context.labels(split)
    if most is None or len(labels) <= most:
        return np.arange(len(labels))
    return equal_numbers(labels, most, context.seed)


def equal_numbers(labels: Indices, most: int, seed: int) -> Indices:
    """Positions of ``most`` cells drawn by chance in equal numbers a label, as far as there are; sorted."""
    order = np.random.default_rng([seed, 11]).permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        turn[mine] = np.arange(len(mine))
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels))
    return np.sort(np.lexsort((rank, turn))[:most])


def _parts(context: Context, n: int, what: str) -> Iterator[slice]:
    for start in range(0, n, context.batch_size):
        context.cancel.raise_if_cancelled()
        part = slice(start, min(start + context.batch_size, n))
        yield part
        context.progress(part.stop, n, what)


def _normal(context: Context, split: Split, place: int, which: int, size: int) -> Floats:
    source = np.random.default_rng([context.seed, 17, split == "test", place, which])
    return source.standard_normal(size, np.float32)


def _words(split: Split) -> str:
    return "held-out" if split == "test" else "training"
