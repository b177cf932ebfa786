"""``napari-ic variation``: measure how much each structure's localisation varies in cells of given shapes."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from napari_integrated_cell.arrays import Rgb
from napari_integrated_cell.commands import options
from napari_integrated_cell.commands.extremes import Extremes
from napari_integrated_cell.console import one_line_errors, progress_bar, report
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.entry import LoadedCell
from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.model.conditional_prior import checked_draw_from
from napari_integrated_cell.picture import png_bytes, tile
from napari_integrated_cell.variation.structure_variation import RIDGE
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

if TYPE_CHECKING:
    from napari_integrated_cell.latent.embedding import Listed
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.runtime import Progress
    from napari_integrated_cell.variation.structure_variation import StructureVariation

COLUMNS = ("cell", "stage", "structure", "score", "effective_rank", "n", "ridge", "compared_in", "draw_from")


def variation(
    image: options.ImageArgument = None,
    membrane: options.MembraneOption = None,
    dna: options.DnaOption = None,
    cells: options.CellsOption = None,
    nuclei: options.NucleiOption = None,
    label: options.LabelOption = None,
    table: Annotated[
        Path | None,
        typer.Option(help="A CSV of cells, one cell per row, instead of an image; see docs/preparing.md."),
    ] = None,
    structures: options.StructuresOption = None,
    draws: Annotated[int, typer.Option(help="Draws per cell and structure; 1000 in the paper.")] = 100,
    ridge: Annotated[float, typer.Option(help="Added to the diagonal of the correlations.")] = RIDGE,
    draw_from: options.DrawFromOption = None,
    within_cell: Annotated[
        bool,
        typer.Option(
            "--within-cell/--whole-box",
            help="Compare draws inside the cell, or in the model's whole box, as the paper does.",
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="The same seed gives the same draws.")] = 0,
    model: options.ModelOption = "demo",
    device: options.DeviceOption = "auto",
    exact: options.ExactOption = False,
    voxel_size: options.VoxelOption = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="CSV to write. With two or more cells, a picture of the same name is written too.",
        ),
    ] = Path("variation.csv"),
    as_json: options.JsonOption = False,
) -> None:
    """Measure how much the localisation of each structure varies in cells of given shapes (Algorithm 4).

    A larger score means less variation. The picture shows each structure's least and most variable cells.

    \b
    napari-ic variation stack.ome.tif --label all --cells cells.tif --nuclei nuclei.tif --out variation.csv
    napari-ic variation --table metadata.csv --draws 1000 --structures TOM20,fibrillarin
    """
    with one_line_errors(options.PROGRAM):
        if out.suffix.lower() != ".csv":
            raise ValueError(f"The table to write is called {out.name!r}: give it a name that ends in .csv.")
        if not out.parent.is_dir():
            raise FileNotFoundError(f"The folder {out.parent} does not exist: make it first.")
        if draws < 2:
            raise ValueError(f"--draws is {draws}: give at least 2.")
        where = checked_draw_from(draw_from)
        if table is not None and (image or cells or nuclei or label):
            raise ValueError("Give an image or a --table of cells, not both.")
        if table is not None:
            listed: Sequence[Listed] = list(open_table(table).entries())
        else:
            found, _ = options.chosen_cells(image, membrane, dna, cells, nuclei, label, voxel_size)
            listed = [LoadedCell(cell) for cell in found]

        from napari_integrated_cell.model.bundle import load_model
        from napari_integrated_cell.model.inputs import structure_names

        loaded = load_model(model, device=device, exact=exact)
        names = structure_names(options.structures_of(structures), loaded.config)
        settings = {"n": draws, "seed": seed, "ridge": ridge, "draw_from": where}
        rows, extremes, left_out = _measure_all(listed, loaded, names, settings, within_cell)

        n_cells = len(listed) - len(left_out)
        files = {out: _csv(rows)}
        if n_cells > 1:
            trained_on = "simulated" if loaded.card.get("simulated") else "real"
            by = f"{loaded.name!r}, trained on {trained_on} cells"
            title = f"Variation of {draws} draws by {by}; score below"
            files[out.with_suffix(".png")] = png_bytes(extremes.sheet(title))
        with ExitStack() as complete:  # both or neither
            parts = [(complete.enter_context(atomic_write(path)), data) for path, data in files.items()]
            for part, data in parts:
                part.write_bytes(data)
        summary = {
            "out": str(out),
            "picture": next((str(p) for p in files if p.suffix == ".png"), None),
            "model": loaded.name,
            "device": str(loaded.device),
            **settings,
            "draw_from": rows[0]["draw_from"],
            "compared_in": "cell" if within_cell else "box",
            # JSON has no infinity. Equal draws have this score if there is no ridge.
            "rows": [row if isfinite(row["score"]) else {**row, "score": None} for row in rows],
            "left_out": left_out,
        }
        report(
            summary,
            as_json,
            f"Wrote the variation of {len(names)} structure{'s' if len(names) != 1 else ''} in {n_cells} "
            f"cell{'s' if n_cells != 1 else ''} to {' and '.join(map(str, files))}"
            f"{f'; {len(left_out)} left out' if left_out else ''}.",
        )


class CellError(Exception):
    """A cell that cannot be read or posed. The other cells are still measured."""


def _measure_all(
    listed: Sequence[Listed],
    model: IntegratedCell,
    names: list[str],
    settings: Mapping[str, Any],
    within_cell: bool,
) -> tuple[list[dict[str, Any]], Extremes, list[dict[str, str]]]:
    """Return the table's rows, the picture's tiles, and the cells that cannot be used."""
    rows: list[dict[str, Any]] = []
    extremes, left_out = Extremes(), list[dict[str, str]]()
    steps = settings["n"] * len(names)
    with progress_bar() as move:
        for done, cell in enumerate(listed):

            def counted(part: int, _: int, what: str, before: int = done * steps) -> None:
                move(before + part, len(listed) * steps, what)

            try:
                measured = _measured(cell, model, names, settings, within_cell, counted)
            except CellError as error:
                left_out.append({"cell": cell.name, "reason": str(error)})
                tqdm.write(f"{options.PROGRAM}: {cell.name} is left out: {error}", file=sys.stderr)
                continue
            for found, tile in measured:
                rows.append(_row(cell, found, "cell" if within_cell else "box"))
                about = (cell.name, cell.stage, f"{found.score:.2f}")
                extremes.offer(found.structure, found.score, "\n".join(filter(None, about)), tile)
    if not rows:
        raise ValueError(f"No cell could be used. The first, {left_out[0]['cell']}: {left_out[0]['reason']}")
    return rows, extremes, left_out


def _measured(
    listed: Listed,
    model: IntegratedCell,
    names: list[str],
    settings: Mapping[str, Any],
    within_cell: bool,
    progress: Progress,
) -> list[tuple[StructureVariation, Rgb]]:
    """Return the variation of each structure in one cell, with a picture of the draws' mean in the cell."""
    from napari_integrated_cell.data.entry_cell import pose_in_box
    from napari_integrated_cell.imaging.pose import posed_mask, posed_references
    from napari_integrated_cell.integration import model_box
    from napari_integrated_cell.variation.structure_variation import structure_variations

    try:
        cell = listed.read()
        pose = pose_in_box(cell, model_box(model.config))
        references, mask = posed_references(cell, pose), posed_mask(cell, pose)
    except (ValueError, OSError) as error:
        raise CellError(" ".join(str(error).split())) from error
    found = structure_variations(
        model,
        model.encode(references[None]),
        names,
        mask=mask if within_cell else None,
        progress=progress,
        **settings,
    )
    shown = dict(zip(REFERENCE_NAMES, references, strict=True))
    faint = dict.fromkeys(REFERENCE_NAMES, 0.35)
    return [(v, tile({**shown, v.structure: v.mean * mask}, dim=faint)) for v in found.values()]


def _row(cell: Listed, found: StructureVariation, compared_in: str) -> dict[str, Any]:
    values = (
        cell.name,
        cell.stage,
        found.structure,
        round(found.score, 6),
        round(found.effective_rank, 4),
        found.n,
        found.ridge,
        compared_in,
        found.draw_from,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
