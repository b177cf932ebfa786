"""Named files with checksums, as a folder or a .zip: the container of a bundle.

Nothing is unpacked. Files are read by names that the program knows, so an archive cannot write anywhere. Importing
this module imports no torch.
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
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from napari_integrated_cell.model.config import one_sentence

MANIFEST = "model.json"
CHECKSUMS = "SHA256SUMS"  # in the format of sha256sum, so that anyone can check it

_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)

T = TypeVar("T", bound=BaseModel)


class Archive:
    """A folder or .zip that is open for reading.

    Parameters
    ----------
    path : Path
        Its path, for error messages.
    size, read : callable
        Functions from a file's name to its number of bytes (KeyError if there is no such file) and to its content.
    """

    def __init__(self, path: Path, size: Callable[[str], int], read: Callable[[str], bytes]) -> None:
        self.path = path
        self._size = size
        self._read = read

    def unverified(self, name: str, limit: int = 1 << 24) -> bytes:
        """Read a file of at most ``limit`` bytes without checking its checksum.

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
        """Return whether there is such a file or a checksum for it, so that a missing file is an error later."""
        try:
            self._size(name)
        except KeyError:
            return name in _checksums(self.unverified(CHECKSUMS))
        return True

    def verify(self, name: str, content: bytes) -> None:
        """Compare ``content`` with the checksum of the file ``name``.

        Raises
        ------
        ValueError
            If it differs, or there is no checksum.
        """
        checksums = _checksums(self.unverified(CHECKSUMS))
        if name not in checksums:
            raise ValueError(f"{self.path} is not a complete model: {CHECKSUMS} does not list {name}.")
        if checksums[name] != hashlib.sha256(content).hexdigest():
            raise ValueError(f"{name} of {self.path} is damaged (its checksum differs): get the model again.")

    def read(self, name: str, limit: int = 1 << 24) -> bytes:
        """Read a file of at most ``limit`` bytes and compare it with its checksum.

        Raises
        ------
        ValueError
            If the file is missing, unreadable, larger or damaged.
        """
        content = self.unverified(name, limit)
        self.verify(name, content)
        return content


def read_json(archive: Archive, name: str, kind: type[T]) -> T:
    """Return a JSON file in an open bundle as a pydantic model; ValueError if it is damaged or not valid."""
    try:
        return kind.model_validate_json(archive.read(name))
    except ValidationError as error:
        raise ValueError(f"{name} of {archive.path} is not valid: {one_sentence(error)}.") from None


@contextmanager
def open_archive(path: Path, manifest: str = MANIFEST) -> Iterator[Archive]:
    """Open the bundle at ``path``: a folder, a .zip, or a .zip that contains the folder.

    The file ``manifest`` identifies a bundle.

    Raises
    ------
    ValueError
        If there is nothing at ``path``, or it is not a bundle.
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
    """Write ``files`` and their checksums to ``path``, a .zip if the name ends with it, else a folder.

    Everything is written under a temporary name and renamed at the end; until then, an existing bundle is unchanged.
    The same files give the same .zip, byte for byte.

    Raises
    ------
    ValueError
        If ``path`` cannot be written, or is a folder with files that do not belong to a bundle.
    """
    is_zip = path.suffix.lower() == ".zip"
    if is_zip and path.is_dir():
        raise ValueError(f"{path} is a folder: give the .zip another name.")
    if path.is_dir() and _other_files(path):
        raise ValueError(f"{path} is a folder with other files in it: choose another place for the model.")
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
    """Return digests by file name."""
    lines = content.decode("utf-8", errors="replace").splitlines()
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines)}


def _other_files(folder: Path) -> list[str]:
    """Return the files in a folder that do not belong to a bundle, without hidden files."""
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
    """Move ``new`` to ``path``. An existing folder is renamed first, and deleted once ``new`` is there."""
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
