"""Find the fields in a folder: which files belong together, and what each of them shows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_integrated_cell.batch.field_files import FieldFiles
from napari_integrated_cell.batch.found_fields import Faulty, FoundFields, different
from napari_integrated_cell.batch.patterns import FilePattern
from napari_integrated_cell.batch.searching import image_files
from napari_integrated_cell.batch.seen_file import (
    CELLS,
    IMAGE,
    NUCLEI,
    SeenFile,
    look,
    meaning,
    stain_of,
    stem_of,
)
from napari_integrated_cell.data.entry import STRUCTURE, FileChannel
from napari_integrated_cell.imaging.choices import ReadingChoices
from napari_integrated_cell.imaging.reading import CROP_SEG_CHANNELS, DATASET_VOXEL_SIZE, READABLE_EXTENSIONS
from napari_integrated_cell.vocabulary import REFERENCE_NAMES, STRUCTURE_NAMES


@dataclass(frozen=True)
class ChosenChannels:
    """What the user says about all fields of a folder.

    Attributes
    ----------
    membrane, dna, structure : str, optional
        Names or indices of channels.
    voxel_size : tuple of float, optional
        (Z, Y, X) in µm.
    reading : ReadingChoices
        Scene, time point, axes and reader of every file.
    """

    membrane: str | None = None
    dna: str | None = None
    structure: str | None = None
    voxel_size: tuple[float, float, float] | None = None
    reading: ReadingChoices = field(default_factory=ReadingChoices)


_NOTHING_CHOSEN = ChosenChannels()


@dataclass
class _Group:
    """Files of one field, by what they show."""

    folder: Path
    key: str
    cells: FileChannel | None = None
    nuclei: FileChannel | None = None
    images: dict[str, FileChannel] = field(default_factory=dict)
    structure: str = ""
    voxel_size: tuple[float, float, float] | None = None
    files: list[Path] = field(default_factory=list)


def fields_of_folder(
    folder: Path,
    *,
    chosen: ChosenChannels = _NOTHING_CHOSEN,
    patterns: Sequence[FilePattern] = (),
    leave_out: Path | None = None,
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> FoundFields:
    """Return the fields in a folder and its subfolders.

    Files of one field lie in one folder, and their names differ by the word for what they show only. What a file
    holds decides first: labels are never taken for a stain, nor the mask of a structure.

    Parameters
    ----------
    patterns : sequence of FilePattern
        What files are called. Other files are then not used.
    leave_out : Path, optional
        A folder in it that is not searched: that of the results. Results of earlier calls are left out too.
    on_file : callable, optional
        Called with the number of files seen, and of all.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds no image file.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: check the path.")
    paths, unused = image_files(folder, leave_out)
    if not paths:
        but = f", only {unused[0].name}: {unused[0].reason}" if unused else ""
        raise ValueError(f"{folder} holds no image ({', '.join(READABLE_EXTENSIONS)}){but}: check the path.")
    seen: dict[Path, list[SeenFile]] = defaultdict(list)
    faulty = list[Faulty]()
    roles: dict[Path, tuple[str, str]] = {}
    for count, path in enumerate(paths, start=1):
        on_file(count, len(paths))
        name = path.relative_to(folder).as_posix()
        if patterns:
            matched = next((found for p in patterns if (found := p.match(name))), None)
            if matched is None:
                unused.append(Faulty(name, str(path), "its name fits no pattern"))
                continue
            roles[path] = matched
        try:
            seen[path.parent].append(look(path, chosen.reading))
        except (ValueError, OSError) as error:
            faulty.append(Faulty(name, str(path), " ".join(str(error).split())))
    complete: list[_Group] = []
    sorting = (
        [_of_patterns(folder, [s for some in seen.values() for s in some], roles, chosen)]
        if patterns
        else (_of_one_folder(where, some, chosen) for where, some in seen.items())
    )
    for groups, left_out in sorting:
        unused += [Faulty(p.relative_to(folder).as_posix(), str(p), reason) for p, reason in left_out]
        complete += groups
    names = _names(complete, folder, as_they_are=bool(patterns))
    fields = [_field(group, name, chosen) for group, name in zip(complete, names, strict=True)]
    return FoundFields(str(folder), tuple(different(fields)), (), tuple(faulty), tuple(unused))


Sorted = tuple[list[_Group], list[tuple[Path, str]]]


def _of_one_folder(folder: Path, seen: Iterable[SeenFile], chosen: ChosenChannels) -> Sorted:
    """Return the groups of the files that lie in one folder, and the files that are not used."""
    groups: dict[str, _Group] = {}
    left_out: list[tuple[Path, str]] = []
    segmentations = [s for s in seen if s.is_segmentation]
    images = [s for s in seen if not s.is_segmentation]
    unnamed: dict[str, list[SeenFile]] = defaultdict(list)
    keys = _keys_of_labels(segmentations)
    for file in segmentations:
        if len(file.channels) == 1 and not file.shows:
            unnamed[file.key].append(file)
        else:
            key = keys[file.path]
            _take(groups.setdefault(key, _Group(folder, key)), file, chosen, left_out)
    for key, files in unnamed.items():
        _take_unnamed(groups.setdefault(key, _Group(folder, key)), files, left_out)
    waiting: list[SeenFile] = []
    for file in images:
        found = next((key for key in file.keys if key in groups and groups[key].cells), None)
        if found is None:
            waiting.append(file)
        else:
            _take(groups[found], file, chosen, left_out)
    labelled = [group for group in groups.values() if group.cells and group.nuclei]
    lonely = len(labelled) == 1 and not labelled[0].images and len(waiting) == 1
    if lonely and not (labelled[0].key and waiting[0].keys[-1]):
        # One image and one pair belong together, unless each has a name of its own.
        _take(labelled[0], waiting.pop(), chosen, left_out)
    keys = _keys_of_images(waiting)
    for file in waiting:
        key = keys[file.path]
        _take(groups.setdefault(key, _Group(folder, key)), file, chosen, left_out)
    return _complete(groups.values(), left_out)


def _keys_of_labels(files: Iterable[SeenFile]) -> dict[Path, str]:
    """Return the key of each label image. Where two files of a kind would share one, all separators count."""
    shapes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in files:
        shapes[file.key, file.shows].add(file.shape)
    shared = {key for (key, shows), found in shapes.items() if shows and len(found) > 1}
    return {file.path: file.shape if file.key in shared else file.key for file in files}


def _keys_of_images(files: Iterable[SeenFile]) -> dict[Path, str]:
    """Return the key of each image without labels. Where two would share one, more of their names counts."""
    files = list(files)
    keys = {file.path: file.keys[0 if len(file.channels) > 1 else -1] for file in files}
    count = Counter(keys[f.path] for f in files if len(f.channels) > 1)
    stains = Counter((keys[f.path], stain_of(stem_of(f.path))) for f in files if len(f.channels) == 1)
    for file in files:
        key = keys[file.path]
        if len(file.channels) > 1:
            if count[key] > 1:
                keys[file.path] = stem_of(file.path)
        elif any(n > 1 for (of, _), n in stains.items() if of == key):
            keys[file.path] = file.narrow_key
    return keys


def _of_patterns(
    folder: Path, seen: Iterable[SeenFile], roles: dict[Path, tuple[str, str]], chosen: ChosenChannels
) -> Sorted:
    """Return the groups of files whose names fit patterns."""
    groups: dict[str, _Group] = {}
    left_out: list[tuple[Path, str]] = []
    for file in seen:
        role, key = roles[file.path]
        group = groups.setdefault(key, _Group(folder, key))
        _take(group, file, chosen, left_out, role)
    return _complete(groups.values(), left_out)


def _take(
    group: _Group, file: SeenFile, chosen: ChosenChannels, left_out: list[tuple[Path, str]], role: str = ""
) -> None:
    """Add a file to a group, by its content and its name."""
    before = (group.cells, group.nuclei, dict(group.images))
    path = str(file.path)
    if file.is_crop_seg and not role:
        channels = {name: i for i, name in enumerate(CROP_SEG_CHANNELS)}
        _add(group, CELLS, FileChannel(path, (channels["membrane_segmentation"],)))
        _add(group, NUCLEI, FileChannel(path, (channels["dna_segmentation"],)))
        group.voxel_size = DATASET_VOXEL_SIZE
    elif len(file.channels) == 1:
        _add_single(group, file, role)
    else:
        for i, (name, labels) in enumerate(zip(file.channels, file.are_labels, strict=True)):
            shown = meaning(name) if labels else stain_of(name)
            if labels and shown in (CELLS, NUCLEI):
                _add(group, shown, FileChannel(path, (i,)))
            elif not labels and shown:
                _add_stain(group, shown, FileChannel(path, (i,)))
        if not file.is_segmentation:
            given = {"membrane": chosen.membrane, "dna": chosen.dna, STRUCTURE: chosen.structure}
            for what, named in given.items():
                other = group.images.get(what)
                if named is not None and (other is None or other.path == path):
                    group.images[what] = FileChannel(path, (named,))
    if (group.cells, group.nuclei, group.images) == before:
        left_out.append((file.path, _why_unused(file, role, group)))
    else:
        group.files.append(file.path)


def _add_single(group: _Group, file: SeenFile, role: str) -> None:
    plane = FileChannel(str(file.path))
    if file.is_segmentation:
        shown = role or file.shows
        if shown in (CELLS, NUCLEI):
            _add(group, shown, plane)
        return
    shown = role if role not in ("", IMAGE) else stain_of(file.channels[0]) or stain_of(stem_of(file.path))
    if shown and shown not in (CELLS, NUCLEI):
        _add_stain(group, shown, plane)


def _take_unnamed(group: _Group, files: list[SeenFile], left_out: list[tuple[Path, str]]) -> None:
    """Add label images whose names do not say what they show: the cells fill more of the image than their nuclei."""
    free = [role for role in (CELLS, NUCLEI) if getattr(group, role) is None]
    for file in sorted(files, key=lambda s: -s.filled):
        if free:
            _add(group, free.pop(0), FileChannel(str(file.path)))
            group.files.append(file.path)
        else:
            left_out.append((file.path, "its name says neither cells nor nuclei"))


def _add(group: _Group, role: str, plane: FileChannel) -> None:
    if getattr(group, role) is None:
        setattr(group, role, plane)


def _add_stain(group: _Group, shown: str, plane: FileChannel) -> None:
    if shown in REFERENCE_NAMES:
        group.images.setdefault(shown, plane)
    elif STRUCTURE not in group.images:
        group.images[STRUCTURE] = plane
        group.structure = shown if shown in STRUCTURE_NAMES else ""


def _complete(groups: Iterable[_Group], left_out: list[tuple[Path, str]]) -> Sorted:
    """Return the groups that make a field; the files of the others are not used."""
    complete = []
    for group in groups:
        if not group.files:
            continue
        both = group.cells is not None and group.nuclei is not None
        neither = group.cells is None and group.nuclei is None
        if both or (neither and set(REFERENCE_NAMES) <= set(group.images)):
            complete.append(group)
            continue
        if len(group.files) == 1 and not neither and not meaning(stem_of(group.files[0])):
            reason = "it holds labels, and its name says neither cells nor nuclei"
        elif neither:
            reason = "membrane and DNA are not both recognised, and there are no label images"
        else:
            missing = "nuclei" if group.nuclei is None else "cells"
            reason = f"there is no label image of the {missing} beside it"
        left_out += [(path, reason) for path in group.files]
    return complete, left_out


def _names(groups: Sequence[_Group], root: Path, *, as_they_are: bool) -> list[str]:
    """Return the names of fields. Signs become ``_``, unless the names are given, or two would have the same name."""
    odd = re.compile(r"[^\w()+-]+")
    simple = [group.key if as_they_are else odd.sub("_", group.key).strip("_-") for group in groups]
    taken = Counter((group.folder, key.casefold()) for group, key in zip(groups, simple, strict=True))
    names = []
    for group, key in zip(groups, simple, strict=True):
        inside = group.folder.relative_to(root).as_posix()
        own = key if taken[group.folder, key.casefold()] == 1 else group.key
        parts = [part for part in ("" if inside == "." else inside, own) if part]
        names.append("/".join(parts) or root.resolve().name or "field")
    return names


def _field(group: _Group, name: str, chosen: ChosenChannels) -> FieldFiles:
    return FieldFiles(
        name,
        group.cells,
        group.nuclei,
        dict(group.images),
        group.structure,
        chosen.voxel_size or group.voxel_size,
        reading=chosen.reading,
    )


def _why_unused(file: SeenFile, role: str, group: _Group) -> str:
    if file.is_segmentation:
        if file.shows in (CELLS, NUCLEI) or role:
            return f"another file shows the {role or file.shows} of this field"
        if len(file.channels) > 1:
            return "it holds labels, and no channel is called cells or nuclei"
        return "it is the mask of a structure, not a stain"
    if any(stain_of(name) in group.images for name in (*file.channels, stem_of(file.path))):
        return "another file shows the same channels of this field"
    channels = f"its channel{'s' if len(file.channels) > 1 else ''} ({', '.join(file.channels)})"
    return f"{channels} show neither membrane nor DNA by name"
