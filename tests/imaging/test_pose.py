"""The pose of section 3.1: one rigid affine, the same for a cell in any orientation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from drawn_cells import BOX, CANONICAL, MIDDLE, angles, drawn, mirrors, placement, shifts
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, stats

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import (
    NEAR_ROUND,
    PAPER_BOX,
    Box,
    pose_of,
    posed_references,
    posed_structure,
    to_box,
    to_image,
)
from napari_integrated_cell.imaging.reading import read_crop, read_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels


def test_the_body_is_clearly_elongated_and_skewed():
    """A precondition of the invariance tests below."""
    pose = pose_of(drawn(CANONICAL), BOX)
    assert pose.warnings == ()
    assert pose.elongation > 1.4
    assert min(pose.flip_margins) > 0.15


@given(angle=angles, mirrored=mirrors, shift=shifts)
@settings(deadline=None, max_examples=12)
def test_the_same_cell_is_posed_alike_however_it_lay(angle, mirrored, shift):
    place = placement(angle, mirrored, tuple(np.add(MIDDLE, shift)))
    reference, turned = drawn(CANONICAL), drawn(place)
    expected, got = pose_of(reference, BOX), pose_of(turned, BOX)
    # Both transforms map the body to the same place in the box.
    a, b = expected.to_box @ CANONICAL, got.to_box @ place
    np.testing.assert_allclose(b[:3, :3], a[:3, :3], atol=0.03)
    np.testing.assert_allclose(b[:3, 3], a[:3, 3], atol=0.15)
    for one, other in zip(posed_references(reference, expected), posed_references(turned, got), strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95
    one, other = (posed_structure(c, "TOM20", p) for c, p in ((reference, expected), (turned, got)))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98


@given(voxel=st.tuples(st.floats(0.2, 0.6), st.floats(0.15, 0.4), st.floats(0.15, 0.4)), angle=angles)
@settings(deadline=None, max_examples=10)
def test_anisotropic_voxels_bend_no_angle(voxel, angle):
    place = placement(angle, (False, False), MIDDLE)
    shape = tuple(int(np.ceil(size / v)) for size, v in zip((9.2, 37.0, 37.0), voxel, strict=True))
    a = pose_of(drawn(CANONICAL), BOX).to_box @ CANONICAL
    b = pose_of(drawn(place, voxel, shape), BOX).to_box @ place
    np.testing.assert_allclose(b[:3, :3], a[:3, :3], atol=0.05)
    np.testing.assert_allclose(b[:3, 3], a[:3, 3], atol=0.25)


def test_the_posed_cell_is_right_way_round():
    """The body lies along +X with its head at +X and its horn at +Y: posing it must change neither."""
    pose = pose_of(drawn(CANONICAL), BOX)
    turn = (pose.to_box @ CANONICAL)[:3, :3]
    assert turn[0] == pytest.approx([1, 0, 0])
    assert abs(pose.angle) < 20
    assert turn[2, 2] > 0.9
    upside_down = pose_of(drawn(placement(0.0, (True, False), MIDDLE)), BOX)
    assert upside_down.flips == (not pose.flips[0], pose.flips[1])
    assert upside_down.angle == pytest.approx(-pose.angle, abs=1.0)


def test_turning_a_cell_step_by_step_turns_its_angle():
    found = [
        pose_of(drawn(placement(np.radians(a), (False, False), MIDDLE)), BOX).angle for a in (0, 20, 40, 60)
    ]
    assert all(
        step == pytest.approx(20, abs=1.5) or step == pytest.approx(-20, abs=1.5) for step in np.diff(found)
    )
    assert len({np.sign(b - a) for a, b in pairwise(found)}) == 1


def literal_pose(cell: Cell, box: Box) -> tuple[NDArray[np.float64], float]:
    """Section 3.1 voxel by voxel: footprint, principal axis, rotation, skewness, centre."""
    step = np.array(cell.voxel_size)
    voxels = np.argwhere(cell.cell_mask) * step
    footprint = np.unique(voxels[:, 1:], axis=0)
    spread = np.cov(footprint.T, bias=True) + np.diag(step[1:] ** 2 / 12)
    values, vectors = np.linalg.eigh(spread)
    y, x = vectors[:, np.argmax(values)]
    angle = np.degrees(np.arctan2(y, x))
    angle = angle - 180 if angle > 90 else angle + 180 if angle <= -90 else angle
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    turned = voxels @ turn.T
    for axis in (1, 2):
        if stats.skew(turned[:, axis]) < 0:
            turn[axis] *= -1
    nucleus = (np.argwhere(cell.nucleus_mask).mean(axis=0) + cell.offset) * step
    middle = (np.array(box.shape) - 1) / 2 * box.voxel_size
    affine = np.eye(4)
    affine[:3, :3] = turn
    affine[:3, 3] = middle - turn @ nucleus
    return affine, angle


@st.composite
def lumps(draw: Any) -> Cell:
    """A cell of a few random blocks."""
    shape = (6, 24, 30)
    mask = np.zeros(shape, dtype=bool)
    for _ in range(draw(st.integers(2, 5))):
        corner = [draw(st.integers(0, n - 3)) for n in shape]
        size = [draw(st.integers(1, 14)) for _ in shape]
        mask[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] = True
    voxels = np.argwhere(mask)
    z, y, x = voxels[draw(st.integers(0, len(voxels) - 1))]
    nucleus = np.zeros(shape, dtype=bool)
    nucleus[z : z + 2, y : y + 3, x : x + 2] = True
    voxel_size = draw(st.tuples(*[st.floats(0.1, 0.6)] * 3))
    offset = draw(st.tuples(*[st.integers(0, 500)] * 3))
    return Cell({}, mask, nucleus, voxel_size, offset=offset)


@given(cell=lumps(), box=st.sampled_from([BOX, PAPER_BOX, Box((8, 10, 12), 0.3)]))
@settings(deadline=None, max_examples=60)
def test_pose_is_the_papers(cell, box):
    pose = pose_of(cell, box)
    expected, angle = literal_pose(cell, box)
    if pose.elongation > 1.02 and min(pose.flip_margins) > 1e-6:
        np.testing.assert_allclose(pose.to_box, expected, atol=1e-6)
        # An axis has no direction: -90° and 90° are the same, and rounding errors choose one of them.
        assert (pose.angle - angle + 90) % 180 - 90 == pytest.approx(0, abs=1e-6)
    assert -90 < pose.angle <= 90
    # Rigid: lengths are kept, and handedness except for mirrors. Z does not change.
    turn = pose.to_box[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx((-1) ** sum(pose.flips))
    np.testing.assert_array_equal(turn[0], [1, 0, 0])
    np.testing.assert_allclose(pose.from_box @ pose.to_box, np.eye(4), atol=1e-9)
    # Measured voxel by voxel, the same fraction lies outside.
    at = (np.argwhere(cell.cell_mask) + cell.offset) * cell.voxel_size @ turn.T + pose.to_box[:3, 3]
    v = box.voxel_size
    inside = ((at >= -v / 2 - 1e-9) & (at <= (np.array(box.shape) - 0.5) * v + 1e-9)).all(axis=1)
    assert pose.outside == pytest.approx(1 - inside.mean(), abs=1e-9)
    assert (pose.outside > 0) == (max(pose.overhang) > 0)
    assert any("stick out" in w for w in pose.warnings) == (pose.outside > 0)


def test_the_nucleus_is_the_middle_of_the_box():
    cell = drawn(placement(0.7, (True, False), (5.1, 18.1, 19.3)), offset=(3, 5, 7), shape=(24, 140, 140))
    pose = pose_of(cell, BOX)
    centre = (np.argwhere(cell.nucleus_mask).mean(axis=0) + cell.offset) * cell.voxel_size
    np.testing.assert_allclose((pose.to_box @ [*centre, 1])[:3], BOX.centre)


def cylinder(long: float, short: float, **changes: Any) -> Cell:
    """An elliptic cylinder 4 µm high, with a nucleus in the middle."""
    voxel = 0.25
    at = [(np.arange(n) - n // 2) * voxel for n in (20, int(short * 4) + 12, int(long * 4) + 12)]
    z, y, x = np.meshgrid(*at, indexing="ij")
    mask = (np.abs(z) < 2) & ((2 * y / short) ** 2 + (2 * x / long) ** 2 < 1)
    nucleus = (z**2 + y**2 + (x - changes.pop("nucleus_at", 0.0)) ** 2) < 1.5**2
    if "second_at" in changes:
        nucleus |= z**2 + y**2 + (x - changes.pop("second_at")) ** 2 < 1.2**2
    return Cell({}, mask, nucleus, (voxel,) * 3)


def uncertain(cell: Cell) -> list[str]:
    return [w for w in pose_of(cell, BOX).warnings if "uncertain" in w]


def lopsided(long: float, short: float) -> Cell:
    """An elliptic cylinder, higher at one corner: skewed along both axes."""
    plain = cylinder(long, short)
    place = np.indices(plain.shape)[1:]
    z = np.arange(plain.shape[0])[:, None, None]
    corner = sum((n > size // 2).astype(int) for n, size in zip(place, plain.shape[1:], strict=True))
    return Cell({}, plain.cell_mask & (z < 11 + 2 * corner), plain.nucleus_mask & (z < 11), plain.voxel_size)


def test_near_round_cells_are_reported():
    round_cell, long_cell = lopsided(12, 11.8), lopsided(12, 10)
    assert 1 < pose_of(round_cell, BOX).elongation < NEAR_ROUND < pose_of(long_cell, BOX).elongation
    (said,) = uncertain(round_cell)
    assert said.startswith("The rotation (axis ratio 1.0")
    assert said.endswith(
        ") is uncertain: at least one in ten such cells is posed otherwise after a small change."
    )
    assert uncertain(long_cell) == []


def test_one_sentence_reports_all_uncertain_parts():
    (said,) = uncertain(cylinder(14, 8))
    assert said.startswith(
        "The flip along Y (skewness 0.000) and the flip along X (skewness 0.000) are uncertain"
    )
    (said,) = uncertain(cylinder(14, 14))
    assert said.startswith(
        "The rotation (axis ratio 1.000), the flip along Y (skewness 0.000) and the flip along X"
    )
    assert len(said) < 300


def test_near_symmetric_cells_are_reported_for_each_axis():
    cell = lopsided(14, 8)
    mirrored = cell.cell_mask | cell.cell_mask[:, ::-1]
    (said,) = uncertain(Cell({}, mirrored, cell.nucleus_mask, cell.voxel_size))
    assert said.startswith("The flip along Y (skewness 0.0")
    assert "along X" not in said
    assert "is uncertain" in said


def test_a_cell_longer_than_the_box_is_reported_with_figures():
    pose = pose_of(cylinder(40, 8), BOX)  # 32 µm long
    assert pose.extent[2] == pytest.approx(40, abs=0.6)
    assert pose.overhang[2] == pytest.approx(8, abs=0.6)
    (said,) = [w for w in pose.warnings if "longer" in w]
    assert f"{pose.extent[2]:.1f} µm long along X, is longer than the model's box of 32.0 µm" in said
    assert f"{100 * pose.outside:.2g} %" in said
    off_centre = pose_of(cylinder(24, 8, nucleus_at=8.0), BOX)
    assert any("centred on its nucleus, reaches beyond" in w for w in off_centre.warnings)


def test_one_sentence_reports_all_axes_along_which_a_cell_is_longer_than_the_box():
    pose = pose_of(cylinder(40, 26), Box((28, 80, 110), 0.25))  # 20 µm and 27.5 µm
    (said,) = [w for w in pose.warnings if "stick out" in w]
    (_, y, x), (_, beyond_y, beyond_x) = pose.extent, pose.overhang
    assert said == (
        f"The cell, {y:.1f} µm long along Y and {x:.1f} µm long along X, is longer than the model's box of 20.0 µm and "
        f"27.5 µm: {beyond_y:.1f} µm and {beyond_x:.1f} µm stick out; {100 * pose.outside:.2g} % of its volume is "
        "outside the box in total."
    )


def test_two_nuclei_under_one_label_are_reported():
    pose = pose_of(cylinder(20, 8, nucleus_at=-3.5, second_at=4.0), BOX)
    assert pose.nucleus_gap == pytest.approx(7.5, abs=0.2)
    assert any("in pieces 7.5 µm apart" in w for w in pose.warnings)
    assert pose_of(cylinder(20, 8), BOX).nucleus_gap == 0


@pytest.mark.parametrize("direction", [(0, 1), (1, 0), (1, 1), (2, 1)])
def test_a_line_of_voxels_is_symmetric_across(direction):
    """Rounding errors in the width of a line must not flip it."""
    mask = np.zeros((3, 40, 40), dtype=bool)
    for step in range(12):
        mask[1, 5 + direction[0] * step, 5 + direction[1] * step] = True
    pose = pose_of(Cell({}, mask, mask, (0.3, 0.217, 0.217)), BOX)
    assert pose.flip_margins == pytest.approx((0, 0), abs=1e-9)
    assert pose.flips == (False, False)


def test_one_voxel_is_a_cell_too():
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    pose = pose_of(Cell({}, mask, mask, (0.3, 0.2, 0.1)), BOX)
    assert np.isfinite(pose.to_box).all()
    assert pose.outside == 0
    assert np.isfinite(posed_references(Cell({}, mask, mask, (0.3, 0.2, 0.1)), pose)).all()


@pytest.fixture(scope="module")
def field(real_data: Any) -> tuple[NDArray[Any], NDArray[Any], tuple[float, float, float]]:
    cells, voxel_size = read_labels(real_data / "hipsc_tomm20_field" / "cell_labels.ome.tif")
    nuclei, _ = read_labels(real_data / "hipsc_tomm20_field" / "nucleus_labels.ome.tif")
    assert voxel_size is not None
    return cells, nuclei, voxel_size


@pytest.mark.real_data
def test_real_cell_7_is_longer_than_the_papers_box(field):
    cells, nuclei, voxel_size = field
    pose = pose_of(cell_from_labels(cells, 7, nuclei, {}, voxel_size))
    assert pose.extent[2] == pytest.approx(43.0, abs=0.5)
    assert 0 < pose.outside < 0.05
    assert any("43.3 µm long along X, is longer than the model's box of 40.6 µm" in w for w in pose.warnings)


@pytest.mark.real_data
def test_real_cells_lie_along_x_around_their_nucleus(field):
    cells, nuclei, voxel_size = field
    box = Box((32, 48, 64), 0.634)
    for label in (2, 8, 13):
        cell = cell_from_labels(cells, label, nuclei, {}, voxel_size)
        pose = pose_of(cell, box)
        posed = posed_references(cell, pose)
        membrane, dna = (np.argwhere(channel > 0.1) for channel in posed)
        assert np.ptp(membrane[:, 2]) > 1.2 * np.ptp(membrane[:, 1])
        np.testing.assert_allclose(ndimage.center_of_mass(posed[1]), (np.array(box.shape) - 1) / 2, atol=0.7)
        for axis in range(3):
            assert (
                membrane[:, axis].min() <= dna[:, axis].min() < dna[:, axis].max() <= membrane[:, axis].max()
            )
        # Posing the posed cell again does not rotate it.
        mask = to_box(cell.cell_mask, cell.voxel_size, pose, offset=cell.offset) > 0.5
        nucleus = to_box(cell.nucleus_mask, cell.voxel_size, pose, offset=cell.offset) > 0.5
        again = pose_of(Cell({}, mask, nucleus, (box.voxel_size,) * 3), box)
        assert abs(again.angle) < 1
        assert again.flips == tuple(
            m < 0.05 and f for m, f in zip(again.flip_margins, again.flips, strict=True)
        )


@pytest.mark.real_data
def test_real_cells_come_back_over_themselves(field):
    cells, nuclei, voxel_size = field
    for label in (1, 11):
        cell = cell_from_labels(cells, label, nuclei, {}, voxel_size)
        pose = pose_of(cell)
        posed = to_box(cell.cell_mask, voxel_size, pose, offset=cell.offset)
        back = to_image(posed, pose, cell.shape, voxel_size, offset=cell.offset) > 0.5
        overlap = (back & cell.cell_mask).sum() / (back | cell.cell_mask).sum()
        assert overlap > 0.95


@pytest.mark.real_data
def test_the_real_crop_has_a_certain_pose(real_data):
    """Its axis ratio of 1.24 gave a warning once. Turned and resampled, it keeps its pose (docs/notes)."""
    cell = read_crop(real_data / "wtc11_single_cell" / "crop_seg_CellId416089.ome.tiff")
    pose = pose_of(cell)
    assert pose.elongation == pytest.approx(1.24, abs=0.01)
    assert pose.warnings == ()
    assert pose.outside == 0


@pytest.mark.real_data
def test_most_real_cells_have_a_certain_pose(field):
    cells, nuclei, voxel_size = field
    poses = [pose_of(cell_from_labels(cells, label, nuclei, {}, voxel_size)) for label in range(1, 14)]
    assert sum(any("uncertain" in w for w in pose.warnings) for pose in poses) <= 3
