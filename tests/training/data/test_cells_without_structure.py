"""Cells without a structure teach phase 1 only."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_cells import prepared, write_tiny
from toy_training import ToyCells

from napari_ic_train.data.recipe import RECIPE
from napari_ic_train.data.splits import SHAPE
from napari_ic_train.data.store import NO_STRUCTURE, CellStore
from napari_ic_train.data.subsets import cells_of
from napari_ic_train.data.training_cells import CellsAt, JoinedCells

NAMELESS = {1: {"structure_name": ""}, 4: {"structure_name": ""}}


def test_they_are_kept_on_demand_and_are_neither_training_nor_held_out_cells(tmp_path):
    manifest = write_tiny(tmp_path / "cells", 6, NAMELESS)
    store = prepared(manifest, tmp_path / "store", keep_shapes=True, split_by="cell", test_fraction=0.5)
    assert len(store) == 6
    shapes = CellStore(store.path, SHAPE)
    assert shapes.table["CellId"].tolist() == ["1001", "1004"]
    assert shapes.labels.tolist() == [NO_STRUCTURE] * 2
    images = shapes.images(np.arange(2))
    assert images[:, :-1].amax(dim=(2, 3, 4)).min() == 1
    assert images[:, -1].max() == 0
    sides = [cells_of(store, held_out=side) for side in (False, True)]
    assert sorted(np.concatenate(sides)) == [0, 2, 3, 5]
    assert min(store.labels[np.concatenate(sides)]) >= 0


def test_they_are_refused_otherwise_and_the_recipe_is_that_of_earlier_versions(tmp_path):
    manifest = write_tiny(tmp_path / "cells", 6, NAMELESS)
    store = prepared(manifest, tmp_path / "store")
    assert len(store) == 4
    assert store.report["reason"].str.contains("does not name the structure").all()
    assert "keep_shapes" not in json.loads((store.path / RECIPE).read_text())


def test_those_of_a_held_out_field_are_left_out(tmp_path):
    manifest = write_tiny(tmp_path / "cells", 8, {i: {"structure_name": ""} for i in (1, 3, 5, 7)})
    store = prepared(manifest, tmp_path / "store", keep_shapes=True, test_fraction=0.5)
    held_out = set(store.table["field"][store.table["split"] == "test"])
    assert held_out
    assert held_out.isdisjoint(CellStore(store.path, SHAPE).table["field"])
    assert store.left_out == {"without a structure, in a held-out field": len(held_out)}


def test_a_table_without_any_structure_is_refused(tmp_path):
    manifest = write_tiny(tmp_path / "cells", 3, {i: {"structure_name": ""} for i in range(3)})
    with pytest.raises(ValueError, match="not one row names a structure"):
        prepared(manifest, tmp_path / "store", keep_shapes=True)


def test_joined_cells_are_read_in_the_order_that_is_asked_for():
    cells = ToyCells(7)
    joined = JoinedCells(CellsAt(cells, np.array([3, 1])), CellsAt(cells, np.array([6, 0, 2])))
    assert len(joined) == 5
    wanted = np.array([4, 0, 2, 1, 3, 0])
    of_all = np.array([3, 1, 6, 0, 2])[wanted]
    assert (joined.images(wanted) == cells.images(of_all)).all()
    assert (joined.references(wanted[:2]) == cells.references(of_all[:2])).all()
    np.testing.assert_array_equal(joined.labels[wanted], cells.labels[of_all])
