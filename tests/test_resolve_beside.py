"""What `make resolve` says of the versions without the plugin and beside it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "resolve_beside.py"
spec = importlib.util.spec_from_file_location("resolve_beside", SCRIPT)
assert spec is not None
assert spec.loader is not None
resolve_beside = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = resolve_beside  # its dataclass looks there for its types
spec.loader.exec_module(resolve_beside)

WITHOUT = {"napari": "0.9.2", "cellpose": "4.2.1.1", "zarr": "3.1.10"}


def test_the_printed_versions_are_read():
    printed = (
        "# made by uv\nnapari==0.9.2\nbiopkg @ file:///x.whl\ntzdata==2026.6 ; sys_platform == 'win32'\n"
    )
    assert resolve_beside.versions_in(printed) == {"napari": "0.9.2", "tzdata": "2026.6"}


@pytest.mark.parametrize(
    ("changed", "fine", "said"),
    [
        ({}, True, "cellpose 4.2.1.1 stays"),
        ({"cellpose": "4.10"}, True, "cellpose 4.2.1.1 stays"),
        ({"cellpose": "4.2.1"}, False, "HELD BACK by the plugin: cellpose 4.2.1.1 -> 4.2.1"),
        ({"napari": "0.9.2rc1"}, False, "HELD BACK by the plugin: napari 0.9.2 -> 0.9.2rc1"),
        ({"zarr": "3.1.9"}, True, "cellpose 4.2.1.1 stays (older: zarr 3.1.10 -> 3.1.9)"),
        (
            {"napari": "0.6.0", "zarr": "2.15"},
            False,
            "HELD BACK by the plugin: napari 0.9.2 -> 0.6.0 (also older: zarr 3.1.10 -> 2.15)",
        ),
    ],
)
def test_only_the_partner_and_napari_must_keep_their_versions(changed, fine, said):
    outcome = resolve_beside.judge("cellpose", WITHOUT, {**WITHOUT, "bioio": "3.6.0", **changed})
    assert (outcome.fine, outcome.line) == (fine, said)


def answers(monkeypatch, *given):
    """Let the resolutions return ``given`` one after the other; an error is raised."""
    left = list(given)
    asked = []

    def resolve(python, *requirements, wheels=None):
        asked.append(requirements)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(resolve_beside, "resolve", resolve)
    return asked


def test_a_partner_that_never_resolves_is_reported_and_does_not_fail(monkeypatch):
    answers(monkeypatch, resolve_beside.NoSolution("it needs Python 2"))
    outcome = resolve_beside.check(Path("wheels"), "cellpose", "3.14")
    assert outcome.fine
    assert outcome.line == "cellpose does not resolve without the plugin either: it needs Python 2"


def test_a_partner_that_does_not_resolve_beside_the_plugin_fails(monkeypatch):
    asked = answers(monkeypatch, WITHOUT, resolve_beside.NoSolution("both need zarr"))
    outcome = resolve_beside.check(Path("wheels"), "cellpose", "3.14")
    assert not outcome.fine
    assert outcome.line == "cellpose 4.2.1.1 does not resolve beside the plugin: both need zarr"
    assert asked == [("napari[all]", "cellpose"), ("napari[all]", "cellpose", "napari-integrated-cell")]


def test_what_holds_a_partner_back_is_said(monkeypatch):
    beside = {**WITHOUT, "cellpose": "4.0"}
    asked = answers(monkeypatch, WITHOUT, beside, resolve_beside.NoSolution("the plugin needs zarr<3"))
    outcome = resolve_beside.check(Path("wheels"), "cellpose", "3.14")
    assert not outcome.fine
    assert outcome.line.endswith("cellpose 4.2.1.1 -> 4.0, because the plugin needs zarr<3")
    assert {"cellpose==4.2.1.1", "napari==0.9.2"} <= set(asked[-1])


def test_a_network_that_fails_is_no_verdict(monkeypatch):
    failed = SimpleNamespace(returncode=2, stdout="", stderr="error: Request failed after 3 retries")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(RuntimeError, match="Request failed"):
        resolve_beside.check(Path("wheels"), "cellpose", "3.14")
