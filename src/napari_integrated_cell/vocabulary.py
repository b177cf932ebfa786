"""Names, labels, colours and synonyms of structures, stages and reference channels.

The eleven structures are those of section 3.1 and Table S9 of "Building a 3D Integrated Cell", in the paper's
order. The eight mitotic stages are those of section 3.4.5.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma"}


@dataclass(frozen=True)
class Structure:
    """One labelled structure of the paper.

    Attributes
    ----------
    name : str
        ASCII name for files, command lines and channels, e.g. ``"alpha-actinin"``.
    label : str
        The protein's name as the paper prints it, e.g. ``"α-actinin"``.
    organelle : str
        What the protein marks.
    gene : str
        HGNC symbol, the public dataset's ``structure_name``.
    colour : str
        ``#rrggbb``, for every layer, chart and picture.
    synonyms : tuple of str
        Other names under which a channel is recognised.
    """

    name: str
    label: str
    organelle: str
    gene: str
    colour: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage of the cell cycle as annotated in section 3.4.5.

    Attributes
    ----------
    name : str
        ASCII name, e.g. ``"prometaphase-1"``.
    label : str
        Name for people.
    dataset_code : str
        The ``cell_stage`` of the public dataset that contains this stage.
    """

    name: str
    label: str
    dataset_code: str


@dataclass(frozen=True)
class Reference:
    """A reference channel: the cell's membrane or its DNA."""

    name: str
    label: str
    colour: str
    synonyms: tuple[str, ...] = ()


STRUCTURES: tuple[Structure, ...] = (
    Structure("alpha-actinin", "α-actinin", "actin bundles", "ACTN1", "#ff8c42", ("actinin",)),
    Structure("alpha-tubulin", "α-tubulin", "microtubules", "TUBA1B", "#3fd0ff", ("tubulin", "microtubule")),
    Structure(
        "beta-actin", "β-actin", "actin filaments", "ACTB", "#ff5a5f", ("actin", "f-actin", "phalloidin")
    ),
    Structure("desmoplakin", "desmoplakin", "desmosomes", "DSP", "#f2e14c", ("desmosome",)),
    Structure("fibrillarin", "fibrillarin", "nucleoli", "FBL", "#b48cff", ("nucleolus", "nucleoli")),
    Structure("lamin-B1", "lamin B1", "nuclear envelope", "LMNB1", "#5fa8ff", ("lamin", "nuclear envelope")),
    Structure("myosin-IIB", "myosin IIB", "actomyosin bundles", "MYH10", "#ffb000", ("myosin", "nmiib")),
    Structure(
        "ST6GAL1",
        "ST6GAL1",
        "Golgi apparatus",
        "ST6GAL1",
        "#7bd651",
        ("golgi", "sialyltransferase", "st6gal"),
    ),
    Structure(
        "Sec61-beta", "Sec61β", "endoplasmic reticulum", "SEC61B", "#4fe0b0", ("sec61", "er", "endoplasmic")
    ),
    Structure("TOM20", "TOM20", "mitochondria", "TOMM20", "#ff6ec7", ("mito", "mitochondrion")),
    Structure("ZO1", "ZO-1", "tight junctions", "TJP1", "#e8e8e8", ("tight junction",)),
)

STAGES: tuple[Stage, ...] = (
    Stage("interphase", "Interphase", "M0"),
    Stage("prophase-1", "Prophase 1", "M1M2"),
    Stage("prophase-2", "Prophase 2", "M1M2"),
    Stage("prometaphase-1", "Prometaphase 1", "M3"),
    Stage("prometaphase-2", "Prometaphase 2", "M3"),
    Stage("metaphase", "Metaphase", "M4M5"),
    Stage("anaphase", "Anaphase", "M4M5"),
    Stage("telophase-cytokinesis", "Telophase and cytokinesis", "M6M7_complete"),
)

REFERENCES: tuple[Reference, ...] = (
    Reference(
        "membrane",
        "Membrane",
        "#ff00ff",
        (
            *("cell membrane", "plasma membrane"),
            *("cellmask", "cmdrp", "cmdr", "memb", "wga", "caax", "cell mask deep red"),
        ),
    ),
    Reference(
        "dna",
        "DNA",
        "#00ffff",
        (
            *("hoechst", "h3342", "h33342", "dapi", "nucblue"),
            *("nuclear stain", "nucleus", "nuclei", "chromatin", "h2b"),
        ),
    ),
)

STRUCTURE_NAMES: tuple[str, ...] = tuple(s.name for s in STRUCTURES)
STAGE_NAMES: tuple[str, ...] = tuple(s.name for s in STAGES)
REFERENCE_NAMES: tuple[str, ...] = tuple(r.name for r in REFERENCES)

_CHANNELS: tuple[Structure | Reference, ...] = (*REFERENCES, *STRUCTURES)


def _plain(text: str) -> str:
    """Return ``text`` in lower case, with Greek letters spelt out and single blanks between words and numbers."""
    for letter, spelt in _GREEK.items():
        text = text.replace(letter, spelt)
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _names(entry: Structure | Reference) -> tuple[str, ...]:
    """Return all names of an entry in plain spelling, its own name first."""
    gene_and_organelle = (entry.gene, entry.organelle) if isinstance(entry, Structure) else ()
    return tuple(_plain(n) for n in (entry.name, entry.label, *gene_and_organelle, *entry.synonyms))


def structure(name: str) -> Structure:
    """Return the structure with this name, label, gene, organelle or synonym, in any spelling.

    Raises
    ------
    ValueError
        If no structure has that name; the message lists the closest ones.
    """
    wanted = _plain(name).replace(" ", "")
    known = {n.replace(" ", ""): s for s in STRUCTURES for n in _names(s)}
    if wanted in known:
        return known[wanted]
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6)
    hint = list(dict.fromkeys(known[c].name for c in close)) or list(STRUCTURE_NAMES)
    raise ValueError(f"No structure is called {name!r}; did you mean {', '.join(hint)}?")


def stage(name: str) -> Stage:
    """Return the stage with this name or label, in any spelling.

    Raises
    ------
    ValueError
        If no stage has that name; the message lists all eight.
    """
    wanted = _plain(name).replace(" ", "")
    known = {_plain(n).replace(" ", ""): s for s in STAGES for n in (s.name, s.label)}
    if wanted in known:
        return known[wanted]
    raise ValueError(f"No stage is called {name!r}; the stages are {', '.join(STAGE_NAMES)}.")


def recognise_channel(name: str) -> str | None:
    """Return what a channel called ``name`` shows: ``"membrane"``, ``"dna"``, a structure's name, or None.

    A channel is recognised if its name contains one of the vocabulary's names as whole words. If it contains
    several, the longest counts: "nuclear envelope" is lamin B1 and not DNA.
    """
    words = f" {_plain(name)} "
    best: tuple[int, str] | None = None
    for entry in _CHANNELS:
        for known in _names(entry):
            if f" {known} " in words and (best is None or len(known) > best[0]):
                best = (len(known), entry.name)
    return best[1] if best else None


def label_of(name: str) -> str:
    """Return a structure's name as the paper prints it; the name itself if the vocabulary does not have it."""
    try:
        return structure(name).label
    except ValueError:
        return name


def colour_of(name: str) -> str:
    """Return the colour of a reference channel or structure, or white for a name outside the vocabulary."""
    return next((entry.colour for entry in _CHANNELS if entry.name == name), "#ffffff")
