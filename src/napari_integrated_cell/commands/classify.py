"""``napari-ic classify``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from napari_integrated_cell.commands import options
from napari_integrated_cell.console import one_line_errors, report


def classify(
    image: options.ImageArgument = None,
    structure: Annotated[str | None, typer.Option(help="Name or number of the channel to classify.")] = None,
    membrane: options.MembraneOption = None,
    dna: options.DnaOption = None,
    cells: options.CellsOption = None,
    nuclei: options.NucleiOption = None,
    label: options.LabelOption = None,
    model: options.ModelOption = "demo",
    device: options.DeviceOption = "auto",
    exact: options.ExactOption = False,
    voxel_size: options.VoxelOption = None,
    axes: options.AxesOption = None,
    scene: options.SceneOption = None,
    time: options.TimeOption = None,
    reader: options.ReaderOption = "auto",
    as_json: options.JsonOption = False,
) -> None:
    """Print which structure a channel most probably shows, and whether it looks like none that the model knows."""
    with one_line_errors(options.PROGRAM):
        if image is None or structure is None:
            raise ValueError("Give an IMAGE, and with --structure the channel to classify.")
        choices = options.choices_of(axes, scene, time, reader)
        found, _ = options.chosen_cells(
            image, membrane, dna, cells, nuclei, label, voxel_size, structure, choices
        )
        from napari_integrated_cell.imaging.doubts import warnings_of
        from napari_integrated_cell.imaging.pose import pose_of
        from napari_integrated_cell.integration import model_box
        from napari_integrated_cell.latent.recognition import recognise_cell
        from napari_integrated_cell.model.bundle import load_model
        from napari_integrated_cell.model.novelty import NOT_MEASURED

        loaded = load_model(model, device=device, exact=exact)
        recognitions, warnings = {}, {}
        for cell in found:
            recognitions[cell.name] = recognise_cell(cell, "structure", loaded)
            warnings[cell.name] = warnings_of(cell, pose_of(cell, model_box(loaded.config)))
            for warning in warnings[cell.name]:
                print(f"{options.PROGRAM}: {cell.name}: {warning}", file=sys.stderr)
        lines = []
        for name, recognition in recognitions.items():
            best = list(recognition.probabilities.items())[:3]
            lines.append(f"{name}: " + ", ".join(f"{s} {p:.0%}" for s, p in best))
            if recognition.none_of_these:
                lines.append(f"{name}: {recognition.sentence}")
        if loaded.known_structures is None:
            lines.append(NOT_MEASURED)
        summary = {
            "model": loaded.name,
            "cells": {name: recognition.probabilities for name, recognition in recognitions.items()},
            "novelty": {name: recognition.novelty for name, recognition in recognitions.items()},
            "warnings": warnings,
        }
        report(summary, as_json, "\n".join(lines))
