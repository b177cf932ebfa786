"""What ``integrate`` and ``demo`` write, and what they say of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from napari_integrated_cell.commands.options import PROGRAM

if TYPE_CHECKING:
    from napari_integrated_cell.integration import Integration
    from napari_integrated_cell.model.integrated_cell import IntegratedCell


def summary_of(integration: Integration) -> dict[str, Any]:
    """What ``--json`` says of one integrated cell."""
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
    out: Path,
    integrations: Iterator[Integration],
    frame: str,
    shape: tuple[int, int, int],
    voxel_size: tuple[float, float, float],
    model: IntegratedCell,
) -> list[dict[str, Any]]:
    """Write what was integrated in the frame asked for; what is to be said of each cell."""
    from napari_integrated_cell.imaging.writing import write_ome_tiff
    from napari_integrated_cell.integration import quantised, to_field

    said: list[dict[str, Any]] = []

    def telling() -> Iterator[Integration]:
        for integration in integrations:
            said.append(summary_of(integration))
            for warning in integration.pose.warnings:
                tqdm.write(f"{PROGRAM}: {integration.cell.name}: {warning}", file=sys.stderr)
            yield integration

    volumes: dict[str, np.ndarray]
    if frame == "image":
        volumes = to_field(telling(), shape, np.uint16)
    else:
        (integration,) = telling()
        named = {
            "membrane": integration.references[0],
            "dna": integration.references[1],
            **integration.volumes,
        }
        volumes = {name: quantised(volume, np.uint16) for name, volume in named.items()}
        voxel_size = (model.config.voxel_size,) * 3
    trained_on = "simulated cells" if model.card.get("simulated") else "real cells"
    write_ome_tiff(
        out,
        volumes,
        voxel_size,
        description=f"Structures predicted by napari-integrated-cell with the model {model.name!r}, trained on "
        f"{trained_on}; 65535 stands for an intensity of 1. Membrane and DNA are the model's reference input.",
    )
    return said
