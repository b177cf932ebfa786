"""The wheel, the sdist and the editable install: manifest, types, and a README that works on the package index."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).resolve().parents[1]
NAME = "napari-integrated-cell"
PACKAGE = ROOT / "src" / "napari_integrated_cell"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FIND_MANIFEST = f"""
from importlib.metadata import distribution
from npe2 import PluginManifest
manifest = PluginManifest.from_distribution({NAME!r})
print(distribution({NAME!r})._path)
print(manifest.name, len(manifest.contributions.widgets))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    run = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def manifest_seen_with(*paths: Path) -> tuple[Path, str]:
    """Return where the distribution was found, and what its manifest holds, with ``paths`` first."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    run = subprocess.run(
        [sys.executable, "-c", FIND_MANIFEST], capture_output=True, text=True, env=env, timeout=120
    )
    assert run.returncode == 0, run.stderr[-2000:]
    where, held = run.stdout.splitlines()
    return Path(where), held


def expected_manifest() -> str:
    manifest = PluginManifest.from_file(PACKAGE / "napari.yaml")
    assert manifest.contributions.widgets
    return f"{manifest.name} {len(manifest.contributions.widgets)}"


def test_the_manifest_at_the_top_is_the_packages() -> None:
    top = ROOT / "napari.yaml"
    target = "src/napari_integrated_cell/napari.yaml"
    # A checkout on Windows may hold a link as a file that holds its target's path.
    assert Path(os.readlink(top)).as_posix() == target if top.is_symlink() else top.read_text() == target


@pytest.mark.slow
def test_the_wheel_has_one_manifest_and_it_is_found(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        assert [n for n in file.namelist() if n.endswith("napari.yaml")] == [
            "napari_integrated_cell/napari.yaml"
        ]
        assert {"napari_integrated_cell/py.typed", "napari_ic_train/py.typed"} <= set(file.namelist())
        assert file.read("napari_integrated_cell/napari.yaml") == (PACKAGE / "napari.yaml").read_bytes()
        file.extractall(tmp_path)
    where, held = manifest_seen_with(tmp_path)
    assert where.is_relative_to(tmp_path)
    assert held == expected_manifest()


@pytest.mark.slow
def test_the_sdist_has_the_manifest_and_the_link(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        top = sdist.name.removesuffix(".tar.gz")
        held = file.extractfile(f"{top}/src/napari_integrated_cell/napari.yaml")
        assert held is not None
        assert held.read() == (PACKAGE / "napari.yaml").read_bytes()
        link = file.getmember(f"{top}/napari.yaml")
        assert not link.issym() or link.linkname == "src/napari_integrated_cell/napari.yaml"


def test_the_editable_install_finds_the_manifest() -> None:
    installed = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    if not installed.get("dir_info", {}).get("editable"):
        pytest.skip("the package is not installed in editable mode, as scripts/set-up installs it")
    assert Path(url2pathname(urlparse(installed["url"]).path)) == ROOT
    _, held = manifest_seen_with()
    assert held == expected_manifest()


@pytest.mark.slow
def test_the_readme_of_the_package_index_links_to_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (n for n in file.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(file.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert sorted(metadata.get_all("Project-URL", [])) == sorted(
        f"{k}, {v}" for k, v in PROJECT["urls"].items()
    )
    text, source = metadata.get_payload(decode=True).decode("utf-8"), PROJECT["urls"]["Source"]
    readme = (ROOT / "README.md").read_text("utf-8")
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    links = [t for t in re.findall(r"(?<!!)\[[^]]*\]\(([^)]+)\)", text) if not t.startswith("#")]
    assert len(pictures) == readme.count("![") > 0
    assert [t for t in pictures + links if not t.startswith("https://")] == []
    here = [t.removeprefix(f"{source}/raw/main/") for t in pictures]
    here += [t.removeprefix(f"{source}/blob/main/").partition("#")[0] for t in links if t.startswith(source)]
    assert len(here) > len(pictures)
    assert [path for path in here if not (ROOT / path).is_file()] == []
    assert re.sub(rf"\({re.escape(source)}/(?:raw|blob)/main/", "(", text).strip() == readme.strip()


@pytest.mark.slow
def test_mypy_finds_types_in_a_users_script(tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(
        "import napari_integrated_cell as nic\n"
        "\n"
        'model = nic.load_model("demo")\n'
        "cell = nic.simulate_cell(seed=1).cell\n"
        'result = nic.integrate_cell(cell, model, ["TOM20"])\n'
        'result.save("mine.ome.tiff", frame="box")\n'
        "nic.integrate(cell)\n"
        "reveal_type(result.volumes)\n"
        "reveal_type(nic.plan_walk([nic.stop_at_cell(model, cell)]))\n"
        'reveal_type(nic.decode(model, nic.Position(result.z_ref), ["dna"]))\n'
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file=",
        "--python-executable",
        sys.executable,
        "user.py",
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    said = dict(re.findall(r"^user\.py:(\d+): (.*)$", run.stdout, re.MULTILINE))
    assert list(said) == ["6", "7", "8", "9", "10"], run.stdout + run.stderr
    assert "expected \"Literal['image', 'model']\"" in said["6"]
    assert 'no attribute "integrate"' in said["7"]
    assert said["9"] == 'note: Revealed type is "napari_integrated_cell.walk.traversal.Walk"'
    for line in ("8", "10"):
        assert re.match(r'note: Revealed type is "dict\[str, numpy\.ndarray\[.*32Bit', said[line])
