"""A training store returns what was written to it, and an unfinished store is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_ic_train.data.splits import fraction_of
from napari_ic_train.data.store import CellStore, StoreWriter

BOX = (4, 6, 8)
STRUCTURES = ("fibrillarin", "TOM20")


def filled(path, n=6, written=None):
    writer = StoreWriter(
        path,
        n,
        channels=("membrane", "dna", "structure"),
        box=BOX,
        voxel_size=0.5,
        structures=STRUCTURES,
        simulated=True,
        source="test",
    )
    images = np.random.default_rng(0).random((n, 3, *BOX), np.float32)
    for i in range(written or n):
        split = "test" if i % 3 == 0 else "train"
        writer.write(i, images[i], {"CellId": str(i), "structure": STRUCTURES[i % 2], "split": split})
    return writer, images


def test_images_labels_and_attributes_come_back(tmp_path):
    writer, images = filled(tmp_path)
    store = writer.finish()
    assert len(store) == 6
    assert store.box == BOX
    assert (store.voxel_size, store.simulated, store.source) == (0.5, True, "test")
    assert store.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert store.images([4, 1]).dtype == torch.float32
    np.testing.assert_allclose(store.images([4, 1]), images[[4, 1]], atol=0.5 / 255 + 1e-6)
    assert store.references([0]).shape == (1, 2, *BOX)


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_split_keeps_images_and_rows_together(tmp_path, in_memory):
    writer, images = filled(tmp_path)
    writer.finish()
    train = CellStore(tmp_path, "train")
    train = train.in_memory() if in_memory else train
    assert train.table["CellId"].tolist() == ["1", "2", "4", "5"]
    assert train.labels.tolist() == [1, 0, 0, 1]
    np.testing.assert_allclose(train.images(np.array([2])), images[[4]], atol=0.5 / 255 + 1e-6)


def test_an_unfinished_store_says_what_to_run(tmp_path):
    filled(tmp_path)
    with pytest.raises(ValueError, match="napari-ic-train prepare"):
        CellStore(tmp_path)


def test_an_empty_split_is_said(tmp_path):
    filled(tmp_path)[0].finish()
    with pytest.raises(ValueError, match="validation"):
        CellStore(tmp_path, "validation")


def test_the_splits_fraction_depends_on_key_and_seed_alone_and_is_even():
    drawn = np.array([fraction_of(str(i), 3) for i in range(4000)])
    assert fraction_of("17", 3) == drawn[17]
    assert fraction_of("17", 4) != drawn[17]
    assert 0.03 < (drawn < 0.05).mean() < 0.07


def test_several_writers_fill_one_store_and_the_same_cell_twice_is_no_harm(tmp_path):
    first, images = filled(tmp_path)
    first.flush()
    second = StoreWriter.opened(tmp_path)
    second.write(0, images[0], {"CellId": "0", "structure": STRUCTURES[0], "split": "test"})
    second.refuse(3, "3", "c.tif", "a late opinion\non a cell that there is")
    second.refuse(5, "5", "c.tif", "taken for dead")
    second.flush()
    store = StoreWriter.opened(tmp_path).finish()
    assert store.table.index.tolist() == list(range(6)), "in the order of the images, each once"
    assert store.table["CellId"].tolist() == [str(i) for i in range(6)]
    assert "reason" not in store.table
    assert store.report.empty
    assert not (tmp_path / "parts").exists()


def test_columns_that_only_some_cells_have_are_empty_for_the_others(tmp_path):
    first, images = filled(tmp_path, 2, written=1)
    first.flush()
    more = StoreWriter.opened(tmp_path)
    row = {"CellId": "1", "structure": "TOM20", "split": "train", "stage": None, "angle": 1}
    more.write(1, images[1], row)
    more.flush()
    table = more.finish().table
    assert table["angle"].isna().tolist() == [True, False]
    assert table["stage"].isna().all()


def test_a_store_of_an_earlier_version_opens(tmp_path):
    writer, images = filled(tmp_path)
    store = writer.finish()
    old = store.table.drop(index=[2]).rename_axis(None)
    old.to_parquet(tmp_path / "cells.parquet")
    store = CellStore(tmp_path)
    assert len(store.report) == 0
    assert store.left_out == {}
    np.testing.assert_allclose(store.images([2]), images[[3]], atol=0.5 / 255 + 1e-6)


def test_a_writer_without_a_store_says_that_the_disk_must_be_shared(tmp_path):
    with pytest.raises(ValueError, match="shared disk"):
        StoreWriter.opened(tmp_path / "nowhere")


def test_a_worker_needs_no_torch():
    code = "import sys, napari_ic_train.data.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
