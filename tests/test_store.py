"""What is written to a training store comes back, and an unfinished one is not mistaken for a store."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ic_train.data.prepare import fraction_of
from napari_ic_train.data.store import CellStore, StoreWriter

BOX = (4, 6, 8)
STRUCTURES = ("fibrillarin", "TOM20")


def filled(path, n=6):
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
    for i in range(n):
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
