"""Compare a run that SIGKILL stops many times with an uninterrupted run: ``kill_series.py FOLDER SEED``.

Every life is a real process, forked from this one, which has imported torch and computed nothing. Half of them die at
a random moment. The others stop by themselves in the middle of writing a checkpoint and are killed there: this
happens equally often on a busy machine. The script prints the results as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch._dynamo  # every optimiser imports it: import it once here, not in each process
from toy_training import MODEL, ToyCells, toy_config

from napari_ic_train.config import PhaseConfig
from napari_ic_train.fit.trainer import fit_conditional, fit_reference
from napari_ic_train.run import checkpoint
from napari_integrated_cell.model.networks import ReferenceEncoder, initialise

EPOCHS = 26
KILLS = 10
WRITING = ("cut short", "not yet renamed", "renamed")
FAR = 3  # maximum number of epochs of a process that is killed at random: ten do not finish the run


class Held:
    """Stop a process at a chosen moment, mark this with a file, and wait to be killed."""

    def __init__(self, out: Path) -> None:
        self.said = out / "held"
        self.said.unlink(missing_ok=True)

    def here(self) -> None:
        self.said.touch()
        while True:
            time.sleep(1)


def hold_while_writing(held: Held, moment: str, left: int) -> None:
    """Stop in the middle of writing a checkpoint of this life, ``left`` of them from now."""
    save, rename = checkpoint.save_file, os.replace

    def save_file(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        nonlocal left
        save(tensors, path, metadata)
        left -= 1
        if left == 0 and moment == "cut short":
            os.truncate(path, path.stat().st_size // 3)
            held.here()

    def replace(aside: Path, path: Path) -> None:
        if left == 0 and moment == "not yet renamed":
            held.here()
        rename(aside, path)
        if left == 0:
            held.here()

    checkpoint.save_file = save_file  # type: ignore[attr-defined]
    checkpoint.os.replace = replace  # type: ignore[attr-defined]


def hold_when_far(held: Held, folder: Path) -> None:
    """Stop a run that should have been killed before, so that it does not finish."""
    rename, end = os.replace, epochs(folder) + FAR

    def replace(aside: Path, path: Path) -> None:
        rename(aside, path)
        if epochs(folder) >= end:
            held.here()

    checkpoint.os.replace = replace  # type: ignore[attr-defined]


def fit(phase: str, out: Path) -> None:
    """Train one phase from its last checkpoint."""
    torch.set_num_threads(1)
    length = PhaseConfig(epochs=EPOCHS)
    # Checkpoints within epochs too, at different moments in each run.
    config = toy_config(reference=length, conditional=length, checkpoint_minutes=0.004 / 60)
    if phase == "reference":
        fit_reference(ToyCells(), config, out, device="cpu", resume=True, held_out=ToyCells(5, seed=1))
    else:
        encoder = ReferenceEncoder(MODEL)
        initialise(encoder, torch.Generator().manual_seed(0))
        unseen = ToyCells(5, seed=1)
        fit_conditional(ToyCells(), config, out, encoder=encoder, device="cpu", resume=True, held_out=unseen)


def born(phase: str, out: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Start a process that fits, and return its process id."""
    process = os.fork()
    if process == 0:
        try:
            prepare()
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
    """Wait until a random moment, before or after this process has saved its first epoch."""
    before = epochs(folder)
    if chance.random() < 0.7:
        while epochs(folder) == before and alive(process):
            time.sleep(0.001)
    end = time.monotonic() + chance.uniform(0.0, 0.3)
    while time.monotonic() < end and alive(process):
        time.sleep(0.001)


def series(phase: str, out: Path, chance: random.Random) -> Iterator[dict[str, object]]:
    """Kill one phase again and again, and return what happened."""
    folder, moments = out / phase, itertools.cycle(WRITING)
    for number in range(KILLS):
        held = Held(out)
        if number % 2:
            moment, which = next(moments), chance.randint(1, 3)
            process = born(phase, out, partial(hold_while_writing, held, moment, which))
            while not held.said.exists() and alive(process):
                time.sleep(0.001)
        else:
            moment = "anywhere"
            process = born(phase, out, partial(hold_when_far, held, folder))
            wait_anywhere(process, chance, folder)
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        saved = checkpoint.checkpoints(folder)
        yield {
            "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
            "moment": moment,
            "half": half_written(folder),
            "last": saved[-1].name if saved else None,
        }


def finish(phase: str, out: Path) -> None:
    _, status = os.waitpid(born(phase, out), 0)
    if status:
        raise SystemExit(f"{out} could not be finished: {status}")


if __name__ == "__main__":
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    (folder / "broken").mkdir()
    result = {}
    for phase in ("reference", "conditional"):
        result[phase] = list(series(phase, folder / "broken", random.Random(seed)))
        finish(phase, folder / "broken")
        finish(phase, folder / "unbroken")
    (folder / "broken" / "held").unlink(missing_ok=True)
    print(json.dumps(result))
