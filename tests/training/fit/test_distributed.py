"""Two processes with half of each batch give the same weights as one process. If a process dies, the run continues."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import distributed_run
import pytest
import torch
from distributed_run import run
from safetensors.torch import load_file
from torch import nn
from toy_training import MODEL

from napari_ic_train.fit.batch_norm import SynchronisedBatchNorm, synchronise_batch_norm
from napari_ic_train.fit.distributed import World, check_batches
from napari_ic_train.fit.draws import RandomDraws, Share
from napari_ic_train.run.checkpoint import checkpoints

SCRIPT = Path(distributed_run.__file__)
PHASES = ("reference", "conditional")


def torchrun(out: Path, *options: str, **fields: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        *options,
    ]
    return subprocess.run(
        [*command, str(SCRIPT), str(out), json.dumps(fields)], capture_output=True, text=True, timeout=300
    )


def assert_same_weights(ours: Path, theirs: Path) -> None:
    for phase in PHASES:
        (*_, a), (*_, b) = checkpoints(ours / phase), checkpoints(theirs / phase)
        assert a.name == b.name
        one, other = load_file(a), load_file(b)
        assert one.keys() == other.keys()
        for name in one:
            difference = (one[name].double() - other[name].double()).abs().max().item()
            assert difference <= 1e-5, name


def losses(run: Path, phase: str) -> list[list[float]]:
    with (run / phase / "losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    skipped = ("seconds", "cells_per_second", "memory_gb", "warnings")
    return [[float(value) for name, value in row.items() if name not in skipped] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "accumulate": 2,
            "batch_size": 5,
            "decoding_discriminator_every": 2,
            "class_weights": "inverse",
            "structure_channel_weight": 4.0,
            "light_weights": "inverse",
            "warm_up": 3,
            "mean_bias": True,
            "mode_share": 0.3,
            "generated": "paper-code",
            "augment_flips": True,
            "clip_gradients": 0.05,
            "sampling": "balanced",
            "decoded_at": "target",
            "latent_moments": "running",
            "model": MODEL.model_dump(mode="json") | {"latent_norm": True, "struct_norm": True},
        },
    ],
    ids=["plain", "everything"],
)
def test_two_processes_give_the_single_process_s_weights(fields: dict, tmp_path: Path) -> None:
    done = torchrun(tmp_path / "two", **fields)
    assert done.returncode == 0, done.stderr
    run(tmp_path / "one", **fields)
    assert_same_weights(tmp_path / "two", tmp_path / "one")
    for phase in PHASES:
        assert losses(tmp_path / "two", phase) == [
            pytest.approx(row, abs=1e-5) for row in losses(tmp_path / "one", phase)
        ]


@pytest.mark.slow
def test_torchrun_restarts_a_run_whose_process_died_from_its_last_checkpoint(tmp_path: Path) -> None:
    done = torchrun(tmp_path / "two", "--max-restarts", "1", fail_at=14)
    assert done.returncode == 0, done.stderr
    assert "17" in done.stderr, "no process died"
    run(tmp_path / "one")
    assert_same_weights(tmp_path / "two", tmp_path / "one")


def test_a_share_draws_what_the_whole_batch_draws() -> None:
    y = torch.arange(7) % 3

    def draws(share: Share | None) -> list[torch.Tensor]:
        source = RandomDraws(torch.Generator().manual_seed(2))
        source.share = share
        rows = slice(None) if share is None else slice(share.start, share.stop)
        x = torch.zeros(7, 2, 3)[rows]
        return [
            source.normal((len(x), 4), torch.float32),
            source.shuffled(y[rows]),
            source.chance(len(x), 0.5),
            source.white_noise(x),
        ]

    whole = draws(None)
    parts = [draws(Share(start, stop, 7, lambda part, share: y)) for start, stop in ((0, 3), (3, 7))]
    for index, expected in enumerate(whole):
        assert torch.equal(torch.cat([part[index] for part in parts]), expected)


def test_every_process_has_cells_and_none_twice() -> None:
    for size in (2, 3, 8):
        for n_cells in range(size, 40):
            shares = [World(torch.device("cpu"), rank, size).share(n_cells) for rank in range(size)]
            assert [share.start for share in shares[1:]] == [share.stop for share in shares[:-1]]
            assert (shares[0].start, shares[-1].stop) == (0, n_cells)
            assert all(share.stop > share.start for share in shares)
    with pytest.raises(
        ValueError, match="'batch_size' and 'accumulate' leave 3 cells for a pass of 4 processes"
    ):
        check_batches(World(torch.device("cpu"), 0, 4), [5, 3])


def test_layers_become_synchronised_and_keep_their_tensors() -> None:
    network = nn.Sequential(
        nn.Conv3d(2, 3, 1), nn.Sequential(nn.BatchNorm3d(3)), nn.Linear(4, 4), nn.BatchNorm1d(4)
    )
    names = list(network.state_dict())
    tensors = list(network.parameters())
    synchronise_batch_norm(network, torch.device("cpu"))
    assert [type(network[1][0]), type(network[3])] == [SynchronisedBatchNorm] * 2
    assert list(network.state_dict()) == names
    assert all(a is b for a, b in zip(network.parameters(), tensors, strict=True))
    x = torch.rand(3, 3, 2, 2, 2)
    plain = nn.BatchNorm3d(3).eval()
    assert torch.equal(network[1].eval()(x), plain(x))
