"""A store, a run fitted on it, and a bundle exported from it."""

from __future__ import annotations

import pytest
from toy_run import toy_run, toy_store

from napari_ic_train.bundle.export import export_bundle


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, store):
    return toy_run(store, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run, store):
    return export_bundle(
        run, store, tmp_path_factory.mktemp("out") / "toy", name="toy", licence="CC0-1.0", weights="float32"
    )
