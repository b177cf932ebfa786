"""Measure what Dec^{r,s} leaves out of observed images, in held-out cells."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from napari_ic_train.bundle.latent_statistics import BATCH
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of
from napari_integrated_cell.arrays import Doubles, Floats, Indices, Mask
from napari_integrated_cell.imaging.stained_masks import enclosed, membrane_of
from napari_integrated_cell.model.decoding_residuals import LEVELS, DecodingResiduals, Residuals
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.processes import Progress, slices

FEWEST_HELD_OUT = 5
"""With fewer held-out cells of a structure, its training cells are used. Dec^{r,s} leaves less out of those."""
MOST_CELLS = 40
"""More cells of a structure hardly change its quantiles."""
BINS: Doubles = np.concatenate([np.linspace(0, 0.9, 10), [0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1]])
"""Ranks of decoded voxels at which bins begin. They are narrow where the structure is."""
FEWEST_VOXELS = 50
LAGS = (10, 16)
"""Number of distances in Z and in the plane, in voxels, at which voxels are compared."""


def decoding_residuals(
    model: IntegratedCell, store: CellStore, progress: Progress | None = None
) -> DecodingResiduals:
    """Measure what Dec^{r,s} leaves out of each structure's images, inside the cells.

    An image is decoded at z^r = Enc^r(x^r) and its own z^s of Enc^{r,s}. A structure without cells has no entry.

    Parameters
    ----------
    model : IntegratedCell
        The model with the weights as they are stored, on the device to use.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    progress : callable, optional
        Called with (done, total, what).
    """
    chosen = {name: cells for name, cells in _chosen(store).items() if len(cells)}
    total, done, found = sum(map(len, chosen.values())), 0, {}
    for name, cells in chosen.items():
        observed, decoded, inside = [], [], []
        for part in slices(len(cells), BATCH, "", None):
            images = store.images(cells[part]).numpy()
            z_ref, z_struct = model.encode(images[:, :-1]), model.encode_all(images)[2]
            decoded += [*model.decode_structures(z_ref, name, z_struct)[name]]
            observed += [*images[:, -1]]
            inside += [enclosed(membrane_of(image[0])) for image in images]
            if progress is not None:
                progress(done + part.stop, total, "measuring what decoding leaves out")
        done += len(cells)
        found[name] = residuals_of(observed, decoded, inside)
    return DecodingResiduals(found)


def residuals_of(observed: list[Floats], decoded: list[Floats], inside: list[Mask]) -> Residuals:
    """Measure the quantiles of observed voxels given the decoded ones, and the correlation of neighbours.

    Parameters
    ----------
    observed, decoded, inside : list of array (Z, Y, X)
        Images of one structure's cells, and the cells' masks.
    """
    x = np.concatenate([image[mask] for image, mask in zip(observed, inside, strict=True)]).astype(np.float64)
    mu = np.concatenate([image[mask] for image, mask in zip(decoded, inside, strict=True)]).astype(np.float64)
    edges = np.unique(np.quantile(mu, BINS))
    bins = np.searchsorted(edges[1:-1], mu, "right")
    places, quantiles = [], []
    for i in range(max(len(edges) - 1, 1)):
        mine = bins == i
        if mine.sum() >= min(FEWEST_VOXELS, len(mu)):
            places.append(mu[mine].mean())
            quantiles.append(np.quantile(x[mine], LEVELS))
    without_correlation = Residuals(np.array(places), np.array(quantiles), np.ones((1, 1)))
    random = np.random.default_rng(0)
    scores = [
        normal_scores(without_correlation, *pair, random) for pair in zip(observed, decoded, strict=True)
    ]
    return Residuals(np.array(places), np.array(quantiles), correlation(scores, inside))


def normal_scores(
    residuals: Residuals, observed: Floats, decoded: Floats, random: np.random.Generator
) -> Doubles:
    """Return the normal scores (Z, Y, X) of observed voxels among their quantiles; equal quantiles are drawn from."""
    place = np.interp(decoded, residuals.decoded, np.arange(len(residuals.decoded))).ravel()
    values, ranks = observed.ravel().astype(np.float64), np.empty(observed.size)
    at = np.minimum(place.astype(np.intp), max(len(residuals.decoded) - 2, 0))
    for i in np.unique(at):
        mine = at == i
        upper = min(i + 1, len(residuals.quantiles) - 1)
        share = (place[mine] - i)[:, None]
        table = residuals.quantiles[i] * (1 - share) + residuals.quantiles[upper] * share
        value = values[mine][:, None]
        first = (table < value).sum(1).clip(1, len(LEVELS) - 1) - 1
        last = (table <= value).sum(1).clip(1, len(LEVELS) - 1)
        rows = np.arange(len(table))
        low, high = table[rows, first], table[rows, last]
        part = np.clip((values[mine] - low) / np.maximum(high - low, 1e-12), 0, 1)
        several = (table == value).sum(1) > 1
        part = np.where(several, random.random(len(part)), part)
        ranks[mine] = LEVELS[first] + part * (LEVELS[last] - LEVELS[first])
    return ndtri(ranks.clip(1e-4, 1 - 1e-4)).reshape(observed.shape)


def correlation(scores: list[Doubles], inside: list[Mask]) -> Doubles:
    """Return the correlation of scores (Z, Y, X) of voxels inside the cells, by distance in Z and in the plane, `LAGS`.

    It falls to 0 over the last third of the distances, so that a field with it has no edge there.
    """
    products = counts = np.zeros(())
    shape = scores[0].shape
    padded = tuple(2 * n for n in shape)
    for score, mask in zip(scores, inside, strict=True):
        of_scores, of_mask = (np.fft.rfftn(image, padded) for image in (score * mask, mask.astype(float)))
        products = products + np.fft.irfftn(np.abs(of_scores) ** 2, padded, (0, 1, 2))
        counts = counts + np.fft.irfftn(np.abs(of_mask) ** 2, padded, (0, 1, 2))
    depth, radius = (min(lag, size) for lag, size in zip(LAGS, (shape[0], min(shape[1:])), strict=True))
    y, x = (np.minimum(np.arange(n), n - np.arange(n)) for n in padded[1:])
    distance = np.hypot(y[:, None], x[None, :]).ravel()
    # Voxels at 1.4 voxels, for example, would lower the correlation at 1.
    near = np.abs(distance - np.rint(distance)) <= 0.25
    rings = np.rint(distance[near]).astype(int)
    found = np.zeros((depth, radius))
    for z in range(depth):
        sums, pairs = (
            np.bincount(rings, image[z].ravel()[near], radius)[:radius] for image in (products, counts)
        )
        found[z] = sums / np.maximum(pairs, 1)
    found /= found[0, 0] if found[0, 0] > 0 else 1
    found[0, 0] = 1
    fade = [np.clip(3 * (1 - np.arange(n) / n), 0, 1) for n in found.shape]
    return found * fade[0][:, None] * fade[1][None, :]


def _chosen(store: CellStore) -> dict[str, Indices]:
    """Return positions of some cells of each structure, held out if there are enough."""
    labels, random = store.labels, np.random.default_rng(0)
    sides = [cells_of(store, held_out=side) for side in (True, False)]
    found = {}
    for label, name in enumerate(store.structures):
        held_out, training = (side[labels[side] == label] for side in sides)
        mine = held_out if len(held_out) >= FEWEST_HELD_OUT else training
        found[name] = np.sort(random.permutation(mine)[:MOST_CELLS])
    return found
