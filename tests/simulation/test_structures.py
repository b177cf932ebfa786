"""Each structure is where a cell biologist would look for it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr

from napari_integrated_cell.simulation import (
    MITOTIC_SHIFT,
    VARIABILITY,
    SimulatedCell,
    residual_variability,
    simulate_cell,
    simulate_shape,
)
from napari_integrated_cell.simulation.mitosis import frame_along
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

SEEDS = (0, 1, 2)
VOXEL = 0.4


@cache
def drawn(seed: int, stage: str = "interphase") -> SimulatedCell:
    return simulate_cell(seed, stage=stage, structure="all", voxel_size=VOXEL, noise=False)


def from_nucleus(simulated: SimulatedCell) -> NDArray[np.float64]:
    """Distance in µm from the surface of the chromatin, negative inside."""
    nucleus = simulated.cell.nucleus_mask
    outside = ndimage.distance_transform_edt(~nucleus, sampling=VOXEL)
    inside = ndimage.distance_transform_edt(nucleus, sampling=VOXEL)
    return np.where(nucleus, -inside + VOXEL / 2, outside - VOXEL / 2)


def share(simulated: SimulatedCell, name: str, where: NDArray[np.bool_]) -> float:
    image = simulated.cell.channels[name]
    return float(image[where].sum() / image.sum())


def relative_height(simulated: SimulatedCell) -> NDArray[np.float64]:
    """0 at the base of the cell and 1 at its apex, (Z, 1, 1)."""
    z = np.flatnonzero(simulated.cell.cell_mask.any(axis=(1, 2)))
    heights = (np.arange(simulated.cell.shape[0]) - z[0]) / (z[-1] - z[0])
    return np.broadcast_to(heights[:, None, None], simulated.cell.shape)


def along_spindle(simulated: SimulatedCell) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of every voxel from the spindle's equator and from its axis, µm."""
    shape = simulated.shape
    normal = frame_along(*shape.spindle)[0]
    z, y, x = simulated.grid.axes
    r = np.stack(np.broadcast_arrays(z - shape.centre[0], y - shape.centre[1], x - shape.centre[2]), axis=-1)
    along = r @ normal
    return along, np.sqrt(np.maximum((r**2).sum(-1) - along**2, 0))


@pytest.mark.parametrize("seed", SEEDS)
def test_fibrillarin_is_two_to_five_nucleoli_in_the_nucleus(seed):
    simulated = drawn(seed)
    assert share(simulated, "fibrillarin", simulated.cell.nucleus_mask) >= 0.8
    bodies = ndimage.label(simulated.cell.channels["fibrillarin"] > 0.45)[1]
    assert 1 <= bodies <= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_fibrillarin_leaves_the_nucleoli_in_open_mitosis(seed):
    simulated = drawn(seed, "metaphase")
    assert share(simulated, "fibrillarin", simulated.cell.nucleus_mask) < 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_lamin_is_at_the_nuclear_surface_while_the_envelope_stands(seed):
    for stage in ("interphase", "prophase-1"):
        simulated = drawn(seed, stage)
        assert share(simulated, "lamin-B1", np.abs(from_nucleus(simulated)) < 1) >= 0.8
    open_ = drawn(seed, "metaphase")
    assert share(open_, "lamin-B1", np.abs(from_nucleus(open_)) < 1) < 0.5
    late = drawn(seed, "telophase-cytokinesis")
    near = np.abs(from_nucleus(late)) < 1
    shell, elsewhere = (late.cell.channels["lamin-B1"][m & late.cell.cell_mask].mean() for m in (near, ~near))
    assert shell > 2 * elsewhere


@pytest.mark.parametrize("seed", SEEDS)
def test_golgi_is_one_body_beside_the_nucleus_and_falls_apart_in_mitosis(seed):
    simulated = drawn(seed)
    golgi = simulated.cell.channels["ST6GAL1"]
    parts, _ = ndimage.label(golgi > 0.15, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    assert sizes.max() > 0.85 * sizes.sum()
    distance = from_nucleus(simulated)
    assert 0 < (golgi * distance).sum() / golgi.sum() < 4
    mitotic = drawn(seed, "prometaphase-2").cell.channels["ST6GAL1"]
    scattered = np.bincount(ndimage.label(mitotic > 0.3)[0].ravel())[1:]
    assert len(scattered) > 15
    assert scattered.max() < 0.4 * scattered.sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_er_is_dense_at_the_envelope_and_thins_outwards(seed):
    simulated = drawn(seed)
    distance, cell = from_nucleus(simulated), simulated.cell
    er = cell.channels["Sec61-beta"]
    shells = [
        er[cell.cell_mask & (distance > a) & (distance < b)].mean() for a, b in ((0, 1), (2, 3), (4.5, 6))
    ]
    assert shells[0] > 1.3 * shells[1] > 1.3 * shells[2]
    assert er[cell.nucleus_mask & (distance < -1.5)].mean() < 0.2 * shells[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_mitochondria_are_in_the_cytoplasm_denser_around_the_nucleus(seed):
    for stage in ("interphase", "metaphase"):
        simulated = drawn(seed, stage)
        assert share(simulated, "TOM20", ~simulated.cell.nucleus_mask) >= 0.9
    simulated = drawn(seed)
    distance = from_nucleus(simulated)
    image, cell = simulated.cell.channels["TOM20"], simulated.cell.cell_mask
    depth = ndimage.distance_transform_edt(cell, sampling=VOXEL)
    near, far = (
        image[(depth > 1) & (distance > a) & (distance < b)].mean() for a, b in ((0.7, 3.0), (6.0, 20.0))
    )
    assert near > 1.2 * far


@pytest.mark.parametrize("seed", SEEDS)
def test_microtubules_radiate_from_beside_the_nucleus(seed):
    simulated = drawn(seed)
    tubulin, distance = simulated.cell.channels["alpha-tubulin"], from_nucleus(simulated)
    assert share(simulated, "alpha-tubulin", ~simulated.cell.nucleus_mask) > 0.9
    hub = np.unravel_index(ndimage.gaussian_filter(tubulin, 2).argmax(), tubulin.shape)
    assert -0.5 < distance[hub] < 5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stage", ["prometaphase-2", "metaphase", "anaphase"])
def test_the_spindle_lies_along_its_axis_with_the_chromosomes_across_it(stage, seed):
    simulated = drawn(seed, stage)
    along, off = along_spindle(simulated)
    tubulin = simulated.cell.channels["alpha-tubulin"]
    weights = tubulin * (tubulin > 0.25)
    second = [(weights * d**2).sum() / weights.sum() for d in (along, off)]
    assert second[0] > 1.2 * second[1] / 2  # off-axis distance has two directions in it
    chromatin = simulated.cell.nucleus_mask
    if stage == "metaphase":
        assert along[chromatin].std() < 0.45 * np.sqrt((off[chromatin] ** 2).mean())
        assert np.abs(along[chromatin].mean()) < 1
    if stage == "anaphase":
        assert (along[chromatin] > 0).mean() == pytest.approx(0.5, abs=0.15)
        assert np.abs(along[chromatin]).mean() > 2


@pytest.mark.parametrize("seed", SEEDS)
def test_cytokinesis_has_two_nuclei_a_midbody_and_a_contractile_ring(seed):
    simulated = drawn(seed, "telophase-cytokinesis")
    cell = simulated.cell
    parts = ndimage.label(cell.nucleus_mask)[0]
    sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
    assert sizes[1] > 0.5 * sizes[0]
    assert sizes[:2].sum() > 0.95 * sizes.sum()
    along, off = along_spindle(simulated)
    equator = np.abs(along) < 1
    assert (cell.cell_mask & equator).sum() < 0.8 * (cell.cell_mask & (np.abs(along - 5) < 1)).sum()
    tubulin = cell.channels["alpha-tubulin"]
    inside = cell.cell_mask & (off < 2.0)
    assert tubulin[inside & equator].mean() > 2 * tubulin[cell.cell_mask & (np.abs(along) > 4)].mean()
    depth = ndimage.distance_transform_edt(cell.cell_mask, sampling=VOXEL)
    cortex = cell.cell_mask & (depth < 0.9)
    for name in ("beta-actin", "myosin-IIB"):
        ring, rest = (cell.channels[name][cortex & m].mean() for m in (equator, np.abs(along) > 3))
        assert ring > 1.3 * rest


@pytest.mark.parametrize("seed", SEEDS)
def test_actin_is_cortical_and_basal(seed):
    simulated = drawn(seed)
    depth = ndimage.distance_transform_edt(simulated.cell.cell_mask, sampling=VOXEL)
    assert share(simulated, "beta-actin", depth < 1.2) > 0.7
    base, height = 0.35, relative_height(simulated)
    assert share(simulated, "alpha-actinin", height < base) > 0.6
    # Each of the three has its own share of the base: bundles, cortex with fibres, apical ring.
    shares = [share(simulated, n, height < base) for n in ("alpha-actinin", "beta-actin", "myosin-IIB")]
    assert shares[0] > shares[1] > shares[2]
    assert share(simulated, "myosin-IIB", height > 0.6) > 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_junctions_are_lateral_desmosomes_and_an_apical_belt(seed):
    simulated = drawn(seed)
    cell, height = simulated.cell, relative_height(simulated)
    depth = ndimage.distance_transform_edt(cell.cell_mask, sampling=VOXEL)
    near_surface = (depth < 1.0) & ~ndimage.binary_erosion(cell.cell_mask, iterations=3)
    desmosomes = cell.channels["desmoplakin"]
    assert share(simulated, "desmoplakin", near_surface) > 0.75
    assert 0.3 < (desmosomes * height).sum() / desmosomes.sum() < 0.75
    assert ndimage.label(desmosomes > 0.12)[1] > 12
    belt = cell.channels["ZO1"]
    assert share(simulated, "ZO1", height > 2 / 3) > 0.55
    # A belt: bright along the whole apical edge, dark in the middle.
    seen = belt.max(axis=0)
    y, x = np.indices(seen.shape)
    footprint = cell.cell_mask.any(axis=0)
    cy, cx = ndimage.center_of_mass(cell.cell_mask[int(0.7 * len(cell.cell_mask)) :].any(axis=0))  # the apex
    sector = ((np.arctan2(y - cy, x - cx) + np.pi) / (2 * np.pi) * 12).astype(int) % 12
    assert all(seen[(sector == s) & footprint].max() > 0.3 for s in range(12))
    assert seen[int(cy) - 3 : int(cy) + 4, int(cx) - 3 : int(cx) + 4].mean() < 0.15


@pytest.mark.slow
def test_residual_variability_has_the_order_that_is_written_down():
    assert set(VARIABILITY) == set(STRUCTURE_NAMES)
    shapes = [simulate_shape(seed) for seed in range(4)]
    measured = {
        name: float(np.mean([residual_variability(s, name, draws=12) for s in shapes]))
        for name in VARIABILITY
    }
    names = list(VARIABILITY)
    assert spearmanr([VARIABILITY[n] for n in names], [measured[n] for n in names])[0] > 0.95
    assert measured["lamin-B1"] < 0.1
    assert measured["desmoplakin"] > 0.7


@pytest.mark.slow
def test_mitosis_shifts_variability_as_the_paper_reports():
    for name, shift in MITOTIC_SHIFT.items():
        interphase, metaphase = (
            np.mean([residual_variability(simulate_shape(seed, stage), name, draws=12) for seed in range(5)])
            for stage in ("interphase", "metaphase")
        )
        assert np.sign(metaphase - interphase) == shift, name
