"""The package's own list of what it holds: a Quilt manifest, with the sha256 of every file's content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from napari_ic_train.data.source import Source, bring


def checksums(
    source: Source, folder: Path, wanted: Iterable[str], moved: Callable[[int, int], None]
) -> dict[str, str]:
    """The sha256 of the files wanted, out of the list of the package that ``source`` is.

    A bucket of Quilt packages has in ``.quilt/named_packages/<package>/latest`` the name of a file under
    ``.quilt/packages``: one JSON object a line, first the package's own, then one for each file with
    ``logical_key``, ``physical_keys``, ``size`` and ``hash``. A name that is its content's sha256 as well.

    Parameters
    ----------
    source : Source
        ``s3://<bucket>/<package>``.
    folder : path
        Where the list is kept; it is large.
    wanted : iterable of str
        Paths relative to the package.
    moved : callable
        Called with the list's bytes that are here, and all of them.

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
            f"{source.url} has no list of a package to verify by ({error}): leave --verify out."
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
            key, told = entry.get("logical_key"), entry.get("hash") or {}
            # Newer packages hash in chunks ("sha2-256-chunked"), which is no sha256 of the file.
            if key in keys and told.get("type") == "SHA256":
                found[key] = str(told["value"])
    return found
