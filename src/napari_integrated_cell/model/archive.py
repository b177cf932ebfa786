"""A set of named files with their checksums, as a folder or a .zip: how a bundle lies on disk.

Nothing is ever unpacked: files are read by names the program knows, so an archive cannot write anywhere.
Needs no torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

MANIFEST = "model.json"
CHECKSUMS = "SHA256SUMS"  # in the format of sha256sum, so that anyone can check it

_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Archive:
    """A folder or .zip opened for reading.

    Parameters
    ----------
    path : Path
        What to call it in errors.
    size, read : callable
        Give a file's number of bytes (KeyError if there is no such file), and its bytes.
    """

    def __init__(self, path: Path, size: Callable[[str], int], read: Callable[[str], bytes]) -> None:
        self.path = path
        self._size = size
        self._read = read

    def unverified(self, name: str, limit: int = 1 << 24) -> bytes:
        """The bytes of a file of at most ``limit`` bytes, unchecked.

        Raises
        ------
        ValueError
            If the file is missing, unreadable or larger.
        """
        try:
            size = self._size(name)
            if size <= limit:
                return self._read(name)
        except KeyError:
            raise ValueError(f"{self.path} is not a complete model: {name} is missing.") from None
        except (OSError, *_BROKEN_ZIP) as error:
            raise ValueError(
                f"{name} of {self.path} cannot be read ({error}): get the model again."
            ) from None
        raise ValueError(f"{name} of {self.path} has {size} bytes where at most {limit} are expected.")

    def holds(self, name: str) -> bool:
        """Whether there is such a file, or a checksum is kept for one: a file that got lost is not overlooked."""
        try:
            self._size(name)
        except KeyError:
            return name in _checksums(self.unverified(CHECKSUMS))
        return True

    def verify(self, name: str, content: bytes) -> None:
        """Hold ``content`` against the checksum kept for the file ``name``.

        Raises
        ------
        ValueError
            If it differs, or no checksum is kept.
        """
        checksums = _checksums(self.unverified(CHECKSUMS))
        if name not in checksums:
            raise ValueError(f"{self.path} is not a complete model: {CHECKSUMS} does not list {name}.")
        if checksums[name] != hashlib.sha256(content).hexdigest():
            raise ValueError(f"{name} of {self.path} is damaged (its checksum differs): get the model again.")

    def read(self, name: str, limit: int = 1 << 24) -> bytes:
        """The bytes of a file of at most ``limit`` bytes, held against its checksum.

        Raises
        ------
        ValueError
            If the file is missing, unreadable, larger or damaged.
        """
        content = self.unverified(name, limit)
        self.verify(name, content)
        return content


@contextmanager
def open_archive(path: Path, manifest: str = MANIFEST) -> Iterator[Archive]:
    """The bundle at ``path``, a folder or a .zip (also a .zip made of the folder as a whole).

    It is known by its file ``manifest``.

    Raises
    ------
    ValueError
        If there is nothing at ``path``, or nothing that could be a bundle.
    """
    if path.is_dir():
        yield _folder(path, manifest)
    elif not path.exists():
        raise ValueError(f"There is no model at {path}: give a bundle's folder or .zip.")
    elif not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is neither a bundle's folder nor a whole .zip: get the model again.")
    else:
        try:
            file = zipfile.ZipFile(path)
        except (OSError, *_BROKEN_ZIP) as error:
            raise ValueError(f"{path} is not a readable .zip ({error}): get the model again.") from None
        with file:
            yield _zip(path, file, manifest)


def _folder(path: Path, manifest: str) -> Archive:
    if not (path / manifest).is_file():
        raise ValueError(f"{path} is not an integrated-cell model: it has no {manifest}.")

    def size(name: str) -> int:
        if not (path / name).is_file():
            raise KeyError(name)
        return (path / name).stat().st_size

    return Archive(path, size, lambda name: (path / name).read_bytes())


def _zip(path: Path, file: zipfile.ZipFile, manifest: str) -> Archive:
    names = [PurePosixPath(name) for name in file.namelist()]
    for name in names:
        if name.is_absolute() or ".." in name.parts or "\\" in str(name):
            raise ValueError(f"{path} holds the unsafe path {str(name)!r}: do not trust it.")
    found = [name for name in names if name.name == manifest and len(name.parts) <= 2]
    if not found:
        raise ValueError(f"{path} is not an integrated-cell model: it has no {manifest}.")
    root = min(found, key=lambda name: len(name.parts)).parent
    return Archive(
        path, lambda name: file.getinfo(str(root / name)).file_size, lambda name: file.read(str(root / name))
    )


def write(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write ``files`` and their checksums to ``path``, a .zip if it ends so and else a folder.

    Everything is written aside first and takes its place at once: what stood there before stays whole until
    then. The same files give the same .zip, byte for byte.

    Raises
    ------
    ValueError
        If ``path`` cannot be written, or is a folder that holds something other than a bundle.
    """
    is_zip = path.suffix.lower() == ".zip"
    if is_zip and path.is_dir():
        raise ValueError(f"{path} is a folder: give the .zip another name.")
    if path.is_dir() and _others(path):
        raise ValueError(f"{path} is a folder with other things in it: choose another place for the model.")
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (_write_zip if is_zip else _write_folder)(aside, _with_checksums(files))
        _replace(aside, path)
    except OSError as error:
        raise ValueError(f"The model cannot be written to {path}: {error.strerror or error}.") from None
    finally:
        _remove(aside)


def _checksums(content: bytes) -> dict[str, str]:
    """Digests by file name."""
    lines = content.decode("utf-8", errors="replace").splitlines()
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines)}


def _others(folder: Path) -> list[str]:
    """What lies in a folder besides the bundle it holds, hidden files aside: nothing that may be replaced."""
    own = {CHECKSUMS}
    if (folder / CHECKSUMS).is_file():
        own |= _checksums((folder / CHECKSUMS).read_bytes()).keys()
    files = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    return [str(file) for file in files if file.as_posix() not in own and not file.name.startswith(".")]


def _with_checksums(files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    lines = []
    for name, content in files:
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        yield name, content
    yield CHECKSUMS, "".join(lines).encode()


def _write_folder(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    for name, content in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def _write_zip(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    # Stored, not compressed: weights hardly shrink. A fixed date and system make the file reproducible.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, content in files:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)


def _replace(new: Path, path: Path) -> None:
    """Put ``new`` in the place of ``path``; a folder in the way steps aside until ``new`` stands."""
    if not path.is_dir():
        os.replace(new, path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.unlink()
