"""Membrane and DNA are told by what they look like, without their names."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from napari_integrated_cell.imaging.stains import appearance_of, guess_stains, sample
from napari_integrated_cell.simulation import simulate_cell, simulate_field


@pytest.fixture(scope="module", params=["field", "one cell", "telophase"])
def channels(request):
    names = ("TOM20", "alpha-tubulin", "ST6GAL1", "lamin-B1", "desmoplakin", "Sec61-beta", "beta-actin")
    if request.param == "one cell":
        return simulate_field(3, n_cells=1, voxel_size=(0.29, 0.2, 0.2), structure=names).channels
    if request.param == "telophase":
        return simulate_cell(
            4, stage="telophase-cytokinesis", voxel_size=(0.4, 0.2, 0.2), structure=names
        ).cell.channels
    return simulate_field(5, n_cells=9, voxel_size=(0.5, 0.3, 0.3), structure=names).channels


def test_in_any_order_and_beside_a_third_channel(channels):
    seen = {name: appearance_of(sample(image)) for name, image in channels.items()}
    for third in (None, *(name for name in channels if name not in ("membrane", "dna"))):
        names = ["membrane", "dna", *([third] if third else [])]
        for order in permutations(names):
            membrane, dna = guess_stains([seen[name] for name in order])
            assert (order[membrane], order[dna]) == ("membrane", "dna"), third


def test_each_alone(channels):
    for name, expected in (("membrane", (0, None)), ("dna", (None, 0))):
        assert guess_stains([appearance_of(sample(channels[name]))]) == expected
    for name in ("TOM20", "ST6GAL1", "desmoplakin", "Sec61-beta", "lamin-B1", "alpha-tubulin"):
        assert guess_stains([appearance_of(sample(channels[name]))]) == (None, None), name


@pytest.mark.parametrize("scale", [1, 100])
@pytest.mark.parametrize("offset", [0, 1000])
def test_units_of_intensity_do_not_matter(channels, scale, offset):
    seen = [
        appearance_of(sample(channels[name].astype(np.float32) * scale + offset))
        for name in ("dna", "membrane")
    ]
    assert guess_stains(seen) == (1, 0)


@pytest.mark.parametrize(
    "volume",
    [
        np.zeros((9, 30, 40), np.uint16),
        np.full((1, 5, 5), 7.0),
        np.full((5, 30, 40), np.nan),
        np.zeros((4, 1, 1), np.uint8),
    ],
)
def test_nothing_is_told_of_an_empty_channel(volume):
    assert appearance_of(sample(volume)) is None
    assert guess_stains([None, None]) == (None, None)
    assert guess_stains([]) == (None, None)


def test_a_sample_of_a_large_volume_is_small():
    class Large:
        shape, read = (100, 20_000, 25_000), 0

        def __getitem__(self, index):
            _, *plane = index
            self.read += int(np.prod([s.stop - s.start for s in plane]))
            return np.zeros([s.stop - s.start for s in plane], np.uint16)

    volume = Large()
    assert sample(volume).shape == (5, 1024, 1024)
    assert volume.read == 5 * 1024 * 1024
