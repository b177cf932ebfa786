"""Steps that tests of fetching share."""

from __future__ import annotations

import csv

import typer
from s3_server import URL
from typer.testing import CliRunner

from napari_ic_train.commands.fetch import fetch as fetch_command
from napari_ic_train.data.choice import Choice
from napari_ic_train.data.fetch import fetch, plan_fetch
from napari_ic_train.data.source import Source

app = typer.Typer()
app.command()(fetch_command)


def source_at(endpoint, **patience):
    return Source.at(URL, endpoint=endpoint, **{"patience": 0.01, **patience})


def fetched_from(endpoint, out, choice=Choice(), verify="auto", **more):  # noqa: B008
    source = source_at(endpoint, **more)
    return fetch(plan_fetch(source, out, choice, workers=3, verify=verify), workers=3, verify=verify)


def command(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def table(path):
    with path.open(newline="") as opened:
        return list(csv.DictReader(opened))


def holds(out, dataset, row):
    return all(
        (out / path).read_bytes() == dataset.bodies[path] for path in (row["crop_raw"], row["crop_seg"])
    )


def loose_ends(out):
    return [p.name for p in out.rglob("*.part")]
