"""An image in several files: each of them opens it, and the one that is at fault is named."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from microscope_files import write_ome
from tiff_files import stains

from napari_integrated_cell.imaging.reading import read_image


def write_set(folder, *, metadata: str) -> list:
    """One image in two files, with the metadata in both, in the first, or in a companion."""
    paths = [folder / f"{i}.ome.tif" for i in range(2)]
    for i, path in enumerate(paths):
        write_ome(path, stains()[i], "ZYX")
    blocks = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="7"><UUID FileName="{i}.ome.tif">urn:uuid:{i}</UUID></TiffData>'
        for i in range(2)
    )
    channels = '<Channel ID="Channel:0:0" Name="CellMask"/><Channel ID="Channel:0:1" Name="Hoechst"/>'
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:%s">'
        '<Image ID="Image:0"><Pixels DimensionOrder="XYZCT" SizeX="11" SizeY="9" SizeZ="7" SizeC="2" SizeT="1" '
        'Type="uint16" PhysicalSizeX="0.4" PhysicalSizeY="0.4" PhysicalSizeZ="0.6">'
        f"{channels}{blocks}</Pixels></Image></OME>"
    )
    elsewhere = "0.ome.tif" if metadata == "first" else "set.companion.ome"
    only = f'<OME UUID="urn:uuid:%s"><BinaryOnly MetadataFile="{elsewhere}" UUID="urn:uuid:0"/></OME>'
    for i, path in enumerate(paths):
        own = metadata == "both" or (metadata == "first" and i == 0)
        tifffile.tiffcomment(path, ((xml if own else only) % i).encode())
    if metadata == "companion":
        (folder / elsewhere).write_text(xml % "c")
    return paths


@pytest.mark.parametrize("metadata", ["both", "first", "companion"])
def test_a_set_of_files_is_read_from_each_of_them(tmp_path, metadata):
    for path in write_set(tmp_path, metadata=metadata):
        image = read_image(path)
        np.testing.assert_array_equal(image.data, stains())
        assert image.channel_names == ("CellMask", "Hoechst")
        assert image.voxel_size == pytest.approx((0.6, 0.4, 0.4))


@pytest.mark.parametrize("metadata", ["both", "companion"])
def test_a_missing_file_of_a_set_is_named(tmp_path, metadata):
    first, second = write_set(tmp_path, metadata=metadata)
    second.unlink()
    with pytest.raises(ValueError, match=r"1\.ome\.tif, .* is not in the same folder"):
        read_image(first)


def test_missing_metadata_of_a_set_are_named(tmp_path):
    first, _ = write_set(tmp_path, metadata="companion")
    (tmp_path / "set.companion.ome").unlink()
    with pytest.raises(ValueError, match=r"set\.companion\.ome, which is not beside it"):
        read_image(first)


def test_another_file_under_the_name_of_one_of_the_set_is_refused(tmp_path):
    first, second = write_set(tmp_path, metadata="both")
    write_ome(second, stains()[0], "ZYX")  # tifffile gives it a UUID of its own
    with pytest.raises(ValueError, match=r"^0\.ome\.tif .*1\.ome\.tif beside it is another file"):
        read_image(first)


def test_a_file_of_the_set_without_a_uuid_of_its_own_is_read(tmp_path):
    first, second = write_set(tmp_path, metadata="both")
    tifffile.imwrite(second, stains()[1], photometric="minisblack", ome=False)
    np.testing.assert_array_equal(read_image(first).data, stains())


@pytest.mark.parametrize("share", [0, 0.3, 0.6])
def test_a_damaged_file_of_the_set_is_the_one_that_is_named(tmp_path, share):
    first, second = write_set(tmp_path, metadata="both")
    content = second.read_bytes()
    second.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"1\.ome\.tif .*damaged") as caught:
        read_image(first)
    assert str(caught.value).count("could not be read") <= 1
    assert "0.ome.tif could" not in str(caught.value)
    assert "0.ome.tif is damaged" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_damaged_companion_is_named(tmp_path, share):
    first, _ = write_set(tmp_path, metadata="companion")
    companion = tmp_path / "set.companion.ome"
    text = companion.read_text()
    companion.write_text(text[: int(share * len(text))])
    try:
        said = " ".join(read_image(first).notes)
    except ValueError as error:
        said = str(error)
    assert "set.companion.ome" in said
    assert "damaged" in said
