"""Verify the bytes of fetched files by checksums.

The public dataset names its files ``<64 hexadecimal digits>_raw.ome.tif`` and ``..._segmentation.ome.tif``. The
digits look like the sha256 of the content. All evidence says that they are the sha256 of the file's *path* at the
Allen Institute: the pipeline wrote every crop as ``.../<cell>/raw.ome.tif``, and the institute's distribution library
prefixes a file's name with the sha256 of its path. In a mirror whose files are named by content, the first file shows
it, and a file that does not match its name is corrupt. Otherwise a file is compared with the server's ETag or with the
package's list.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

Proof = Literal["sha256 in the name", "sha256 in the package", "MD5 of the server", "size only"]

MEBIBYTE = 2**20
_HASHED_NAME = re.compile(r"([0-9a-f]{64})(?![0-9a-f])")
_MD5 = re.compile(r"[0-9a-f]{32}")
_MD5_OF_PARTS = re.compile(r"([0-9a-f]{32})-([0-9]+)")


class Unfetched(OSError):
    """A file that could not be fetched, with the reason."""


class Corrupt(Unfetched):
    """The bytes differ from those that were uploaded."""


@dataclass(frozen=True)
class Stored:
    """One object on the server, before it is fetched.

    Attributes
    ----------
    path : str
        Relative to the dataset.
    size : int
        In bytes.
    etag : str
        The server's, without quotes; empty if the source has none.
    sha256 : str or None
        SHA-256 of the content, if the package's list was read.
    """

    path: str
    size: int
    etag: str = ""
    sha256: str | None = None


def hash_in_name(path: str) -> str | None:
    """Return the sha256 at the start of a file's name, or None."""
    found = _HASHED_NAME.match(PurePosixPath(path).name)
    return found[1] if found else None


def prove(file: Path, stored: Stored, *, named_by_content: bool | None) -> Proof:
    """Check that ``file`` holds the bytes of ``stored``, and return how this was checked.

    Parameters
    ----------
    file : path
        The fetched file, under any name.
    stored : Stored
        The object that it should be.
    named_by_content : bool or None
        Whether the names in this dataset are the sha256 of the contents; None if that is not known yet.

    Returns
    -------
    str
        The strongest check that is possible. Of an object uploaded in parts of unknown size, only the size is known.

    Raises
    ------
    Corrupt
        If the bytes do not match.
    """
    size = file.stat().st_size
    if size != stored.size:
        raise Corrupt(f"it has {size} bytes, but the server announced {stored.size}")
    named = hash_in_name(stored.path)
    digest = _digest(file, "sha256") if stored.sha256 or (named and named_by_content is not False) else None
    if named and digest == named:
        return "sha256 in the name"
    if named and named_by_content:
        raise Corrupt("its sha256 is not the one in its name")
    if stored.sha256:
        if digest != stored.sha256:
            raise Corrupt("its sha256 is not the one in the package's list")
        return "sha256 in the package"
    if _MD5.fullmatch(stored.etag):
        # An ETag of this form is something else only if a customer's key encrypts the object; then it is not public.
        if _digest(file, "md5") != stored.etag:
            raise Corrupt("its MD5 is not the one of the server")
        return "MD5 of the server"
    if _made_of_parts(file, stored):
        return "MD5 of the server"
    return "size only"


def _blocks(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while block := opened.read(size):
            yield block


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


def _made_of_parts(file: Path, stored: Stored) -> bool:
    """Return whether the ETag is the MD5 of the MD5s of parts, for any part size of whole MiB."""
    found = _MD5_OF_PARTS.fullmatch(stored.etag)
    if not found or not stored.size:
        return False
    parts = int(found[2])
    smallest = -(-stored.size // parts)
    largest = (stored.size - 1) // (parts - 1) if parts > 1 else max(stored.size, 8 * MEBIBYTE)
    for part_size in range(-(-smallest // MEBIBYTE) * MEBIBYTE, largest + 1, MEBIBYTE):
        digests = (hashlib.md5(part, usedforsecurity=False).digest() for part in _blocks(file, part_size))
        if hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest() == found[1]:
            return True
    return False
