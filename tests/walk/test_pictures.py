"""Pictures of a walk: contrast, movie frames and the contact sheet."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image
from walk_models import CHOSEN

from napari_integrated_cell.walk.pictures import contact_sheet, film_picture, tiles_of


def test_contrast_is_fixed_over_the_walk() -> None:
    frame = np.zeros((3, 4, 5, 6), np.float32)
    frame[:, 1, 2, 3] = (0.2, 0.4, 0.3)
    most = np.array([0.4, 0.4, 0.6], np.float32)
    tiles = tiles_of(frame, ("membrane", "dna", "TOM20"), 2, most)
    bright = tiles_of(frame * 2, ("membrane", "dna", "TOM20"), 2, most)
    assert list(tiles) == ["membrane and DNA", "TOM20"]
    # Magenta at half brightness and cyan at full brightness add up at the one voxel, seen from above.
    np.testing.assert_array_equal(tiles["membrane and DNA"][2, 3], (128, 255, 255))
    np.testing.assert_array_equal(bright["membrane and DNA"][2, 3], (255, 255, 255))
    assert tiles["TOM20"][2, 3].sum() < bright["TOM20"][2, 3].sum()


def test_the_film_says_the_stage_how_far_it_is_and_what_is_simulated() -> None:
    tiles = {name: np.full((9, 8, 3), 90, np.uint8) for name in ("membrane and DNA", "TOM20", "ZO1")}

    def picture(title="Interphase", note="simulated", share=0.5):
        return film_picture(tiles, title, note, share=share, stops=(0, 1)).astype(int)

    first = picture()
    changed = [
        np.abs(first - other) > 0
        for other in (picture(title="Metaphase"), picture(note="real"), picture(share=1))
    ]
    assert all(c.any() for c in changed)
    rows = [np.flatnonzero(c.any((1, 2))) for c in changed]
    assert rows[0].max() < 44 < rows[2].min(), "the title is above, the line beneath"
    assert rows[1].min() > rows[2].min(), "and the note beneath that"


def test_the_contact_sheet_has_a_row_a_time_point_and_a_column_a_structure(traversal) -> None:
    sheet = contact_sheet(traversal)
    assert sheet.columns == ("membrane and DNA", *CHOSEN)
    assert sheet.rows[:2] == ("0  Interphase", "1  Interphase to Prophase 1")
    assert [len(row) for row in sheet.tiles] == [3] * 5
    assert "simulated cells" in sheet.note
    picture = sheet.to_rgb()
    width, height, left, top, whole = sheet.layout()
    assert picture.shape == (top + 5 * (height + 8), whole, 3)
    brightest = traversal.brightest()
    for i in (0, 4):
        tile = tiles_of(traversal[i], traversal.channels, 2, brightest)["TOM20"]
        there = picture[top + i * (height + 8) :][:height, left + width + 8 :][:, :width]
        small = np.asarray(Image.fromarray(there).resize(tile.shape[1::-1], Image.Resampling.BOX)).astype(int)
        assert np.abs(small - tile).mean() < 12


def test_a_structure_outside_the_vocabulary_is_shown_by_its_name(model, traversal, tmp_path) -> None:
    from napari_integrated_cell.walk.pictures import ContactSheet

    tile = np.zeros((5, 6, 3), np.uint8)
    sheet = ContactSheet("<a> & b", "note", ("0  Interphase",), ("tubes & dots",), ((tile,),))
    assert ElementTree.fromstring(sheet.to_svg()).find("{http://www.w3.org/2000/svg}title").text == "<a> & b"
    assert b"tubes &amp; dots" in sheet.to_svg()
