"""A cell of an embedded table is opened from the table, without a window."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_cells import BOX, volumes, write_tiny

from napari_integrated_cell.latent.table_embedding import embed_table
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.plugin.map.opened_cell import read_cell


def test_a_cell_of_a_table_is_opened_and_a_changed_table_is_noticed(tmp_path):
    table = write_tiny(tmp_path, 3, {0: {"crop_seg": "gone.tif"}})
    config = preset("tiny").model_copy(update={"voxel_size": BOX.voxel_size})
    population = embed_table(table, IntegratedCell.untrained(config))
    assert population.source == str(table)
    opened = read_cell(population, 1)
    assert opened.name == "1002"
    shown = population.table["structure"].iloc[1]
    assert set(opened.images) == {"membrane", "dna", shown}
    np.testing.assert_array_equal(opened.images["dna"], volumes(2)["dna"])
    np.testing.assert_array_equal(opened.labels["cells"], volumes(2)["cell_mask"])
    rows = table.read_text().splitlines()
    table.write_text("\n".join([rows[0], *rows[:0:-1]]))
    with pytest.raises(ValueError, match="embed it again"):
        read_cell(population, 1)
    table.write_text("\n".join(rows[:2]))
    with pytest.raises(ValueError, match="embed it again"):
        read_cell(population, 1)
