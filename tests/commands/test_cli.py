"""Run `napari-ic` and `napari-ic-train` as programs, as a shell does."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_ic_train.cli import app as train
from napari_integrated_cell.cli import app
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.model.bundle import replace_files, save_bundle
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.novelty import NOVELTY, KnownStructures
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES

VOXEL = (0.6, 0.5, 0.5)
SHAPE = (22, 60, 110)


def ball(centre, radii):
    grid = np.indices(SHAPE) * np.reshape(VOXEL, (3, 1, 1, 1)) - np.reshape(centre, (3, 1, 1, 1))
    return ((grid / np.reshape(radii, (3, 1, 1, 1))) ** 2).sum(0) <= 1


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two cells with labels 3 and 7, their nuclei, a stained stack, and an untrained model."""
    folder = tmp_path_factory.mktemp("field")
    cells, nuclei = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for label, x in ((3, 14), (7, 41)):
        cells[ball((6, 14, x), (4, 8, 12))] = label
        nuclei[ball((6, 15, x + 1), (2.5, 4, 5))] = label
    write_ome_tiff(folder / "cells.ome.tif", {"labels": cells}, VOXEL)
    write_ome_tiff(folder / "nuclei.ome.tif", {"labels": nuclei}, VOXEL)
    stains = {
        "CMDRP": ((cells > 0) & (nuclei == 0)) * 900.0,
        "H3342": (nuclei > 0) * 700.0,
        "EGFP": (nuclei > 0) * 500.0,
    }
    noise = np.random.default_rng(0).normal(100, 5, SHAPE)  # without it, they would be masks and no stains
    write_ome_tiff(
        folder / "stack.ome.tif", {k: (v + noise).astype(np.float32) for k, v in stains.items()}, VOXEL
    )
    model = IntegratedCell.untrained(preset("tiny"))
    save_bundle(model, folder / "tiny.zip", card={"simulated": True}, model_card_markdown="# tiny\n")
    return folder


def call(*arguments, program=app):
    return CliRunner().invoke(program, [str(a) for a in arguments])


def on(field, *more):
    return call(
        "integrate", *more, "--cells", field / "cells.ome.tif", "--nuclei", field / "nuclei.ome.tif",
        "--model", field / "tiny.zip", "--json",
    )  # fmt: skip


def test_a_whole_field_is_written_on_its_own_grid_without_any_image(field, tmp_path):
    out = tmp_path / "field.ome.tiff"
    result = on(field, "--label", "all", "--out", out)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert [cell["cell"] for cell in summary["cells"]] == ["cell 3", "cell 7"]
    image = read_image(out)
    assert image.channel_names == ("membrane", "dna", *STRUCTURE_NAMES)
    assert image.data.shape[1:] == SHAPE
    assert image.voxel_size == pytest.approx(VOXEL)
    dna = image.channel("dna")
    nuclei = read_image(field / "nuclei.ome.tif").data[0]
    for label in (3, 7):
        assert dna[nuclei == label].mean() > 0.6 * dna.max(), "each nucleus is back where it was"
    assert dna[:, :, -4:].max() == 0


def test_one_cell_some_structures_in_the_models_box(field, tmp_path):
    out = tmp_path / "cell.ome.tiff"
    result = on(
        field,
        field / "stack.ome.tif",
        "--label",
        7,
        "--structures",
        "TOMM20,lamin B1",
        "--frame",
        "model",
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    image = read_image(out)
    assert image.channel_names == ("membrane", "dna", "TOM20", "lamin-B1")
    assert image.data.shape[1:] == preset("tiny").box
    assert image.voxel_size == pytest.approx((preset("tiny").voxel_size,) * 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "3, 7: choose one, or all (--label)"),
        (("--label", "5"), "no cell 5"),
        (("--label", "all", "--frame", "model"), "holds one cell"),
        (("--label", "3", "--frame", "sideways"), "choose image or model"),
        (("--label", "3", "--structures", "mitochondriom"), "TOM20"),
        (("--label", "3", "--device", "abacus"), "abacus"),
        (("--label", "3", "--voxel-size", "0.1"), "three"),
        (("--label", "3", "--voxel-size", "0.0006,0.0004,0.0004"), "0.0006 x 0.0004 x 0.0004"),
        (("--label", "all", "--voxel-size", "600,400,400"), "give it in µm"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line_and_nothing_is_written(field, tmp_path, arguments, says):
    out = tmp_path / "out.ome.tiff"
    result = on(field, *arguments, "--out", out)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.strip().count("\n") == 0, result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_stray_label_is_named_and_the_other_cells_are_written(field, tmp_path):
    labels = read_image(field / "cells.ome.tif").data[0].copy()
    labels[0, 0, :4] = 9
    write_ome_tiff(tmp_path / "cells.ome.tif", {"labels": labels}, VOXEL)
    result = call(
        *("integrate", "--cells", tmp_path / "cells.ome.tif", "--nuclei", field / "nuclei.ome.tif"),
        *("--label", "all", "--model", field / "tiny.zip", "--out", tmp_path / "new" / "field.ome.tiff"),
    )
    assert result.exit_code == 0, result.output
    assert "cell 9 is left out: " in result.stderr
    assert "Wrote 2 cells" in result.stdout
    assert (tmp_path / "new" / "field.ome.tiff").is_file(), "the folder was made"


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("nuclei.ome.tif", "is an input"),
        (".", "is a folder: give a name"),
        ("cells.ome.tif/x.ome.tiff", "cannot be made"),
    ],
)
def test_where_the_file_goes_is_checked_first(field, monkeypatch, out, says):
    monkeypatch.setattr("napari_integrated_cell.data.image_cells.read_image", None)
    result = on(field, "--label", "3", "--out", field / out)
    assert result.exit_code == 1
    assert says in result.stderr


def test_it_is_said_that_a_file_is_replaced_only_when_it_was(field, tmp_path):
    out = tmp_path / "o.ome.tiff"
    out.write_bytes(b"older")
    refused = on(field, "--label", "5", "--out", out)
    assert refused.exit_code == 1
    assert "replaced" not in refused.stderr
    assert out.read_bytes() == b"older"
    assert f"{out} existed and was replaced." in on(field, "--label", "3", "--out", out).stderr


def test_too_little_memory_is_said_in_one_line(field, tmp_path, monkeypatch):
    def too_much(*_, **__):
        raise MemoryError("Unable to allocate 900. GiB")

    monkeypatch.setattr("napari_integrated_cell.integration.integrate_cell", too_much)
    result = on(field, "--label", "3", "--out", tmp_path / "o.ome.tiff")
    assert result.exit_code == 1
    assert "not enough memory" in result.stderr
    assert result.stderr.strip().count("\n") == 0, result.stderr


def test_missing_files_and_missing_arguments_are_said(field, tmp_path):
    for arguments, says in (
        (["integrate"], "--cells and --nuclei"),
        (["integrate", tmp_path / "none.tif"], "none.tif"),
        (["integrate", "--cells", field / "cells.ome.tif"], "--nuclei"),
        (["classify"], "--structure"),
        (["demo", "--headless", "--stage", "metafase"], "metaphase"),
    ):
        result = call(*arguments)
        assert result.exit_code == 1
        assert says in result.stderr


def test_an_unrecognised_channel_can_be_named_by_hand(field, tmp_path):
    write_ome_tiff(
        tmp_path / "odd.ome.tif",
        {"far red": np.ones(SHAPE, np.float32), "blue": np.ones(SHAPE, np.float32)},
        VOXEL,
    )
    refused = call("integrate", tmp_path / "odd.ome.tif", "--model", field / "tiny.zip")
    assert refused.exit_code == 1
    assert "far red, blue" in refused.stderr
    done = on(
        field,
        field / "stack.ome.tif",
        "--membrane",
        "EGFP",
        "--dna",
        "1",
        "--label",
        3,
        "--out",
        tmp_path / "o.ome.tiff",
    )
    assert done.exit_code == 0, done.output


def test_classify_gives_every_structure_a_probability(field):
    result = call(
        "classify", field / "stack.ome.tif", "--structure", "EGFP", "--cells", field / "cells.ome.tif",
        "--nuclei", field / "nuclei.ome.tif", "--label", 3, "--model", field / "tiny.zip", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    opinion = json.loads(result.stdout)["cells"]["cell 3"]
    assert set(opinion) == set(STRUCTURE_NAMES)
    assert sum(opinion.values()) == pytest.approx(1, abs=1e-5)


def test_classify_says_that_a_channel_looks_like_none_of_the_structures(field, tmp_path):
    arguments = (
        "classify", field / "stack.ome.tif", "--structure", "EGFP", "--cells", field / "cells.ome.tif",
        "--nuclei", field / "nuclei.ome.tif", "--label", 3, "--model",
    )  # fmt: skip
    sentence = "cell 3: The channel looks like none of the structures that the model knows."
    for largest_energy, new in ((1e6, False), (-1e6, True)):
        bundle = shutil.copy(field / "tiny.zip", tmp_path / f"{new}.zip")
        k = len(STRUCTURE_NAMES)
        known = KnownStructures({"TOM20": np.zeros(k)}, np.eye(k), largest_energy, 1e6, 4, 40, 0.05)
        replace_files(bundle, {NOVELTY: known.to_json()})
        told = call(*arguments, bundle)
        assert told.exit_code == 0, told.output
        assert (sentence in told.stdout.splitlines()) is new
        assert "not measured" not in told.stdout
        found = json.loads(call(*arguments, bundle, "--json").stdout)
        assert list(found) == ["model", "cells", "novelty", "warnings"]
        assert found["novelty"]["cell 3"]["none_of_these"] is new
        assert found["novelty"]["cell 3"]["largest_energy"] == largest_energy


def test_classify_says_that_novelty_is_not_measured_for_an_older_bundle(field):
    arguments = (
        "classify", field / "stack.ome.tif", "--structure", "EGFP", "--cells", field / "cells.ome.tif",
        "--nuclei", field / "nuclei.ome.tif", "--model", field / "tiny.zip", "--label", "all",
    )  # fmt: skip
    told = call(*arguments)
    assert told.exit_code == 0, told.output
    assert len(told.stdout.splitlines()) == 3  # two cells, and one sentence for both
    assert "not measured" in told.stdout.splitlines()[-1]
    found = json.loads(call(*arguments, "--json").stdout)
    assert [cell["none_of_these"] for cell in found["novelty"].values()] == [None, None]


def test_classify_and_integrate_say_that_membrane_and_dna_look_exchanged(field, tmp_path):
    exchanged = (
        field / "stack.ome.tif", "--membrane", "dna", "--dna", "membrane", "--cells", field / "cells.ome.tif",
        "--nuclei", field / "nuclei.ome.tif", "--label", 3, "--model", field / "tiny.zip", "--json",
    )  # fmt: skip
    for command in (["classify", "--structure", "EGFP"], ["integrate", "--out", tmp_path / "out.ome.tif"]):
        result = call(*command, *exchanged)
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        warnings = said["warnings"]["cell 3"] if command[0] == "classify" else said["cells"][0]["warnings"]
        assert any("look exchanged" in warning for warning in warnings)
        assert "napari-ic: cell 3: Membrane and DNA look exchanged" in result.stderr


def test_demo_headless_writes_the_picture_and_the_tiff(field, tmp_path):
    result = call(
        "demo",
        "--headless",
        "--out",
        tmp_path / "demo",
        "--model",
        field / "tiny.zip",
        "--stage",
        "metaphase",
        "--json",
    )
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert "simulated" in summary["cells"][0]["cell"]
    image = read_image(summary["out"])
    assert image.channel_names == ("membrane", "dna", *STRUCTURE_NAMES)
    assert (tmp_path / "demo" / "integrated_cell.png").stat().st_size > 10_000


def test_models_are_listed():
    result = call("models", "--json")
    assert result.exit_code == 0
    assert "demo" in [m["name"] for m in json.loads(result.stdout)["models"]]


def test_describe_gives_layers_shapes_and_counts():
    result = call("describe", "--preset", "paper", "--json", program=train)
    assert result.exit_code == 0
    networks = json.loads(result.stdout)
    assert len(networks) == 8
    first = next(layer for layer in networks["enc_ref"]["layers"] if "Conv" in layer["type"])
    assert first["output_shape"] == [64, 32, 48, 64]
    assert first["parameters"] == 2 * 64 * 4**3 + 64
    assert "dec_cond" in call("describe", "--preset", "tiny", program=train).stdout


def test_a_small_simulated_set_goes_through_simulate_and_prepare(tmp_path):
    simulated = call(
        "simulate", "--cells", 3, "--seed", 4, "--voxel-size", 0.8, "--out", tmp_path / "cells", "--workers", 1,
        program=train,
    )  # fmt: skip
    assert simulated.exit_code == 0, simulated.output
    prepared = call(
        "prepare", "--manifest", tmp_path / "cells" / "metadata.csv", "--out", tmp_path / "store", "--preset", "tiny",
        "--workers", 1, "--json", program=train,
    )  # fmt: skip
    assert prepared.exit_code == 0, prepared.output
    assert json.loads(prepared.stdout)["cells"] == 3
    refused = call(
        "prepare", "--manifest", tmp_path / "cells" / "metadata.csv", "--out", tmp_path / "s", "--references", "x",
        program=train,
    )  # fmt: skip
    assert refused.exit_code == 1
    assert "stain, segmentation, mixed" in refused.stderr


@pytest.mark.parametrize("frame", ["image", "model"])
def test_the_ensemble_adds_spreads_and_nothing_else(field, tmp_path, frame):
    where = (field, "--label", "7", "--structures", "TOM20,ZO1", "--frame", frame)
    plain, four = tmp_path / "plain.ome.tiff", tmp_path / "four.ome.tiff"
    before = json.loads(on(*where, "--out", plain).stdout)["cells"][0]
    result = on(*where, "--ensemble", "--out", four)
    assert result.exit_code == 0, result.output
    (cell,) = json.loads(result.stdout)["cells"]
    spreads = cell.pop("relative_spreads")
    assert list(spreads) == ["TOM20", "ZO1"]
    assert all(0 < spread < 2 for spread in spreads.values())
    assert cell.pop("z_ref") == pytest.approx(before.pop("z_ref"), abs=1e-4)
    assert cell == before, "without --ensemble there is no such key"
    image, alone = read_image(four), read_image(plain)
    assert image.channel_names == (*alone.channel_names, "TOM20 spread", "ZO1 spread")
    np.testing.assert_array_equal(image.channel("dna"), alone.channel("dna"))
    assert (image.channel("TOM20") != alone.channel("TOM20")).any()
    assert image.channel("TOM20 spread").any()
