"""Every name is defined once and found in any spelling."""

from __future__ import annotations

import re

import pytest

from napari_integrated_cell import vocabulary
from napari_integrated_cell.vocabulary import (
    REFERENCES,
    STAGES,
    STRUCTURES,
    recognise_channel,
    stage,
    structure,
)


def test_the_papers_eleven_structures_and_eight_stages():
    assert len(STRUCTURES) == 11
    assert len(STAGES) == 8
    assert [s.gene for s in STRUCTURES] == [
        "ACTN1", "TUBA1B", "ACTB", "DSP", "FBL", "LMNB1", "MYH10", "ST6GAL1", "SEC61B", "TOMM20", "TJP1",
    ]  # fmt: skip


def test_names_and_colours_are_distinct_and_safe_in_files():
    entries = (*STRUCTURES, *REFERENCES)
    assert len({e.name for e in entries}) == len({e.colour for e in entries}) == len(entries)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", e.name) for e in entries)
    assert all(re.fullmatch(r"#[0-9a-f]{6}", e.colour) for e in entries)


@pytest.mark.parametrize("entry", STRUCTURES, ids=lambda s: s.name)
def test_a_structure_is_found_by_each_of_its_names(entry):
    for name in (entry.name, entry.label, entry.gene, entry.gene.lower(), *entry.synonyms):
        assert structure(name) is entry


@pytest.mark.parametrize(
    ("channel", "means"),
    [
        ("CMDRP", "membrane"),
        ("CellMask Deep Red", "membrane"),
        ("membrane_segmentation", "membrane"),
        ("H3342", "dna"),
        ("Hoechst 33342", "dna"),
        ("DAPI", "dna"),
        ("NucBlue", "dna"),
        ("dna_segmentation", "dna"),
        ("Nuclear envelope (EGFP)", "lamin-B1"),
        ("EGFP-TOMM20", "TOM20"),
        ("β-actin mEGFP", "beta-actin"),
        ("alpha actinin 1", "alpha-actinin"),
        ("Golgi", "ST6GAL1"),
        ("SEC61B", "Sec61-beta"),
        ("Brightfield", None),
        ("C:0", None),
        ("erythrocytes", None),
    ],
)
def test_channels_are_recognised_by_whole_words(channel, means):
    assert recognise_channel(channel) == means


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(ValueError, match="fibrillarin"):
        structure("fibrilarin")
    with pytest.raises(ValueError, match="metaphase"):
        stage("metafase")
    assert stage("Telophase and cytokinesis").name == "telophase-cytokinesis"


def test_every_name_of_the_vocabulary_means_one_thing():
    meanings: dict[str, set[str]] = {}
    for entry in (*REFERENCES, *STRUCTURES):
        for name in vocabulary._names(entry):
            meanings.setdefault(name, set()).add(entry.name)
    assert {n: m for n, m in meanings.items() if len(m) > 1} == {}
