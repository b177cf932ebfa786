"""Mean intensities of the cells: the first biases of the decoders, and the weights of the structures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_training import MODEL, ToyCells, toy_config

from napari_ic_train.fit.intensity import (
    inverse_intensity_weights,
    mean_intensity,
    predict_mean,
    structure_intensity,
)
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_integrated_cell.model.networks import conditional_networks, reference_networks


def test_a_silent_decoder_predicts_the_mean_of_every_channel() -> None:
    cells = ToyCells()
    mean = mean_intensity(cells)
    torch.testing.assert_close(mean, cells.images(np.arange(len(cells))).mean((0, 2, 3, 4)))
    for networks, n_channels in ((conditional_networks(MODEL), 3), (reference_networks(MODEL), 2)):
        decoder = networks.dec.eval()
        predict_mean(decoder, mean)
        torch.nn.init.zeros_(decoder.image.weight)
        logits = decoder.image_logits(torch.randn(2, decoder.project.in_features))
        torch.testing.assert_close(logits.sigmoid().mean((0, 2, 3, 4)), mean[:n_channels])


def test_a_structure_s_intensity_is_the_mean_of_its_cells() -> None:
    cells = ToyCells()
    x, labels = cells.images(np.arange(len(cells))), torch.from_numpy(np.asarray(cells.labels))
    present = labels.unique()
    expected = torch.stack([x[labels == structure, -1].mean() for structure in present])
    intensity = structure_intensity(cells, int(present.max()) + 2)
    torch.testing.assert_close(intensity[present], expected)
    assert intensity[-1] == pytest.approx(expected.mean().item())


def test_bright_structures_weigh_less() -> None:
    intensity = torch.tensor([0.01, 0.02, 0.04, 0.08, 0.5])
    weights = inverse_intensity_weights(intensity)
    torch.testing.assert_close(weights * intensity, (weights * intensity)[:1].expand(5))
    assert weights.mean().item() == pytest.approx(1)


def test_a_run_weighs_structures_by_their_intensity(tmp_path) -> None:
    """Two ways to weigh them: two decoders, of the same seed and cells."""
    cells = ToyCells()
    decoders = []
    for how in ("none", "inverse"):
        config = toy_config(light_weights=how, conditional={"epochs": 1}, reference={"epochs": 1})
        fit_reference(cells, config, tmp_path / how)
        decoders.append(fit_conditional(cells, config, tmp_path / how).dec.image.weight)
    assert not torch.equal(*decoders)


def test_the_mean_bias_is_where_a_run_begins(tmp_path) -> None:
    cells = ToyCells()
    config = toy_config(learning_rate=1e-12, mean_bias=True)
    networks = fit_reference(cells, config, tmp_path)
    expected = torch.logit(mean_intensity(cells)[:2])
    torch.testing.assert_close(networks.dec.image.bias.detach(), expected, rtol=1e-4, atol=1e-5)
