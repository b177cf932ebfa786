"""Which cells of a store a model is evaluated on, and where they are decoded."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from toy_training import MODEL, ToyCells, toy_config
from typer.testing import CliRunner

from napari_ic_train.cli import app
from napari_ic_train.config import write_config
from napari_ic_train.data.store import CellStore, StoreWriter
from napari_ic_train.evaluation.caps import Caps
from napari_ic_train.evaluation.evaluated import Settings, settings_of
from napari_ic_train.evaluation.experiment import Context
from napari_ic_train.evaluation.experiments.inception import sampling_weights
from napari_ic_train.evaluation.model_outputs import codes, decoded
from napari_ic_train.evaluation.report import evaluate, trained_to_decode_at
from napari_ic_train.evaluation.selection import check_fits, selected_cells, set_aside
from napari_integrated_cell.model.bundle import save_bundle
from napari_integrated_cell.model.integrated_cell import IntegratedCell

FOREIGN = "LAMP1"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """18 cells of the model's structures, and 6 of a structure that it does not have, which comes first."""
    path = tmp_path_factory.mktemp("selection") / "store"
    names = (FOREIGN, *MODEL.structures)
    writer = StoreWriter(path, 24, channels=("membrane", "dna", "structure"), box=MODEL.box, voxel_size=1.0,
                         structures=names, simulated=False, source="toys")  # fmt: skip
    for i, image in enumerate(ToyCells(24).x.numpy()):
        facts = {"CellId": f"c{i}", "structure": names[i % 4], "split": "train" if i < 14 else "test"}
        writer.write(i, image, facts)
    return writer.finish()


@pytest.fixture(scope="module")
def model():
    return IntegratedCell.untrained(MODEL)


def context(store, model, tmp_path, **fields):
    return Context(model, store, selected_cells(model, store), tmp_path, **fields)


def test_cells_with_foreign_structures_are_set_aside_with_a_sentence(store, model):
    check_fits(model, store)
    assert set_aside(model, store) == (
        "6 cells with structures that the model 'toy' does not have are set aside: LAMP1 6."
    )
    chosen = selected_cells(model, store)
    assert {split: len(cells) for split, cells in chosen.items()} == {"train": 10, "test": 8}
    assert FOREIGN not in set(store.table["structure"].iloc[np.concatenate([*chosen.values()])])
    own = SimpleNamespace(config=SimpleNamespace(structures=store.structures))
    assert set_aside(own, store) == ""


@pytest.mark.parametrize(
    ("side", "counts"), [("both", (10, 8)), ("train", (10, 0)), ("test", (0, 8)), ("all", (0, 18))]
)
def test_each_side_has_its_cells(store, model, side, counts):
    chosen = selected_cells(model, store, side=side)
    assert tuple(map(len, chosen.values())) == counts
    few = selected_cells(model, store, side=side, most=6)
    assert tuple(map(len, few.values())) == tuple(min(n, 6) for n in counts)
    for cells in few.values():
        assert set(np.bincount(store.labels[cells], minlength=4)[1:]) <= ({2} if len(cells) else {0})


def test_a_store_without_a_structure_of_the_model_is_refused(store, model):
    other = MODEL.model_copy(update={"structures": ("rods", "cones", "webs")})
    with pytest.raises(ValueError, match=r"No cell of .* has a structure of the model 'toy': choose another"):
        check_fits(IntegratedCell.untrained(other), store)
    with pytest.raises(ValueError, match="side is 'left': choose one of both, train, test, all"):
        settings_of(side="left")
    with pytest.raises(ValueError, match="decoded_at is 'there': choose one of predicted, target"):
        settings_of(decoded_at="there")
    with pytest.raises(ValueError, match="variation is 0: give 1 or more"):
        Caps(variation=0)


def test_weights_of_pooled_cells_are_about_the_whole_store(store, model):
    given = SimpleNamespace(store=store, structures=MODEL.structures, pooled=True)
    assert sampling_weights(given, "test", np.array([0, 1, 1])).tolist() == [6, 3, 3]


def test_encoded_cells_are_decoded_as_the_model_was_trained(store, model, tmp_path):
    assert trained_to_decode_at(model) == "predicted"
    carded = IntegratedCell.untrained(MODEL)
    carded.card = {"decoded_at": "target"}
    assert trained_to_decode_at(carded) == "target"
    (tmp_path / "run").mkdir()
    write_config(toy_config(decoded_at="target"), tmp_path / "run" / "config.yaml")
    assert trained_to_decode_at(model, tmp_path / "run") == "target"
    at_target = context(store, model, tmp_path, decoded_at="target")
    at_predicted = context(store, model, tmp_path)
    found, labels = codes(at_target, "test"), at_target.labels("test")
    for (which, observed, images), (_, _, other) in zip(
        decoded(at_target, "test"), decoded(at_predicted, "test"), strict=True
    ):
        assert np.array_equal(other, model.reconstruct(observed))
        for i, image in zip(which, images, strict=True):
            alone = model.decode(
                found.z_ref[i : i + 1], MODEL.structures[labels[i]], found.z_struct[i : i + 1]
            )
            assert image == pytest.approx(alone[0], abs=1e-5)
        assert np.abs(images - other).max() > 1e-4


def test_the_report_says_what_is_set_aside_and_its_caps(store, model, tmp_path):
    bundle = save_bundle(model, tmp_path / "toy", card={}, model_card_markdown="# toy\n") or tmp_path / "toy"
    call = [
        "evaluate", str(bundle), "--data", str(store.path), "--out", str(tmp_path / "report"), "--only",
        "structure-variation", "--draws", "2", "--device", "cpu", "--variation-cells", "2", "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(app, [*call, "--side", "all"])
    assert done.exit_code == 0, done.output
    assert "6 cells with structures" in json.loads(done.stdout)["set_aside"]["toy"]
    page = (tmp_path / "report" / "index.html").read_text("utf-8")
    assert "are set aside: LAMP1 6." in page
    assert "all of them count as held out" in page
    said = json.loads((tmp_path / "report" / "toy" / "structure-variation" / "findings.json").read_text())
    assert (said["side"], said["variation"], said["cells"]) == ("all", 2, {"train": 0, "test": 18})
    assert {row[1] for row in said["tables"][1]["rows"]} == {"test"}
    assert len(said["tables"][1]["rows"]) == 2
    failed = CliRunner().invoke(app, [*call, "--side", "left"])
    assert "choose one of both, train, test, all" in failed.stderr


def test_more_variation_cells_run_the_experiment_again_and_nothing_else(store, model, tmp_path):
    path = tmp_path / "toy"
    save_bundle(model, path, card={}, model_card_markdown="# toy\n")
    only = ["counts", "structure-variation"]

    def seconds(**caps):
        evaluate(
            [path], CellStore(store.path), tmp_path / "report", Settings(only, draws=2, caps=Caps(**caps))
        )
        return [(tmp_path / "report" / "toy" / n / "findings.json").stat().st_mtime_ns for n in only]

    first, again = seconds(variation=1), seconds(variation=2)
    assert (first[0] == again[0], first[1] == again[1]) == (True, False)
    assert seconds(variation=2) == again
