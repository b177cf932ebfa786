"""Write the page of a model's figures on real cells, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from napari_ic_train.evaluation.localisation import LAMINA_WIDTH
from napari_ic_train.evaluation.real.scores import (
    BEYOND,
    Localisation,
    SetScores,
    beyond,
    most_frequent,
)
from napari_integrated_cell.vocabulary import label_of

COMPARTMENTS = {
    "fibrillarin": "fibrillarin inside the nucleus",
    "lamin-B1": f"lamin B1 within {LAMINA_WIDTH:g} µm of the nuclear surface",
    "TOM20": "TOM20 outside the nucleus",
}

Measured = Mapping[str, Mapping[str, SetScores]]
"""Scores by set of cells, then by model."""

INTRODUCTION = """# Figures on real cells

`make real-figures` writes this page. Do not edit it. It has the figures of {models} on the sets of real cells in one
folder (`DATA=FOLDER`; default: `../shared/data`). No model was fitted to these cells.

```sh
make real-figures                               # the bundled demo model
make real-figures ARGS="--beside OTHER.zip"     # a second model in its own columns
```
"""


def real_page(
    measured: Measured,
    places: Mapping[tuple[str, str, str], Localisation | None],
    *,
    models: Mapping[str, str],
    absent: Sequence[str],
) -> str:
    """Return the page.

    Parameters
    ----------
    measured : mapping
        By set of cells, then by model.
    places : mapping of (set, structure, model) to Localisation
        Comparison of predictions with observed structures.
    models : mapping of str to str
        What each model was trained on, by the name in the columns.
    absent : sequence of str
        Sets that are not in the folder.
    """
    names = list(models)
    parts = [
        INTRODUCTION.format(models=" and ".join(f"*{name}* (trained on {models[name]})" for name in names))
    ]
    if absent:
        parts.append(f"**Not in the folder, so not measured:** {', '.join(absent)}.\n")
    parts += [_cells(measured), _typical(measured, names), _shares(measured, names)]
    parts += [_places(measured, places, names), _labels(measured, names)]
    return "\n".join(parts).rstrip() + "\n"


def _cells(measured: Measured) -> str:
    rows = []
    for name, of_models in measured.items():
        scores = next(iter(of_models.values()))
        reasons = "; ".join(dict.fromkeys(scores.left_out)) or "-"
        rows.append([name, str(scores.cells), str(len(scores.left_out)), reasons.replace("|", "/")])
    return "## Cells\n\n" + _table(["set", "cells", "left out", "why"], rows)


def _typical(measured: Measured, names: Sequence[str]) -> str:
    rows = [
        [of_set, str(_any(scores).cells), *(_percent(beyond(scores[name].percentiles)) for name in names)]
        for of_set, scores in measured.items()
    ]
    text = (
        f"## Typicality\n\nShare of the cells whose distance in z^r lies beyond the {BEYOND:g}th percentile of the "
        f"cells that the model knows. Of cells like those, {100 - BEYOND:g} % lie there "
        "([what it means](typicality.md)).\n\n"
    )
    return text + _table(["set", "cells", *names], rows)


def _shares(measured: Measured, names: Sequence[str]) -> str:
    rows = []
    for of_set, scores in measured.items():
        for key, words in COMPARTMENTS.items():
            values = [_mean(scores[name].shares.get(key, [])) for name in names]
            if any(value != "-" for value in values):
                rows.append([of_set, words, str(len(_any(scores).shares.get(key, []))), *values])
    text = "## Predicted light in the compartments\n\nMean share over cells of a structure's predicted light.\n\n"
    return text + _table(["set", "light", "cells", *names], rows)


def _places(
    measured: Measured, places: Mapping[tuple[str, str, str], Localisation | None], names: Sequence[str]
) -> str:
    rows = []
    for (of_set, structure, name), found in places.items():
        if name != names[0] or found is None:
            continue
        kind = "segmentation" if structure in _any(measured[of_set]).segmented else "light"
        every = [places.get((of_set, structure, other)) for other in names]
        rows.append(
            [
                of_set,
                f"{label_of(structure)}, {kind}",
                str(found.cells),
                *("-" if one is None else f"{one.model:.3f}" for one in every),
                *(
                    " / ".join(dict.fromkeys("-" if one is None else f"{pick(one):.3f}" for one in every))
                    for pick in _BASELINES
                ),
            ]
        )
    text = (
        "## Predicted against observed structures\n\nMean Pearson correlation inside the cell. The two baselines are "
        "fitted to the *other* cells of the same set: they know real light, and the model does not. *Depth* is the "
        "mean light as a function of the distances to the surfaces of cell and nucleus. *Mean image* is the mean of "
        "the other cells in the model's box. Two values stand where the models have different boxes.\n\n"
    )
    return text + _table(["set", "observed", "cells", *names, "depth", "mean image"], rows)


_BASELINES: tuple[Callable[[Localisation], float], ...] = (
    lambda found: found.depth,
    lambda found: found.mean_image,
)


def _labels(measured: Measured, names: Sequence[str]) -> str:
    rows = []
    for of_set, scores in measured.items():
        for structure, cells in _any(scores).labels.items():
            row = [of_set, label_of(structure), str(len(cells))]
            for name in names:
                labels = scores[name].labels[structure]
                listed = [f"{label_of(label)} {n}" for label, n in most_frequent(labels).items()]
                row += [", ".join(listed[:4]) + (", ..." if len(listed) > 4 else ""), _rejected(labels)]
            rows.append(row)
    text = (
        "## Labels of observed structures\n\nThe most probable label of each cell, and how many cells are called "
        "[none of these](classify.md). A structure that is no class of the model should be called that.\n\n"
    )
    columns = [f"{what}, {name}" for name in names for what in ("labels", "none of these")]
    return text + _table(["set", "observed", "cells", *columns], rows)


def _rejected(labels: Sequence[tuple[str, bool | None]]) -> str:
    known = [new for _, new in labels if new is not None]
    return f"{sum(known)} of {len(known)}" if known else "-"


def _any(scores: Mapping[str, SetScores]) -> SetScores:
    return next(iter(scores.values()))


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.3f}" if values else "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Nothing was measured.\n"
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
