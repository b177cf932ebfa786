"""Read files from an S3 bucket or another server, and fetch one file."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from napari_ic_train.data.checksums import MEBIBYTE, Corrupt, Proof, Stored, Unfetched, prove

PUBLIC_DATASET = "s3://allencell/aics/hipsc_single_cell_image_dataset"
REGION = "us-west-2"
BLOCK = 2 * MEBIBYTE
SMALLEST_BLOCK = 64 * 1024

T = TypeVar("T")


class Missing(Unfetched):
    """The server has no such object, or does not allow to read it."""


class Lost(Unfetched):
    """The connection failed in every attempt."""


class Stopped(Exception):
    """The fetch was stopped."""


@dataclass(frozen=True, eq=False)
class Source:
    """The folder of a dataset on a server.

    Attributes
    ----------
    url : str
        The address, for messages.
    files : fsspec.AbstractFileSystem
        The server.
    root : str
        The dataset's folder there.
    attempts : int
        Number of times that a read is tried.
    patience : float
        Seconds before the second attempt. The pause doubles with every attempt, up to half a minute.
    stop : threading.Event
        If it is set, every read and every pause ends.
    """

    url: str
    files: Any
    root: str
    attempts: int
    patience: float
    stop: Event

    @classmethod
    def at(
        cls,
        url: str = PUBLIC_DATASET,
        *,
        endpoint: str | None = None,
        attempts: int = 6,
        patience: float = 0.5,
    ) -> Source:
        """Return the dataset at ``url``, read without an account.

        Parameters
        ----------
        url : str
            ``s3://bucket/package``, or any other fsspec address.
        endpoint : str, optional
            Address of an S3 server other than Amazon's.
        attempts, patience
            See the class.

        Raises
        ------
        ImportError
            If s3fs is not installed.
        ValueError
            If fsspec cannot read the address.
        """
        options: dict[str, Any] = {}
        if url.startswith("s3://"):
            options = {
                "anon": True,
                "endpoint_url": endpoint,
                "client_kwargs": {"region_name": REGION},
                # This class tries again itself, so that attempts can be limited, stopped and counted.
                "config_kwargs": {
                    "retries": {"total_max_attempts": 1},
                    "connect_timeout": 10,
                    "read_timeout": 30,
                },
                "use_listings_cache": False,
                "skip_instance_cache": True,
            }
        try:
            from fsspec.core import url_to_fs

            files, root = url_to_fs(url, **options)
        except ImportError as error:
            raise ImportError(
                f"Fetching needs {error.name or 's3fs'}: install it with "
                "pip install 'napari-integrated-cell[train]'."
            ) from error
        if url.startswith("s3://"):
            files.retries = 1
        return cls(url.rstrip("/"), files, root.rstrip("/"), attempts, patience, Event())

    def beside(self, path: str) -> Source:
        """Return another folder of the same server."""
        return Source(path, self.files, path, self.attempts, self.patience, self.stop)

    def stat(self, path: str, sha256: str | None = None) -> Stored:
        """Return size and ETag of one object.

        Raises
        ------
        Missing, Lost
        """
        info = self._patiently(lambda _: self.files.info(f"{self.root}/{path}"), path)
        if info["type"] != "file" or info.get("size") is None:
            raise Missing(f"{path} is not there")
        return Stored(path, int(info["size"]), str(info.get("ETag", "")).strip('"'), sha256)

    def blocks(self, stored: Stored, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of an object from ``start`` on. Blocks become smaller if the connection breaks.

        Raises
        ------
        Missing, Lost, Stopped
        """
        while start < stored.size:
            block = self._patiently(partial(self._range, stored, start), stored.path)
            start += len(block)
            yield block

    def _range(self, stored: Stored, start: int, attempt: int) -> bytes:
        end = min(start + max(BLOCK >> attempt, SMALLEST_BLOCK), stored.size)
        data: bytes = self.files.cat_file(f"{self.root}/{stored.path}", start=start, end=end)
        if len(data) != end - start:
            raise ConnectionError(f"{len(data)} bytes arrived, but {end - start} were requested")
        return data

    def _patiently(self, ask: Callable[[int], T], path: str) -> T:
        """Return ``ask(attempt)``. Try a limited number of times if the connection fails."""
        for attempt in range(self.attempts):
            if self.stop.is_set():
                raise Stopped
            try:
                return ask(attempt)
            except FileNotFoundError as error:
                raise Missing(f"{path} is not there") from error
            except PermissionError as error:
                raise Missing(f"{path} may not be read") from error
            except Exception as error:
                # botocore, aiohttp, ssl and fsspec each raise their own exceptions if a connection breaks.
                problem = error
            if attempt + 1 < self.attempts:
                self.stop.wait(min(self.patience * 2**attempt, 30) * random.uniform(0.75, 1.25))
        raise Lost(
            f"{path} could not be fetched in {self.attempts} attempts ({_first_line(problem)})"
        ) from problem


def bring(
    source: Source,
    stored: Stored,
    target: Path,
    *,
    named_by_content: bool | None = None,
    moved: Callable[[int], None] = lambda _: None,
) -> Proof:
    """Fetch one object to ``target`` and verify it. Continue a part of it that is there already.

    Parameters
    ----------
    source : Source
        The dataset.
    stored : Stored
        The object.
    target : path
        The file appears when it is complete and verified. Until then its bytes are in ``<target>.part``.
    named_by_content : bool or None
        See :func:`napari_ic_train.data.checksums.prove`.
    moved : callable
        Called with the number of bytes that were fetched; a negative number if wrong bytes were deleted.

    Raises
    ------
    Missing, Lost
        The bytes that were fetched stay for the next call.
    Corrupt
        If the bytes are wrong twice. They are deleted.
    Stopped
        If the fetch was stopped.
    OSError
        If the file cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        moved(stored.size)
        try:
            return prove(target, stored, named_by_content=named_by_content)
        except Corrupt:
            target.unlink()
            moved(-stored.size)
    target.parent.mkdir(parents=True, exist_ok=True)
    for last in (False, True):
        _continue(source, stored, part, moved)
        try:
            proof = prove(part, stored, named_by_content=named_by_content)
        except Corrupt as problem:
            part.unlink()
            moved(-stored.size)
            if last:
                raise Corrupt(f"{stored.path} is corrupt: {problem}") from problem
        else:
            part.replace(target)
            return proof
    raise AssertionError("unreachable")


def here(stored: Stored, target: Path) -> int:
    """Return how many bytes of an object are at ``target`` or in its part."""
    for file in (target, target.with_name(f"{target.name}.part")):
        if file.is_file() and (size := file.stat().st_size) <= stored.size:
            return size
    return 0


def _continue(source: Source, stored: Stored, part: Path, moved: Callable[[int], None]) -> None:
    """Append the missing bytes of the object to ``part``."""
    have = part.stat().st_size if part.exists() else 0
    if have > stored.size:
        part.unlink()
        have = 0
    moved(have)
    try:
        with part.open("ab") as opened:
            for block in source.blocks(stored, have):
                opened.write(block)
                moved(len(block))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(
            f"The disk of {part.parent} is full: free some space and run the same command again."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
