"""Write files and folders atomically: they are complete, or they do not exist."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside ``path`` to write to, and rename it to ``path`` at the end.

    After an error or an interrupt, the hidden file or folder is removed and an existing ``path`` is unchanged. The
    hidden name has the same ending as ``path``.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written, or the disk is full.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist: make it first or choose another.")
    token = secrets.token_hex(4)
    part, old = (path.with_name(f".{token}.{word}.{path.name}") for word in ("part", "old"))
    try:
        yield part
        if path.is_dir():
            path.rename(old)  # a folder cannot be renamed over another
        os.replace(part, path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        raise OSError(
            f"{path.name} could not be written to {path.parent} ({error.strerror or error}): "
            "check that the folder may be written to and that the disk is not full."
        ) from error
    finally:
        for left in (part, old):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
