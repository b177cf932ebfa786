"""The evaluation report: every experiment on toy bundles, stored findings, and the page."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_run import toy_run, toy_store
from toy_training import MODEL
from typer.testing import CliRunner

from napari_ic_train.bundle.model_card import REPORTED
from napari_ic_train.cli import app
from napari_ic_train.data.store import CellStore, StoreWriter
from napari_ic_train.evaluation import experiments
from napari_ic_train.evaluation.card_scores import report_in_card
from napari_ic_train.evaluation.evaluated import Settings
from napari_ic_train.evaluation.experiment import Experiment
from napari_ic_train.evaluation.experiments import ADDITIONAL, EXPERIMENTS, PAPER
from napari_ic_train.evaluation.findings import Figure, Findings, Interval, Table
from napari_ic_train.evaluation.model_outputs import balanced_sample
from napari_ic_train.evaluation.report import evaluate
from napari_ic_train.evaluation.stored_findings import read_findings, write_findings
from napari_integrated_cell.model.bundle import load_model, read_model_card, save_bundle
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.runtime import Cancelled, CancelToken

SVG = b'<svg fill="currentColor" xmlns="http://www.w3.org/2000/svg"><g id="a"/><use href="#a"/></svg>'


def bundle(path, seed=0):
    torch.set_num_threads(1)
    save_bundle(
        IntegratedCell.untrained(MODEL, seed=seed),
        path,
        card={"simulated": True},
        model_card_markdown="# toy\n",
    )
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return a folder with a toy store, a run on it, and two untrained bundles."""
    folder = tmp_path_factory.mktemp("evaluation")
    toy_run(toy_store(folder / "store"), folder / "run")
    for seed, name in enumerate(("one", "other")):
        bundle(folder / name, seed)
    return folder


@pytest.fixture(scope="module")
def paper(world):
    """Run the paper's experiments on the first bundle."""
    return evaluate([world / "one"], CellStore(world / "store"), world / "report", experiments=PAPER,
                    settings=Settings(draws=3, device="cpu"))  # fmt: skip


@pytest.fixture(scope="module")
def additional(world):
    """Run the additional experiments on both bundles."""
    bundles = [world / "one", world / "other"]
    return evaluate(bundles, CellStore(world / "store"), world / "additional", experiments=ADDITIONAL,
                    settings=Settings(draws=3, device="cpu"))  # fmt: skip


class Counting:
    """An experiment that counts how often it runs."""

    title, section = "A table and a picture", "3.4.1"

    def __init__(self, name="counting", value=0.5, missing=None):
        self.name, self.value, self.missing, self.times = name, value, missing, 0

    def needs(self, context):
        return self.missing

    def run(self, context):
        self.times += 1
        table = Table("Words & <numbers>", ("word", "number"), [["<b>", 2], ["a", None], ["c", nan]])
        return Findings(
            {"merit": Interval(self.value, 0.25, 0.75), "nothing": nan},
            (table, replace(table, note="the same again")),
            (Figure("Drawn", SVG), Figure("Drawn", SVG)),
            "First.\n\nSecond.",
        )


class Page(HTMLParser):
    """The ids, links, text and open tags of a page."""

    EMPTY = ("meta", "img", "br", "use", "path", "rect")

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.open, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.ids.append(found["id"])
        self.links += [found[k] for k in ("href", "src", "xlink:href") if k in found]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def page_of(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def test_every_experiment_follows_the_protocol_and_has_a_unique_name():
    assert all(isinstance(experiment, Experiment) for experiment in EXPERIMENTS)
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_findings_are_read_as_they_were_written(tmp_path):
    findings = Counting().run(None)
    write_findings(tmp_path / "counting", findings, {"fingerprint": "mark"})
    back = read_findings(tmp_path / "counting", "mark")
    assert back.headline["merit"] == Interval(0.5, 0.25, 0.75)
    assert isnan(back.headline["nothing"])
    assert back.figures == findings.figures
    assert back.tables[0].rows == [["<b>", 2], ["a", None], ["c", None]]
    assert (tmp_path / "counting" / "words-numbers.csv").read_text().splitlines()[:2] == [
        "word,number",
        "<b>,2",
    ]
    assert (tmp_path / "counting" / "drawn.svg").read_bytes() == SVG
    assert (tmp_path / "counting" / "drawn-2.svg").exists()


@pytest.mark.parametrize("damage", ["fingerprint", "half", "picture"])
def test_damaged_findings_and_findings_with_another_fingerprint_are_not_read(tmp_path, damage):
    folder = tmp_path / "counting"
    write_findings(folder, Counting().run(None), {"fingerprint": "mark"})
    file = folder / "findings.json"
    if damage == "half":
        file.write_text(file.read_text()[:100])
    if damage == "picture":
        (folder / "drawn.svg").unlink()
    assert read_findings(folder, "another" if damage == "fingerprint" else "mark") is None


def test_findings_are_reused_until_something_changes(world, tmp_path, monkeypatch):
    counting, store = Counting(), CellStore(world / "store")

    def again(bundle="one", **settings):
        evaluate(
            [world / bundle], store, tmp_path, Settings(device="cpu", **settings), experiments=[counting]
        )
        return counting.times

    assert (again(), again()) == (1, 1)
    assert again(draws=7) == 2
    assert again(cells=6) == 3
    assert again(bundle="other") == 4
    (tmp_path / "one" / "counting" / "findings.json").write_text("{}")
    assert again(cells=6) == 5
    monkeypatch.setattr("napari_ic_train.evaluation.report.__version__", "another")
    assert (again(cells=6), again(cells=6)) == (6, 6)


def test_a_stopped_report_keeps_finished_experiments(world, tmp_path):
    store, first, token = CellStore(world / "store"), Counting("first"), CancelToken()

    class Stopped(Counting):
        def run(self, context):
            token.cancel()
            context.cancel.raise_if_cancelled()

    with pytest.raises(Cancelled):
        evaluate([world / "one"], store, tmp_path, experiments=[first, Stopped("second")], cancel=token)
    assert "first" in page_of(tmp_path).ids
    second = Counting("second")
    evaluate([world / "one"], store, tmp_path, experiments=[first, second])
    assert (first.times, second.times) == (1, 1)


def test_the_report_shows_stored_findings_of_experiments_that_are_left_out(world, tmp_path):
    store, first, second = CellStore(world / "store"), Counting("first"), Counting("second")
    for only in (["first"], ["second"]):
        evaluate([world / "one"], store, tmp_path, Settings(only=only), experiments=[first, second])
        assert (second.times, "second" in page_of(tmp_path).ids) == ((0, False), (1, True))[
            only == ["second"]
        ]
    assert (first.times, "first" in page_of(tmp_path).ids) == (1, True)


def test_the_page_is_valid_and_escaped_and_its_ids_are_unique(world, tmp_path):
    evaluate([world / "one", world / "other"], CellStore(world / "store"), tmp_path,
             experiments=[Counting(), Counting("absent", missing="There is no moon.")])  # fmt: skip
    page = page_of(tmp_path)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert all(link.startswith(("#", "data:")) for link in page.links), "nothing is fetched from elsewhere"
    words = " ".join(page.words)
    assert "<b>" in words, "text of a table is escaped"
    assert "Not run: There is no moon." in words
    assert "simulated" in words
    assert "mean of bundles" in words
    lines = (tmp_path / "headline.csv").read_text().splitlines()
    assert lines[0] == "figure,experiment,one,one low,one high,other,other low,other high"
    assert lines[1] == "merit,counting,0.5,0.25,0.75,0.5,0.25,0.75"


@pytest.mark.slow
@pytest.mark.parametrize("experiment", PAPER, ids=lambda e: e.name)
def test_each_of_the_papers_experiments_finds_something(paper, world, experiment):
    (section,) = [s for s in paper[0].sections if s.experiment is experiment]
    assert section.missing == ""
    assert section.findings.tables
    assert section.findings.figures or experiment.name in ("counts", "inception")
    for table in section.findings.tables:
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows), table.title
    folder = world / "report" / "one" / experiment.name
    stored = json.loads((folder / "findings.json").read_text())
    assert stored["store"]["simulated"] is True
    assert {f["file"] for f in stored["tables"] + stored["figures"]} | {"findings.json"} == {
        p.name for p in folder.iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ADDITIONAL, ids=lambda e: e.name)
def test_each_additional_experiment_finds_something(additional, experiment):
    for bundle in additional:
        (section,) = [s for s in bundle.sections if s.experiment is experiment]
        if experiment.name == "simulated-truth":
            assert "truth.csv" in section.missing, "the toy store has no simulated data set"
            continue
        assert section.missing == ""
        assert section.findings.headline or experiment.name == "fidelity", (
            "five cells have no fifth neighbours"
        )
        for table in section.findings.tables:
            assert table.rows
            assert all(len(row) == len(table.columns) for row in table.rows), table.title


@pytest.mark.slow
def test_all_bundles_share_one_independent_classifier(additional, world):
    assert len(list((world / "additional" / ".cache").rglob("independent-classifier.safetensors"))) == 1


@pytest.mark.slow
def test_the_report_of_the_papers_experiments_is_one_valid_page(paper, world):
    page = page_of(world / "report")
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert {e.name for e in PAPER} <= set(page.ids)


@pytest.mark.slow
def test_counts_are_those_of_the_store(paper, world):
    rows = paper[0].sections[0].findings.tables[0].rows
    store = CellStore(world / "store")
    assert rows[-1] == ["all", len(store), 25, 11]
    assert [row[1] for row in rows[:-1]] == [12, 12, 12]


@pytest.mark.slow
def test_headline_values_go_into_the_model_card(paper, world, tmp_path):
    path = bundle(tmp_path / "carded")
    report_in_card(path, paper[0], CellStore(world / "store"))
    (accuracy,) = (
        s.findings.headline["label accuracy, held out"]
        for s in paper[0].sections
        if s.experiment.name == "classification"
    )
    reported = load_model(path).card["metrics"]["report"]
    assert reported["held_out_cells"] == 11
    assert reported["figures"]["label accuracy, held out"] == [accuracy.value, accuracy.low, accuracy.high]
    assert set(reported["figures"]) <= set(REPORTED)
    (line,) = (
        row for row in read_model_card(path).splitlines() if row.startswith("| label accuracy, held out |")
    )
    assert f"| 0.9675 | {accuracy.value:.3f} |" in line
    assert line.endswith("| **not reached** |"), "an untrained model"


def test_the_report_has_every_value_of_the_card():
    """The card looks up values by name: a renamed value would be missing without an error."""
    source = "".join(
        path.read_text("utf-8") for path in Path(inspect.getfile(experiments)).parent.glob("*.py")
    )
    for name in REPORTED:
        stem = name.split(" (")[0].split(", expected")[0].removeprefix("observed features within the draws' ")
        stem = stem.split("50%")[0].split("90%")[0] or "within the draws' "
        assert stem in source, name


def test_a_model_with_empty_draws_gets_a_report(world, tmp_path):
    model = IntegratedCell.untrained(MODEL)
    with torch.no_grad():
        for values in model.dec_cond.parameters():
            values.zero_()
    save_bundle(model, tmp_path / "empty", card={}, model_card_markdown="# empty\n")
    asked = [e for e in PAPER if e.name not in ("counts", "training-curves", "latent-spaces")]
    (found,) = evaluate([tmp_path / "empty"], CellStore(world / "store"), tmp_path / "report",
                        Settings(draws=3, device="cpu"), experiments=asked)  # fmt: skip
    sections = {s.experiment.name: s.findings for s in found.sections}
    assert "empty draws" in sections["structure-variation"].notes
    assert {row[1] for row in sections["structure-variation"].tables[0].rows} == {None}
    (weakest,) = (v for k, v in sections["integration"].headline.items() if "weakest structure" in k)
    assert weakest == Interval(0, 0, 0)
    generated = [row[5] for row in sections["pairwise-correlations"].tables[1].rows]
    assert generated == [None] * 3


def test_a_balanced_sample_has_equal_numbers_and_is_reproducible():
    labels = np.array([0] * 50 + [1] * 3 + [2] * 50)
    chosen = balanced_sample(labels, 20, seed=1)
    assert np.bincount(labels[chosen]).tolist() in ([9, 3, 8], [8, 3, 9])
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, balanced_sample(labels, 20, seed=1))
    assert not np.array_equal(chosen, balanced_sample(labels, 20, seed=2))


def test_errors_for_settings_that_do_not_match(world, tmp_path):
    store = CellStore(world / "store")
    with pytest.raises(ValueError, match="There is no experiment 'nothing': choose counts"):
        evaluate([world / "one"], store, tmp_path, Settings(only=["nothing"]))
    with pytest.raises(ValueError, match="A run folder belongs to one bundle"):
        evaluate([world / "one", world / "other"], store, tmp_path, run=world / "run")
    writer = StoreWriter(tmp_path / "store", 1, channels=store.channels, box=(4, 8, 12), voxel_size=1.0,
                         structures=store.structures, simulated=True, source="toys")  # fmt: skip
    facts = {"CellId": "c", "structure": "dots", "split": "test"}
    writer.write(0, np.zeros((3, 4, 8, 12), np.float32), facts)
    with pytest.raises(
        ValueError, match=r"have the box \(4, 8, 12\), but the model 'toy' has the box \(8, 8, 12\)"
    ):
        evaluate([world / "one"], writer.finish(), tmp_path)


def test_the_command_writes_the_report_and_prints_errors_in_one_line(world, tmp_path):
    call = CliRunner().invoke
    wanted = [
        "evaluate",
        str(world / "one"),
        "--data",
        str(world / "store"),
        "--out",
        str(tmp_path / "report"),
    ]
    done = call(app, [*wanted, "--only", "counts", "--only", "classification", "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert 0 <= said["bundles"]["one"]["label accuracy, held out"] <= 1
    assert page_of(tmp_path / "report").open == []
    for wrong in (["--only", "nothing"], ["--run", str(tmp_path)], ["--device", "moon"]):
        failed = call(app, [*wanted, *wrong])
        assert failed.exit_code == 1
        (line,) = [text for text in failed.stderr.splitlines() if text.startswith("napari-ic-train:")]
        assert line.endswith(".")
    failed = call(
        app, ["evaluate", str(world / "one"), "--data", str(tmp_path), "--out", str(tmp_path / "r")]
    )
    assert "is not a finished training store" in failed.stderr
