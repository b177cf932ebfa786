"""Cells of the public dataset are chosen by structure, stage and random seed."""

from __future__ import annotations

import itertools

from napari_ic_train.data.choice import Choice, choose, genes, stage_codes


def write_table(path, rows):
    columns = ("CellId", "crop_raw", "crop_seg", "structure_name", "cell_stage", "outlier", "edge_flag")
    lines = [",".join(columns)]
    for i, (gene, stage, outlier, edge) in enumerate(rows):
        lines.append(f"{i},raw/{i},seg/{i},{gene},{stage},{outlier},{edge}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_more_cells_are_the_same_ones_and_further_ones(tmp_path):
    listed = write_table(tmp_path / "t.csv", [("TJP1", "M0", "No", 0)] * 200)
    chosen = [[c.cell_id for c in choose(listed, Choice(cells=n))["TJP1"]] for n in (1, 10, 11, 150)]
    for fewer, more in itertools.pairwise(chosen):
        assert more[: len(fewer)] == fewer
    assert len(set(chosen[-1])) == 150
    assert set(chosen[1]) != {c.cell_id for c in choose(listed, Choice(cells=10, seed=1))["TJP1"]}
    rows = listed.read_text().splitlines()
    listed.write_text("\n".join([rows[0], *reversed(rows[1:])]))
    assert [c.cell_id for c in choose(listed, Choice(cells=10))["TJP1"]] == chosen[1]


def test_outliers_and_lone_daughters_are_left_out_until_asked_for(tmp_path):
    rows = [
        ("FBL", "M0", "No", 0),
        ("FBL", "M0", "Yes", 0),
        ("FBL", "M6M7_single", "No", 0),
        ("FBL", "M4M5", "No", 1),
    ]

    def chosen(**more):
        listed = write_table(tmp_path / "t.csv", rows)
        return sorted(c.cell_id for c in choose(listed, Choice(**more))["FBL"])

    assert chosen() == ["0", "3"]
    assert chosen(keep_outliers=True) == ["0", "1", "3"]
    assert chosen(keep_edge=False) == ["0"]
    assert chosen(stages=("M6M7_single",)) == ["2"]
    assert chosen(stages=("metaphase", "interphase")) == ["0", "3"]


def test_structures_are_found_by_any_name_and_other_genes_when_asked():
    there = ["TOMM20", "LMNB1", "NPM1"]
    assert genes((), there) == ("LMNB1", "TOMM20")
    assert genes(("mitochondria", "lamin B1", "npm1"), there) == ("TOMM20", "LMNB1", "NPM1")
    assert genes(("all",), there) == ("LMNB1", "NPM1", "TOMM20")
    assert stage_codes(("prophase-1", "m3")) == {"M1M2", "M3"}
