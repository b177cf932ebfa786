"""Does the mean over the four flips predict better, and does its spread say where the prediction is wrong?

Each cell is integrated plainly and with the ensemble. Of simulated cells the expected localisation is known; of real
cells the light of one structure, a segmentation of it, or its compartment. The tables of notes/flip-ensemble.md come
from here.

    python benchmarks/flip_ensemble.py --simulated 88 --real ../shared/data --out scores.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage, stats

from napari_ic_train.evaluation.localisation import (
    distance_in_box,
    field_cells,
    known_cell,
    pearson,
    score_real_cell,
)
from napari_integrated_cell.data.cell_table import open_table
from napari_integrated_cell.data.entry import STRUCTURE, FaultyRow
from napari_integrated_cell.imaging.mirroring import mean_and_spread, mirror_images, mirrored_back
from napari_integrated_cell.imaging.pose import (
    NEAR_SYMMETRIC,
    pose_of,
    posed_references,
    posed_structure,
    to_box,
)
from napari_integrated_cell.imaging.reading import read_labels
from napari_integrated_cell.imaging.segmenting import cell_from_labels
from napari_integrated_cell.integration import model_box
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.integrated_cell import IntegratedCell

SEED = 771_003  # neither that of the training cells nor that of the model card
SHARES = ("fibrillarin_in_nucleus", "lamin_at_surface", "tom20_outside_nucleus")
HELA = {"TOM20": "mitochondria, HeLa", "fibrillarin": "nucleolin, HeLa"}
UNCUT = (3, 4)  # cells of the LAMP1 field that its crop does not cut


def compared(
    model: IntegratedCell, references: NDArray[Any], structure: str, truth: NDArray[Any], inside: NDArray[Any]
) -> dict[str, float]:
    """Return the correlations of both predictions with the truth, and of the spread with the error, in one cell.

    Parameters
    ----------
    references : array, (2, Z, Y, X)
        The posed cell.
    truth : array, (Z, Y, X)
        Where the structure is; its scale does not matter.
    inside : array of bool, (Z, Y, X)
        The voxels of the cell.
    """
    images = model.decode_structures(model.encode(mirror_images(references)), [structure])[structure]
    (mean, spread), single = mean_and_spread(images), mirrored_back(images)
    blurred = ndimage.gaussian_filter(single[0], 1)
    known, predicted, wide = truth[inside], mean[inside], spread[inside]
    # The truth is scaled to the prediction by least squares, because each has its own scale.
    error = np.abs(predicted - known * (known @ predicted) / (known @ known))
    brightness = stats.spearmanr(predicted, error).statistic
    to_error, to_light = stats.spearmanr(wide, error).statistic, stats.spearmanr(wide, predicted).statistic
    alone = (to_error - brightness * to_light) / np.sqrt((1 - brightness**2) * (1 - to_light**2))
    return {
        "plain": pearson(single[0][inside], known),
        "other_flips": float(np.mean([pearson(volume[inside], known) for volume in single[1:]])),
        "blurred": pearson(blurred[inside], known),
        "ensemble": pearson(predicted, known),
        "between_flips": float(np.mean([pearson(a[inside], b[inside]) for a, b in combinations(single, 2)])),
        "relative_spread": float(wide.sum() / predicted.sum()),
        "spread_error": float(to_error),
        "light_error": float(brightness),
        "spread_error_given_light": float(alone),
    }


def simulated(model: IntegratedCell, count: int) -> Iterator[dict[str, Any]]:
    """Yield the scores of simulated cells that the model has not seen."""
    box = model_box(model.config)
    for index in range(count):
        structure, stage, image, expected, inside = known_cell(
            index, structures=model.config.structures, box=box, seed=SEED, draws=128
        )
        scores = compared(model, image[:2], structure, expected, inside)
        yield {"what": "simulated", "cell": f"{index} {stage}", "structure": structure, **scores}


def hela(model: IntegratedCell, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the scores of real HeLa cells with the light of mitochondria or nucleolin."""
    for entry in open_table(folder / "manifest.csv").entries():
        if isinstance(entry, FaultyRow) or entry.structure not in HELA:
            continue
        cell = entry.read()
        pose = pose_of(cell, model_box(model.config))
        observed = posed_structure(cell, STRUCTURE, pose)
        inside = distance_in_box(cell.cell_mask, cell, pose) <= 0
        scores = compared(model, posed_references(cell, pose), entry.structure, observed, inside)
        yield {
            "what": HELA[entry.structure],
            "cell": entry.name,
            "structure": entry.structure,
            "flip_margin": min(pose.flip_margins),
            **scores,
        }


def fields(model: IntegratedCell, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the scores of the real hiPSC cells: TOM20 against its mask, and shares in compartments."""
    cells, mitochondria = field_cells(folder / "hipsc_tomm20_field")
    place = folder / "hipsc_lamp1_field"
    labels, voxel_size = read_labels(place / "cell_labels.ome.tif")
    nuclei, _ = read_labels(place / "nucleus_labels.ome.tif")
    assert voxel_size is not None
    others = [cell_from_labels(labels, n, nuclei, {}, voxel_size, margin=3.0) for n in UNCUT]
    for field, several, mask in (
        ("13 hiPSCs", cells, mitochondria),
        ("2 other hiPSCs", others, np.zeros(labels.shape, bool)),
    ):
        for cell in several:
            plain, ensemble = (score_real_cell(cell, mask, model, ensemble=e) for e in (False, True))
            if mask.any():
                pose = pose_of(cell, model_box(model.config))
                inside = distance_in_box(cell.cell_mask, cell, pose) <= 0
                window = tuple(slice(o, o + n) for o, n in zip(cell.offset, cell.shape, strict=True))
                real = to_box(mask[window].astype(np.float32), cell.voxel_size, pose, offset=cell.offset)
                scores = compared(model, posed_references(cell, pose), "TOM20", real, inside)
                # As in the model card, where the prediction is masked by the cell.
                scores |= {"plain": plain["tom20_pearson"], "ensemble": ensemble["tom20_pearson"]}
                yield {
                    "what": f"TOM20 and its mask, {field}",
                    "cell": cell.name,
                    "structure": "TOM20",
                    "flip_margin": min(pose.flip_margins),
                    **scores,
                }
            for name in SHARES:
                what = f"{name}, {field}"
                yield {"what": what, "cell": cell.name, "plain": plain[name], "ensemble": ensemble[name]}


def tables(scores: pd.DataFrame) -> str:
    """Return the means with the interval of the gain, and what the spread says, as Markdown."""
    rng = np.random.default_rng(0)
    rows = ["| | cells | plain | ensemble | gain (95 % interval) | cells that gain | other flips | blurred |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for what, group in scores.groupby("what", sort=False):
        gain = (group["ensemble"] - group["plain"]).to_numpy()
        means = rng.choice(gain, (10_000, len(gain))).mean(1)
        low, high = np.percentile(means, (2.5, 97.5))
        plain, ensemble = (f"{group[column].mean():.3f}" for column in ("plain", "ensemble"))
        rest = [
            f"{group[c].mean():.3f}" if group[c].notna().all() else "-" for c in ("other_flips", "blurred")
        ]
        rows.append(
            f"| {what} | {len(gain)} | {plain} | {ensemble} | {gain.mean():+.3f} ({low:+.3f} to {high:+.3f}) "
            f"| {(gain > 0).sum()} | {' | '.join(rest)} |"
        )
    columns = ("between_flips", "relative_spread", "spread_error", "light_error", "spread_error_given_light")
    rows += ["", f"| | {' | '.join(columns)} | over cells |", "| --- " * (len(columns) + 2) + "|"]
    for what, group in scores.dropna(subset="spread_error").groupby("what", sort=False):
        # Structures differ in spread and in score: each has its mean subtracted.
        within = group.groupby("structure")
        wide, right = (group[c] - within[c].transform("mean") for c in ("relative_spread", "ensemble"))
        values = [*(group[name].mean() for name in columns), stats.spearmanr(wide, -right).statistic]
        rows.append(f"| {what} | {' | '.join(f'{value:.2f}' for value in values)} |")
    rows += ["", "| | cells | plain | ensemble |", "| --- | --- | --- | --- |"]
    posed = scores.dropna(subset="flip_margin")
    unsure = np.where(posed["flip_margin"] < NEAR_SYMMETRIC, "with", "without")
    groups = [
        *(
            (f"{w}, {which} an uncertain flip", g)
            for (w, which), g in posed.groupby(["what", unsure], sort=False)
        ),
        *(
            (f"simulated, {name}", g)
            for name, g in scores[scores["what"] == "simulated"].groupby("structure")
        ),
    ]
    for what, group in groups:
        plain, ensemble = (f"{group[column].mean():.3f}" for column in ("plain", "ensemble"))
        rows.append(f"| {what} | {len(group)} | {plain} | {ensemble} |")
    return "\n".join(rows)


def main() -> None:
    """Measure what the options name, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--simulated", type=int, default=88)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tables", type=Path, help="Only print the tables of these scores.")
    options = parser.parse_args()
    if options.tables is not None:
        print(tables(pd.read_csv(options.tables)))
        return
    model = load_model(options.model, device="cpu")
    rows: list[dict[str, Any]] = []
    if options.real is not None:
        rows += fields(model, options.real)
        rows += hela(model, options.real / "hela3d")
    rows += simulated(model, options.simulated)
    scores = pd.DataFrame(rows)
    if options.out is not None:
        scores.to_csv(options.out, index=False)
    print(tables(scores))


if __name__ == "__main__":
    main()
