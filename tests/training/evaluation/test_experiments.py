"""Features, baselines, the independent classifier and other parts of the experiments, on cases with a known answer."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from toy_training import MODEL, ToyCells

from napari_ic_train.data.store import StoreWriter
from napari_ic_train.evaluation.baselines import BASELINES, fit_baselines
from napari_ic_train.evaluation.experiment import Context
from napari_ic_train.evaluation.experiments.baseline_comparison import margins
from napari_ic_train.evaluation.experiments.correlations import _mean_distance, _pairs
from napari_ic_train.evaluation.experiments.fidelity import same_label
from napari_ic_train.evaluation.experiments.inception import sampling_weights
from napari_ic_train.evaluation.experiments.latent_spaces import _repeated
from napari_ic_train.evaluation.experiments.leakage import _nearest
from napari_ic_train.evaluation.features import FEATURES, coarse, features_of, masks_of, regions_of
from napari_ic_train.evaluation.independent_classifier import excluded_from_fit, independent_classifier
from napari_ic_train.evaluation.model_outputs import Codes
from napari_ic_train.evaluation.predictors import MODEL as OF_MODEL
from napari_ic_train.evaluation.predictors import OTHER_SHAPE, other_cells
from napari_integrated_cell.model.integrated_cell import IntegratedCell

N = 32
Z = np.indices((N,) * 3)[0]
R = np.sqrt(((np.indices((N,) * 3) - (N - 1) / 2) ** 2).sum(0))


def references(radius=12.0, nucleus=5.0):
    """A ball's membrane, two voxels thick, and its nucleus."""
    return np.stack([np.abs(R - radius) < 1, nucleus > R]).astype(np.float32)


def measured(structure):
    return dict(
        zip(FEATURES, features_of(structure.astype(np.float32), regions_of(references())), strict=True)
    )


def total(found, words):
    return sum(value for name, value in found.items() if name.startswith(words))


def test_the_mask_of_a_cell_is_the_volume_inside_its_membrane():
    cell, nucleus = masks_of(references())
    assert (cell == (R < 13)).all()
    assert (nucleus == (R < 5)).all()
    opened = references()
    opened[0, :8] = 0  # the top of a flat cell's membrane may be missing
    assert masks_of(opened)[0][8:].sum() == (R < 13)[8:].sum()


def test_features_of_structures_whose_place_is_known():
    inside = measured(R < 5)
    assert inside["share in the inner nucleus"] + inside["share in the outer nucleus"] == pytest.approx(1)
    assert min(inside["share in the inner nucleus"], inside["share in the outer nucleus"]) > 0
    assert inside["volume above threshold"] == pytest.approx((R < 5).sum() / (R < 13).sum())
    assert inside["object count"] == inside["share of the largest object"] == 1
    at_membrane = measured(np.abs(R - 12) < 1)
    assert at_membrane["share in cytoplasm, shell 4 of 4"] > 0.75
    assert total(at_membrane, "share in the") == 0
    everywhere = measured(R < 13)
    assert everywhere["mean intensity"] == pytest.approx(1)
    assert everywhere["variation of intensity"] == pytest.approx(0)
    assert total(everywhere, "share at height") == pytest.approx(1)
    upper = measured((R < 13) & (Z >= N // 2))
    assert upper["share at height 3 of 4"] + upper["share at height 4 of 4"] == pytest.approx(1)


def test_objects_are_counted_without_single_voxels_and_without_objects_outside_the_cell():
    image = np.zeros((N,) * 3)
    image[15, 15, 8:10] = image[15, 15, 22:25] = image[15, 8, 15] = 1
    image[0, 0, :5] = 1
    found = measured(image)
    assert found["object count"] == 2
    assert found["share of the largest object"] == pytest.approx(3 / 6)
    assert measured(image / 2) == pytest.approx(found), "brightness is relative"
    assert set(measured(np.zeros((N,) * 3)).values()) == {0}


def test_coarse_volumes_are_means_of_blocks():
    x = np.arange(4 * 6 * 40, dtype=np.float32).reshape(4, 6, 40)
    found = coarse(x, longest=20).reshape(2, 3, 20)
    assert found[0, 0, 0] == pytest.approx(x[:2, :2, :2].mean())
    assert found[1, 2, 19] == pytest.approx(x[2:, 4:, 38:].mean())
    assert coarse(np.ones((2, 5, 5, 5)), longest=2) == pytest.approx(np.ones(2 * 8)), "blocks may be cut off"


def balls(cells):
    """Return a context that has training cells only, each given as (radius, label, image of the structure)."""
    images = np.stack([np.concatenate([references(radius), x[None]]) for radius, _, x in cells])
    images = images.astype(np.float32)
    labels = np.array([label for _, label, _ in cells])
    return SimpleNamespace(
        model=SimpleNamespace(config=SimpleNamespace(box=(N,) * 3, voxel_size=1.0)),
        structures=("inner", "outer"),
        cells={"train": np.arange(len(cells))},
        labels=lambda split: labels,
        images=lambda positions: images[positions],
        batches=lambda split, what: iter([(slice(0, len(cells)), images)]),
    )


def test_baselines_by_hand():
    nucleus, around = R < 5, (R >= 5) & (R < 11)
    context = balls([(12, 0, nucleus * 1.0), (8, 0, nucleus * 0.5), (12, 1, around * 1.0)])
    baselines = fit_baselines(context)
    assert baselines.compartment == {"inner": "nucleus", "outer": "cytoplasm"}
    for radius, nearest in ((11.5, 1.0), (8.5, 0.5)):
        found = baselines.predict(references(radius), "inner")
        assert tuple(found) == BASELINES
        assert found["mean image"] == pytest.approx(nucleus * 0.75)
        assert found["nearest cell"] == pytest.approx(nucleus * nearest)
        assert (found["uniform fill"] == nucleus).all()
        assert found["depth"][nucleus].min() > 0 == found["depth"][around].max()
    outer = baselines.predict(references(8), "outer")
    assert outer["nearest cell"] == pytest.approx(around * 1.0), "the only one with that structure"
    assert (outer["uniform fill"] == ((R < 9) & ~nucleus)).all()


def test_margins_count_the_structures_on_which_all_baselines_are_beaten():
    labels = np.repeat([0, 1], 10)
    scores = {who: np.full(20, 0.5) for who in BASELINES}
    scores |= {OF_MODEL: np.full(20, 0.9), OTHER_SHAPE: np.full(20, 0.6)}
    scores[BASELINES[1]] = np.where(labels == 1, 0.95, 0.5)
    context = SimpleNamespace(structures=("inner", "outer"), seed=0)
    context.interval = partial(Context.interval, context)
    found = margins(scores, labels, context)
    assert found["structures on which every baseline is beaten"].value == 1
    assert found["least margin over the best baseline (outer)"].value == pytest.approx(-0.05)
    assert found["gain of the cell's own shape over another's"].low == pytest.approx(0.3)


def test_each_cell_gets_the_shape_of_another_cell_and_each_shape_is_used_once():
    other = other_cells(7, seed=1)
    assert sorted(other) == list(range(7))
    assert (other != np.arange(7)).all()
    assert other_cells(1, seed=1).tolist() == [0]


def test_partners_have_the_same_label_and_are_used_once():
    found = same_label(np.array([0, 0, 1, 2]), np.array([1, 0, 0, 0]), seed=0)
    assert found[2:].tolist() == [0, -1]
    assert set(found[:2]) <= {1, 2, 3}
    assert found[0] != found[1]


def test_a_copy_of_a_training_cell_has_distance_0():
    train = np.random.default_rng(0).random((20, 50)).astype(np.float32)
    which, far = _nearest(train[[3, 11]], train)
    assert which.tolist() == [3, 11]
    assert (far == 0).all()
    others, apart = _nearest(train, train, exclude_self=True)
    assert (others != np.arange(20)).all()
    assert (apart > 0).all()
    assert apart[0] == pytest.approx(np.sqrt(((train[0] - train[others[0]]) ** 2).mean()))


def test_a_cell_that_is_drawn_twice_is_not_paired_with_itself():
    rho = np.array([[1, 0.1, 0.2], [0.1, 1, 0.3], [0.2, 0.3, 1]])
    assert _pairs(rho, np.arange(3)).tolist() == [0.1, 0.2, 0.3]
    assert _pairs(rho, np.array([0, 0, 2])).tolist() == [0.2, 0.2]


def test_distance_between_equal_and_shifted_correlations():
    random = np.random.default_rng(1).uniform(0.2, 0.6, (8, 8))
    rho = (random + random.T) / 2
    assert _mean_distance({"a": rho}, {"a": rho, "b": rho}, 0).value == 0
    assert _mean_distance({"a": rho, "b": rho}, {"a": rho, "b": rho + 0.2}, 0).value == pytest.approx(0.1)


def test_sampling_weights_restore_the_frequencies_of_the_store():
    table = pd.DataFrame({"structure": ["a"] * 8 + ["b"] * 4, "split": ["train"] * 7 + ["test"] * 5})
    context = SimpleNamespace(store=SimpleNamespace(table=table), structures=("a", "b"), pooled=False)
    assert sampling_weights(context, "test", np.array([0, 1, 1])).tolist() == [1, 2, 2]


@pytest.mark.slow
def test_the_independent_classifier_learns_simple_structures_and_does_not_see_excluded_cells(tmp_path):
    cells = ToyCells(240, seed=4)
    writer = StoreWriter(tmp_path / "store", 240, channels=("membrane", "dna", "structure"), box=MODEL.box,
                         voxel_size=1.0, structures=MODEL.structures, simulated=True, source="toys")  # fmt: skip
    for i, image in enumerate(cells.x.numpy()):
        facts = {"CellId": f"c{i}", "structure": MODEL.structures[cells.labels[i]]}
        writer.write(i, image, facts | {"split": "train" if i < 180 else "test"})
    context = Context(
        IntegratedCell.untrained(MODEL), writer.finish(),
        {"train": np.arange(180), "test": np.arange(180, 240)}, tmp_path / "cache",
    )  # fmt: skip
    excluded = excluded_from_fit(context)
    assert np.bincount(context.labels("train")[excluded]).tolist() == [20, 20, 20]
    classifier = independent_classifier(context)
    p = classifier.classify(context.images(context.cells["test"]))
    assert p.sum(1) == pytest.approx(1, abs=1e-5)
    assert (p.argmax(1) == context.labels("test")).mean() > 0.8
    again = independent_classifier(context).classify(context.images(context.cells["test"]))
    assert again == pytest.approx(p, abs=1e-6), "read from the cache, not fitted again"


def test_a_z_s_that_repeats_z_r_has_a_higher_r_squared():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 60, 5])
    z_ref, z_struct = rng.normal(size=(125, 4)), rng.normal(size=(125, 3))
    z_struct[labels == 1] += 3 * z_ref[labels == 1, :1]
    found = [
        Codes(part, part, own) for part, own in ((z_ref[:70], z_struct[:70]), (z_ref[70:], z_struct[70:]))
    ]
    structures = ("free", "repeating", "rare")
    config = SimpleNamespace(structures=structures)
    table = pd.DataFrame({"structure": [structures[label] for label in labels]})
    context = SimpleNamespace(
        store=SimpleNamespace(table=table), model=SimpleNamespace(config=config), seed=0
    )
    # A structure with five cells is left out.
    cells = [np.arange(70), np.arange(70, 125)]
    free, repeating = _repeated(context, found, cells).rows
    assert [free[:2], repeating[:2]] == [["free", 60], ["repeating", 60]]
    assert free[-1] < 0.2
    assert repeating[-1] > 0.9
    # Constant codes, like those of a collapsed encoder, are left out too.
    silent = [Codes(part.z_ref, part.y, 0 * part.z_struct) for part in found]
    assert _repeated(context, silent, cells).rows == []
