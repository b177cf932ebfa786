"""The ensemble over the four flips of a cell, against four separate calls, and in the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import tiny_cells
import torch

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import pose_of, posed_mask, posed_references
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.integration import (
    integrate_cell,
    model_box,
    quantised,
    save_field,
    to_cell_image,
    to_field,
)
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell

CONFIG = preset("tiny")
NAMES = ["TOM20", "ZO1"]
CHANNELS = ("membrane", "dna", "TOM20", "ZO1", "TOM20 spread", "ZO1 spread")


class LightAtTheDna:
    """Stands in for a model that knows no directions: every structure lies where the DNA is. It counts its calls."""

    config = CONFIG
    name = "fake"
    trained_on = "simulated cells"
    typicality = latent = None

    def __init__(self):
        self.calls = []

    def encode(self, x, **_):
        self.seen = np.asarray(x)
        self.calls.append(("encode", len(x)))
        return np.zeros((len(x), CONFIG.n_ref), np.float32)

    def decode_structures(self, z_ref, structures=None, *, on_structure=None, **_):
        self.calls.append(("decode", len(z_ref)))
        return dict.fromkeys(structures, self.seen[:, 1])


@pytest.fixture(scope="module")
def model() -> IntegratedCell:
    """A model of random weights, so large that it predicts something else for each flip."""
    model = IntegratedCell.untrained(CONFIG, seed=3)
    with torch.no_grad():
        for network, factor in ((model.enc_ref, 3), (model.dec_cond, 2)):
            for weights in network.parameters():
                weights.mul_(factor)
    return model


def made_cell(offset: tuple[int, int, int] = (0, 0, 0)) -> Cell:
    volumes = tiny_cells.volumes(1)
    masks = (volumes["cell_mask"] > 0, volumes["nucleus_mask"] > 0)
    return Cell({}, *masks, (1.0, 1.0, 1.0), name="made up", offset=offset)


@pytest.mark.parametrize("masked", [True, False])
def test_mean_and_spread_are_those_of_four_separate_calls(model, masked):
    cell = made_cell()
    done = integrate_cell(cell, model, NAMES, masked=masked, ensemble=True)
    pose = pose_of(cell, model_box(CONFIG))
    references = posed_references(cell, pose)
    mask = posed_mask(cell, pose) if masked else 1
    for name in NAMES:
        predictions = []
        for y, x in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            flipped = np.ascontiguousarray(references[:, :, ::y, ::x])
            predictions.append(model.integrate(flipped[None], [name])[name][0][:, ::y, ::x])
        np.testing.assert_allclose(done.volumes[name], mask * np.mean(predictions, axis=0), atol=1e-5)
        np.testing.assert_allclose(done.spreads[name], mask * np.std(predictions, axis=0), atol=1e-5)
        assert done.spreads[name].max() > 0.01, "the model must depend on the flips"
        assert done.relative_spreads[name] == pytest.approx(
            done.spreads[name].sum() / done.volumes[name].sum(), rel=1e-5
        )
    np.testing.assert_allclose(done.z_ref, model.encode(references[None])[0], atol=1e-5)
    np.testing.assert_array_equal(done.references, references)


def test_a_model_that_knows_no_directions_predicts_the_same_as_without_the_ensemble():
    plain = integrate_cell(made_cell(), LightAtTheDna(), NAMES)
    done = integrate_cell(made_cell(), LightAtTheDna(), NAMES, ensemble=True)
    for name in NAMES:
        np.testing.assert_array_equal(done.volumes[name], plain.volumes[name])
        assert not done.spreads[name].any()
    assert done.relative_spreads == dict.fromkeys(NAMES, 0.0)


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
def test_the_ensemble_does_not_depend_on_the_flips_of_the_pose(model, axes):
    cell = made_cell()
    pose = pose_of(cell, model_box(CONFIG))
    mirror = np.eye(4)
    for axis in axes:
        mirror[axis, axis], mirror[axis, 3] = -1, 2 * pose.box.centre[axis]
    other = replace(pose, to_box=mirror @ pose.to_box)
    one, two = (
        to_cell_image(integrate_cell(cell, model, NAMES, pose=p, ensemble=True)) for p in (pose, other)
    )
    for name in CHANNELS:
        np.testing.assert_allclose(one[name], two[name], atol=1e-4)
    plain, mirrored = (to_cell_image(integrate_cell(cell, model, NAMES, pose=p)) for p in (pose, other))
    assert abs(plain["ZO1"] - mirrored["ZO1"]).max() > 0.01, "without the ensemble it does"


def test_the_four_are_encoded_in_one_call_and_decoded_in_one():
    fake = LightAtTheDna()
    integrate_cell(made_cell(), fake, NAMES, ensemble=True)
    assert fake.calls == [("encode", 4), ("decode", 4)]
    fake.calls.clear()
    integrate_cell(made_cell(), fake, NAMES)
    assert fake.calls == [("encode", 1), ("decode", 1)]


def test_without_the_ensemble_there_is_no_spread(model):
    done = integrate_cell(made_cell(), model, NAMES)
    assert done.spreads is None
    assert done.relative_spreads == {}
    assert list(done.in_box) == ["membrane", "dna", *NAMES]
    assert "spread" not in done.description
    alone = model.integrate(done.references[None], NAMES)
    mask = posed_mask(done.cell, done.pose)
    for name in NAMES:
        np.testing.assert_array_equal(done.volumes[name], mask * alone[name][0])


def test_what_streams_in_is_the_mean(model):
    seen = {}
    done = integrate_cell(made_cell(), model, NAMES, ensemble=True, on_structure=seen.__setitem__)
    assert list(seen) == NAMES
    for name in NAMES:
        np.testing.assert_array_equal(seen[name], done.volumes[name])


@pytest.mark.parametrize(("dtype", "most"), [("uint16", 65535), ("uint8", 255)])
def test_a_file_has_the_spreads_after_the_structures_on_the_same_scale(model, tmp_path, dtype, most):
    done = integrate_cell(made_cell(), model, NAMES, ensemble=True)
    in_box = done.save(tmp_path / "box.ome.tiff", "model", dtype=dtype)
    image = read_image(in_box)
    assert image.channel_names == CHANNELS
    kind = np.dtype(dtype).type
    np.testing.assert_array_equal(image.channel("ZO1"), quantised(done.volumes["ZO1"], kind))
    np.testing.assert_allclose(image.channel("ZO1 spread") / most, done.spreads["ZO1"], atol=0.51 / most)
    said = tifffile.TiffFile(in_box).ome_metadata or ""
    assert f"{most} means an intensity of 1." in said
    assert "standard deviation, on the same scale" in said
    crop = read_image(done.save(tmp_path / "crop.ome.tiff", dtype=dtype))
    assert crop.channel_names == CHANNELS
    expected = quantised(to_cell_image(done)["TOM20 spread"], kind)
    np.testing.assert_array_equal(crop.channel("TOM20 spread"), expected)
    assert expected.any()


def test_a_field_has_the_spreads_of_every_cell(model, tmp_path):
    cells = [made_cell(), made_cell((0, 0, 40))]
    depth, rows, columns = cells[0].shape
    shape = (depth, rows, columns + 40)
    done = [integrate_cell(cell, model, NAMES, ensemble=True) for cell in cells]
    field = to_field(done, shape, np.uint16)
    assert tuple(field) == CHANNELS
    image = read_image(save_field(tmp_path / "field.ome.tiff", done, shape))
    for name in CHANNELS:
        np.testing.assert_array_equal(image.channel(name), field[name])
    assert image.channel("TOM20 spread")[:, :, columns:].any()


def test_spreads_of_other_structures_or_of_another_box_are_refused(model):
    done = integrate_cell(made_cell(), model, NAMES, ensemble=True)
    with pytest.raises(ValueError, match="The spreads are of ZO1, but the volumes of TOM20, ZO1"):
        replace(done, spreads={"ZO1": done.spreads["ZO1"]})
    small = np.zeros((2, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"'TOM20 spread' has shape \(2, 2, 2\)"):
        replace(done, spreads=dict.fromkeys(NAMES, small))
