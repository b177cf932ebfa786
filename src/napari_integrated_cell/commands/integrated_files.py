"""One field: integrate the cells that the options name, write one file, and say what was written."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from napari_integrated_cell.commands import options
from napari_integrated_cell.commands.options import PROGRAM
from napari_integrated_cell.console import report

if TYPE_CHECKING:
    from napari_integrated_cell.imaging.choices import ReadingChoices
    from napari_integrated_cell.integration import FileType, Integration


def summary_of(integration: Integration) -> dict[str, Any]:
    """Return what ``--json`` reports of one integrated cell."""
    from napari_integrated_cell.imaging.doubts import warnings_of

    pose = integration.pose
    summary = {
        "cell": integration.cell.name,
        "angle_degrees": round(float(pose.angle), 2),
        "flips_yx": [bool(f) for f in pose.flips],
        "outside_box": round(float(pose.outside), 4),
        "warnings": list(warnings_of(integration.cell, integration.pose)),
        "z_ref": [round(float(z), 5) for z in integration.z_ref],
        "typicality": None if integration.typicality is None else integration.typicality.to_dict(),
    }
    if integration.spreads is not None:
        spreads = integration.relative_spreads.items()
        summary["relative_spreads"] = {name: round(s, 5) if math.isfinite(s) else None for name, s in spreads}
    return summary


@options.naming_memory()
def integrate_field(
    *,
    image: Path | None,
    membrane: str | None,
    dna: str | None,
    cells: Path | None,
    nuclei: Path | None,
    label: str | None,
    voxel_size: str | None,
    choices: ReadingChoices,
    structures: str | None,
    model: str,
    device: str,
    exact: bool,
    ensemble: bool,
    frame: str,
    dtype: FileType,
    out: Path,
    as_json: bool,
) -> None:
    """Integrate the cells that the options name into one file.

    Of several cells, one that cannot be used is named and left out.
    """
    from napari_integrated_cell.batch.out_place import (
        bytes_joined,
        channels_of,
        check_out_file,
        check_writable,
    )

    inputs = [file for file in (image, cells, nuclei) if file is not None]
    if out.is_dir():
        raise ValueError(f"{out} is a folder: give a name for the file in it, which ends in .ome.tiff.")
    check_out_file(out, [options.file_and_channel(file)[0] or file for file in inputs])
    found, shape = options.chosen_cells(
        image, membrane, dna, cells, nuclei, label, voxel_size, choices=choices
    )
    if frame == "model" and len(found) > 1:
        raise ValueError("--frame model holds one cell: choose it with --label.")
    from napari_integrated_cell.integration import integrate_cell
    from napari_integrated_cell.model.bundle import load_model, read_manifest
    from napari_integrated_cell.model.inputs import structure_names
    from napari_integrated_cell.processes import computed_ahead

    wanted = structure_names(options.structures_of(structures), read_manifest(model).config)
    check_writable(out.parent, bytes_joined(found.places, channels_of(len(wanted), ensemble)))
    loaded = load_model(model, device=device, exact=exact)
    left_out: dict[str, str] = {}
    replaced = out.exists()

    @options.naming_memory()
    def one(index: int) -> Integration:
        return integrate_cell(found[index], loaded, wanted, ensemble=ensemble)

    def integrated() -> Iterator[Integration]:
        # One cell is placed and written while the next ones are posed and decoded.
        results = computed_ahead(one, range(len(found)))
        bar = tqdm(results, "integrating cells", len(found), file=sys.stderr, disable=not sys.stderr.isatty())
        for i, result in enumerate(bar):
            try:
                integration = result.result()
            except ValueError as error:
                if len(found) == 1:
                    raise
                left_out[found.name(i)] = reason = " ".join(str(error).split())
                tqdm.write(f"{PROGRAM}: {found.name(i)} is left out: {reason}", file=sys.stderr)
                continue
            yield integration
        if len(left_out) == len(found):
            name, reason = next(iter(left_out.items()))
            raise ValueError(f"None of the {len(found)} cells can be used. The first, {name}: {reason}")

    said = write_integrations(out, integrated(), frame, shape, dtype)
    if replaced:
        options.print_note(f"{out} existed and was replaced.")
    count = f"{len(said)} cell{'s' if len(said) != 1 else ''}"
    summary = {
        "out": str(out),
        "model": loaded.name,
        "device": str(loaded.device),
        "frame": frame,
        "cells": said,
        "left_out": left_out,
    }
    rest = f"; {len(left_out)} left out" if left_out else ""
    report(summary, as_json, f"Wrote {count} with {loaded.name!r} to {out}{rest}.")


def write_integrations(
    out: Path,
    integrations: Iterator[Integration],
    frame: str,
    shape: tuple[int, int, int],
    dtype: FileType = "uint16",
) -> list[dict[str, Any]]:
    """Write integrated cells in the given frame, and return the summary of each.

    ``shape`` is the grid (Z, Y, X) of their image. In the model's frame there must be one cell.
    """
    from napari_integrated_cell.integration import save_field

    summaries: list[dict[str, Any]] = []

    def summarised() -> Iterator[Integration]:
        for integration in integrations:
            summaries.append(summary_of(integration))
            for warning in summaries[-1]["warnings"]:
                tqdm.write(f"{PROGRAM}: {integration.cell.name}: {warning}", file=sys.stderr)
            typical = integration.typicality
            if typical is not None and not typical.is_typical:
                tqdm.write(f"{PROGRAM}: {integration.cell.name}: {typical.sentence}", file=sys.stderr)
            yield integration

    if frame == "image":
        save_field(out, summarised(), shape, dtype=dtype)
    else:
        (integration,) = summarised()
        integration.save(out, "model", dtype=dtype)
    return summaries
