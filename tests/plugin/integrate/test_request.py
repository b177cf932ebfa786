"""Cut a cell out of an image: from memory, and from lazy volumes of any size, of which only the cell is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lazy_field import LazyField

from napari_integrated_cell.plugin.integrate.refusals import Refusal
from napari_integrated_cell.plugin.integrate.request import CellRequest
from napari_integrated_cell.plugin.layers.place import ImageFrame
from napari_integrated_cell.processes import Cancelled, CancelToken

FRAME = ImageFrame(np.eye(4), ("micrometer",) * 3, "image")


@pytest.fixture(scope="module")
def large(simulated):
    """100 GB of each channel."""
    return LazyField(simulated, (100, 20_000, 25_000), (1, 2_000, 2_500), (40, 9_000, 12_000))


def request_of(field, *names, label=7, point=None, **other):
    channels = {name: field.volume(name) for name in names if name not in ("cells", "nuclei")}
    cells, nuclei = (field.volume(name) if name in names else None for name in ("cells", "nuclei"))
    made = CellRequest(channels, cells, nuclei, label, point, field.cell.voxel_size, FRAME, "image")
    return replace(made, **other)


def in_memory(cell, *names, **other):
    whole = LazyField(cell, tuple(n + 20 for n in cell.shape), (50, 50, 50), (5, 6, 7))
    made = request_of(whole, *names, **other)
    return replace(
        made,
        channels={name: np.asarray(image) for name, image in made.channels.items()},
        cells=None if made.cells is None else np.asarray(made.cells),
        nuclei=None if made.nuclei is None else np.asarray(made.nuclei),
    )


def same(one, other):
    np.testing.assert_array_equal(one.cell_mask, other.cell_mask)
    np.testing.assert_array_equal(one.nucleus_mask, other.nucleus_mask)
    assert set(one.channels) == set(other.channels)
    for name, image in one.channels.items():
        np.testing.assert_array_equal(image, other.channels[name])


@pytest.mark.parametrize(
    "names", [("membrane", "dna", "cells", "nuclei"), ("dna", "cells"), ("cells", "nuclei")]
)
def test_only_the_cell_is_read_of_100_gb(large, simulated, names):
    large.read.clear()
    cell = request_of(large, *names, point=large.nucleus).cut()
    same(cell, in_memory(simulated, *names).cut())
    # The window that grows around the click, and no more.
    near = large.chunks_around((int(8 / 0.58) + 4, int(25 / 0.3) + 4, int(25 / 0.3) + 4))
    assert {where for _, where in large.read} <= near
    assert cell.offset[0] >= 40 - 4
    assert cell.offset[1] >= 9_000 - 5


def test_without_a_segmentation_only_the_window_around_the_click_is_read(large):
    large.read.clear()
    cell = request_of(large, "membrane", "dna", label=None, point=large.nucleus).cut()
    reach = int(45 / 0.3) + 10
    assert {where for _, where in large.read} <= large.chunks_around((100, reach, reach))
    overlap = cell.cell_mask.sum() / large.cell.cell_mask.sum()
    assert 0.7 < overlap < 1.3


def test_a_label_without_a_click_is_looked_for_plane_by_plane(simulated):
    field = LazyField(simulated, (60, 600, 700), (1, 300, 350), (10, 200, 250))
    told = []
    cell = request_of(field, "cells", "nuclei").cut(progress=lambda *step: told.append(step))
    same(cell, in_memory(simulated, "cells", "nuclei").cut())
    assert (60, 60, "looking for label 7") in told
    with pytest.raises(ValueError, match="no cell with label 9: click a cell"):
        request_of(field, "cells", "nuclei", label=9).cut()
    cancel = CancelToken()
    cancel.cancel()
    field.read.clear()
    with pytest.raises(Cancelled):
        request_of(field, "cells", "nuclei").cut(cancel=cancel)
    assert field.read == []


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint64, np.float32])
def test_labels_of_any_type_and_size(simulated, kind):
    request = in_memory(simulated, "cells", "nuclei")
    label = 7 if kind in (np.uint8, np.float32) else 2**40 + 5
    cells, nuclei = ((labels > 0).astype(kind) * kind(label) for labels in (request.cells, request.nuclei))
    cell = replace(request, cells=cells, nuclei=nuclei, label=label).cut()
    same(cell, request.cut())
    assert cell.metadata["label"] == label


def test_masks_are_labels(simulated):
    request = in_memory(simulated, "cells", "nuclei")
    same(replace(request, cells=request.cells > 0, nuclei=request.nuclei > 0, label=1).cut(), request.cut())


def test_the_edge_is_that_of_the_image(simulated):
    request = in_memory(simulated, "cells", "nuclei")
    assert "touches_edge" not in request.cut().metadata
    first = np.argwhere(request.cells.any(axis=(0, 2)))[0, 0] + 3
    cut_off = replace(request, cells=request.cells[:, first:], nuclei=request.nuclei[:, first:])
    assert cut_off.cut().metadata["touches_edge"] == ("Y",)


def test_what_is_missing_is_said_with_what_mends_it(simulated):
    stains = in_memory(simulated, "membrane", "dna", label=None)
    with pytest.raises(Refusal, match="No cell is chosen") as said:
        stains.cut()
    assert said.value.mends == ("segment field",)
    with pytest.raises(Refusal, match="found by its stains"):
        in_memory(simulated, "dna", label=None).cut()
    with pytest.raises(Refusal, match="nucleus is missing"):
        in_memory(simulated, "membrane", "cells").cut()
    with pytest.raises(Refusal, match="give its label"):
        in_memory(simulated, "cells", "nuclei", label=None).cut()
    with pytest.raises(ValueError, match="no cell with label 3; the labels are 7"):
        in_memory(simulated, "cells", "nuclei", label=3).cut()
