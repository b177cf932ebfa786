"""What is doubtful about a cell is said in one sentence, and nothing is said of good cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.doubts import doubts_about_edges, warnings_of
from napari_integrated_cell.imaging.segmenting import cell_from_labels, label_values, segment_field
from napari_integrated_cell.simulation import SimulatedField, simulate_cell, simulate_field
from napari_integrated_cell.vocabulary import STAGE_NAMES

VOXELS = [(0.317, 0.317, 0.317), (0.29, 0.2, 0.2), (0.5, 0.2, 0.2), (1.0, 0.6, 0.6)]


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    """Return a cell of each stage, with camera noise and its neighbours' membranes."""
    return [
        simulate_cell(n, stage=stage, voxel_size=VOXELS[n % 4], margin=(2.0, 7.0, 7.0)).cell
        for n, stage in enumerate(STAGE_NAMES)
    ]


@pytest.fixture(scope="module")
def field() -> SimulatedField:
    return simulate_field(1, 7, voxel_size=(0.29, 0.2, 0.2), structure=None)


def exchanged(cell: Cell) -> Cell:
    return replace(cell, channels={"membrane": cell.channels["dna"], "dna": cell.channels["membrane"]})


def with_dna(cell: Cell, dna: NDArray[Any]) -> Cell:
    return replace(cell, channels={**cell.channels, "dna": dna})


def test_nothing_is_said_of_simulated_cells(cells):
    for cell in cells:
        assert warnings_of(cell) == (), cell.name
        assert warnings_of(replace(cell, channels={"dna": cell.channels["dna"]})) == ()
        assert warnings_of(replace(cell, channels={"membrane": cell.channels["membrane"]})) == ()
        assert warnings_of(replace(cell, channels={})) == ()


def test_exchanged_stains_are_found(cells):
    for cell in cells:
        (said,) = warnings_of(exchanged(cell))
        assert said.startswith("Membrane and DNA look exchanged"), cell.name


def test_a_shifted_image_is_found(cells):
    rng = np.random.default_rng(0)
    found = []
    for cell in cells:
        for _ in range(6):
            turn = rng.uniform(0, 2 * np.pi)
            shift = [
                0,
                *np.rint(6 * np.array([np.sin(turn), np.cos(turn)]) / cell.voxel_size[1:]).astype(int),
            ]
            said = warnings_of(with_dna(cell, np.roll(cell.channels["dna"], shift, (0, 1, 2))))
            assert all(sentence.startswith("Image and segmentation do not lie") for sentence in said)
            found.append(len(said))
    assert np.mean(found) >= 0.95


def test_a_field_is_found_shifted_or_mirrored_and_its_segmentation_is_not(field):
    membrane, dna = field.channels["membrane"], field.channels["dna"]
    made = segment_field(membrane, dna, field.voxel_size)
    for cell_labels, nucleus_labels in (made, (field.cell_labels, field.nucleus_labels)):
        mirrored = []
        for label in label_values(cell_labels):
            cut = [cell_labels, label, nucleus_labels]
            good = cell_from_labels(*cut, {"membrane": membrane, "dna": dna}, field.voxel_size)
            assert not [w for w in warnings_of(good) if "Image" in w or "exchanged" in w]
            turned = cell_from_labels(*cut, {"dna": dna[:, :, ::-1]}, field.voxel_size)
            mirrored.append(any("do not lie on each other" in w for w in warnings_of(turned)))
        assert sum(mirrored) >= len(mirrored) - 2, "a cell may lie on another one's mirror image"


def test_a_blank_channel_is_named(cells):
    cell = cells[0]
    blank = np.zeros_like(cell.channels["dna"])
    (said,) = warnings_of(with_dna(cell, blank))
    assert "The DNA channel of the cell holds one value only" in said
    (said,) = warnings_of(replace(cell, channels={"membrane": blank, "dna": blank}))
    assert "The membrane and the DNA channel of the cell hold one value only" in said


@pytest.mark.parametrize(
    ("factor", "says"), [(0.3, "less than 250 µm³"), (1.0, None), (4.0, "more than 50,000 µm³")]
)
def test_an_absurd_volume_is_said_with_the_voxel_size(factor, says):
    cell = simulate_cell(1, noise=False).cell
    cell = replace(cell, channels={}, voxel_size=tuple(factor * v for v in cell.voxel_size))
    if says is None:
        assert warnings_of(cell) == ()
        return
    (said,) = warnings_of(cell)
    assert says in said
    assert f"check the voxel size, {factor * 0.317:.4g} × " in said


def test_specks_and_the_images_edge_are_said():
    simulated = simulate_cell(1, noise=False).cell
    cells, nuclei = (np.pad(m, 9).astype(np.uint8) for m in (simulated.cell_mask, simulated.nucleus_mask))
    cells[1, 1, 1] = cells[-2, -2, -2] = nuclei[1, 1, 1] = 1
    filled = np.flatnonzero(simulated.cell_mask.any(axis=(0, 2)))
    cell = cell_from_labels(
        cells[:, 9 + filled[0] :], 1, nuclei[:, 9 + filled[0] :], {}, simulated.voxel_size
    )
    strays, edge = warnings_of(cell)
    assert strays.startswith("1 stray piece of the cell is left out (0.00")
    assert edge == "The cell touches the edge of the image along Y: it may be cut off."
    (said,) = doubts_about_edges(("Z", "Y", "X"))
    assert "along Z, Y and X:" in said
    of_cell, of_nucleus = warnings_of(cell_from_labels(cells, 1, nuclei, {}, simulated.voxel_size))
    assert of_cell.startswith("2 stray pieces of the cell are left out")
    assert of_nucleus.startswith("1 stray piece of the nucleus is left out")


def test_warnings_are_short(cells):
    cell = exchanged(cells[0])
    cell = replace(cell, voxel_size=(9.0, 9.0, 9.0), metadata={"touches_edge": ("Z", "Y", "X")})
    assert len(warnings_of(cell)) >= 2
    assert all(len(w) <= 300 and w.endswith(".") and "\n" not in w for w in warnings_of(cell))


def test_a_stain_that_is_constant_within_the_cell_is_found(cells):
    cell = cells[0]
    for name in ("membrane", "dna"):
        flat = np.where(cell.cell_mask, 7, cell.channels[name])
        (said,) = warnings_of(replace(cell, channels={**cell.channels, name: flat}))
        assert "holds one value only" in said


def test_a_nucleus_as_large_as_its_cell_is_doubtful(cells):
    cell = replace(cells[0], channels={}, nucleus_mask=cells[0].cell_mask)
    (said,) = warnings_of(cell)
    assert "are not exchanged" in said
