"""A batch overwrites neither its inputs nor files that it did not write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_cells import write_tiny
from tiny_fields import write_image, write_labels

from napari_integrated_cell.batch.cell_row import BatchSettings
from napari_integrated_cell.batch.folder import fields_of_folder
from napari_integrated_cell.batch.found_fields import FoundFields, fields_of_table
from napari_integrated_cell.batch.journal import JOURNAL, Journal
from napari_integrated_cell.batch.listing import list_fields
from napari_integrated_cell.batch.run import integrate_batch
from napari_integrated_cell.batch.targets import (
    SEGMENTED,
    SOURCE,
    file_names,
    is_whole,
    safe_name,
    written_by_us,
)
from napari_integrated_cell.data.cell_table import open_table


def run(found: FoundFields, out: Path, settings: BatchSettings):
    """Run a batch; return its result and the ids of the cells that this call made."""
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(out / JOURNAL)
    if not journal.continued:
        journal.hold()
    listed = list_fields(found, out / SEGMENTED, journal)
    new: list[str] = []
    result = integrate_batch(
        found, listed, settings, out, journal, on_row=lambda row: new.append(row["cell_id"])
    )
    return result, new


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def table(folder: Path, fields: tuple[str, str]) -> Path:
    path = folder / "cells.csv"
    rows = [
        f"{i},plate/f1.ome.tif,plate/f1_cells.ome.tif,plate/f1_nuclei.ome.tif,{i},{field}\n"
        for i, field in enumerate(fields, start=2)
    ]
    path.write_text("cell_id,image,cell_segmentation,nucleus_segmentation,cell_label,field\n" + "".join(rows))
    return path


@pytest.fixture
def settings(model) -> BatchSettings:
    return BatchSettings(str(model), "cpu", ("TOM20",))


@pytest.fixture
def joined(settings) -> BatchSettings:
    return BatchSettings(settings.model, "cpu", ("TOM20",), write="field")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("day 2/f1", "day 2/f1"),
        ("../../f", "_/_/f"),
        ("/abs/x", "abs/x"),
        ("C:\\x\n", "C__x_"),
        (".working", "_working"),
        ("..", "_"),
        ("", "_"),
        ("контроль", "контроль"),
    ],
)
def test_a_name_stays_in_the_folder_of_the_results(name, safe):
    assert safe_name(name) == safe


def test_long_names_are_cut_and_stay_different(tmp_path):
    one, other = safe_name("y" * 300), safe_name("y" * 301)
    assert one != other
    (tmp_path / f".12345678.part.{one}.ome.tiff").write_bytes(b"")


def test_names_that_become_one_name_get_different_files(tmp_path):
    write_tiny(tmp_path, 3)
    path = next(tmp_path.rglob("*.csv"))
    text = path.read_text().replace("1000", "a:b").replace("1001", "A?b").replace("1002", "c")
    path.write_text(text)
    found = fields_of_table(open_table(path))
    names = file_names(found)
    assert len({name.casefold() for name in names.values()}) == len(found.entries)


@pytest.mark.parametrize("field", ["../plate/f1", "{folder}/plate/f1"])
def test_a_field_of_a_table_cannot_name_a_place_outside(plate, tmp_path, joined, field):
    write_image(plate / "f1.ome.tiff")
    before = everything(plate)
    field = field.format(folder=tmp_path)
    found = fields_of_table(open_table(table(tmp_path, (field, field))))
    result, _ = run(found, tmp_path / "out", joined)
    assert result.made == 2
    assert everything(plate) == before
    assert all((tmp_path / "out").resolve() in Path(row["file"]).parents for row in result.rows)


def test_an_input_is_refused_as_a_result(plate, tmp_path, joined, settings):
    (plate / "f1.ome.tif").rename(plate / "f1.ome.tiff")
    write_labels(plate / "plate", "f1_cells.ome.tif", "f1_nuclei.ome.tif")
    before = everything(tmp_path)
    with pytest.raises(ValueError, match=r"f1\.ome\.tiff is an input"):
        run(fields_of_folder(plate), tmp_path, joined)  # the field plate/f1 is fine, but not its file
    assert everything(tmp_path) == before


def test_files_of_others_are_refused_and_nothing_is_written(plate, tmp_path, settings, joined):
    out = tmp_path / "out"
    (out / "f1").mkdir(parents=True)
    for name, chosen in (
        ("f1/cell_2.ome.tiff", settings),
        ("f1.ome.tiff", joined),
        ("results.csv", settings),
        ("results.parquet", settings),
        (JOURNAL, settings),
    ):
        (out / name).write_bytes(b"of someone else")
        before = everything(out)
        with pytest.raises(ValueError, match=r"move it away, or give the results another folder") as refused:
            run(fields_of_folder(plate), out, chosen)
        assert Path(name).name in str(refused.value)
        assert everything(out) == before
        (out / name).unlink()
    assert run(fields_of_folder(plate), out, settings)[0].made == 4


def test_the_results_of_another_folder_are_kept(plate, tmp_path, settings):
    out, other = tmp_path / "out", tmp_path / "other"
    write_labels(other, "f1_cells.ome.tif", "f1_nuclei.ome.tif", first=4)
    run(fields_of_folder(plate), out, settings)
    before = everything(out)
    with pytest.raises(ValueError, match=r"holds the results of .*plate.*another folder with --out"):
        run(fields_of_folder(other), out, settings)
    lines = [line for line in (out / JOURNAL).read_text().splitlines() if json.loads(line)[0] != SOURCE]
    (out / JOURNAL).write_text("".join(f"{line}\n" for line in lines))  # as an earlier version wrote it
    with pytest.raises(ValueError, match=r"holds the results of .*plate"):
        run(fields_of_folder(other), out, settings)
    assert set(everything(out)) == set(before)
    assert run(fields_of_folder(plate), out, settings)[1] == []


@pytest.mark.parametrize("write", ["cell", "field"])
def test_results_of_an_earlier_version_go_on_also_after_a_kill(plate, tmp_path, settings, joined, write):
    out, chosen = tmp_path / "out", settings if write == "cell" else joined
    first, _ = run(fields_of_folder(plate), out, chosen)
    lines = []
    for line in (out / JOURNAL).read_text().splitlines():
        kind, name, record = json.loads(line)
        record.pop("file_bytes", None)
        if kind in ("field", "cell") and name != "f1/3":  # killed after the file, before its line
            lines.append(json.dumps([kind, name, record]) + "\n")
    (out / JOURNAL).write_text("".join(lines))
    again, new = run(fields_of_folder(plate), out, chosen)
    assert new == ["f1/3"]
    assert [row["file"] for row in again.rows] == [row["file"] for row in first.rows]


@pytest.mark.parametrize("write", ["cell", "field"])
@pytest.mark.parametrize("version", ["this", "earlier"])
def test_a_damaged_result_is_made_again(plate, tmp_path, settings, joined, write, version):
    out, chosen = tmp_path / "out", settings if write == "cell" else joined
    first, _ = run(fields_of_folder(plate), out, chosen)
    if version == "earlier":
        text = (out / JOURNAL).read_text().replace('"file_bytes"', '"x"').replace('["joined"', '["y"')
        (out / JOURNAL).write_text(text)
    file = Path(first.rows[0]["file"])
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    _, new = run(fields_of_folder(plate), out, chosen)
    assert new == (["f1/2"] if write == "cell" else ["f1/2", "f1/3"])
    assert len(file.read_bytes()) == len(whole)


def test_a_damaged_file_is_looked_at_in_silence(tmp_path, capfd, caplog):
    write_image(tmp_path / "x.ome.tif")
    whole = (tmp_path / "x.ome.tif").read_bytes()
    (tmp_path / "x.ome.tif").write_bytes(whole[: len(whole) // 2])
    assert not written_by_us(tmp_path / "x.ome.tif")
    assert not is_whole(tmp_path / "x.ome.tif", None)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_what_a_killed_call_had_begun_is_removed(plate, tmp_path, joined):
    out = tmp_path / "out"
    run(fields_of_folder(plate), out, joined)
    begun = [
        out / ".0a1b2c3d.part.f1.ome.tiff",
        out / "day 2" / ".0a1b2c3d.part.cell_1.ome.tiff",
        out / ".working" / "cells" / "f1" / ".0a1b2c3d.part.cell_2.ome.tiff",
        out / ".working" / ".canvas-x",
    ]
    for path in begun:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"begun")
    run(fields_of_folder(plate), out, joined)
    assert not any(path.exists() for path in begun)
    other = tmp_path / "new" / begun[0].name  # no call of ours was there before
    other.parent.mkdir()
    other.write_bytes(b"begun")
    run(fields_of_folder(plate), tmp_path / "new", joined)
    assert other.exists()
    assert not (out / ".working").exists()


def test_cells_that_are_not_found_any_more_are_counted(plate, tmp_path, settings):
    run(fields_of_folder(plate), tmp_path / "out", settings)
    (plate / "f1_cells.ome.tif").unlink()
    result, _ = run(fields_of_folder(plate), tmp_path / "out", settings)
    assert result.dropped == 2
    assert (tmp_path / "out" / "f1" / "cell_2.ome.tiff").exists()


@pytest.mark.parametrize("content", [b"mine\n", b'{"a": 1}\n', b'["x", 1, 2]\nmore\n', b"\xff\xfe\n"])
def test_a_file_that_is_no_journal_is_named(tmp_path, content):
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(ValueError, match=r"journal\.jsonl is no journal .* move it away"):
        Journal(tmp_path / JOURNAL)
    assert (tmp_path / JOURNAL).read_bytes() == content


def test_a_journal_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(OSError, match=r"journal\.jsonl cannot be read"):
        Journal(tmp_path / JOURNAL)
