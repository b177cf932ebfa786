"""Read the list of files in a Quilt package, with the sha256 of every file's content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from napari_ic_train.data.source import Source, bring


def checksums(
    source: Source, folder: Path, wanted: Iterable[str], moved: Callable[[int, int], None]
) -> dict[str, str]:
    """Return the sha256 of the wanted files from the list of the package at ``source``.

    In a bucket of Quilt packages, ``.quilt/named_packages/<package>/latest`` holds the name of a file under
    ``.quilt/packages``. That file has one JSON object per line: first the package's own, then one per file, with
    ``logical_key``, ``physical_keys``, ``size`` and ``hash``. Its name is the sha256 of its content.

    Parameters
    ----------
    source : Source
        ``s3://<bucket>/<package>``.
    folder : path
        Folder for the list, which is large.
    wanted : iterable of str
        Paths relative to the package.
    moved : callable
        Called with the number of bytes of the list that are here, and of all.

    Raises
    ------
    ValueError
        If there is no such list.
    """
    address = urlsplit(source.url)
    package = address.path.strip("/")
    root = source.beside(f"{address.netloc}/.quilt")
    try:
        pointer = root.stat(f"named_packages/{package}/latest")
        name = b"".join(root.blocks(pointer)).decode("ascii").strip()
        stored = root.stat(f"packages/{name}")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{source.url} has no list of a package ({error}): verify files without it."
        ) from error
    have = 0

    def counted(size: int) -> None:
        nonlocal have
        have += size
        moved(have, stored.size)

    listing = folder / f"package-{name[:16]}.jsonl"
    bring(root, stored, listing, moved=counted)
    keys, found = set(wanted), {}
    with listing.open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            key, checksum = entry.get("logical_key"), entry.get("hash") or {}
            # "sha2-256-chunked" of newer packages is not the sha256 of the file.
            if key in keys and checksum.get("type") == "SHA256":
                found[key] = str(checksum["value"])
    return found
