"""Checkpoints: one safetensors file each, with the point that the phase had reached in its header."""

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
class PhasePoint:
    """A point in the training of a phase.

    Attributes
    ----------
    epoch : int
        Finished epochs.
    batch : int
        Finished batches of the current epoch; 0 between epochs.
    seconds : float
        Wall-clock time spent so far, including the time before restarts.
    totals : dict of str to float
        Each loss summed over the cells of the current epoch.
    """

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    totals: dict[str, float] = field(default_factory=dict)


def checkpoints(folder: Path) -> list[Path]:
    """Return a phase's checkpoints, the oldest first."""
    return sorted(folder.glob(f"[0-9]*{SUFFIX}"))


def write_checkpoint(folder: Path, point: PhasePoint, tensors: Mapping[str, Tensor], keep: int) -> Path:
    """Write a checkpoint and delete all but the last ``keep``.

    The file is written under another name, synced and renamed: a process that is killed leaves no broken checkpoint.

    Raises
    ------
    OSError
        If the checkpoint cannot be written, for example because the disk is full. Earlier checkpoints stay.
    """
    before = checkpoints(folder)
    path = folder / f"{point.epoch:06d}-{point.batch:06d}{SUFFIX}"
    aside = path.with_suffix(".part")
    try:
        save_file(dict(tensors), aside, metadata={"format": FORMAT, "position": json.dumps(asdict(point))})
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
    """Make the checkpoint after ``epoch`` epochs the best one, if it still exists; a hard link needs no copy."""
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
    """Delete the unfinished files of a process that was killed."""
    for half in folder.glob("*.part"):
        half.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> tuple[PhasePoint, dict[str, Tensor]]:
    """Return the point that a phase had reached, and its tensors.

    Raises
    ------
    ValueError
        If the file is broken or is not a checkpoint of this version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"{path} is not a checkpoint of this version: train in another folder.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return PhasePoint(**json.loads(metadata["position"])), tensors
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"The checkpoint {path} is broken ({error}): delete it to use the one before."
        ) from error


def read_point(path: Path) -> PhasePoint:
    """Return the point that a phase had reached, without its tensors; ValueError if the file is broken."""
    try:
        with safe_open(path, framework="pt") as file:
            return PhasePoint(**json.loads((file.metadata() or {})["position"]))
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"The checkpoint {path} is broken ({error}).") from error


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def last_good(paths: list[Path]) -> str:
    """Return the part of an error sentence that names the last good checkpoint."""
    return f"the last good checkpoint is {paths[-1]}" if paths else "there is no earlier checkpoint"


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power failure, if the system can sync a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
