"""Batches of cells: the order of an epoch, flips, and phase 2's targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from toy_training import MODEL, ToyCells, toy_config

from napari_ic_train.fit.batches import FLIPS, epoch_batches, flipped, reference_targets
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_integrated_cell.model.networks import ReferenceEncoder


@given(
    st.integers(2, 200), st.integers(2, 40), st.booleans(), st.integers(0, 2**31 - 1), st.integers(0, 1000)
)
def test_an_epoch_is_every_cell_once_in_even_batches(
    n_cells: int, batch_size: int, flips: bool, seed: int, epoch: int
) -> None:
    plan = epoch_batches(n_cells, batch_size, flips=flips, seed=seed, epoch=epoch)
    assert sorted(np.concatenate([indices for indices, _ in plan])) == list(range(n_cells))
    sizes = [len(indices) for indices, _ in plan]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2
    assert max(sizes) <= max(batch_size, 3)
    assert all(len(flip) == len(indices) and set(flip) <= set(range(len(FLIPS))) for indices, flip in plan)
    assert flips or not any(flip.any() for _, flip in plan)
    again = epoch_batches(n_cells, batch_size, flips=flips, seed=seed, epoch=epoch)
    assert all(
        np.array_equal(a, b)
        for one, two in zip(plan, again, strict=True)
        for a, b in zip(one, two, strict=True)
    )


@given(st.lists(st.integers(0, 5), min_size=2, max_size=80), st.integers(0, 1000))
def test_a_balanced_epoch_has_every_class_equally_often(classes: list[int], seed: int) -> None:
    labels = np.array(classes)
    plan = epoch_batches(len(labels), 8, flips=False, seed=seed, epoch=1, balanced_by=labels)
    drawn = np.concatenate([indices for indices, _ in plan])
    assert len(drawn) == len(labels)
    counts = [int((labels[drawn] == label).sum()) for label in np.unique(labels)]
    assert max(counts) - min(counts) <= 1
    for label in np.unique(labels):
        times = np.bincount(drawn, minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1, "a cell came again before all had come"


def test_epochs_and_flips_differ() -> None:
    first, second = (epoch_batches(50, 10, flips=True, seed=0, epoch=epoch) for epoch in (0, 1))
    assert not np.array_equal(first[0][0], second[0][0])
    assert set(np.concatenate([flip for _, flip in first])) == {0, 1, 2, 3}


def test_targets_are_those_of_the_flipped_cells() -> None:
    torch.manual_seed(0)
    cells, config = ToyCells(), toy_config(augment_flips=True)
    encoder = ReferenceEncoder(MODEL)
    encoder(cells.references(np.arange(10)))  # changes the running statistics
    targets = reference_targets(cells, encoder, config)
    flips = np.arange(10) % 4
    with torch.no_grad():
        expected = encoder.eval()(flipped(cells.references(np.arange(10)), flips))
    torch.testing.assert_close(targets[np.arange(10), flips], expected)
    x = cells.images(np.arange(4))
    assert torch.equal(flipped(x, np.arange(4))[3], x[3].flip(1 + 1, 1 + 2))
    plain = reference_targets(cells, encoder, toy_config())
    torch.testing.assert_close(plain[:, 0], targets[:, 0])


def test_a_phase_may_flip_alone(tmp_path: Path) -> None:
    cells = ToyCells()
    cells.x *= torch.linspace(0, 1, MODEL.box[2])  # they are symmetric otherwise
    short = {"epochs": 1}

    def first_phase(name: str, **fields: object) -> tuple[Tensor, int]:
        config = toy_config(**{"reference": short, "conditional": short, **fields})
        networks = fit_reference(cells, config, tmp_path / name, device="cpu")
        return networks.dec.image.weight.detach(), reference_targets(cells, networks.enc, config).shape[1]

    plain, n_flips = first_phase("neither")
    assert n_flips == 1
    weight, n_flips = first_phase("first", reference={**short, "augment_flips": True})
    assert not torch.equal(weight, plain)
    assert n_flips == 1
    weight, n_flips = first_phase("second", conditional={**short, "augment_flips": True})
    assert torch.equal(weight, plain)
    assert n_flips == 4
    weight, n_flips = first_phase(
        "not first", augment_flips=True, reference={**short, "augment_flips": False}
    )
    assert torch.equal(weight, plain)
    assert n_flips == 4

    encoder = ReferenceEncoder(MODEL)
    weights = [
        fit_conditional(
            cells,
            toy_config(reference=short, conditional={**short, "augment_flips": flips}),
            tmp_path / f"flips {flips}",
            encoder=encoder,
            device="cpu",
        ).dec.image.weight
        for flips in (None, False, True)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_targets_come_from_phase_1_in_eval_mode(tmp_path: Path) -> None:
    class Spy(nn.Module):
        def __init__(self, encoder: nn.Module) -> None:
            super().__init__()
            self.encoder, self.modes = encoder, []

        def forward(self, x: Tensor) -> Tensor:
            self.modes.append(self.encoder.training)
            assert x.shape[1] == MODEL.n_references
            return self.encoder(x)

    spy = Spy(ReferenceEncoder(MODEL))
    fit_conditional(ToyCells(), toy_config(), tmp_path, encoder=spy, device="cpu")
    assert spy.modes == [False]
