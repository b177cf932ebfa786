"""Read tables that spreadsheets save: separators, encodings, byte order marks, quotes, Windows paths."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.csv_file import open_csv
from napari_integrated_cell.data.entry import Entry, FaultyRow
from napari_integrated_cell.data.rows import flag, literal, path_in, text

OWN = {
    "cell_id": "a/1",
    "image": "field.ome.tif",
    "structure": "mitochondria",
    "cell_segmentation": "cells.tif",
    "nucleus_segmentation": "nuclei.tif",
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-mark", "utf-16-be-mark", "cp1252"]
LATIN = "µÄöé°ß–€abc019_-. "
"""Characters that code page 1252 has too."""


def encoded(content: str, encoding: str) -> bytes:
    if encoding.endswith("-mark"):
        return ("\ufeff" + content).encode(encoding.removesuffix("-mark"))
    return content.encode(encoding)


def written(rows, separator=",", ending="\n", quoting=csv.QUOTE_MINIMAL) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, lineterminator=ending, quoting=quoting).writerows(rows)
    return file.getvalue()


@given(
    values=st.lists(st.text(alphabet=LATIN + ",;\t'\"", max_size=12).map(str.strip), min_size=3, max_size=3),
    separator=st.sampled_from(",;\t"),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(ENCODINGS),
    separator_line=st.booleans(),
)
def test_every_way_a_spreadsheet_saves_gives_the_same_rows(
    tmp_path_factory, values, separator, ending, quoting, encoding, separator_line
):
    row = {**OWN, "first": values[0], "with, comma; and tab\t": values[1], "µ": values[2]}
    content = written([row.keys(), row.values()], separator, ending, quoting)
    if separator_line:
        content = f"sep={separator}{ending}{content}"
    # Two letters such as "Ä°" are one valid character in UTF-8: such a file is refused.
    assume(encoding != "cp1252" or content.encode(encoding).decode("utf-8", "ignore").isascii())
    path = tmp_path_factory.mktemp("any") / "metadata.csv"
    path.write_bytes(encoded(content, encoding))
    file = open_csv(path)
    assert file.separator == separator
    (found,) = file.rows()
    assert found == {name.strip(): value for name, value in row.items()}
    assert open_table(path).layout.name == "table of your own"


def test_a_separator_in_a_quoted_name_does_not_count(tmp_path):
    (tmp_path / "a.csv").write_text('"a, b, c, d";crop_seg\n1;x.tif\n')
    assert open_csv(tmp_path / "a.csv").columns == ("a, b, c, d", "crop_seg")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_cell_is_read_from_every_kind_of_text(tmp_path, separator, encoding):
    row = {**OWN, "image": "Größe/5 µm.ome.tif", "voxel_size": "0.29, 0.108, 0.108"}
    path = tmp_path / "mine.csv"
    path.write_bytes(encoded(written([row.keys(), row.values()], separator), encoding))
    (entry,) = open_table(path).entries()
    assert (entry.structure, entry.voxel_size) == ("TOM20", (0.29, 0.108, 0.108))
    assert entry.path == str(tmp_path / "Größe/5 µm.ome.tif")


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\xff\xfe\x00",
        "cell_id,image\n1,a".encode("utf-16-le"),  # without its mark
        b"\xff\xfea",  # half a character
        b"\xef\xbb\xbfcell_id\nm\xfcde",
        "cell_id\nmüde µm\n".encode() + b"\xfc\n",
        b"cell_id\n\x81\x8d\n",  # neither UTF-8 nor code page 1252
    ],
)
def test_what_is_no_text_is_said_in_one_sentence(tmp_path, content):
    (tmp_path / "picture.csv").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"picture\.csv cannot be read as text.*save it as CSV in UTF-8"
    ) as caught:
        open_csv(tmp_path / "picture.csv")
    assert len(str(caught.value)) < 300


def test_a_character_cut_by_the_readers_chunk_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_integrated_cell.data.csv_file._CHUNK", 5)
    (tmp_path / "a.csv").write_text("cell,µ\nµµµµ,äöü\n", encoding="utf-8")
    file = open_csv(tmp_path / "a.csv")
    assert (file.encoding, list(file.rows())) == ("utf-8", [{"cell": "µµµµ", "µ": "äöü"}])


def test_a_value_without_an_end_is_one_error(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n1,"' + "x" * 200_000 + "\n")
    with pytest.raises(ValueError, match=r"cannot be read as a table.*double quotes"):
        list(open_csv(tmp_path / "a.csv").rows())


names = st.text(alphabet="abcäµ 01_-", min_size=1, max_size=6).filter(lambda name: name == name.strip())


@pytest.mark.skipif(os.name == "nt", reason="Windows reads its own paths")
@given(parts=st.lists(names, min_size=1, max_size=4), dotted=st.booleans())
def test_a_windows_path_names_the_same_file_as_the_systems_own(parts, dotted):
    start = [".", *parts] if dotted else parts
    folder = Path("/data")
    found = path_in(folder, "\\".join(start))
    assert Path(found) == Path(path_in(folder, "/".join(start))) == folder.joinpath(*parts)


@pytest.mark.skipif(os.name == "nt", reason="a name cannot hold a backslash there")
def test_a_file_with_a_backslash_in_its_name_is_found(tmp_path):
    (tmp_path / "a\\b.tif").touch()
    assert path_in(tmp_path, "a\\b.tif") == str(tmp_path / "a\\b.tif")
    assert path_in(tmp_path, "a\\c.tif") == str(tmp_path / "a" / "c.tif")


def test_an_absolute_path_stays_as_it_is(tmp_path):
    assert path_in(tmp_path, "/elsewhere/a.tif") == str(Path("/elsewhere/a.tif"))


PLAIN_TYPES = (int, float, complex, str, bytes, bool, list, tuple, dict, set, type(...))
simple = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
nested = st.recursive(
    simple,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(nested, max_size=3) | st.dictionaries(st.text(), nested, max_size=3))
def test_any_list_or_dictionary_written_as_python_comes_back(value):
    assert literal({"c": str(value)}, "c", None) == value


@given(st.text(max_size=60))
def test_any_text_in_a_cell_is_a_literal_or_is_refused(value):
    read = None
    with contextlib.suppress(ValueError):
        read = literal({"c": value}, "c", None)
    assert read is None or type(read) in PLAIN_TYPES


@pytest.mark.parametrize("word", ["", " ", "nan", "NaN", "None", "null", "<NA>"])
def test_words_for_nothing_are_empty(word):
    assert text({"a": word, "b": "x"}, "a", "b") == "x"
    assert not flag({"a": word}, "a")


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        min_size=5,
        max_size=5,
    )
)
def test_no_text_in_a_row_breaks_the_table(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("any") / "metadata.csv"
    path.write_bytes(written([OWN, values, OWN.values()]).encode())
    *_, last = found = list(open_table(path).entries())
    assert all(isinstance(entry, Entry | FaultyRow) for entry in found)
    assert (last.cell_id, last.structure) == ("a/1", "TOM20")
