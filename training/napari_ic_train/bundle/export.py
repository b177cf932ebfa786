"""Export a finished run as a bundle that opens in napari."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from napari_ic_train.bundle.adaptation import adaptation_facts
from napari_ic_train.bundle.conditional_prior import TooFewCells, conditional_prior
from napari_ic_train.bundle.fitted import fitted_model, measure
from napari_ic_train.bundle.held_out import decoding_difference, score_held_out
from napari_ic_train.bundle.localisation_scores import score_localisation
from napari_ic_train.bundle.model_card import card_text
from napari_ic_train.bundle.novelty import TooFewHeldOut, known_structures
from napari_ic_train.bundle.typicality import typicality_reference
from napari_ic_train.config import read_config
from napari_ic_train.data.splits import SHAPE
from napari_ic_train.data.store import CellStore
from napari_ic_train.data.subsets import cells_of, stages_of
from napari_ic_train.run.checkpoint import checkpoints, read_point
from napari_integrated_cell import __version__
from napari_integrated_cell.model.bundle import as_stored, save_bundle
from napari_integrated_cell.model.runtime import Progress, choose_device
from napari_integrated_cell.vocabulary import STAGE_NAMES

PREPROCESSING = {
    "background": "the most populous intensity is subtracted, negative values become 0",
    "mask": "the membrane and structure channels by the cell, the DNA channel by the nucleus",
    "pose": "major axis along X, nucleus's centre of mass in the box's centre, Y and X flipped by skew",
    "scale": "to a maximum of 1 in the box",
}


def hardware(device: str) -> str:
    """Return the name of a device of this machine, for a model card."""
    kind = choose_device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_name()
    return "an Apple GPU" if kind == "mps" else f"{os.cpu_count()} CPU cores"


WEIGHTS = {"float32": "float32", "bf16": "bfloat16", "float16": "float16"}
"""Types in which weights can be stored, by the names of the command line; they are loaded as float32."""


def export_bundle(
    run: str | Path,
    store: CellStore,
    out: str | Path,
    *,
    name: str,
    licence: str,
    trained_on: str = "",
    weights: str = "float16",
    device: str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Write the bundle of a finished run: encoders and decoders, latent statistics, landmarks and a card.

    With 40 or more held-out cells it also gets the statistics that tell whether a channel shows none of its structures.
    With 50 or more training cells of a structure it gets p(z^s | z^r, y), from which z^s is then drawn.

    Parameters
    ----------
    run : path-like
        Folder of a run with both phases finished. Its landmarks and latent statistics are kept there.
    store : CellStore
        The store that it was fitted on, training and held-out cells.
    out : path-like
        A folder, or a file ending in ``.zip``.
    name, licence : str
        The model's name, and the licence of its weights.
    trained_on : str
        The hardware, for the card's provenance.
    weights : {"float32", "bf16", "float16"}
        How matrices and kernels are stored. Rounding halves the file; its effect on decoded images is measured and
        written in the card.
    device : {"auto", "cpu", "cuda", "mps"}
        The device to measure on.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    ValueError
        If a phase is not finished, the store is not the run's, or the weights do not fit the type.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"Weights cannot be stored as {weights}: choose {', '.join(WEIGHTS)}.")
    place = choose_device(device)
    config = read_config(Path(run) / "config.yaml")
    model = fitted_model(run, name=name).to(place)
    measure(model, store, run, progress=progress)
    if config.adapted_from is not None:
        store = store.in_classes_of(config.model.structures)
    stored = as_stored(model, WEIGHTS[weights])
    model.typicality = typicality_reference(stored, store, progress)
    with suppress(TooFewHeldOut):
        model.known_structures = known_structures(stored, store, progress=progress)
    with suppress(TooFewCells):
        model.conditional_prior = conditional_prior(stored, store, progress)
    held_out = score_held_out(stored, store, progress)
    adapted = adaptation_facts(Path(run), config, store)
    localisation = None if adapted is None else score_localisation(stored, store, progress)
    rounding = {} if weights == "float32" else decoding_difference(model, stored, store)
    # The clock may have ended a phase before the last epoch of its configuration.
    first, second = (read_point(checkpoints(Path(run) / phase)[-1]) for phase in ("reference", "conditional"))
    minutes = (first.seconds + second.seconds) / 60
    in_training = store.table["split"] == "train"
    n_shapes = int((store.table["split"] == SHAPE).sum())
    n_train, counts = int(in_training.sum()), store.table["structure"][in_training].value_counts()
    card: dict[str, Any] = {
        "simulated": store.simulated,
        "licence": licence,
        "decoded_at": config.decoded_at,
        "preprocessing": PREPROCESSING,
        "provenance": {
            "training cells": f"{n_train} {'simulated' if store.simulated else 'real'} cells ({store.source})",
            "training cells by structure": ", ".join(f"{s} {counts.get(s, 0)}" for s in store.structures),
            **({"cells without a structure, for phase 1 only": n_shapes} if n_shapes else {}),
            "held-out cells": len(cells_of(store, held_out=True)),
            "reference phase": f"{first.epoch} epochs (Algorithm 1)",
            "conditional phase": f"{second.epoch} epochs (Algorithm 2)",
            "training time": f"{minutes:.0f} minutes" + (f" on {trained_on}" if trained_on else ""),
            "batch size": config.batch_size,
            "seed": config.seed,
            "software": f"napari-integrated-cell {__version__}, torch {torch.__version__}",
        },
        "weights": {"stored_as": WEIGHTS[weights], **rounding},
        "metrics": {
            **({} if held_out is None else {"held_out": held_out}),
            **({} if localisation is None else {"localisation": localisation}),
        },
        "stages": [name for name in STAGE_NAMES if (stages_of(store) == name).any()],
    }
    if adapted is not None:
        card["adapted_from"] = adapted
    text = card_text(model, card)
    return save_bundle(model, out, card=card, model_card_markdown=text, dtype=WEIGHTS[weights])
