"""A run that is killed with SIGKILL again and again, and one that is not: ``kill_series.py FOLDER``.

Every life is a real process, forked from this one, which has imported torch and computed nothing. Half of them
die at a random moment, half while a checkpoint is being written. What happened is printed as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from toy_training import MODEL, ToyCells, toy_config

from napari_ic_train import checkpoint
from napari_ic_train.config import PhaseConfig
from napari_ic_train.trainer import fit_conditional, fit_reference
from napari_integrated_cell.model.networks import ReferenceEncoder, initialise

EPOCHS = 45
KILLS = 10


def fit(phase: str, out: Path) -> None:
    """One phase, from where the folder left it; syncing a file takes its time, as on a busy disk."""
    torch.set_num_threads(1)
    sync = os.fsync

    def slow_sync(file: int) -> None:
        time.sleep(0.005)
        sync(file)

    checkpoint.os.fsync = slow_sync  # type: ignore[attr-defined]
    length = PhaseConfig(epochs=EPOCHS)
    # Checkpoints within epochs too, at moments that no two runs share.
    config = toy_config(reference=length, conditional=length, checkpoint_minutes=0.004 / 60)
    if phase == "reference":
        fit_reference(ToyCells(), config, out, device="cpu", resume=True, held_out=ToyCells(5, seed=1))
    else:
        encoder = ReferenceEncoder(MODEL)
        initialise(encoder, torch.Generator().manual_seed(0))
        unseen = ToyCells(5, seed=1)
        fit_conditional(ToyCells(), config, out, encoder=encoder, device="cpu", resume=True, held_out=unseen)


def born(phase: str, out: Path) -> int:
    """A new process that fits; its number."""
    process = os.fork()
    if process == 0:
        try:
            fit(phase, out)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return process


def alive(process: int) -> bool:
    done, status = os.waitpid(process, os.WNOHANG)
    if done:
        raise SystemExit(f"a run ended with {status} before it could be killed")
    return True


def half_written(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("[0-9]*.part")]


def epochs(folder: Path) -> int:
    saved = checkpoint.checkpoints(folder)
    return int(saved[-1].name[:6]) if saved else 0


def wait_anywhere(process: int, chance: random.Random, folder: Path) -> None:
    """Until a random moment, before or after the first epoch of this life is saved; three epochs at most."""
    before = epochs(folder)
    if chance.random() < 0.7:
        while epochs(folder) == before and alive(process):
            time.sleep(0.001)
    end = time.monotonic() + chance.uniform(0.0, 0.3)
    while time.monotonic() < end and epochs(folder) < before + 3 and alive(process):
        time.sleep(0.001)


def wait_for_writing(process: int, chance: random.Random, folder: Path) -> None:
    """Until one of the first three checkpoints of this life is being written."""
    for _ in range(chance.randint(1, 3)):  # which of its checkpoints
        while half_written(folder) and alive(process):
            time.sleep(0.0002)
        while not half_written(folder) and alive(process):
            time.sleep(0.0002)
    time.sleep(chance.uniform(0.0, 0.004))


def series(phase: str, out: Path, chance: random.Random) -> list[dict[str, object]]:
    deaths: list[dict[str, object]] = []
    for number in range(KILLS):
        process = born(phase, out)
        if number % 2:
            wait_for_writing(process, chance, out / phase)
        else:
            wait_anywhere(process, chance, out / phase)
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        saved = checkpoint.checkpoints(out / phase)
        deaths.append(
            {
                "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
                "half": half_written(out / phase),
                "last": saved[-1].name if saved else None,
            }
        )
    return deaths


def finish(phase: str, out: Path) -> None:
    _, status = os.waitpid(born(phase, out), 0)
    if status:
        raise SystemExit(f"{out} could not be finished: {status}")


if __name__ == "__main__":
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    result = {}
    for phase in ("reference", "conditional"):
        result[phase] = series(phase, folder / "broken", random.Random(seed))
        finish(phase, folder / "broken")
        finish(phase, folder / "unbroken")
    print(json.dumps(result))
