"""OME-Zarr, in folders and zip files, is read with its names and sizes, or refused with one clear sentence."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microscope_files import stack
from ome_zarr_files import VERSIONS, ZARR_2_ONLY, write_group, write_ome_zarr, zipped

from napari_integrated_cell.imaging.reading import MissingInput, read_image, read_labels

SIZE = {"z": 0.29, "y": 0.11, "x": 0.1}
NAMES = ("CMDRP", "H3342")


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


def is_well_read(image, data, names=NAMES):
    np.testing.assert_array_equal(image.data, data)
    assert image.channel_names == names
    assert image.voxel_size == pytest.approx((0.29, 0.11, 0.1))
    assert image.notes == ()


# --- Whole files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.zarr", "a.ome.zarr", "folder"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_folder_is_read_with_its_names_sizes_and_finest_level(tmp_path, version, name, lazy):
    data = stack((2, 4, 24, 20))
    path = write_ome_zarr(tmp_path / name, data, version=version, names=NAMES, voxel_size=SIZE, levels=3)
    image = read_image(path, lazy=lazy)
    assert hasattr(image.data, "compute") == lazy
    is_well_read(image, data)
    assert set(image.named()) == {"membrane", "dna"}


@pytest.mark.parametrize("name", ["a.zarr.zip", "a.ozx", "a.ome.zarr.zip"])
@pytest.mark.parametrize("top", ["", "a.ome.zarr/"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_zip_file_is_read_like_its_folder(tmp_path, version, name, top, lazy):
    data = stack((2, 4, 24, 20))
    folder = write_ome_zarr(
        tmp_path / "a.zarr", data, version=version, names=NAMES, voxel_size=SIZE, levels=2
    )
    is_well_read(read_image(zipped(folder, tmp_path / name, top), lazy=lazy), data)


@pytest.mark.parametrize("reader", ["bioio", "aicsimageio"])
def test_the_chosen_reader_gives_the_same(tmp_path, version, reader):
    if reader == "aicsimageio" and importlib.util.find_spec("aicsimageio") is None:
        pytest.skip("aicsimageio has an environment of its own")
    data = stack((2, 4, 24, 20))
    path = write_ome_zarr(tmp_path / "a.zarr", data, version=version, names=NAMES, voxel_size=SIZE, levels=2)
    is_well_read(read_image(path, reader=reader), data)
    is_well_read(read_image(path, reader=reader, lazy=True), data)


@given(
    order=st.permutations("tcz"),
    sizes=st.fixed_dictionaries({"t": st.integers(1, 3), "c": st.integers(1, 3), "z": st.integers(2, 4)}),
    dtype=st.sampled_from(["u1", ">u2", "<i4", "f4", ">f8", "u8"]),
    chunks=st.lists(st.integers(1, 7), min_size=5, max_size=5),
    version=st.sampled_from(VERSIONS),
    separator=st.sampled_from("./"),
    in_zip=st.booleans(),
    lazy=st.booleans(),
    data=st.data(),
)
@settings(deadline=None, max_examples=30)
def test_axes_types_and_chunks_of_any_kind(
    tmp_path_factory, order, sizes, dtype, chunks, version, separator, in_zip, lazy, data
):
    axes = "".join(order) + "yx"
    dtype = np.dtype(dtype) if version == "0.4" else np.dtype(dtype).newbyteorder("=")
    written = stack((*[sizes[a] for a in order], 7, 5)).astype(dtype)
    folder = tmp_path_factory.mktemp("z")
    written[:] += written.dtype.type(1)  # chunks of zeros are not written
    path = write_ome_zarr(
        folder / "a.zarr", written, axes, version=version, chunks=tuple(chunks), separator=separator
    )
    if in_zip:
        path = zipped(path, folder / "a.zarr.zip")
    time = data.draw(st.integers(0, sizes["t"] - 1))
    image = read_image(path, time=time, lazy=lazy)
    expected = np.transpose(written, [axes.index(a) for a in "tczyx"])[time]
    np.testing.assert_array_equal(image.data, expected)
    assert image.data.dtype == dtype.newbyteorder("=")
    assert not any("lacks" in note for note in image.notes)


@pytest.mark.skipif(ZARR_2_ONLY, reason="shards need zarr 3")
def test_shards(tmp_path):
    data = stack((2, 4, 24, 20))
    path = write_ome_zarr(
        tmp_path / "a.zarr", data, version="0.5", chunks=(1, 1, 6, 5), shards=(1, 2, 12, 10), names=NAMES,
        voxel_size=SIZE,
    )  # fmt: skip
    is_well_read(read_image(path), data)
    lazy = read_image(path, lazy=True)
    is_well_read(lazy, data)
    assert lazy.data.chunksize == (1, 2, 12, 10)


@pytest.mark.skipif(ZARR_2_ONLY, reason="this writer needs zarr 3")
@pytest.mark.parametrize("form", [2, 3])
def test_what_bioio_writes(tmp_path, form):
    writers = pytest.importorskip("bioio_ome_zarr.writers")
    data = stack((1, 2, 4, 24, 20))
    writer = writers.OMEZarrWriter(
        store=str(tmp_path / "a.zarr"),
        level_shapes=[data.shape, (1, 2, 4, 12, 10)],
        dtype=data.dtype,
        zarr_format=form,
        channels=[writers.Channel(label=name, color="FFFFFF") for name in NAMES],
        axes_names=["t", "c", "z", "y", "x"],
        axes_types=["time", "channel", "space", "space", "space"],
        axes_units=[None, None, "micrometer", "micrometer", "micrometer"],
        physical_pixel_size=[1.0, 1.0, 0.29, 0.11, 0.1],
    )
    writer.write_full_volume(data)
    is_well_read(read_image(tmp_path / "a.zarr"), data[0])


@pytest.mark.skipif(not ZARR_2_ONLY, reason="ome-zarr comes with aicsimageio's environment")
def test_what_ome_zarr_writes(tmp_path):
    writer = pytest.importorskip("ome_zarr.writer")
    import zarr

    data = stack((2, 4, 24, 20))
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    scales = [[{"type": "scale", "scale": [1, 0.29, 0.11 * f, 0.1 * f]}] for f in (1, 2, 4, 8, 16)]
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    writer.write_image(data, group, axes=axes, coordinate_transformations=scales)
    group.attrs["omero"] = {"channels": [{"label": name} for name in NAMES]}
    is_well_read(read_image(tmp_path / "a.zarr"), data)


def test_complex_numbers_are_refused_by_name(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.zarr", stack().astype(np.complex64), version=version)
    with pytest.raises(ValueError, match="holds complex64 values"):
        read_image(path)


def test_a_lazy_image_reads_only_what_is_asked(tmp_path, version):
    data = stack((2, 4, 24, 20))
    path = write_ome_zarr(tmp_path / "a.zarr", data, version=version)
    image = read_image(path, lazy=True)
    (path / "0" / (".zarray" if version == "0.4" else "zarr.json")).unlink()  # nothing is opened again
    chunks = sorted(p for p in (path / "0").rglob("*") if p.is_file())
    for chunk in chunks:
        if chunk.parts[-4:-2] != ("1", "2"):
            chunk.write_bytes(b"broken")
    np.testing.assert_array_equal(image.data[1, 2].compute(scheduler="synchronous"), data[1, 2])
    with pytest.raises(ValueError, match=r"a\.zarr could not be read"):
        image.data[0].compute(scheduler="synchronous")


# --- Sizes, scenes, labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "factor"), [("nanometer", 1000), ("millimeter", 1e-3), (None, 1)])
def test_units(tmp_path, version, unit, factor):
    sizes = {axis: size * factor for axis, size in SIZE.items()}
    path = write_ome_zarr(tmp_path / "a.zarr", stack(), version=version, voxel_size=sizes, unit=unit)
    image = read_image(path)
    assert image.voxel_size == pytest.approx((0.29, 0.11, 0.1))
    assert any("without a unit: µm were assumed" in note for note in image.notes) == (unit is None)
    assert read_image(path, voxel_size=(0.3, 0.1, 0.1)).notes == ()


def test_the_scale_of_the_image_is_a_factor_of_that_of_the_level(tmp_path):
    path = write_ome_zarr(tmp_path / "a.zarr", stack(), voxel_size=SIZE)
    attributes = json.loads((path / ".zattrs").read_text())
    factor = [{"type": "scale", "scale": [1, 2, 2, 2]}]
    attributes["multiscales"][0]["coordinateTransformations"] = factor
    write_group(path, attributes)
    assert read_image(path).voxel_size == pytest.approx((0.58, 0.22, 0.2))


def test_a_default_scale_is_no_voxel_size(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.zarr", stack(), version=version, unit=None)
    assert read_image(path).voxel_size is None
    strange = write_ome_zarr(tmp_path / "b.zarr", stack(), version=version, voxel_size=SIZE, unit="parsec")
    image = read_image(strange)
    assert image.voxel_size is None
    assert "'parsec'" in image.notes[0]


def test_a_level_order_that_is_wrong_does_not_matter(tmp_path):
    data = stack((2, 4, 24, 20))
    path = write_ome_zarr(tmp_path / "a.zarr", data, voxel_size=SIZE, names=NAMES, levels=3)
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"].reverse()
    write_group(path, attributes)
    is_well_read(read_image(path), data)


def test_files_of_before_0_3_have_five_axes_without_names(tmp_path):
    data = stack((1, 2, 4, 6, 5))
    path = write_ome_zarr(tmp_path / "a.zarr", data, "tczyx")
    write_group(path, {"multiscales": [{"version": "0.2", "datasets": [{"path": "0"}]}]})
    np.testing.assert_array_equal(read_image(path).data, data[0])
    write_group(path, {"multiscales": [{"version": "0.3", "axes": [*"tczyx"], "datasets": [{"path": "0"}]}]})
    np.testing.assert_array_equal(read_image(path).data, data[0])


def test_axes_that_are_not_known_are_asked_for(tmp_path):
    path = write_ome_zarr(tmp_path / "a.zarr", stack())
    attributes = json.loads((path / ".zattrs").read_text())
    for axis, name in zip(attributes["multiscales"][0]["axes"], ("k", "plane", "row", "column"), strict=True):
        axis |= {"name": name, "type": "other"}
    write_group(path, attributes)
    with pytest.raises(MissingInput, match="does not say what its axes") as raised:
        read_image(path)
    assert raised.value.what == "axes"
    np.testing.assert_array_equal(read_image(path, axes="CZYX").data, stack())


def test_several_images_are_scenes(tmp_path, version):
    path = write_group(tmp_path / "a.zarr", {"bioformats2raw.layout": 3}, version)
    write_group(path / "OME", {"series": ["0", "1"]}, version)
    for i in (0, 1):
        write_ome_zarr(path / str(i), stack(seed=i), version=version, names=NAMES, voxel_size=SIZE)
    np.testing.assert_array_equal(read_image(path, scene=1).data, stack(seed=1))
    assert read_image(path).notes == ("a.zarr has 2 scenes: scene 0 was read.",)
    is_well_read(read_image(path / "1"), stack(seed=1))
    zip_file = zipped(path, tmp_path / "a.zarr.zip")
    np.testing.assert_array_equal(read_image(zip_file, scene="1").data, stack(seed=1))


def test_a_label_image_beside_the_image(tmp_path, version):
    labels = np.zeros((4, 6, 5), np.uint32)
    labels[1:3, 2:4, 2:4] = 7  # the first and the last plane are not written
    path = write_ome_zarr(
        tmp_path / "a.zarr", stack(), version=version, voxel_size=SIZE, names=NAMES, labels=labels
    )
    read, voxel_size = read_labels(path / "labels" / "cells")
    np.testing.assert_array_equal(read, labels)
    assert voxel_size == pytest.approx((0.29, 0.11, 0.1))
    assert read_image(path / "labels" / "cells").notes == ()
    is_well_read(read_image(path), stack())


# --- What is missing or damaged -------------------------------------------------------------------------------


def chunk_files(path: Path) -> list[Path]:
    return sorted(
        p
        for p in (path / "0").rglob("*")
        if p.is_file() and p.name not in (".zarray", "zarr.json", ".zattrs")
    )


@pytest.mark.parametrize("in_zip", [False, True])
def test_planes_that_are_missing_are_named(tmp_path, version, in_zip):
    data = stack((2, 6, 8, 9)) + np.uint16(1)
    path = write_ome_zarr(tmp_path / "a.zarr", data, version=version, chunks=(1, 2, 8, 9))
    inside = path / "0" if version == "0.4" else path / "0" / "c"
    shutil.rmtree(inside / "1" / "1")
    shutil.rmtree(inside / "1" / "2")
    image = read_image(zipped(path, tmp_path / "a.zarr.zip") if in_zip else path)
    expected = data.copy()
    expected[1, 2:] = 0
    np.testing.assert_array_equal(image.data, expected)
    assert len(image.notes) == 1
    assert "lacks 4 of 12 planes (C 1, Z 2-5). They are read as 0" in image.notes[0]


def test_chunks_that_are_missing_in_a_plane_are_counted(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.zarr", stack() + np.uint16(1), version=version, chunks=(1, 1, 3, 5))
    chunk_files(path)[3].unlink()
    assert "lacks 1 of 16 chunks. They are read as 0" in read_image(path).notes[0]


def test_an_image_without_any_chunk_is_refused(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.zarr", np.zeros((2, 4, 6, 5), np.uint16), version=version)
    for chunk in chunk_files(path):
        chunk.unlink()
    with pytest.raises(ValueError, match="holds no pixels: none of its 8 chunks is there"):
        read_image(path)


def test_a_finest_level_that_is_missing_is_not_replaced_by_a_coarser_one(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.zarr", stack((2, 4, 24, 20)), version=version, levels=2)
    shutil.rmtree(path / "0")
    with pytest.raises(ValueError, match="its level 0, the one with the most pixels, is not there"):
        read_image(path)


@pytest.mark.parametrize("in_zip", [False, True])
def test_a_chunk_cut_short_is_refused(tmp_path, version, in_zip):
    path = write_ome_zarr(tmp_path / "a.zarr", stack((2, 4, 60, 50)), version=version)
    for keep in (0, 10, 500):
        chunk = chunk_files(path)[2]
        chunk.write_bytes(chunk.read_bytes()[:keep])
        read = zipped(path, tmp_path / "a.zarr.zip") if in_zip else path
        with pytest.raises(ValueError, match=r"a\.zarr(\.zip)? could not be read"):
            read_image(read)


def test_a_zip_file_cut_short_is_refused(tmp_path, version):
    folder = write_ome_zarr(tmp_path / "a.zarr", stack((2, 4, 60, 50)), version=version)
    path = zipped(folder, tmp_path / "a.zarr.zip")
    whole = path.read_bytes()
    for part in (0, 0.5, 0.99):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ValueError, match="could not be read"):
            read_image(path)


def test_damaged_metadata_are_refused(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.zarr", stack(), version=version)
    where = path / (".zattrs" if version == "0.4" else "zarr.json")
    whole = where.read_text()
    for text in (whole[:40], "[]", ""):
        where.write_text(text)
        with pytest.raises(ValueError, match=r"metadata file .* is damaged"):
            read_image(path)


# --- Other folders ----------------------------------------------------------------------------------------------


def test_a_plate_names_one_of_its_images(tmp_path, version):
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]
    path = write_group(tmp_path / "plate.zarr", {"plate": {"wells": wells}}, version)
    write_group(path / "A", {}, version)
    write_group(path / "A" / "1", {"well": {"images": [{"path": "0"}]}}, version)
    write_ome_zarr(path / "A" / "1" / "0", stack(), version=version, names=NAMES, voxel_size=SIZE)
    with pytest.raises(ValueError, match=r"a plate of several wells: .* plate\.zarr/A/1/0\.$"):
        read_image(path)
    with pytest.raises(ValueError, match=r"a well of several fields: .* 1/0\.$"):
        read_image(path / "A" / "1")
    is_well_read(read_image(path / "A" / "1" / "0"), stack())


def test_a_zarr_that_is_no_image_is_refused(tmp_path, version):
    (tmp_path / "empty.zarr").mkdir()
    write_group(tmp_path / "group.zarr", {}, version)
    inside = write_group(tmp_path / "spatial.zarr", {}, version)
    write_group(inside / "images", {}, version)
    write_ome_zarr(inside / "images" / "a", stack(), version=version)
    bare = write_ome_zarr(tmp_path / "b.zarr", stack(), version=version) / "0"
    (tmp_path / "file.zarr").write_text("no Zarr")
    (tmp_path / "empty.zarr.zip").write_bytes(b"PK\5\6" + 18 * b"\0")
    os.rename(bare, tmp_path / "array.zarr")
    for name, match in {
        "empty.zarr": "is no OME-Zarr image",
        "group.zarr": "is no OME-Zarr image",
        "empty.zarr.zip": "is no OME-Zarr image",
        "array.zarr": "is a Zarr array without OME metadata",
        "file.zarr": "could not be read",
        "spatial.zarr": r"there are images in it: give one, for example spatial\.zarr/images/a",
    }.items():
        with pytest.raises(ValueError, match=match) as raised:
            read_image(tmp_path / name)
        assert len(str(raised.value)) < 300


@pytest.mark.skipif(not ZARR_2_ONLY, reason="zarr 3 reads both formats")
def test_format_3_is_refused_where_only_format_2_can_be_read(tmp_path):
    scales = {"axes": [{"name": a} for a in "zyx"], "datasets": [{"path": "0"}]}
    path = write_group(tmp_path / "a.zarr", {"multiscales": [scales]}, "0.5")
    (path / "0").mkdir()
    (path / "0" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array", "shape": [2, 3, 4]}')
    with pytest.raises(ValueError, match="reads only format 2"):
        read_image(path)
