"""Classify structures with a network that is not part of the model: a small 3D CNN fitted to observed cells.

The paper scores images with the model's own encoder Enc^{r,s}, and the decoder was trained with that encoder.
"""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_ic_train.evaluation.experiment import Context
from napari_ic_train.evaluation.model_outputs import balanced_sample
from napari_integrated_cell.arrays import Floats, Indices, Mask, Reals
from napari_integrated_cell.imaging.atomic import atomic_write

FILE = "independent-classifier.safetensors"
WIDTHS = (16, 32, 64)
LONGEST = 64
"""Maximum number of voxels along an axis of the network's input. Larger boxes are averaged in blocks."""
EPOCHS = 8
STEPS = 400
"""Minimum number of gradient steps, for small stores."""
MOST = 4400
"""Maximum number of training cells, with equal numbers for each structure if possible."""
BATCH = 16
RATE = 3e-3


class IndependentClassifier(nn.Module):
    """Three strided convolutions, mean and maximum over the grid, and two linear layers."""

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
        """Return the input of the last layer, (N, F), for images (N, C, Z, Y, X)."""
        shrink = -(-max(x.shape[2:]) // LONGEST)
        found = self.body(nn.functional.avg_pool3d(x, shrink) if shrink > 1 else x)
        pooled = torch.cat([found.mean((2, 3, 4)), found.amax((2, 3, 4))], 1)
        return self.squeeze(pooled).relu()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, Z, Y, X)."""
        return self.head(self.features(x))

    def outputs(self, images: Reals) -> tuple[Floats, Floats]:
        """Return probabilities (N, K) and features (N, F) of images (N, R + 1, Z, Y, X) in [0, 1]."""
        p, features = [], []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                x = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH], np.float32))
                found = self.features(x.to(self.head.weight.device))
                features.append(found.cpu().numpy())
                p.append(self.head(found).softmax(1).cpu().numpy())
        return np.concatenate(p), np.concatenate(features)

    def classify(self, images: Reals) -> Floats:
        """Return probabilities (N, K) of images (N, R + 1, Z, Y, X) in [0, 1]."""
        return self.outputs(images)[0]


def independent_classifier(context: Context) -> IndependentClassifier:
    """Return the classifier of the context's training cells, in eval mode.

    It is cached, and all bundles of a report share it.

    Raises
    ------
    ValueError
        If there are fewer than two training cells.
    Cancelled
        If ``context.cancel`` is set between two steps.
    """
    cached = (context.shared or context.folder) / FILE
    config = context.model.config
    with torch.random.fork_rng(devices=[]):  # leave torch's global random numbers as they are
        torch.manual_seed(context.seed)
        network = IndependentClassifier(config.n_references + 1, config.n_structures)
    if cached.is_file():
        network.load_state_dict(load_file(cached))
    else:
        _fit(network, context)
        cached.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cached) as part:
            save_file({name: value.cpu() for name, value in network.state_dict().items()}, part)
    return network.to(context.device).eval()


def excluded_from_fit(context: Context) -> Mask:
    """Return which selected training cells the classifier is not fitted to, (n,).

    The number for each structure is that of its held-out cells, but at most a third of its training cells. These
    cells can be compared with held-out cells: the classifier has not seen either of them.
    """
    labels, held_out = context.labels("train"), context.labels("test")
    order = np.random.default_rng([context.seed, 31]).permutation(len(labels))
    excluded = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        excluded[mine[: min(int((held_out == label).sum()), len(mine) // 3)]] = True
    return excluded


def _fit(network: IndependentClassifier, context: Context) -> None:
    fitted = np.flatnonzero(~excluded_from_fit(context))
    fitted = fitted[balanced_sample(context.labels("train")[fitted], MOST, context.seed)]
    chosen, labels = context.cells["train"][fitted], context.labels("train")[fitted]
    if len(chosen) < 2:
        raise ValueError(
            f"The store has {len(chosen)} training cells, and the independent classifier needs 2 or more."
        )
    network.to(context.device).train()
    batch = min(BATCH, len(chosen))
    per_epoch = len(chosen) // batch
    steps = max(EPOCHS * per_epoch, min(STEPS, 40 * per_epoch))
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    # The numbers of cells may differ as in Table S9: the weights give each structure the same influence.
    counts = np.bincount(labels, minlength=len(context.structures))
    weight = torch.from_numpy(
        (1 / np.maximum(counts, 1) / np.mean(1 / counts[counts > 0])).astype(np.float32)
    )
    loss_of = nn.CrossEntropyLoss(weight.to(context.device))
    random = np.random.default_rng(context.seed)
    order: Indices = np.empty(0, np.int64)
    for step in range(steps):
        context.cancel.raise_if_cancelled()
        if len(order) < batch:
            order = random.permutation(len(chosen))
        picked, order = order[:batch], order[batch:]
        x = torch.from_numpy(context.images(chosen[picked])).to(context.device)
        loss = loss_of(network(x), torch.from_numpy(labels[picked]).to(context.device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        context.progress(step + 1, steps, "fitting the independent classifier")
