"""Checkpoints: one safetensors file each, its JSON facts in the header, so that one rename makes it whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT = "1"
SUFFIX = ".safetensors"
BEST = f"best{SUFFIX}"


@dataclass(frozen=True)
class Position:
    """How far a phase has come.

    Attributes
    ----------
    epoch : int
        Epochs done.
    batch : int
        Batches done of the epoch under way; 0 between epochs.
    seconds : float
        Wall-clock time spent so far, all sessions together.
    totals : dict of str to float
        Each loss summed over the cells of the epoch under way.
    """

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    totals: dict[str, float] = field(default_factory=dict)


def checkpoints(folder: Path) -> list[Path]:
    """A phase's checkpoints, the oldest first."""
    return sorted(folder.glob(f"[0-9]*{SUFFIX}"))


def write_checkpoint(folder: Path, position: Position, tensors: Mapping[str, Tensor], keep: int) -> Path:
    """Write aside, sync, rename; then forget all but the last ``keep``.

    Raises
    ------
    OSError
        If it cannot be written, for example on a full disk. Earlier checkpoints are untouched.
    """
    before = checkpoints(folder)
    path = folder / f"{position.epoch:06d}-{position.batch:06d}{SUFFIX}"
    aside = path.with_suffix(".part")
    try:
        save_file(dict(tensors), aside, metadata={"format": FORMAT, "position": json.dumps(asdict(position))})
        aside.chmod(folder.stat().st_mode & 0o666)  # safetensors writes files that only their owner may read
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
        _sync_folder(folder)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise OSError(
            f"The checkpoint {path} could not be written ({error}); {last_good(before)}."
        ) from error
    for old in checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def keep_best(folder: Path, epoch: int) -> None:
    """Let the best checkpoint be that after ``epoch`` epochs, if that is still there; it costs no copy."""
    path, best = folder / f"{epoch:06d}-000000{SUFFIX}", folder / BEST
    if not path.exists() or (best.exists() and best.samefile(path)):
        return
    aside = best.with_suffix(".part")
    aside.unlink(missing_ok=True)
    try:
        os.link(path, aside)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, aside)
    os.replace(aside, best)
    _sync_folder(folder)


def clear_halves(folder: Path) -> None:
    """Delete what a killed process was writing."""
    for half in folder.glob("*.part"):
        half.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> tuple[Position, dict[str, Tensor]]:
    """Where a phase stood, and its tensors.

    Raises
    ------
    ValueError
        If the file is broken or none of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"{path} is no checkpoint of this version: train in another folder.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Position(**json.loads(metadata["position"])), tensors
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"The checkpoint {path} is broken ({error}): delete it to use the one before."
        ) from error


def read_position(path: Path) -> Position:
    """Where a phase stood, without its tensors; ValueError if the file is broken or none of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            return Position(**json.loads((file.metadata() or {})["position"]))
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"The checkpoint {path} is broken ({error}).") from error


def last_good(paths: list[Path]) -> str:
    """Words that say which checkpoint to fall back on."""
    return f"the last good checkpoint is {paths[-1]}" if paths else "there is no earlier checkpoint"


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets a folder be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
