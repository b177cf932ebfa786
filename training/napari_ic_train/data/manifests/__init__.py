"""Manifests: tables of segmented cells, in the four layouts that `prepare` takes, recognised by their columns."""

from napari_ic_train.data.manifests.entry import Entry, Plane, Unusable, literal, stage_of_code
from napari_ic_train.data.manifests.manifest import FORMATS, Manifest, open_manifest

__all__ = [
    "FORMATS",
    "Entry",
    "Manifest",
    "Plane",
    "Unusable",
    "literal",
    "open_manifest",
    "stage_of_code",
]
