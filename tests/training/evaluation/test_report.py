"""The evaluation report: every experiment of the paper on a toy bundle, kept, read back, and shown on one page."""

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
from napari_ic_train.evaluation.experiment import Experiment, Figure, Findings, Interval, Table
from napari_ic_train.evaluation.experiments import BEYOND, EXPERIMENTS, PAPER
from napari_ic_train.evaluation.kept import read_findings, write_findings
from napari_ic_train.evaluation.passes import equal_numbers
from napari_ic_train.evaluation.report import evaluate
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
    """A toy store, a run on it, and two bundles that have learnt nothing."""
    folder = tmp_path_factory.mktemp("evaluation")
    toy_run(toy_store(folder / "store"), folder / "run")
    for seed, name in enumerate(("one", "other")):
        bundle(folder / name, seed)
    return folder


@pytest.fixture(scope="module")
def paper(world):
    """The paper's experiments on the first bundle."""
    return evaluate([world / "one"], CellStore(world / "store"), world / "report", experiments=PAPER,
                    settings=Settings(draws=3, device="cpu"))  # fmt: skip


@pytest.fixture(scope="module")
def beyond(world):
    """The experiments past the paper on both bundles."""
    bundles = [world / "one", world / "other"]
    return evaluate(bundles, CellStore(world / "store"), world / "beyond", experiments=BEYOND,
                    settings=Settings(draws=3, device="cpu"))  # fmt: skip


class Told:
    """An experiment that counts how often it is done."""

    title, section = "What was told", "3.4.1"

    def __init__(self, name="told", value=0.5, missing=None):
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
    """What is on a page: ids, links, open tags."""

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


def test_every_experiment_keeps_the_contract_and_has_a_name_of_its_own():
    assert all(isinstance(experiment, Experiment) for experiment in EXPERIMENTS)
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_findings_come_back_as_they_were(tmp_path):
    findings = Told().run(None)
    write_findings(tmp_path / "told", findings, {"fingerprint": "mark"})
    back = read_findings(tmp_path / "told", "mark")
    assert back.headline["merit"] == Interval(0.5, 0.25, 0.75)
    assert isnan(back.headline["nothing"])
    assert back.figures == findings.figures
    assert back.tables[0].rows == [["<b>", 2], ["a", None], ["c", None]]
    assert (tmp_path / "told" / "words-numbers.csv").read_text().splitlines()[:2] == ["word,number", "<b>,2"]
    assert (tmp_path / "told" / "drawn.svg").read_bytes() == SVG
    assert (tmp_path / "told" / "drawn-2.svg").exists()


@pytest.mark.parametrize("damage", ["fingerprint", "half", "picture"])
def test_findings_of_something_else_or_damaged_ones_are_not_taken(tmp_path, damage):
    folder = tmp_path / "told"
    write_findings(folder, Told().run(None), {"fingerprint": "mark"})
    file = folder / "findings.json"
    if damage == "half":
        file.write_text(file.read_text()[:100])
    if damage == "picture":
        (folder / "drawn.svg").unlink()
    assert read_findings(folder, "another" if damage == "fingerprint" else "mark") is None


def test_a_report_is_read_back_until_something_changes(world, tmp_path):
    told, store = Told(), CellStore(world / "store")

    def again(bundle="one", **settings):
        evaluate([world / bundle], store, tmp_path, Settings(device="cpu", **settings), experiments=[told])
        return told.times

    assert (again(), again()) == (1, 1)
    assert again(draws=7) == 2
    assert again(cells=6) == 3
    assert again(bundle="other") == 4
    (tmp_path / "one" / "told" / "findings.json").write_text("{}")
    assert again(cells=6) == 5


def test_a_stopped_report_keeps_what_was_done(world, tmp_path):
    store, first, token = CellStore(world / "store"), Told("first"), CancelToken()

    class Stopped(Told):
        def run(self, context):
            token.cancel()
            context.cancel.raise_if_cancelled()

    with pytest.raises(Cancelled):
        evaluate([world / "one"], store, tmp_path, experiments=[first, Stopped("second")], cancel=token)
    assert "first" in page_of(tmp_path).ids
    second = Told("second")
    evaluate([world / "one"], store, tmp_path, experiments=[first, second])
    assert (first.times, second.times) == (1, 1)


def test_what_was_found_before_is_shown_though_it_is_not_asked_for_again(world, tmp_path):
    store, first, second = CellStore(world / "store"), Told("first"), Told("second")
    for only in (["first"], ["second"]):
        evaluate([world / "one"], store, tmp_path, Settings(only=only), experiments=[first, second])
        assert (second.times, "second" in page_of(tmp_path).ids) == ((0, False), (1, True))[
            only == ["second"]
        ]
    assert (first.times, "first" in page_of(tmp_path).ids) == (1, True)


def test_the_page_is_whole_its_words_escaped_and_every_picture_its_own(world, tmp_path):
    evaluate([world / "one", world / "other"], CellStore(world / "store"), tmp_path,
             experiments=[Told(), Told("absent", missing="There is no moon.")])  # fmt: skip
    page = page_of(tmp_path)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert all(link.startswith(("#", "data:")) for link in page.links), "nothing is fetched from elsewhere"
    words = " ".join(page.words)
    assert "<b>" in words, "a word of a table is not taken for markup"
    assert "Not done: There is no moon." in words
    assert "simulated" in words
    assert "mean of bundles" in words
    lines = (tmp_path / "headline.csv").read_text().splitlines()
    assert lines[0] == "figure,experiment,one,one low,one high,other,other low,other high"
    assert lines[1] == "merit,told,0.5,0.25,0.75,0.5,0.25,0.75"


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
    kept = json.loads((folder / "findings.json").read_text())
    assert kept["store"]["simulated"] is True
    assert {f["file"] for f in kept["tables"] + kept["figures"]} | {"findings.json"} == {
        p.name for p in folder.iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("experiment", BEYOND, ids=lambda e: e.name)
def test_each_experiment_past_the_paper_finds_something(beyond, experiment):
    for bundle in beyond:
        (section,) = [s for s in bundle.sections if s.experiment is experiment]
        if experiment.name == "simulated-truth":
            assert "truth.csv" in section.missing, "toys are of no simulated data set"
            continue
        assert section.missing == ""
        assert section.findings.headline or experiment.name == "fidelity", (
            "five cells have no fifth neighbours"
        )
        for table in section.findings.tables:
            assert table.rows
            assert all(len(row) == len(table.columns) for row in table.rows), table.title


@pytest.mark.slow
def test_one_independent_classifier_judges_all_bundles(beyond, world):
    assert len(list((world / "beyond" / ".cache").rglob("independent-classifier.safetensors"))) == 1


@pytest.mark.slow
def test_the_paper_s_report_is_one_page_that_can_be_read(paper, world):
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
def test_headline_figures_go_into_the_model_card(paper, world, tmp_path):
    path = bundle(tmp_path / "carded")
    report_in_card(path, paper[0], CellStore(world / "store"))
    (accuracy,) = (
        s.findings.headline["label accuracy, held out"]
        for s in paper[0].sections
        if s.experiment.name == "classification"
    )
    kept = load_model(path).card["metrics"]["report"]
    assert kept["held_out_cells"] == 11
    assert kept["figures"]["label accuracy, held out"] == [accuracy.value, accuracy.low, accuracy.high]
    assert set(kept["figures"]) <= set(REPORTED)
    (line,) = (
        row for row in read_model_card(path).splitlines() if row.startswith("| label accuracy, held out |")
    )
    assert f"| 0.9675 | {accuracy.value:.3f} |" in line
    assert line.endswith("| **not reached** |"), "a toy that has learnt nothing"


def test_every_figure_of_the_card_is_one_that_the_report_has():
    """The card asks for figures by their names: one that is renamed would be missing without a word."""
    source = "".join(
        path.read_text("utf-8") for path in Path(inspect.getfile(experiments)).parent.glob("*.py")
    )
    for name in REPORTED:
        stem = name.split(" (")[0].split(", expected")[0].removeprefix("observed features within the draws' ")
        stem = stem.split("50%")[0].split("90%")[0] or "within the draws' "
        assert stem in source, name


def test_a_model_that_draws_nothing_is_reported_and_not_stumbled_over(world, tmp_path):
    model = IntegratedCell.untrained(MODEL)
    with torch.no_grad():
        for values in model.dec_cond.parameters():
            values.zero_()
    save_bundle(model, tmp_path / "dark", card={}, model_card_markdown="# dark\n")
    asked = [e for e in PAPER if e.name not in ("counts", "training-curves", "latent-spaces")]
    (found,) = evaluate([tmp_path / "dark"], CellStore(world / "store"), tmp_path / "report",
                        Settings(draws=3, device="cpu"), experiments=asked)  # fmt: skip
    sections = {s.experiment.name: s.findings for s in found.sections}
    assert "nothing of it is drawn" in sections["structure-variation"].notes
    assert {row[1] for row in sections["structure-variation"].tables[0].rows} == {None}
    (weakest,) = (v for k, v in sections["integration"].headline.items() if "weakest structure" in k)
    assert weakest == Interval(0, 0, 0)
    generated = [row[5] for row in sections["pairwise-correlations"].tables[1].rows]
    assert generated == [None] * 3


def test_cells_are_taken_in_equal_numbers_and_the_same_ones_each_time():
    labels = np.array([0] * 50 + [1] * 3 + [2] * 50)
    chosen = equal_numbers(labels, 20, seed=1)
    assert np.bincount(labels[chosen]).tolist() in ([9, 3, 8], [8, 3, 9])
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, equal_numbers(labels, 20, seed=1))
    assert not np.array_equal(chosen, equal_numbers(labels, 20, seed=2))


def test_what_does_not_go_together_is_said_in_a_sentence(world, tmp_path):
    store = CellStore(world / "store")
    with pytest.raises(ValueError, match="There is no experiment 'nothing': choose counts"):
        evaluate([world / "one"], store, tmp_path, Settings(only=["nothing"]))
    with pytest.raises(ValueError, match="One run cannot be that of several bundles"):
        evaluate([world / "one", world / "other"], store, tmp_path, run=world / "run")
    writer = StoreWriter(tmp_path / "store", 1, channels=store.channels, box=(4, 8, 12), voxel_size=1.0,
                         structures=store.structures, simulated=True, source="toys")  # fmt: skip
    facts = {"CellId": "c", "structure": "dots", "split": "test"}
    writer.write(0, np.zeros((3, 4, 8, 12), np.float32), facts)
    with pytest.raises(ValueError, match=r"on a grid of \(4, 8, 12\), but the box of 'toy' is \(8, 8, 12\)"):
        evaluate([world / "one"], writer.finish(), tmp_path)


def test_the_command_writes_the_report_and_speaks_in_one_line_of_what_is_wrong(world, tmp_path):
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
