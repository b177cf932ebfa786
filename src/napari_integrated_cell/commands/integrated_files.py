"""Files that ``integrate`` and ``demo`` write, and their summaries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from napari_integrated_cell.commands.options import PROGRAM

if TYPE_CHECKING:
    from napari_integrated_cell.integration import Integration


def summary_of(integration: Integration) -> dict[str, Any]:
    """Return what ``--json`` reports of one integrated cell."""
    pose = integration.pose
    return {
        "cell": integration.cell.name,
        "angle_degrees": round(float(pose.angle), 2),
        "flips_yx": [bool(f) for f in pose.flips],
        "outside_box": round(float(pose.outside), 4),
        "warnings": list(pose.warnings),
        "z_ref": [round(float(z), 5) for z in integration.z_ref],
    }


def write_integrations(
    out: Path, integrations: Iterator[Integration], frame: str, shape: tuple[int, int, int]
) -> list[dict[str, Any]]:
    """Write integrated cells in the given frame, and return the summary of each.

    ``shape`` is the grid (Z, Y, X) of their image. In the model's frame there must be one cell.
    """
    from napari_integrated_cell.integration import save_field

    summaries: list[dict[str, Any]] = []

    def summarised() -> Iterator[Integration]:
        for integration in integrations:
            summaries.append(summary_of(integration))
            for warning in integration.pose.warnings:
                tqdm.write(f"{PROGRAM}: {integration.cell.name}: {warning}", file=sys.stderr)
            yield integration

    if frame == "image":
        save_field(out, summarised(), shape)
    else:
        (integration,) = summarised()
        integration.save(out, "model")
    return summaries
