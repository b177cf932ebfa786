"""The options that say how a file is read, on files as people have them: each refusal names its option."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from tiff_files import NAMES, SIZES, UNITS, edit_xml, write_imagej
from typer.testing import CliRunner

from napari_integrated_cell.cli import app
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.model.bundle import save_bundle
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell

VOXEL = (0.6, 0.4, 0.4)
SHAPE = (20, 40, 50)


def ball(radii):
    grid = (np.indices(SHAPE).T - (10, 20, 25)) * VOXEL
    return ((grid / radii) ** 2).sum(-1).T <= 1


CELLS = ball((5, 7, 9)).astype(np.uint16) * 3
NUCLEI = ball((2.5, 3, 4)).astype(np.uint16) * 3
STAINS = np.stack([(CELLS > 0) * 900, (NUCLEI > 0) * 700]).astype(np.uint16)
STAINS += np.random.default_rng(0).integers(100, 110, STAINS.shape).astype(np.uint16)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.zip"
    save_bundle(
        IntegratedCell.untrained(preset("tiny")),
        path,
        card={"simulated": True},
        model_card_markdown="# tiny\n",
    )
    return path


@pytest.fixture
def folder(tmp_path):
    write_ome_tiff(tmp_path / "cells.ome.tif", {"labels": CELLS}, VOXEL)
    write_ome_tiff(tmp_path / "nuclei.ome.tif", {"labels": NUCLEI}, VOXEL)
    return tmp_path


def integrate(model, folder, image, *more, labels=("cells.ome.tif", "nuclei.ome.tif")):
    given = () if image is None else (folder / image,)
    files = ("--cells", folder / labels[0], "--nuclei", folder / labels[1])
    out = folder / "out.ome.tiff"
    arguments = ("integrate", *given, *files, "--model", model, "--out", out, "--json", *more)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def write_ome(path, data, axes="CZYX", **more):
    metadata = {"axes": axes, **(NAMES if axes == "CZYX" else {}), **SIZES, **UNITS, **more}
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata)
    return path


def test_a_big_endian_stack_of_fiji_with_labels_of_fiji(model, folder):
    write_imagej(folder / "field.tif", STAINS.transpose(1, 0, 2, 3))
    for name, labels in (("cells.tif", CELLS), ("nuclei.tif", NUCLEI)):
        write_imagej(folder / name, labels, "ZYX")
    chosen = ("--membrane", 0, "--dna", 1, "--label", 3)
    result = integrate(model, folder, "field.tif", *chosen, labels=("cells.tif", "nuclei.tif"))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["cells"][0]["cell"] == "cell 3"


def test_bare_planes_by_turns_are_divided_by_the_number_of_channels(model, folder):
    planes = STAINS.transpose(1, 0, 2, 3).reshape(-1, *SHAPE[1:])
    tifffile.imwrite(folder / "field.tif", planes, photometric="minisblack", metadata=None)
    write_imagej(folder / "nuclei.tif", NUCLEI, "TYX")  # its axes are those of the image without channels
    labels = ("cells.ome.tif", "nuclei.tif")
    chosen = ("--membrane", 0, "--dna", 1, "--voxel-size", "0.6,0.4,0.4")
    refused = integrate(model, folder, "field.tif", *chosen, labels=labels)
    assert refused.exit_code == 1
    assert "no channel 1: if its planes are" in refused.output
    assert "(--axes)" in refused.output
    result = integrate(model, folder, "field.tif", *chosen, "--axes", "ZC2YX", labels=labels)
    assert result.exit_code == 0, result.output


def test_a_size_of_zero_keeps_the_names_and_can_be_given(model, folder):
    path = write_ome(folder / "field.ome.tif", STAINS)
    edit_xml(path, ('PhysicalSizeZ="0.6"', 'PhysicalSizeZ="0"'))
    result = integrate(model, folder, path.name, "--voxel-size", "0.6,0.4,0.4")
    assert result.exit_code == 0, result.output
    for name in ("cells.ome.tif", "nuclei.ome.tif"):
        edit_xml(folder / name, ('PhysicalSizeZ="0.6"', 'PhysicalSizeZ="0"'))
    result = integrate(model, folder, path.name)
    assert result.exit_code == 1
    assert "states 0 in Z, 0.4 µm in Y and X" in result.stderr
    assert "(--voxel-size)" in result.stderr


def test_planes_stored_as_time_points(model, folder):
    for name, labels in (("cells.tif", CELLS), ("nuclei.tif", NUCLEI)):
        write_imagej(folder / name, labels, "TYX", metadata={"spacing": None})
    files = {"labels": ("cells.tif", "nuclei.tif")}
    result = integrate(model, folder, None, "--voxel-size", "0.6,0.4,0.4", **files)
    assert result.exit_code == 1
    assert "20 time points" in result.stderr
    assert "(--axes)" in result.stderr
    result = integrate(model, folder, None, "--voxel-size", "0.6,0.4,0.4", "--axes", "ZYX", **files)
    assert result.exit_code == 0, result.output


def test_axes_of_the_image_serve_its_label_images_too(model, folder):
    write_imagej(folder / "field.tif", STAINS.transpose(1, 0, 2, 3), "TCYX", metadata={"spacing": None})
    for name, labels in (("cells.tif", CELLS), ("nuclei.tif", NUCLEI)):
        write_imagej(folder / name, labels, "TYX", metadata={"spacing": None})
    chosen = ("--axes", "ZCYX", "--voxel-size", "0.6,0.4,0.4", "--membrane", 0, "--dna", 1)
    result = integrate(model, folder, "field.tif", *chosen, labels=("cells.tif", "nuclei.tif"))
    assert result.exit_code == 0, result.output


def test_a_scene_and_a_time_point_are_chosen(model, folder):
    with tifffile.TiffWriter(folder / "field.ome.tif", ome=True) as tif:
        tif.write(np.zeros((32, 32, 3), np.uint8), photometric="rgb", metadata={"axes": "YXS"})
        series = np.stack([np.zeros_like(STAINS), STAINS])
        metadata = {"axes": "TCZYX", **NAMES, **SIZES, **UNITS}
        tif.write(series, photometric="minisblack", metadata=metadata)
    result = integrate(model, folder, "field.ome.tif", "--time", 1)
    assert result.exit_code == 0, result.output
    assert "scene 1 was read, the first that is a Z stack" in result.stderr
    assert "time point 1 was read" in result.stderr
    assert integrate(model, folder, "field.ome.tif", "--time", 1, "--scene", 1).exit_code == 0
    for option, value in (("--scene", "9"), ("--time", "5")):
        result = integrate(model, folder, "field.ome.tif", option, value)
        assert result.exit_code == 1
        assert f"({option})" in result.stderr
    result = integrate(model, folder, "field.ome.tif")  # the first time point is 0 everywhere
    assert result.exit_code == 1
    assert "0 everywhere" in result.stderr


def test_a_label_file_of_several_channels(model, folder):
    write_ome(folder / "labels.ome.tif", np.stack([CELLS, NUCLEI]), Channel={"Name": ["cell", "nucleus"]})
    result = integrate(model, folder, None, labels=("labels.ome.tif:cell", "labels.ome.tif:1"))
    assert result.exit_code == 0, result.output
    result = integrate(model, folder, None, labels=("labels.ome.tif", "labels.ome.tif:1"))
    assert result.exit_code == 1
    assert "has 2 channels (cell, nucleus)" in result.stderr
    assert "--cells FILE:CHANNEL" in result.stderr


def test_nan_at_the_border_is_replaced_and_told(model, folder):
    stains = STAINS.astype(np.float32)
    stains[..., :3] = np.nan
    write_ome(folder / "field.ome.tif", stains)
    result = integrate(model, folder, "field.ome.tif")
    assert result.exit_code == 0, result.output
    stains[1] = 0
    write_ome(folder / "empty.ome.tif", stains)
    result = integrate(model, folder, "empty.ome.tif")
    assert result.exit_code == 1
    assert "dna" in result.stderr
    assert "0 everywhere" in result.stderr


def test_an_unknown_reader_is_refused(model, folder):
    write_ome(folder / "field.ome.tif", STAINS)
    result = integrate(model, folder, "field.ome.tif", "--reader", "bioformats")
    assert result.exit_code == 1
    assert "choose auto, bioio, aicsimageio (--reader)" in result.stderr
    assert integrate(model, folder, "field.ome.tif", "--reader", "bioio").exit_code == 0
