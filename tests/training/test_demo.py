"""Make a scored bundle from simulated cells with a tiny model, also after a stop in the middle."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ic_train import demo
from napari_ic_train.config import preset, validated
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.catalogue import read_model_card

CELLS = 33


@pytest.fixture(scope="module")
def config():
    fields = preset("tiny").model_dump() | {"reference": {"epochs": 2}, "conditional": {"epochs": 2}}
    return validated(fields)


@pytest.fixture(scope="module")
def built(tmp_path_factory, config):
    out = tmp_path_factory.mktemp("demo")
    said: list[str] = []
    bundle = demo.build_demo(
        out,
        n_cells=CELLS,
        config=config,
        score_cells=11,
        workers=1,
        progress=lambda d, n, what: said.append(what),
    )
    return out, bundle, said


@pytest.mark.slow
def test_the_store_holds_posed_cells_of_every_structure_with_both_kinds_of_reference(built, config):
    store = CellStore(built[0] / "store")
    assert len(store) == CELLS
    assert store.box == config.model.box
    assert store.structures == config.model.structures
    assert store.simulated
    assert set(store.table["references"]) == {"stain", "segmentation"}
    images = store.images(np.arange(CELLS)).numpy()
    assert images.max(axis=(2, 3, 4)).min() > 0.95, "every channel of every cell is scaled to 1"
    dna = images[:, 1].reshape(CELLS, -1)
    z, y, x = (np.indices(store.box).reshape(3, -1) + 0.5) / np.reshape(store.box, (3, 1))
    for axis in (z, y, x):
        centre = (dna * axis).sum(1) / dna.sum(1)
        assert np.abs(centre - 0.5).max() < 0.06, "the nucleus lies in the middle of the box"


@pytest.mark.slow
def test_no_field_stands_on_both_sides_of_the_split(built):
    table = CellStore(built[0] / "store").table
    assert table.groupby("field")["split"].nunique().max() == 1


@pytest.mark.slow
def test_the_bundle_carries_its_scores_and_says_simulated(built, config):
    _, bundle, said = built
    model = load_model(str(bundle))
    assert model.config == config.model
    assert model.card["simulated"] is True
    assert model.card["metrics"]["simulated"]["n_cells"] == 11
    assert "interphase" in model.card["stages"]
    assert "Trained on simulated cells only" in read_model_card(str(bundle))
    assert {"posing cells", "scoring simulated cells"} < set(said)


@pytest.mark.slow
def test_a_second_call_makes_nothing_again(built, config):
    out = built[0]
    records = {"README.md", "config.yaml", "run.json", "now.json"}  # each call of fit is recorded
    before = {
        p: p.stat().st_mtime_ns
        for p in out.rglob("*")
        if p.is_file() and not (p.parent.name == "run" and p.name in records)
    }
    assert {out / "bundle" / "model.json", out / "store" / "cells.parquet"} < before.keys()
    demo.build_demo(out, n_cells=CELLS, config=config, score_cells=11)
    assert before == {p: p.stat().st_mtime_ns for p in before}


@pytest.mark.slow
def test_what_a_clock_ended_is_fitted_further_where_all_epochs_are_asked_for_alone(
    built, config, monkeypatch
):
    class Fitted(Exception):
        pass

    def fit(*_, **__):
        raise Fitted

    monkeypatch.setattr(demo, "fit_store", fit)
    out, bundle, _ = built
    assert demo.build_demo(out, n_cells=CELLS, config=config, score_cells=11) == bundle
    with pytest.raises(Fitted):
        demo.build_demo(out, n_cells=CELLS, config=config, score_cells=11, minutes=None)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["fitted on", "more cells to score on", "a real field"])
def test_a_bundle_that_is_not_of_this_call_is_made_again(built, config, change, monkeypatch, tmp_path):
    class Exported(Exception):
        pass

    def export(*_, **__):
        raise Exported

    monkeypatch.setattr(demo, "export_bundle", export)
    out, bundle, _ = built
    if change == "fitted on":
        written = (bundle / "model.json").stat().st_mtime
        monkeypatch.setattr(demo, "_last_fitted", lambda run: written + 1)
    with pytest.raises(Exported):
        demo.build_demo(
            out,
            n_cells=CELLS,
            config=config,
            score_cells=12 if change == "more cells to score on" else 11,
            real=tmp_path if change == "a real field" else None,
        )


def test_phases_share_the_minutes_by_their_epochs():
    both = demo.within(preset("demo"), 36)
    epochs = both.reference.epochs + both.conditional.epochs
    assert both.reference.max_minutes == pytest.approx(36 * both.reference.epochs / epochs)
    assert both.reference.max_minutes + both.conditional.max_minutes == pytest.approx(36)
    assert both.model_copy(
        update={"reference": preset("demo").reference, "conditional": preset("demo").conditional}
    ) == (preset("demo"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gone", "minutes", "left"), [(0, 60, 60), (20, 60, 26), (50, 60, 10), (20, None, None)]
)
def test_the_fit_gets_what_is_left_of_the_time(built, config, gone, minutes, left, monkeypatch):
    class Fitted(Exception):
        pass

    def fit(_data, config, _out, **_):
        raise Fitted(config.reference.max_minutes, config.conditional.max_minutes)

    clock = iter([0.0, 60.0 * gone])
    monkeypatch.setattr(demo.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(demo, "fit_store", fit)
    with pytest.raises(Fitted) as given:
        demo.build_demo(built[0], n_cells=CELLS, config=config, minutes=minutes)
    assert given.value.args == ((None, None) if left is None else pytest.approx((left / 2, left / 2)))
