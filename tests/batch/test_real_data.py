"""All real cells beside the project in one batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_integrated_cell.batch.cell_row import BatchSettings
from napari_integrated_cell.batch.folder import fields_of_folder
from napari_integrated_cell.batch.journal import Journal
from napari_integrated_cell.batch.listing import list_fields
from napari_integrated_cell.batch.run import JOURNAL, SEGMENTED, integrate_batch

pytestmark = [pytest.mark.slow, pytest.mark.real_data, pytest.mark.timeout(1800)]


def test_every_real_cell_with_a_nucleus_is_posed_and_embedded(real_data, tmp_path, model):
    found = fields_of_folder(real_data)
    assert {Path(item.path).name for item in found.unused} == {"lamp1_mask.ome.tif", "tomm20_mask.ome.tif"}
    assert not found.faulty
    journal = Journal(tmp_path / JOURNAL)
    listed = list_fields(found, tmp_path / SEGMENTED, journal)
    counts = {field.files.name: len(field.labels or ()) for field in listed}
    hela = [name for name in counts if name.startswith("hela3d/")]
    assert len(hela) == 98
    assert sum(counts[name] for name in hela) == 98
    assert {name: n for name, n in counts.items() if name not in hela} == {
        "hipsc_30_cells": 30,
        "hipsc_lamp1_field": 7,
        "hipsc_tomm20_field": 13,
        "wtc11_single_cell/CellId416089": 1,
    }
    settings = BatchSettings(str(model), "cpu", ("TOM20",), write="none")
    result = integrate_batch(found, listed, settings, tmp_path, journal)
    assert [(row["cell_id"], "nucleus" in row["reason"]) for row in result.failed] == [
        ("hipsc_lamp1_field/1", True)
    ]
    assert result.made == 148
    assert all(row["classified_as"] for row in result.rows if row["field"] in hela)
    volumes = {row["cell_id"]: row["cell_volume"] for row in result.rows if row["outcome"] == "ok"}
    assert volumes["hipsc_tomm20_field/6"] == pytest.approx(2134, rel=0.01)
    assert volumes["hipsc_lamp1_field/3"] == pytest.approx(2125, rel=0.01)
