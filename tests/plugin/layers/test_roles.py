"""Which layers show membrane, DNA, cells and nuclei: by type, name, metadata, and by what they show. No window."""

from __future__ import annotations

from itertools import permutations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_integrated_cell.plugin.integrate.contents import Contents
from napari_integrated_cell.plugin.layers.roles import guess_layers, holds_labels, shows
from napari_integrated_cell.plugin.tasks import Tasks

BOX = np.zeros((3, 4, 5), np.uint8)
ROLES = ("membrane", "dna", "cells", "nuclei")


@pytest.fixture
def contents():
    return Contents(Tasks(lambda task: task()))


@pytest.fixture(scope="module")
def field():
    from napari_integrated_cell.simulation import simulate_field

    return simulate_field(5, n_cells=4, voxel_size=(0.5, 0.3, 0.3), structure="TOM20")


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("CMDRP", Image, "membrane"),
        ("Ch1 Hoechst 33342", Image, "dna"),
        ("TOMM20-mEGFP", Image, "TOM20"),
        ("brightfield", Image, None),
        ("cell_labels", Labels, "cells"),
        ("membrane_segmentation · crop_seg", Labels, "cells"),
        ("membrane_segmentation_roof · crop_seg", Labels, None),
        ("struct_segmentation · crop_seg", Labels, None),
        ("nucleus_labels", Labels, "nuclei"),
        ("dna_segmentation", Labels, "nuclei"),
        ("tubulin_cells", Labels, "cells"),
        ("actin cell mask", Labels, "cells"),
        ("lamin nuclei", Labels, "nuclei"),
        ("tomm20_mask", Labels, None),
        *((f"{dish}_07_cell", Labels, "cells") for dish in ("LAM", "Mit", "Nuc", "TfR")),
        *((f"{dish}_07_nucleus", Labels, "nuclei") for dish in ("LAM", "Mit", "Nuc", "TfR")),
        ("nuclei of membrane", Labels, "nuclei"),
        ("cells of nuc", Labels, "cells"),
        ("dna_segmentation · one cell", Labels, "nuclei"),
        ("cell nuclei mask", Labels, "nuclei"),
    ],
)
def test_what_a_layer_shows(name, kind, expected):
    assert shows(kind(BOX, name=name), kind is Labels) == expected


def test_metadata_says_more_than_the_name():
    layer = Image(BOX, name="channel 3", metadata={"napari_integrated_cell": {"shows": "dna"}})
    assert shows(layer, False) == "dna"
    assert shows(layer, True) == "cells"  # what it holds says more than what the reader took from a name


def test_guess_follows_the_selected_image(contents):
    viewer = ViewerModel()
    small = {n: viewer.add_image(BOX, name=n) for n in ("membrane", "dna")}
    large = {n: viewer.add_image(np.zeros((6, 7, 8)), name=f"big {n}") for n in ("membrane", "dna")}
    cells = viewer.add_labels(BOX, name="cells")
    everything = list(viewer.layers)
    guess = guess_layers(everything, [large["dna"]], contents.of)
    assert (guess.membrane, guess.dna, guess.cells) == (large["membrane"], large["dna"], None)
    guess = guess_layers(everything, [small["dna"]], contents.of)
    assert (guess.membrane, guess.dna, guess.cells) == (small["membrane"], small["dna"], cells)
    assert guess.by_look == frozenset()
    assert guess_layers([], [], contents.of).membrane is None


@pytest.mark.parametrize(
    "names", [("channel 0", "channel 1"), ("C1-stack", "C2-stack"), ("gray", "gray [1]")]
)
def test_stains_without_names_are_told_by_what_they_show(field, contents, names):
    images = [field.channels["membrane"], field.channels["dna"]]
    for order in permutations(range(2)):
        layers = [Image(images[i], name=name) for i, name in zip(order, names, strict=True)]
        guess = guess_layers(layers, [], contents.of)
        assert guess.membrane is layers[order.index(0)]
        assert guess.dna is layers[order.index(1)]
        assert guess.by_look == {"membrane", "dna"}


def test_a_third_channel_and_a_known_one(field, contents):
    layers = [
        Image(field.channels[name], name=f"C{i}") for i, name in enumerate(("TOM20", "dna", "membrane"))
    ]
    guess = guess_layers(layers, [], contents.of)
    assert (guess.membrane, guess.dna) == (layers[2], layers[1])
    layers[1].name = "Hoechst"
    guess = guess_layers(layers, [], contents.of)
    assert (guess.membrane, guess.dna) == (layers[2], layers[1])
    assert guess.by_look == {"membrane"}


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_images_that_hold_labels_are_segmentations(field, contents, kind):
    cells = Image(field.cell_labels.astype(kind), name="tubulin_cells")
    nuclei = Image(field.nucleus_labels.astype(kind), name="nuclei")
    stains = [Image(field.channels[name], name=name) for name in ("membrane", "dna")]
    guess = guess_layers([*stains, nuclei, cells], [], contents.of)
    assert [getattr(guess, role) for role in ROLES] == [*stains, cells, nuclei]


def test_a_mask_is_a_segmentation_and_a_mask_of_a_stain_is_no_stain(field, contents):
    mask = Image(field.cell_labels > 0, name="membrane")
    assert guess_layers([mask], [], contents.of).cells is mask
    assert guess_layers([mask], [], contents.of).membrane is None


def test_segmentations_without_names_are_told_by_their_size(field, contents):
    for names in (("labels", "labels [1]"), ("tubulin_labels", "TOM20_seg")):
        for first in (field.cell_labels, field.nucleus_labels):
            second = field.nucleus_labels if first is field.cell_labels else field.cell_labels
            layers = [Labels(first, name=names[0]), Labels(second, name=names[1])]
            guess = guess_layers(layers, [], contents.of)
            assert guess.cells.data is field.cell_labels
            assert guess.nuclei.data is field.nucleus_labels


def test_a_structure_s_mask_is_not_the_cells(field, contents):
    mask = Labels((field.channels["TOM20"] > 300).astype(np.uint8), name="tomm20_mask")
    cells = Labels(field.cell_labels, name="cell_labels")
    assert guess_layers([cells, mask], [], contents.of).cells is cells
    assert guess_layers([Labels(field.cell_labels, name="TOM20_labels")], [], contents.of).cells is not None


def test_lazy_layers_are_looked_at_only_where_their_names_say_nothing(field, contents):
    read = []

    def plane(block, block_info=None):
        read.append(block_info[0]["chunk-location"])
        return block

    def lazy(name, data):
        array = da.from_array(data, chunks=(1, -1, -1)).map_blocks(plane, dtype=data.dtype)
        array = da.core.Array(array.dask, array.name, array.chunks, dtype=array.dtype)
        return Image(array, name=name, contrast_limits=(0, 1000))

    named = [lazy(name, field.channels[name]) for name in ("membrane", "dna")]
    read.clear()
    guess = guess_layers(named, [], contents.of)
    assert (guess.membrane, guess.dna) == tuple(named)
    assert read == []
    unnamed = [lazy(f"C{i}", field.channels[name]) for i, name in enumerate(("dna", "membrane"))]
    told = []
    contents.changed.connect(lambda: told.append(True))
    read.clear()
    guess_layers(unnamed, [], contents.of)
    assert told
    guess = guess_layers(unnamed, [], contents.of)
    assert (guess.membrane, guess.dna) == (unnamed[1], unnamed[0])
    assert len(read) == 10  # five planes of each


def test_other_data_are_looked_at_again(field, contents):
    layer = Image(field.channels["dna"], name="x")
    assert not holds_labels(layer, contents.of)
    layer.data = field.cell_labels
    assert holds_labels(layer, contents.of)


@pytest.mark.parametrize("dish", ["LAM", "Mit", "Nuc", "TfR"])
@pytest.mark.parametrize("kind", [Labels, Image])
def test_the_last_word_of_a_name_tells_cells_from_nuclei(field, contents, dish, kind):
    nuclei = kind(field.nucleus_labels, name=f"{dish}_07_nucleus")
    cells = kind(field.cell_labels, name=f"{dish}_07_cell")
    for order in permutations((nuclei, cells)):
        guess = guess_layers(order, [], contents.of)
        assert (guess.cells, guess.nuclei) == (cells, nuclei)
        assert guess.by_look == frozenset()


def test_segmentations_whose_names_say_the_same_are_told_by_their_size(field, contents):
    for names in (("Nuc_07_a", "Nuc_07_b"), ("cells 1", "cells 2")):
        for masks in permutations((field.nucleus_labels, field.cell_labels)):
            layers = [Labels(mask, name=name) for mask, name in zip(masks, names, strict=True)]
            guess = guess_layers(layers, [], contents.of)
            assert guess.cells.data is field.cell_labels
            assert guess.nuclei.data is field.nucleus_labels
    twice = [Labels(field.cell_labels, name=name) for name in ("cells", "cells copy")]
    guess = guess_layers(twice, [], contents.of)
    assert (guess.cells, guess.nuclei) == (twice[1], None)


def test_beside_both_segmentations_a_single_image_is_dna_only_if_it_fills_the_nuclei(field, contents):
    masks = [Labels(field.cell_labels, name="cells"), Labels(field.nucleus_labels, name="nuclei")]
    rng = np.random.default_rng(0)
    at = np.argwhere(field.nucleus_labels)[::400]
    nucleoli = rng.normal(100, 5, field.nucleus_labels.shape).astype(np.float32)
    for z, y, x in at:
        nucleoli[z, y - 1 : y + 2, x - 1 : x + 2] += 500
    nucleoli[field.nucleus_labels == 0] = 100
    for image in (field.channels["TOM20"], field.channels["membrane"], nucleoli, nucleoli * 0):
        guess = guess_layers([Image(image, name="Nuc_07_protein"), *masks], [], contents.of)
        assert (guess.membrane, guess.dna) == (None, None)
    dna = Image(field.channels["dna"], name="image")
    guess = guess_layers([dna, *masks], [], contents.of)
    assert (guess.membrane, guess.dna) == (None, dna)
    assert guess.by_look == {"dna"}
    moved = Image(np.roll(field.channels["dna"], 60, axis=2), name="image")
    assert guess_layers([moved, *masks], [], contents.of).dna is None
