"""The colours and classes of the cell map. No window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_integrated_cell.plugin.map.colouring import (
    UNKNOWN,
    colourable,
    coloured,
    gradient,
    stage_colour,
    title_of,
)
from napari_integrated_cell.vocabulary import STAGE_NAMES, structure

TABLE = pd.DataFrame(
    {
        "cell_id": ["a", "b", "c", "d", "e", "f", "g", "h"],
        "structure": ["TOM20", "TOM20", None, "gene X", "gene Y", "TOM20", "TOM20", "gene X"],
        "stage": [
            "interphase",
            "metaphase",
            "metaphase",
            "interphase",
            None,
            "interphase",
            "prophase-1",
            "M4M5",
        ],
        "cell_volume": [1.0, 2.0, np.nan, 3.0, 4.0, 5.0, 6.0, 7.0],
        "constant": [1] * 8,
        "edge": [True, False] * 4,
        "row": range(8),
    }
)


def test_columns_that_tell_cells_apart_are_offered_stage_and_structure_first() -> None:
    assert colourable(TABLE) == ["stage", "structure", "cell_volume", "edge"]
    assert title_of("cell_volume") == "Cell volume (µm³)"
    assert title_of("this_index") == "This index"


def test_stages_and_structures_have_the_vocabularys_order_and_colours() -> None:
    by_stage = coloured(TABLE, "stage")
    assert [c.label for c in by_stage.classes] == ["Interphase", "Prophase 1", "Metaphase", "M4M5", "unknown"]
    assert [c.n for c in by_stage.classes] == [3, 1, 2, 1, 1]
    assert tuple(by_stage.colours[1]) == stage_colour("metaphase")
    assert tuple(by_stage.colours[4]) == UNKNOWN
    assert len({stage_colour(name) for name in STAGE_NAMES}) == len(STAGE_NAMES)
    by_structure = coloured(TABLE, "structure")
    colour = structure("TOM20").colour
    assert "#{:02x}{:02x}{:02x}".format(*by_structure.colours[0]) == colour
    assert len({c.colour for c in by_structure.classes}) == 4, "genes of no known colour get one each"
    for entry in by_stage.classes:
        said = TABLE["stage"].isna() if entry.value is None else TABLE["stage"] == entry.value
        assert {tuple(c) for c in by_stage.colours[said]} == {entry.colour}


def test_numbers_go_along_the_colormap_and_missing_ones_are_grey() -> None:
    colouring = coloured(TABLE, "cell_volume")
    assert colouring.span is not None
    low, high = colouring.span
    assert 1 <= low < high <= 7
    np.testing.assert_array_equal(colouring.colours[[0, 7]], gradient(2))
    assert tuple(colouring.colours[2]) == UNKNOWN


def test_a_column_that_is_not_there_colours_all_cells_alike() -> None:
    assert len(np.unique(coloured(TABLE, "nothing").colours, axis=0)) == 1
    assert len(coloured(TABLE, None).colours) == len(TABLE)
    flat = coloured(pd.DataFrame({"height": [2.0, 2.0]}), "height")
    assert flat.colours.shape == (2, 3)
    nothing = coloured(pd.DataFrame({"height": [np.nan, np.nan]}), "height")
    assert {tuple(c) for c in nothing.colours} == {UNKNOWN}


@pytest.mark.parametrize("n", [1, 40])
def test_many_classes_share_colours_rather_than_fail(n) -> None:
    table = pd.DataFrame({"plate": [str(i) for i in range(n)] * 8})
    assert len(coloured(table, "plate").classes) == n
