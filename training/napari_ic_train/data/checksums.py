"""Are these the bytes that were put there? What can be proven of a fetched file, and by what.

The public dataset names its files ``<64 hexadecimal digits>_raw.ome.tif`` and ``..._segmentation.ome.tif``. The
digits look like the sha256 of the content, but all evidence says that they are the sha256 of the file's *path* at
the Allen Institute: the pipeline that made the crops wrote every one as ``.../<cell>/raw.ome.tif``, and the
institute's distribution library prefixes a file's name with the sha256 of its resolved path, to tell files of one
name apart. A dataset (a mirror, say) that is addressed by content proves it with its first file; there a name that
does not hold is corruption. Elsewhere a file is held against what the server (its ETag) or the package says of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

Proof = Literal["sha256 in the name", "sha256 in the package", "MD5 of the server", "size only"]

MEBIBYTE = 2**20
_HASHED_NAME = re.compile(r"([0-9a-f]{64})(?![0-9a-f])")
_MD5 = re.compile(r"[0-9a-f]{32}")
_MD5_OF_PARTS = re.compile(r"([0-9a-f]{32})-([0-9]+)")


class Unfetched(OSError):
    """A file that could not be had; its text says why."""


class Corrupt(Unfetched):
    """The bytes are not those that were put there."""


@dataclass(frozen=True)
class Stored:
    """What is known of one stored object before it is fetched.

    Attributes
    ----------
    path : str
        Relative to the dataset.
    size : int
        In bytes.
    etag : str
        The server's, without quotes; empty where a source has none.
    sha256 : str or None
        Of the content, where the package's own list was asked.
    """

    path: str
    size: int
    etag: str = ""
    sha256: str | None = None


def hash_in_name(path: str) -> str | None:
    """The sha256 that a file's name begins with, or None."""
    found = _HASHED_NAME.match(PurePosixPath(path).name)
    return found[1] if found else None


def prove(file: Path, stored: Stored, *, named_by_content: bool | None) -> Proof:
    """What proves that ``file`` holds the bytes of ``stored``.

    Parameters
    ----------
    file : path
        The fetched file, under any name.
    stored : Stored
        What it should be.
    named_by_content : bool or None
        Whether the names of this dataset are their contents' sha256; None when that is not known yet.

    Returns
    -------
    str
        The strongest proof there is. An object uploaded in parts of unknown size has none but its size.

    Raises
    ------
    Corrupt
        If something known of the object contradicts the bytes.
    """
    size = file.stat().st_size
    if size != stored.size:
        raise Corrupt(f"it has {size} bytes where {stored.size} were announced")
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
        # Only encryption with a customer's key makes an ETag anything else, and such an object is not public.
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
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for block in _blocks(file, MEBIBYTE):
        digest.update(block)
    return digest.hexdigest()


def _made_of_parts(file: Path, stored: Stored) -> bool:
    """Whether the ETag is the MD5 of the MD5s of parts, for any whole number of MiB a part may have had."""
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
