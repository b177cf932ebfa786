"""Copies of a TIFF with one flipped bit each, outside the pixels."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import tifffile


def flipped_copies(path: Path, copies: int) -> Iterator[tuple[Path, str]]:
    """Yield the path of a damaged copy, the same for all, and which bit of which byte is flipped."""
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        pixels = [(o, o + n) for p in tif.pages for o, n in zip(p.dataoffsets, p.databytecounts, strict=True)]
    places = [i for i, byte in enumerate(content) if byte and not any(a <= i < b for a, b in pixels)]
    damaged = path.with_name(f"flipped{path.suffix}")
    for at in random.Random(0).sample(places, copies):
        bit = 1 << random.Random(at).randrange(8)
        damaged.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        yield damaged, f"bit {bit} of byte {at}"
