"""Layers of files as people have them: type, scale, units, contrast, and what is said about them."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import tifffile
from integrate_window import fields
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from ome_zarr_files import write_ome_zarr
from stack_files import SHAPE, VOXEL, intensities, labels, write_imagej, write_ome, write_two_scenes

from napari_integrated_cell.imaging.formats.planes import Planes
from napari_integrated_cell.plugin.layers.roles import shows
from napari_integrated_cell.plugin.layers.volumes import micrometres_per_unit, voxel_size_of
from napari_integrated_cell.plugin.opening import layers as opening
from napari_integrated_cell.plugin.opening.notices import BUTTON, NotOpened
from napari_integrated_cell.plugin.reader import get_reader, read


def opened(path) -> list[Layer]:
    """Open a file as napari does."""
    viewer = ViewerModel()
    for data, options, kind in read(str(path)):
        getattr(viewer, f"add_{kind}")(data, **options)
    return list(viewer.layers)


@pytest.fixture
def planes_read(monkeypatch) -> list[tuple[int, ...]]:
    """The indices of all planes that are read from TIFF files."""
    seen: list[tuple[int, ...]] = []
    whole = Planes.plane

    def plane(self, index):
        seen.append(index)
        return whole(self, index)

    monkeypatch.setattr(Planes, "plane", plane)
    return seen


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("unit", "per_micrometre"),
    [("inch", 1 / 25400), ("nanometers", 1000.0), ("mm", 1e-3), ("\\u00B5m", 1.0), ("micron", 1.0)],
)
def test_sizes_are_right_in_any_unit(tmp_path, unit, per_micrometre):
    data = intensities().transpose(1, 0, 2, 3)
    z, _, x = (edge * per_micrometre for edge in VOXEL)
    layers = opened(write_imagej(tmp_path / "field.tif", data, "ZCYX", x, z, unit))
    assert len(layers) == 2
    for layer in layers:
        np.testing.assert_allclose(layer.scale, VOXEL, rtol=1e-3)
        assert micrometres_per_unit(layer) == (1, 1, 1)


@pytest.mark.parametrize("unit", ["furlong", "pixel", ""])
def test_a_size_that_is_not_known_is_asked_for_and_not_made_up(tmp_path, unit, notified):
    data = intensities().transpose(1, 0, 2, 3)
    (layer, _) = opened(write_imagej(tmp_path / "field.tif", data, "ZCYX", 0.4, 0.6, unit))
    np.testing.assert_allclose(layer.scale, 1)
    assert {str(u) for u in layer.units} == {"pixel"}
    assert voxel_size_of(layer) is None
    ((severity, said),) = notified
    assert severity == "warning"
    assert "field.tif states" in said
    assert "in pixels" in said or "its voxel size is not known" in said


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_contrast_is_finite_where_values_are_not(tmp_path, broken):
    data = intensities(2, np.float32)
    data[..., :3] = broken
    for layer in opened(write_ome(tmp_path / "field.ome.tif", data, "CZYX", ("CellMask", "Hoechst"))):
        low, high = layer.contrast_limits
        assert np.isfinite((low, high)).all()
        assert 50 < low < 150
        assert 500 < high < 1100


def test_a_channel_without_values_still_opens(tmp_path):
    data = intensities(2, np.float32)
    data[1] = np.nan
    layers = opened(write_ome(tmp_path / "field.ome.tif", data, "CZYX"))
    assert all(np.isfinite(layer.contrast_limits).all() for layer in layers)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int16, np.float32, np.uint64, bool])
@pytest.mark.parametrize("name", ["cells.ome.tif", "nuclei.tif", "measured.tif"])
def test_labels_open_as_labels_whatever_their_type_and_name(tmp_path, name, dtype):
    volume = labels(dtype)
    path = tmp_path / name
    if name.endswith(".ome.tif"):
        # OME-TIFF has neither bool nor 64 bits.
        write_ome(path, volume.astype({bool: np.uint8, np.uint64: np.uint32}.get(dtype, dtype)), "ZYX")
    else:
        tifffile.imwrite(path, volume, photometric="minisblack")
    (layer,) = opened(path)
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, volume.astype(np.int64))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64, np.int64, np.float64])
def test_large_ids_are_kept(tmp_path, monkeypatch, dtype, lazy):
    if lazy:
        monkeypatch.setattr(opening, "_MOST_BYTES", 0)
    ids = (1, 2**31 + 7)
    path = tmp_path / "tracks.tif"
    tifffile.imwrite(path, labels(dtype, ids), photometric="minisblack")
    (layer,) = opened(path)
    assert isinstance(layer, Labels)
    assert layer.get_value((6, 20, 37)) == ids[1]
    assert np.asarray(layer.data).max() == ids[1]
    assert np.dtype(layer.data.dtype) != np.uint64


@pytest.mark.parametrize(
    ("name", "role"), [("tubulin_cells", "cells"), ("actin_nuclei", "nuclei"), ("tubulin", None)]
)
def test_a_segmentation_is_no_structure_whatever_its_name(tmp_path, name, role):
    (layer,) = opened(write_ome(tmp_path / f"{name}.ome.tif", labels(), "ZYX"))
    assert isinstance(layer, Labels)
    assert "shows" not in fields(layer)
    assert shows(layer, True) == role
    (image,) = opened(write_ome(tmp_path / f"{name}_image.ome.tif", intensities()[0], "ZYX"))
    assert isinstance(image, Image)


def test_a_mask_among_stains_is_labels(tmp_path):
    data = np.stack([*intensities(2), 255 * (labels() > 0).astype(np.uint16)])
    layers = opened(write_ome(tmp_path / "field.ome.tif", data, "CZYX", ("CellMask", "Hoechst", "GFP")))
    assert [type(layer) for layer in layers] == [Image, Image, Labels]


# ---------------------------------------------------------------- time series and large images


def test_a_time_series_opens_lazily_with_a_time_axis(tmp_path, planes_read, notified):
    data = np.stack([intensities() + 10 * t for t in range(20)]).astype(np.uint16)
    path = write_ome(tmp_path / "series.ome.tif", data, "TCZYX", ("CellMask", "Hoechst"))
    layers = opened(path)
    assert [fields(layer)["shows"] for layer in layers] == ["membrane", "dna"]
    for c, layer in enumerate(layers):
        assert isinstance(layer.data, da.Array)
        assert layer.data.shape == (20, *SHAPE)
        assert layer.axis_labels == ("t", "z", "y", "x")
        np.testing.assert_allclose(layer.scale[1:], VOXEL)
        np.testing.assert_array_equal(layer.data[7, 3], data[7, c, 3])
        assert micrometres_per_unit(layer) == (1, 1, 1)
    assert len(set(planes_read)) < 0.15 * 20 * 2 * SHAPE[0]
    assert notified == []


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_a_series_of_labels_and_one_in_another_order(tmp_path, axes):
    volumes = np.stack([labels()] * 5)
    data = volumes if axes == "TZYX" else volumes.transpose(1, 0, 2, 3)
    (layer,) = opened(write_ome(tmp_path / "cells.ome.tif", data, axes))
    assert isinstance(layer, Labels)
    assert layer.data.shape == (5, *SHAPE)
    np.testing.assert_array_equal(layer.data[2], labels())


@pytest.mark.parametrize(("number", "unit", "seconds"), [(30, "s", 30), (2.5, "min", 150), (500, "ms", 0.5)])
def test_the_time_between_time_points_is_the_scale_of_time(tmp_path, number, unit, seconds):
    data = np.stack([intensities()] * 3)
    ome = {"TimeIncrement": number, "TimeIncrementUnit": unit}
    (layer, _) = opened(write_ome(tmp_path / "a.ome.tif", data, "TCZYX", **ome))
    np.testing.assert_allclose(layer.scale, (seconds, *VOXEL))
    assert [str(u) for u in layer.units] == ["second", *["micrometer"] * 3]
    stack = {"axes": "TZCYX", "finterval": number, "tunit": unit}
    tifffile.imwrite(tmp_path / "b.tif", data.swapaxes(1, 2), imagej=True, metadata=stack)
    (layer, _) = opened(tmp_path / "b.tif")
    np.testing.assert_allclose(layer.scale, (seconds, 1, 1, 1))
    assert [str(u) for u in layer.units] == ["second", *["pixel"] * 3]


def test_a_series_without_times_is_in_pixels_along_time(tmp_path):
    (layer, _) = opened(write_ome(tmp_path / "a.ome.tif", np.stack([intensities()] * 3), "TCZYX"))
    assert [str(u) for u in layer.units] == ["pixel", *["micrometer"] * 3]


def test_a_zarr_series_opens_with_a_time_axis(tmp_path):
    sizes = dict(zip("zyx", VOXEL, strict=True))
    data = np.stack([intensities()] * 3)
    path = write_ome_zarr(tmp_path / "a.ome.zarr", data, "tczyx", names=("membrane", "dna"), voxel_size=sizes)
    layers = opened(path)
    assert [layer.name for layer in layers] == ["membrane · a", "dna · a"]
    assert layers[1].data.shape == (3, *SHAPE)
    np.testing.assert_allclose(layers[1].scale[1:], VOXEL)


def test_a_large_image_stays_on_the_disk(tmp_path, monkeypatch, planes_read):
    data = np.repeat(intensities(1), 10, axis=1)
    path = write_ome(tmp_path / "large.ome.tif", data, "CZYX")
    (small,) = opened(path)
    assert isinstance(small.data, np.ndarray)
    planes_read.clear()
    monkeypatch.setattr(opening, "_MOST_BYTES", data.nbytes - 1)
    (large,) = opened(path)
    assert isinstance(large.data, da.Array)
    assert len(set(planes_read)) <= 20
    np.testing.assert_allclose(large.contrast_limits, small.contrast_limits, rtol=0.1)
    np.testing.assert_array_equal(large.data, small.data)


def test_an_image_that_would_fill_the_memory_stays_on_the_disk(tmp_path, monkeypatch):
    path = write_ome(tmp_path / "field.ome.tif", intensities(), "CZYX")
    monkeypatch.setattr(opening, "_MOST_OF_FREE_MEMORY", 1e-9)
    assert isinstance(opened(path)[0].data, da.Array)


# ---------------------------------------------------------------- what is said


@pytest.fixture
def buttons():
    """The buttons of every notification."""
    from napari.utils.notifications import notification_manager

    seen: list[list[str]] = []

    def hear(event) -> None:
        seen.append([text for text, _ in event.actions])

    notification_manager.notification_ready.connect(hear)
    yield seen
    notification_manager.notification_ready.disconnect(hear)


def test_the_stack_of_a_file_with_an_overview_is_opened_and_told(tmp_path, notified, buttons):
    layers = opened(write_two_scenes(tmp_path / "field.ome.tif"))
    assert [fields(layer)["channel"] for layer in layers] == ["CellMask", "Hoechst"]
    ((_, said),) = notified
    assert "field.ome.tif has 2 scenes: scene 1 was read" in said
    assert buttons == [[BUTTON]]


def test_a_damaged_plane_is_one_sentence(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, intensities(), ome=True, compression="zlib", metadata={"axes": "CZYX"})
    with tifffile.TiffFile(path) as tif:
        begin = tif.pages[7].dataoffsets[0]
    damaged = bytearray(path.read_bytes())
    damaged[begin : begin + 200] = bytes(200)
    path.write_bytes(damaged)
    with pytest.raises(NotOpened) as refused:
        read(str(path))
    assert str(refused.value).count("could not be read") == 1


def test_missing_planes_are_told(tmp_path, notified):
    path = tmp_path / "stopped.ome.tif"
    write_ome(path, intensities(1)[0], "ZYX")
    with tifffile.TiffFile(path) as tif:
        text = tif.ome_metadata
    tifffile.tiffcomment(
        path, text.replace('SizeZ="12"', 'SizeZ="20"').replace('PlaneCount="12"', 'PlaneCount="20"').encode()
    )
    (layer,) = opened(path)
    assert layer.data.shape == SHAPE
    assert any("should have 20 planes and holds 12" in said for _, said in notified)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda p: write_imagej(p, labels(), "TYX", 0.4, 0.6, "um"),
            "if T is really Z, give its axes as ZYX",
        ),
        (lambda p: write_ome(p, intensities(9)[:, 5], "CYX"), "if C is really Z"),
        (lambda p: write_ome(p, intensities()[:, 5], "CYX"), "flat picture"),
        (lambda p: p.write_bytes(b"II*\0 this is no image"), "damaged"),
    ],
)
def test_a_refusal_is_one_sentence_and_the_way_to_the_dialog(tmp_path, write, said):
    path = tmp_path / "a.ome.tif"
    write(path)
    with pytest.raises(NotOpened, match=said) as refused:
        read(str(path))
    assert "a.ome.tif" in str(refused.value)
    assert str(refused.value).endswith("File > IO Utilities > Open image with choices.")
    assert [text for text, _ in refused.value.actions] == [BUTTON]  # napari shows them in the notification


def test_the_preferred_reader_is_used(tmp_path, monkeypatch):
    from napari_integrated_cell.plugin import preferences

    path = write_ome(tmp_path / "a.ome.tif", intensities(), "CZYX")
    monkeypatch.setattr(
        preferences, "_setting", lambda name, default: {"reader": "none such"}.get(name, default)
    )
    with pytest.raises(NotOpened, match="no reader 'none such'"):
        read(str(path))


@pytest.mark.parametrize("chosen_by", ["the only reader", "preferences", "the user"])
def test_a_refusal_is_shown_once_also_where_napari_replaces_it(tmp_path, monkeypatch, notified, chosen_by):
    """napari shows a sentence of its own for a reader that it has chosen itself."""
    from napari.plugins import utils
    from npe2 import PluginManager

    name = "a.czi" if chosen_by == "the only reader" else "a.tif"
    (tmp_path / name).write_bytes(b"II*\0 this is no image")
    able = [type("Reader", (), {"plugin_name": "napari-integrated-cell"})]
    if name == "a.tif":
        able.append(type("Reader", (), {"plugin_name": "napari"}))
    preferred = "napari-integrated-cell" if chosen_by == "preferences" else None
    monkeypatch.setattr(PluginManager, "iter_compatible_readers", lambda self, paths: able)
    monkeypatch.setattr(utils, "get_preferred_reader", lambda path: preferred)
    with pytest.raises(NotOpened) as refused:
        read(str(tmp_path / name))
    assert notified == ([] if chosen_by == "the user" else [("error", str(refused.value))])


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "kind", "role"),
    [
        ("hipsc_tomm20_field/cell_labels.ome.tif", Labels, "cells"),
        ("hipsc_tomm20_field/nucleus_labels.ome.tif", Labels, "nuclei"),
        ("hipsc_tomm20_field/tomm20_mask.ome.tif", Labels, None),
        ("hela3d/LAM_01_cell.ome.tif", Labels, "cells"),
        ("hela3d/LAM_01_nucleus.ome.tif", Labels, "nuclei"),
        ("hela3d/LAM_01_protein.ome.tif", Image, None),
    ],
)
def test_real_files_open_as_what_they_hold(real_data, notified, file, kind, role):
    path = real_data / file
    assert get_reader(str(path)) is read
    (layer,) = opened(path)
    assert type(layer) is kind
    assert shows(layer, kind is Labels) == role
    assert voxel_size_of(layer) is not None
    assert notified == []
