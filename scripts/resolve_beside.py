"""Check that the plugin takes no other package down to an older version.

Each partner is resolved beside napari on each Python, once without the plugin's wheel and once with it. uv reads only
the packages' metadata and installs nothing. The plugin is named last, as for a user who has the partner and adds the
plugin. Where there are several solutions, uv prefers new versions of the packages that are named first.

Usage: resolve_beside.py FOLDER_WITH_THE_WHEEL
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from packaging.version import Version

PLUGIN = "napari-integrated-cell"
NAPARI = "napari[all]"
PARTNERS = (
    "napari",
    "careamics-napari",
    "micro-sam",
    "napari-ome-zarr",
    "cellpose",
    "stardist-napari",
    "spatialdata",
)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


class NoSolution(Exception):
    """These requirements do not fit together; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What the plugin does to one partner on one Python."""

    fine: bool
    line: str


def versions_in(listed: str) -> dict[str, str]:
    """Return the versions by package of what ``uv pip compile`` prints."""
    lines = (line.split(";")[0].strip() for line in listed.splitlines() if not line.startswith("#"))
    return {name: version for name, _, version in (line.partition("==") for line in lines) if version}


def older(without: Mapping[str, str], beside: Mapping[str, str]) -> dict[str, str]:
    """Return the packages that are older in ``beside`` than in ``without``, each with both versions."""
    return {
        name: f"{version} -> {beside[name]}"
        for name, version in sorted(without.items())
        if name in beside and Version(beside[name]) < Version(version)
    }


def resolve(python: str, *requirements: str, wheels: Path | None = None) -> dict[str, str]:
    """Return the version of each package that ``requirements`` need on ``python``.

    Raises
    ------
    NoSolution
        If they do not fit together.
    RuntimeError
        If uv fails for another reason, for example without a network.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--python-version", python]
    command += [
        "--python",
        sys.executable,
        "--no-python-downloads",
        "--no-annotate",
        "--no-header",
        "--quiet",
    ]
    command += ["--color", "never", *(["--find-links", str(wheels)] if wheels else [])]
    run = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True)
    if run.returncode:
        reason = " ".join(run.stderr.split())
        raise (NoSolution if "No solution found" in reason else RuntimeError)(reason)
    return versions_in(run.stdout)


def judge(partner: str, without: Mapping[str, str], beside: Mapping[str, str]) -> Outcome:
    """Compare the versions without the plugin and beside it. Only the partner and napari must not be older."""
    changes = older(without, beside)
    held_back = {name: change for name, change in changes.items() if name in (partner, "napari")}
    others = ", ".join(f"{name} {change}" for name, change in changes.items() if name not in held_back)
    if held_back:
        what = ", ".join(f"{name} {change}" for name, change in held_back.items())
        return Outcome(
            False, f"HELD BACK by the plugin: {what}" + (f" (also older: {others})" if others else "")
        )
    return Outcome(True, f"{partner} {without[partner]} stays" + (f" (older: {others})" if others else ""))


def check(wheels: Path, partner: str, python: str) -> Outcome:
    """Resolve ``partner`` on ``python`` without the plugin and beside it, and compare."""
    wanted = (NAPARI,) if partner == "napari" else (NAPARI, partner)
    try:
        without = resolve(python, *wanted)
    except NoSolution as error:
        return Outcome(True, f"{partner} does not resolve without the plugin either: {error}")
    try:
        outcome = judge(partner, without, resolve(python, *wanted, PLUGIN, wheels=wheels))
    except NoSolution as error:
        return Outcome(False, f"{partner} {without[partner]} does not resolve beside the plugin: {error}")
    if outcome.fine:
        return outcome
    kept = [f"{name}=={without[name]}" for name in {partner, "napari"}]
    try:
        resolve(python, *wanted, *kept, PLUGIN, wheels=wheels)
    except NoSolution as error:
        return Outcome(False, f"{outcome.line}, because {error}")
    return Outcome(False, f"{outcome.line}, although uv finds a solution if it must keep these versions")


def main(wheels: Path) -> int:
    """Check all partners on all Pythons, and return the exit status."""
    cases = list(product(PARTNERS, PYTHONS))
    failed = 0
    # uv mostly waits for the package index, so more processes than cores are of use.
    with ThreadPoolExecutor(6) as pool:
        outcomes = pool.map(lambda case: check(wheels, *case), cases)
        for (_, python), outcome in zip(cases, outcomes, strict=True):
            print(f"Python {python}: {outcome.line}", flush=True)
            failed += not outcome.fine
    print(f"{len(cases)} resolved beside {PLUGIN}, {failed} of them held back.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
