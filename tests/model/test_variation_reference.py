"""Reference scores: stored in a bundle, checked, measured on held-out cells, compared only if comparable."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner
from variation_scores import made_up

from napari_ic_train.bundle import variation
from napari_ic_train.bundle.variation import chosen_cells, manifest_of, posed_masks, reference_variation
from napari_ic_train.cli import app
from napari_ic_train.data.prepare import prepare
from napari_ic_train.evaluation.variation_order import score_order, simulated_variation
from napari_integrated_cell.imaging.pose import pose_of, posed_mask
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.bundle import load_model, replace_files, save_bundle, update_card
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.variation_reference import VARIATION, group_of
from napari_integrated_cell.simulation import simulate_cell, write_dataset
from napari_integrated_cell.variation.structure_variation import RIDGE, structure_variation
from napari_integrated_cell.vocabulary import STAGE_NAMES


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return IntegratedCell.untrained(preset("tiny"), seed=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory, model):
    """Posed simulated cells, most of them held out, below the data set they came from."""
    folder = tmp_path_factory.mktemp("data")
    weights = {"interphase": 0.5, "metaphase": 0.5}
    write_dataset(folder / "cells", 14, seed=4, voxel_size=1.268, stage_weights=weights)
    box = model_box(model.config)
    return prepare(folder / "cells", folder / "store", box, test_fraction=0.8, seed=0, workers=1)


@pytest.fixture
def bundle(tmp_path, model):
    path = tmp_path / "tiny.zip"
    save_bundle(model, path, card={"simulated": True}, model_card_markdown="# tiny\n")
    return path


def test_a_bundle_keeps_the_scores_and_gives_them_back(bundle, model):
    assert load_model(bundle).variation is None
    kept = made_up(model.config.structures)
    replace_files(bundle, {VARIATION: kept.to_json()})
    update_card(bundle, card={"simulated": True, "licence": "other"}, model_card_markdown="# other\n")
    loaded = load_model(bundle)
    found = loaded.variation
    assert loaded.card["licence"] == "other"
    assert (found.n, found.seed, found.ridge, found.compared_in) == (20, 0, RIDGE, "cell")
    assert dict(found.cells) == dict(kept.cells)
    assert found.scores.keys() == kept.scores.keys()
    for name, groups in kept.scores.items():
        for group, scores in groups.items():
            np.testing.assert_allclose(found.scores[name][group], scores, atol=5e-7)
    again = bundle.with_name("again.zip")
    save_bundle(loaded, again, card={"simulated": True}, model_card_markdown="# tiny\n")
    assert load_model(again).variation.to_json() == found.to_json()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": 1}, "not valid"),
        ({"ridge": -1}, "not valid"),
        ({"compared_in": "nucleus"}, "not valid"),
        ({"scores": {"mitochondriom": {}}}, "mitochondriom"),
        ({"scores": {"TOM20": {"interphase": [1.0]}}}, "each of its 4 cells"),
        ({"scores": {"TOM20": {"interphase": [1.0, 2.0, 3.0, None]}}}, "not valid"),
    ],
)
def test_broken_scores_are_refused_in_a_sentence(bundle, model, change, says):
    content = json.loads(made_up(model.config.structures).to_json()) | change
    replace_files(bundle, {VARIATION: json.dumps(content).encode()})
    with pytest.raises(ValueError, match=says) as refused:
        load_model(bundle)
    assert VARIATION in str(refused.value)


def test_scores_of_other_draws_ridges_or_places_do_not_compare(model):
    reference = made_up(model.config.structures)
    assert reference.why_not_comparable(20, RIDGE) == ""
    assert "20 draws" in reference.why_not_comparable(30, RIDGE)
    assert "ridge" in reference.why_not_comparable(20, 0.0)
    assert "box" in reference.why_not_comparable(20, RIDGE, "box")


def test_every_stage_but_interphase_is_mitosis():
    assert [group_of(name) for name in STAGE_NAMES] == ["interphase"] + ["mitosis"] * 7


def test_scores_are_algorithm_4_of_held_out_cells_inside_their_segmentations(store, model):
    told = []
    found = reference_variation(
        model, store, cells=2, draws=6, seed=1, progress=lambda *step: told.append(step[:2])
    )
    ids = store.table["CellId"].astype(str).to_list()
    for group, chosen in found.cells.items():
        assert 1 <= len(chosen) <= 2
        for cell_id in chosen:
            row = store.table.iloc[ids.index(cell_id)]
            assert group_of(row["stage"]) == group
            assert row["split"] == "test"
    assert told[-1] == (told[-1][1],) * 2 == (sum(map(len, found.cells.values())) * 11 * 6,) * 2
    cell_id = found.cells["mitosis"][0]
    mask = posed_masks(manifest_of(store), [cell_id], model)[cell_id]
    assert 0.02 < (mask > 0.5).mean() < 0.9
    z_ref = model.encode(store.references(np.array([ids.index(cell_id)])))
    for name in ("TOM20", "lamin-B1"):
        alone = structure_variation(model, z_ref, name, 6, 1, mask=mask)
        assert found.scores[name]["mitosis"][0] == pytest.approx(alone.score, abs=1e-9)


def test_where_too_few_are_held_out_training_cells_are_taken(store, monkeypatch):
    held_out = chosen_cells(store, 100)
    monkeypatch.setitem(store.table, "split", "train")
    everyone = chosen_cells(store, 100)
    assert sum(map(len, held_out.values())) < sum(map(len, everyone.values())) == len(store)


def test_another_table_is_not_taken_for_the_stores(store, tmp_path):
    assert manifest_of(store).path.name == "metadata.csv"
    other = tmp_path / "other"
    write_dataset(other, 1, seed=5, voxel_size=1.268)
    with pytest.raises(ValueError, match="another table"):
        manifest_of(store, other)


def test_the_command_puts_the_scores_into_the_bundle(store, bundle):
    done = CliRunner().invoke(
        app,
        ["variation", str(bundle), "--data", str(store.path), "--cells", "2", "--draws", "4", "--json"],
    )
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    found = load_model(bundle).variation
    assert summary["reference"]["n"] == found.n == 4
    assert summary["reference"]["median"]["TOM20"]["interphase"] == pytest.approx(
        float(np.median(found.scores["TOM20"]["interphase"])), abs=1e-6
    )


def test_a_table_that_is_not_found_is_asked_for_by_its_option(store, bundle, monkeypatch):
    def no_table(path):
        raise ValueError("no table")

    monkeypatch.setattr(variation, "open_table", no_table)
    done = CliRunner().invoke(app, ["variation", str(bundle), "--data", str(store.path)])
    assert done.exit_code == 1
    assert "segmentations (--manifest)." in " ".join(done.output.split())


def test_the_command_without_a_store_says_what_is_missing(bundle):
    done = CliRunner().invoke(app, ["variation", str(bundle)])
    assert done.exit_code != 0
    assert "--data" in done.output


# ------------------------------------------------------------------------------------ against the simulator


def test_the_simulators_own_draws_are_compared_in_the_models_box():
    box = model_box(preset("tiny"))
    stage, references, mask, found = simulated_variation(
        1, structures=("lamin-B1", "desmoplakin"), box=box, seed=7, draws=8
    )
    assert stage == STAGE_NAMES[1]
    assert references.shape == (2, *box.shape)
    assert mask.shape == box.shape
    assert found["lamin-B1"].score > found["desmoplakin"].score > 0
    cell_seed = int(np.random.SeedSequence([7, 1]).generate_state(1)[0])
    cell = simulate_cell(cell_seed, stage=STAGE_NAMES[1], voxel_size=box.voxel_size).cell
    np.testing.assert_array_equal(mask, posed_mask(cell, pose_of(cell, box)))


@pytest.mark.slow
def test_a_model_that_draws_as_the_simulator_does_recovers_its_order(monkeypatch):
    """Check of the measure: draws of the simulator with another seed score nearly 1."""
    config = preset("tiny").model_copy(
        update={"structures": ("lamin-B1", "beta-actin", "TOM20", "desmoplakin")}
    )
    model = IntegratedCell.untrained(config)
    box = model_box(config)
    shapes = iter(range(4))

    def simulators(_, __, n, seed, mask, **of_model):
        *_, found = simulated_variation(
            next(shapes), structures=config.structures, box=box, seed=seed, draws=n + 2
        )
        return {
            name: SimpleNamespace(score=v.score, effective_rank=v.effective_rank, draw_from="prior")
            for name, v in found.items()
        }

    monkeypatch.setattr("napari_ic_train.evaluation.variation_order.structure_variations", simulators)
    order = score_order(model, n_cells=4, draws=10, workers=1)
    assert order["spearman"] > 0.9
    assert order["interphase"]["cells"] == order["mitosis"]["cells"] == 2
    assert order["interphase"]["scores"] != order["interphase"]["simulator_scores"]


@pytest.mark.slow
def test_the_demo_model_knows_which_structures_vary_more():
    """Section 3.4.5: on simulated cells, where it is known which structures vary more, the order is recovered.

    Algorithm 4 recovers it from the simulator's own draws too (above, and in test_variation.py). By which rules the
    bundled model came to it, and what it still has in the wrong place, is in docs/demo-model.md.
    """
    order = score_order(load_model("demo"), n_cells=8, draws=50, workers=2)
    assert order["spearman"] >= 0.7, order["interphase"]
