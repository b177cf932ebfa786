"""A judge of structures that is no part of the model: a small 3D convolutional network fitted to observed cells.

The paper scores images by the model's own Enc^{r,s}, which the decoder was trained against.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_ic_train.evaluation.experiment import Context
from napari_ic_train.evaluation.passes import equal_numbers

Floats = NDArray[np.float32]

FILE = "independent-classifier.safetensors"
WIDTHS = (16, 32, 64)
LONGEST = 64
"""Voxels along the longest axis of what the network sees: larger boxes are averaged down."""
EPOCHS = 8
STEPS = 400
"""Steps of gradient at least, for a small store."""
MOST = 4400
"""Training cells at most, in equal numbers a structure as far as there are."""
BATCH = 16
RATE = 3e-3


class Network(nn.Module):
    """Three strided convolutions, means and maxima over the grid, and a linear layer."""

    def __init__(self, n_channels: int, n_labels: int) -> None:
        super().__init__()
        sizes = (n_channels, *WIDTHS)
        self.body = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv3d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm3d(b), nn.ReLU()
                )
                for a, b in zip(sizes, WIDTHS, strict=False)
            )
        )
        self.squeeze = nn.Linear(2 * WIDTHS[-1], WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], n_labels)

    def features(self, x: Tensor) -> Tensor:
        """Images (N, C, Z, Y, X) to (N, F): what the last layer sees."""
        shrink = -(-max(x.shape[2:]) // LONGEST)
        found = self.body(nn.functional.avg_pool3d(x, shrink) if shrink > 1 else x)
        pooled = torch.cat([found.mean((2, 3, 4)), found.amax((2, 3, 4))], 1)
        return self.squeeze(pooled).relu()

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, Z, Y, X) to logits (N, K)."""
        return self.head(self.features(x))


@dataclass(frozen=True, eq=False)
class IndependentClassifier:
    """The fitted network.

    Attributes
    ----------
    network : Network
        In eval mode.
    """

    network: Network

    def judge(self, images: NDArray[np.floating], batch_size: int = BATCH) -> tuple[Floats, Floats]:
        """Probabilities (N, K) and features (N, F) of images (N, R + 1, Z, Y, X) in [0, 1]."""
        device = self.network.head.weight.device
        p, features = [], []
        with torch.inference_mode():
            for start in range(0, len(images), batch_size):
                x = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size], np.float32))
                found = self.network.features(x.to(device))
                features.append(found.cpu().numpy())
                p.append(self.network.head(found).softmax(1).cpu().numpy())
        return np.concatenate(p), np.concatenate(features)

    def classify(self, images: NDArray[np.floating]) -> Floats:
        """Probabilities (N, K) of images (N, R + 1, Z, Y, X) in [0, 1]."""
        return self.judge(images)[0]


def independent_classifier(context: Context) -> IndependentClassifier:
    """The classifier fitted to the context's training cells; kept, so that one judges all bundles of a report.

    Raises
    ------
    ValueError
        If there are no training cells.
    Cancelled
        If ``context.cancel`` is set between two steps.
    """
    kept = (context.shared or context.folder) / FILE
    network = _fresh(context)
    if kept.is_file():
        network.load_state_dict(load_file(kept))
    else:
        _fit(network, context)
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside = kept.with_name(f".{kept.name}.{os.getpid()}.part")
        save_file({name: value.cpu() for name, value in network.state_dict().items()}, aside)
        aside.replace(kept)
    return IndependentClassifier(network.to(context.device).eval())


def kept_back(context: Context) -> NDArray[np.bool_]:
    """Which of the chosen training cells the classifier is not fitted to, (n,).

    Of each structure as many as there are held-out cells, a third at most: beside held-out cells, cells that the
    classifier knows would look unlike them for no other reason.
    """
    labels, held_out = context.labels("train"), context.labels("test")
    order = np.random.default_rng([context.seed, 31]).permutation(len(labels))
    back = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        back[mine[: min(int((held_out == label).sum()), len(mine) // 3)]] = True
    return back


def _fresh(context: Context) -> Network:
    config = context.model.config
    with torch.random.fork_rng(
        devices=[]
    ):  # the weights drawn here must not move anybody else's random numbers
        torch.manual_seed(context.seed)
        return Network(config.n_references + 1, config.n_structures)


def _fit(network: Network, context: Context) -> None:
    fitted = equal_numbers(context.labels("train")[~kept_back(context)], MOST, context.seed)
    chosen, labels = (
        values[~kept_back(context)][fitted] for values in (context.cells["train"], context.labels("train"))
    )
    if len(chosen) < 2:
        raise ValueError(
            f"The store has {len(chosen)} training cells: a classifier cannot be fitted to fewer than 2."
        )
    network.to(context.device).train()
    batch = min(BATCH, len(chosen))
    per_epoch = len(chosen) // batch
    steps = max(EPOCHS * per_epoch, min(STEPS, 40 * per_epoch))
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    # Structures may be as unequal as in Table S9: each counts the same.
    counts = np.bincount(labels, minlength=len(context.structures))
    weight = torch.from_numpy(
        (1 / np.maximum(counts, 1) / np.mean(1 / counts[counts > 0])).astype(np.float32)
    )
    loss_of = nn.CrossEntropyLoss(weight.to(context.device))
    random = np.random.default_rng(context.seed)
    order: NDArray[np.int64] = np.empty(0, np.int64)
    for step in range(steps):
        context.cancel.raise_if_cancelled()
        if len(order) < batch:
            order = random.permutation(len(chosen))
        now, order = order[:batch], order[batch:]
        x = torch.from_numpy(context.images(chosen[now])).to(context.device)
        loss = loss_of(network(x), torch.from_numpy(labels[now]).to(context.device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        context.progress(step + 1, steps, "fitting the independent classifier")
