"""Cell -> pose -> model -> volumes over the cell, with a model whose predictions are known."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_integrated_cell.cell import Cell
from napari_integrated_cell.imaging.pose import Box, pose_of, to_image
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.integration import (
    Integration,
    classify_cell,
    integrate_cell,
    model_box,
    quantised,
    save_field,
    to_cell_image,
    to_field,
)
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.runtime import Cancelled, CancelToken

CONFIG = preset("tiny")


class DnaEverywhere:
    """Stands in for a model: says that every structure lies where the DNA is, so that placement can be checked."""

    config = CONFIG
    name = "fake"
    trained_on = "simulated cells"
    typicality = latent = None

    def encode(self, x, *, cancel=None, **_):
        if cancel is not None:
            cancel.raise_if_cancelled()
        self.seen = np.asarray(x)
        return np.zeros((len(x), CONFIG.n_ref), np.float32)

    def decode_structures(
        self, z_ref, structures=None, *, cancel=None, progress=None, on_structure=None, **_
    ):
        volumes = {}
        for name in structures or CONFIG.structures:
            if cancel is not None:
                cancel.raise_if_cancelled()
            volumes[name] = self.seen[:, 1]
            if on_structure is not None:
                on_structure(name, volumes[name])
        return volumes

    def classify(self, x):
        # The brighter the structure channel is, the more probable the last structure is.
        y = np.zeros((len(x), CONFIG.n_structures), np.float32)
        y[:, -1] = x[:, 2].max()
        y[:, 0] = 1 - y[:, -1]
        return y


def ellipsoid_cell(angle: float = 0.5, offset: tuple[int, int, int] = (0, 0, 0)) -> Cell:
    """A slanted, asymmetrical cell of 26 x 16 x 8 µm with a nucleus to one side."""
    voxel = (0.6, 0.5, 0.5)
    z, y, x = np.indices((24, 64, 72)) * np.reshape(voxel, (3, 1, 1, 1))
    z, y, x = z - 7, y - 16, x - 18
    u, v = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    body = (u / 13) ** 2 + (v / (8 + 0.2 * u)) ** 2 + (z / 4) ** 2 <= 1
    nucleus = ((u - 3) / 4) ** 2 + (v / 3) ** 2 + (z / 2.5) ** 2 <= 1
    return Cell({}, body, nucleus, voxel, name="ellipsoid", offset=offset)


def test_structures_come_back_over_the_nucleus_they_were_predicted_in():
    cell = ellipsoid_cell()
    done = integrate_cell(cell, DnaEverywhere(), ["fibrillarin"])
    placed = to_cell_image(done)["fibrillarin"]
    assert placed.shape == cell.shape
    where = np.argwhere(placed > 0.5 * placed.max()) * cell.voxel_size
    nucleus = np.argwhere(cell.nucleus_mask) * cell.voxel_size
    assert np.linalg.norm(where.mean(0) - nucleus.mean(0)) < 0.4  # µm, a third of a box voxel
    overlap = (placed > 0.5) & cell.nucleus_mask
    assert overlap.sum() > 0.7 * cell.nucleus_mask.sum()


def test_results_stream_in_as_single_volumes_and_the_whole_result_agrees():
    seen = {}
    done = integrate_cell(ellipsoid_cell(), DnaEverywhere(), on_structure=seen.__setitem__)
    assert list(seen) == list(CONFIG.structures)
    assert seen["TOM20"].shape == CONFIG.box
    np.testing.assert_array_equal(seen["TOM20"], done.volumes["TOM20"])
    assert done.z_ref.shape == (CONFIG.n_ref,)
    assert done.references.shape == (2, *CONFIG.box)


def test_a_pose_worked_out_before_is_used():
    cell = ellipsoid_cell()
    pose = pose_of(cell, model_box(CONFIG))
    assert integrate_cell(cell, DnaEverywhere(), ["ZO1"], pose=pose).pose is pose


class Everywhere(DnaEverywhere):
    """Decodes light in every voxel of the box."""

    def decode_structures(self, z_ref, structures=None, *, on_structure=None, **run):
        volumes = {name: np.ones((1, *CONFIG.box), np.float32) for name in structures}
        for name, volume in volumes.items():
            if on_structure is not None:
                on_structure(name, volume)
        return volumes


def test_predictions_are_masked_by_the_cell_unless_told_otherwise():
    cell = ellipsoid_cell()
    bare = integrate_cell(cell, Everywhere(), ["ZO1"], masked=False)
    np.testing.assert_array_equal(bare.volumes["ZO1"], 1)
    seen = {}
    masked = integrate_cell(cell, Everywhere(), ["ZO1"], on_structure=seen.__setitem__).volumes["ZO1"]
    np.testing.assert_array_equal(seen["ZO1"], masked)
    # As much light as the cell has volume, grown by 0.3 µm; and the light lies where the cell is.
    volume = masked.sum() * CONFIG.voxel_size**3
    assert cell.volume < volume < 1.5 * cell.volume
    inside = to_image(masked, bare.pose, cell.shape, cell.voxel_size)
    assert inside[ndimage.binary_erosion(cell.cell_mask, iterations=3)].min() > 0.5
    assert inside[~ndimage.binary_dilation(cell.cell_mask, iterations=5)].max() < 0.5


def test_cancelling_stops_the_integration():
    token = CancelToken()
    with pytest.raises(Cancelled):
        integrate_cell(
            ellipsoid_cell(), DnaEverywhere(), cancel=token, on_structure=lambda *_: token.cancel()
        )


def test_the_classifier_sees_the_named_channel_and_ranks_its_opinion():
    cell = ellipsoid_cell()
    bright = Cell({"x": cell.cell_mask * 100.0}, cell.cell_mask, cell.nucleus_mask, cell.voxel_size)
    opinion = classify_cell(bright, "x", DnaEverywhere())
    assert list(opinion.values()) == sorted(opinion.values(), reverse=True)
    assert next(iter(opinion)) == CONFIG.structures[-1]
    with pytest.raises(ValueError, match="no channel"):
        classify_cell(bright, "y", DnaEverywhere())


def test_a_field_holds_each_cell_at_its_offset_and_nothing_elsewhere():
    near, far = ellipsoid_cell(offset=(0, 0, 0)), ellipsoid_cell(angle=-0.3, offset=(2, 70, 80))
    shape = (30, 140, 160)
    field = to_field((integrate_cell(c, DnaEverywhere(), ["TOM20"]) for c in (near, far)), shape)
    assert list(field) == ["membrane", "dna", "TOM20"]
    volume = field["TOM20"]
    assert volume.shape == shape
    for cell in (near, far):
        window = tuple(slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
        assert volume[window][cell.nucleus_mask].mean() > 0.5
    assert volume[:, :60, 90:].max() == 0


def test_integer_fields_use_their_whole_range():
    cells = [integrate_cell(ellipsoid_cell(), DnaEverywhere(), ["TOM20"])]
    as_float = to_field(cells, (24, 64, 72))["TOM20"]
    as_integer = to_field(cells, (24, 64, 72), np.uint16)["TOM20"]
    assert as_integer.dtype == np.uint16
    np.testing.assert_allclose(as_integer / 65535, np.clip(as_float, 0, 1), atol=1e-4)
    assert quantised(np.array([-1, 0.5, 2], np.float32), np.uint8).tolist() == [0, 128, 255]


def test_a_cell_that_its_image_does_not_hold_is_refused():
    done = integrate_cell(ellipsoid_cell(offset=(0, 0, 5)), DnaEverywhere(), ["TOM20"])
    with pytest.raises(
        ValueError, match=r"at \(0, 0, 5\), does not fit into an image of shape \(24, 64, 72\)"
    ):
        to_field([done], (24, 64, 72))


def test_cells_of_several_voxel_sizes_are_not_one_field():
    cell = ellipsoid_cell()
    other = Cell({}, cell.cell_mask, cell.nucleus_mask, (0.6, 0.4, 0.4), name="other")
    done = [integrate_cell(c, DnaEverywhere(), ["TOM20"]) for c in (cell, other)]
    with pytest.raises(ValueError, match="'other' has a voxel size of"):
        to_field(done, cell.shape)


def test_a_volume_that_does_not_fill_the_box_is_refused():
    done = integrate_cell(ellipsoid_cell(), DnaEverywhere(), ["TOM20"])
    with pytest.raises(ValueError, match=r"'TOM20' has shape \(2, 2, 2\), but the model's box"):
        replace(done, volumes={"TOM20": np.zeros((2, 2, 2), np.float32)})


def test_saving_in_the_images_frame_states_the_images_voxel_size(tmp_path):
    cell = ellipsoid_cell(offset=(2, 3, 4))
    done = integrate_cell(cell, DnaEverywhere(), ["TOM20"])
    crop = read_image(done.save(tmp_path / "crop.ome.tiff"))
    assert crop.channel_names == ("membrane", "dna", "TOM20")
    assert crop.data.shape[1:] == cell.shape
    assert crop.voxel_size == pytest.approx(cell.voxel_size)
    np.testing.assert_array_equal(crop.channel("TOM20"), quantised(to_cell_image(done)["TOM20"], np.uint16))
    whole = read_image(done.save(tmp_path / "whole.ome.tiff", shape=(30, 70, 80)))
    assert whole.data.shape[1:] == (30, 70, 80)
    np.testing.assert_array_equal(whole.data[:, 2:26, 3:67, 4:76], crop.data)


def test_saving_in_the_models_frame_states_the_models_voxel_size(tmp_path):
    done = integrate_cell(ellipsoid_cell(), DnaEverywhere(), ["TOM20"])
    image = read_image(done.save(tmp_path / "model.ome.tiff", "model"))
    assert image.data.shape == (3, *CONFIG.box)
    assert image.voxel_size == pytest.approx((CONFIG.voxel_size,) * 3)
    np.testing.assert_array_equal(image.channel("TOM20"), quantised(done.volumes["TOM20"], np.uint16))
    with tifffile.TiffFile(tmp_path / "model.ome.tiff") as file:
        assert "the model &apos;fake&apos;, trained on simulated cells" in file.ome_metadata.replace(
            "'", "&apos;"
        )


@pytest.mark.parametrize("shape", [None, (30, 70, 80)])
def test_a_file_of_bytes_says_its_scale(tmp_path, shape):
    done = integrate_cell(ellipsoid_cell(offset=(2, 3, 4)), DnaEverywhere(), ["TOM20"])
    path = done.save(tmp_path / "bytes.ome.tiff", shape=shape, dtype="uint8")
    image = read_image(path)
    assert image.data.dtype == np.uint8
    expected = quantised(to_cell_image(done)["TOM20"], np.uint8)
    found = image.channel("TOM20")
    np.testing.assert_array_equal(found if shape is None else found[2:26, 3:67, 4:76], expected)
    assert "255 means an intensity of 1." in (tifffile.TiffFile(path).ome_metadata or "")
    with pytest.raises(ValueError, match="choose uint16 or uint8"):
        done.save(path, dtype="float32")


def test_only_frames_that_there_are_can_be_saved(tmp_path):
    done = integrate_cell(ellipsoid_cell(), DnaEverywhere(), ["TOM20"])
    with pytest.raises(ValueError, match="choose image or model"):
        done.save(tmp_path / "a.ome.tiff", "box")
    with pytest.raises(ValueError, match="has a fixed shape"):
        done.save(tmp_path / "a.ome.tiff", "model", shape=(30, 70, 80))
    done.save(tmp_path / "a.ome.tiff")
    with pytest.raises(FileExistsError):
        done.save(tmp_path / "a.ome.tiff", overwrite=False)
    with pytest.raises(ValueError, match="no integrated cell"):
        save_field(tmp_path / "b.ome.tiff", [], (30, 70, 80))
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.tiff"]


@given(edge=st.floats(0.05, 2), voxel=st.tuples(*[st.floats(0.05, 2)] * 3))
@settings(max_examples=15)
def test_a_prediction_is_never_written_with_a_voxel_size_that_is_not_its_own(tmp_path_factory, edge, voxel):
    """For any box and image, a file states the size of the voxels that it holds, or it is not written."""
    cell = ellipsoid_cell()
    cell = Cell({}, cell.cell_mask, cell.nucleus_mask, voxel)
    box = Box((4, 6, 8), edge)
    volume = np.zeros(box.shape, np.float32)
    done = Integration(
        cell, pose_of(cell, box), np.stack([volume] * 2), np.zeros(3, np.float32), {"ZO1": volume}, "m"
    )
    out = tmp_path_factory.mktemp("w") / "a.ome.tiff"
    assert read_image(done.save(out, "model")).voxel_size == pytest.approx((edge,) * 3)
    assert read_image(done.save(out, "image")).voxel_size == pytest.approx(voxel)
    own = [(done.volumes, (edge,) * 3), (to_cell_image(done), voxel), (to_field([done], cell.shape), voxel)]
    for volumes, size in own:
        write_ome_tiff(out, volumes, size)
        for stated in ((edge,) * 3, voxel):
            if not np.allclose(stated, size, rtol=1e-3, atol=0):
                with pytest.raises(ValueError, match=r"have a voxel size of .* not"):
                    write_ome_tiff(out, volumes, stated)
    assert read_image(out).voxel_size == pytest.approx(voxel)


def test_a_copied_or_sent_result_keeps_its_voxel_size():
    done = integrate_cell(ellipsoid_cell(), DnaEverywhere(), ["TOM20"])
    for volumes in (copy.copy(done.volumes), pickle.loads(pickle.dumps(done.volumes))):
        assert volumes.voxel_size == (CONFIG.voxel_size,) * 3
        assert list(volumes) == ["TOM20"]


def test_its_repr_is_one_informative_line():
    done = integrate_cell(ellipsoid_cell(), DnaEverywhere(), ["TOM20", "ZO1"])
    assert repr(done) == (
        "<Integration of 'ellipsoid' by the model 'fake', trained on simulated cells: TOM20, ZO1; "
        f"{model_box(CONFIG)}>"
    )
