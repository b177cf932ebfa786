"""The report detects models that were broken on purpose, on new simulated cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_ic_train.data.prepare import prepare
from napari_ic_train.data.store import CellStore
from napari_ic_train.evaluation.baselines import BASELINES
from napari_ic_train.evaluation.evaluated import Settings
from napari_ic_train.evaluation.findings import Interval
from napari_ic_train.evaluation.report import evaluate
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.bundle import load_model, save_bundle
from napari_integrated_cell.simulation import write_dataset

pytestmark = pytest.mark.timeout(1200)

CELLS = 66


def sound(model):
    """Leave the model as it is."""


def blind(model):
    """Make the decoder ignore z^r."""
    config = model.config
    first = _first_layer(model)
    first.weight[:, config.n_structures : config.n_structures + config.n_ref] = 0


def collapsed(model):
    """Make z^s constant: the encoder returns zeros, and the decoder ignores z^s."""
    model.enc_cond.z_struct.weight.zero_()
    model.enc_cond.z_struct.bias.zero_()
    if model.enc_cond.standardise is not None:
        model.enc_cond.standardise.mean.zero_()
    _first_layer(model).weight[:, -model.config.n_struct :] = 0


def shuffled(model):
    """Make the encoder return the labels of other structures."""
    for values in (model.enc_cond.y.weight, model.enc_cond.y.bias):
        values.copy_(values.roll(3, 0))


# The experiments that should detect each model.
BLIND = ("classification", "reconstruction", "integration", "baselines")
COLLAPSED = ("latent-spaces", "structure-variation")
MODELS = {sound: (*COLLAPSED, *BLIND), blind: BLIND, collapsed: COLLAPSED, shuffled: ("classification",)}


def _first_layer(model):
    first = next(layer for layer in model.dec_cond.modules() if isinstance(layer, nn.Linear))
    config = model.config
    assert first.in_features == config.n_structures + config.n_ref + config.n_struct
    return first


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return a folder with a store of new simulated cells, the broken demo models and the sound one."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("broken")
    demo = load_model("demo", device="cpu")
    manifest = write_dataset(folder / "simulated", CELLS, seed=77, voxel_size=0.4, workers=1)
    prepare(manifest, folder / "store", model_box(demo.config), test_fraction=0.5, split_by="cell", workers=1)
    for change in MODELS:
        model = load_model("demo", device="cpu")
        with torch.no_grad():
            change(model)
        save_bundle(model, folder / change.__name__, card=dict(demo.card), model_card_markdown=change.__doc__)
    return folder


@pytest.fixture(scope="module")
def merits(world):
    """Return the findings by name of the model and of the experiment."""
    found = {}
    for change, experiments in MODELS.items():
        settings = Settings(only=experiments, draws=6, device="cpu")
        (bundle,) = evaluate(
            [world / change.__name__], CellStore(world / "store"), world / "report", settings
        )
        found[change.__name__] = {section.experiment.name: section.findings for section in bundle.sections}
    assert (world / "report" / "index.html").stat().st_size < 40e6
    return found


def merit(findings, words):
    (value,) = [value for name, value in findings.headline.items() if words in name]
    return value if isinstance(value, Interval) else Interval(value, value, value)


@pytest.mark.slow
def test_shuffled_labels_are_seen_in_the_confusion_matrix(merits):
    good, bad = (merit(merits[m]["classification"], "label accuracy") for m in ("sound", "shuffled"))
    assert good.value > 0.9
    assert bad.high < 0.1
    assert merit(merits["blind"]["classification"], "label accuracy") == good, "the encoder was not touched"


@pytest.mark.slow
def test_a_decoder_that_ignores_the_shape_is_seen_in_reconstructions_and_predictions(merits):
    for experiment, words in (
        ("reconstruction", "structure model: Pearson of membrane"),
        ("integration", "mean Pearson"),
    ):
        good, bad = (merit(merits[m][experiment], words) for m in ("sound", "blind"))
        assert bad.high < good.low, experiment
    reference = "reference model: Pearson of membrane"
    assert merit(merits["blind"]["reconstruction"], reference) == merit(
        merits["sound"]["reconstruction"], reference
    )


@pytest.mark.slow
def test_a_decoder_that_ignores_the_shape_gains_nothing_by_it(merits):
    good, bad = (merit(merits[m]["baselines"], "own shape over another's") for m in ("sound", "blind"))
    assert good.low > 0
    assert max(abs(bad.low), abs(bad.high)) < 1e-4


@pytest.mark.slow
def test_the_sound_model_holds_against_the_simulator_s_truth(world):
    """Run the experiment with the ground truth in the shapes of held-out cells."""
    (found,) = evaluate([world / "sound"], CellStore(world / "store"), world / "truth",
                        Settings(only=["simulated-truth"], draws=6, device="cpu"))  # fmt: skip
    (section,) = found.sections
    assert section.missing == ""
    findings = section.findings
    predicted = merit(findings, "against expected localisation")
    assert predicted.value > 0.5
    (table,) = [t for t in findings.tables if "expected localisation" in t.title]
    scores = dict(zip(table.columns, table.rows[-1], strict=True))
    assert scores["model"] == pytest.approx(predicted.value)
    assert scores["model"] > max(scores[b] for b in BASELINES)
    (r_squared,) = [dict(t.rows) for t in findings.tables if t.columns == ("parameter", "R²")]
    assert r_squared["cell_volume"] > 0.2


@pytest.mark.slow
def test_a_collapsed_z_struct_is_seen_in_its_spread_and_in_what_is_drawn(merits):
    spread = "z struct: mean standard deviation"
    assert merit(merits["sound"]["latent-spaces"], spread).value > 0.2
    assert merit(merits["collapsed"]["latent-spaces"], spread).value < 1e-3
    columns = merits["sound"]["structure-variation"].tables[0].columns
    ranks = [i for i, name in enumerate(columns) if name.startswith("effective rank")]
    rows = {m: merits[m]["structure-variation"].tables[0].rows for m in ("sound", "collapsed")}
    assert np.allclose([[row[i] for i in ranks] for row in rows["collapsed"]], 1, atol=1e-6)
    assert min(row[i] for row in rows["sound"] for i in ranks) > 1.001
