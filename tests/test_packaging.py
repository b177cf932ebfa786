"""The package as it is installed: scripts, manifest, versions, dependencies, and the cost of importing it."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from npe2 import PluginManifest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
NAME = "napari-integrated-cell"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CI = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
SOURCES = sorted(p for folder in ("src", "training") for p in (ROOT / folder).rglob("*.py"))
LARGEST_FILE = 2 * 2**20
# For each reader that the extra aicsimageio limits: what it needs, and a version of this that goes with the extra.
LIMITED_READERS = {
    "bioio-ome-tiff": ("tifffile", "2023.2.28"),
    "bioio-ome-zarr": ("zarr", "2.15"),
    "bioio-tifffile": ("tifffile", "2023.2.28"),
}


def test_scripts_and_manifest_are_declared_and_resolve() -> None:
    declared = {(e.group, e.name): e for e in distribution(NAME).entry_points}
    assert set(declared) == {
        ("console_scripts", "napari-ic"),
        ("console_scripts", "napari-ic-train"),
        ("napari.manifest", NAME),
    }
    for (group, _), entry in declared.items():
        if group == "console_scripts":
            assert callable(entry.load())


@pytest.mark.parametrize("script", ["napari-ic", "napari-ic-train"])
def test_script_runs(script: str) -> None:
    program = Path(sys.executable).with_name(script)
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    assert script in shown.stdout


def test_manifest_is_valid_and_every_command_imports() -> None:
    manifest = PluginManifest.from_distribution(NAME)
    assert manifest.name == NAME
    assert manifest.package_version == PROJECT["version"]
    manifest.validate_imports()


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_integrated_cell",
        f"from npe2 import PluginManifest; PluginManifest.from_distribution({NAME!r})",
        "import napari_integrated_cell.cli",
        "import napari_ic_train.cli",
    ],
)
def test_importing_is_light(statement: str) -> None:
    heavy = "{'torch', 'napari', 'qtpy', 'PySide6', 'PyQt6'}"
    code = f"{statement}\nimport sys; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_every_source_file_says_what_it_is() -> None:
    undocumented = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert SOURCES
    assert undocumented == []


def imported_roots(path: Path) -> set[str]:
    """Top-level names of all absolute imports of a file, those inside functions included."""
    roots: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            roots.add(node.module.split(".")[0])
    return roots


@pytest.mark.parametrize(("folder", "extra"), [("src", ()), ("training", ("train",))])
def test_every_import_is_a_declared_dependency(folder: str, extra: tuple[str, ...]) -> None:
    lines = PROJECT["dependencies"] + [s for name in extra for s in PROJECT["optional-dependencies"][name]]
    declared = {canonicalize_name(Requirement(line).name) for line in lines} | {NAME}
    providers = packages_distributions()
    undeclared = {
        f"{root} in {path.relative_to(ROOT)}"
        for path in SOURCES
        if path.is_relative_to(ROOT / folder)
        for root in imported_roots(path) - sys.stdlib_module_names
        if root in providers and not declared & {canonicalize_name(name) for name in providers[root]}
    }
    assert undeclared == set()


@pytest.mark.parametrize(
    ("file", "extras"), [("constraints.txt", ("qt",)), ("constraints-aicsimageio.txt", ("qt", "aicsimageio"))]
)
def test_constraints_allow_every_dependency(file: str, extras: tuple[str, ...]) -> None:
    """Each requirement that holds here has a pin that holds here, and the pin fits it."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = {canonicalize_name(p.name): p for p in pins if p.marker is None or p.marker.evaluate()}
    wanted = [*PROJECT["dependencies"], *(s for e in extras for s in PROJECT["optional-dependencies"][e])]
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate():
            (pin,) = pinned[canonicalize_name(requirement.name)].specifier
            assert pin.operator == "=="
            assert requirement.specifier.contains(pin.version), f"{requirement} is pinned at {pin}"


def limits() -> dict[str, SpecifierSet]:
    """Return the upper limits of all requirements, by name."""
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, lines)
        if any(limit.operator not in (">=", "!=") for limit in requirement.specifier)
    }


def test_a_version_has_an_upper_limit_only_where_a_test_shows_what_breaks() -> None:
    shown = {"numcodecs", *LIMITED_READERS}
    assert set(limits()) == shown
    assert shown <= {Requirement(line).name for line in PROJECT["optional-dependencies"]["aicsimageio"]}


@pytest.mark.parametrize(
    ("reader", "needed", "allowed"),
    [(name, *pair) for name, pair in LIMITED_READERS.items()],
)
def test_newer_readers_of_bioio_do_not_go_with_aicsimageio(reader: str, needed: str, allowed: str) -> None:
    """If this fails where the reader is new, its limit in the extra aicsimageio can go."""
    found = distribution(reader)
    if limits()[reader].contains(found.version):
        pytest.skip(f"{reader} {found.version} is below the limit")
    (requirement,) = (
        r
        for r in map(Requirement, found.requires or [])
        if r.name == needed and (r.marker is None or r.marker.evaluate({"extra": ""}))
    )
    assert not requirement.specifier.contains(allowed)


def test_numcodecs_lacks_what_the_zarr_of_aicsimageio_imports() -> None:
    """If this fails where numcodecs is new, the limit of the extra aicsimageio can go."""
    has_it = hasattr(importlib.import_module("numcodecs.blosc"), "cbuffer_sizes")
    assert has_it == (Version(distribution("numcodecs").version) < Version("0.16"))


def test_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert distribution(NAME).version == version
    assert re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)[0] == version
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [version]


def test_readme_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text("utf-8")
        targets = [t for t in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in t]
        assert [t for t in targets if not (ROOT / t).exists()] == []


def test_every_address_is_in_one_repository() -> None:
    source = PROJECT["urls"]["Source"]
    assert set(PROJECT["urls"]) == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert all(url == source or url.startswith(f"{source}/") for url in PROJECT["urls"].values())
    assert f"repository-code: {source}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_same_python_versions_are_named_everywhere() -> None:
    def minor(text: str) -> list[int]:
        return [int(v) for v in re.findall(r"\b3\.(\d+)", text)]

    tested = minor(re.findall(r"python: \[(.*)\]", CI)[0])
    first, last = tested[0], tested[-1]
    assert tested == list(range(first, last + 1))
    assert minor(" ".join(c for c in PROJECT["classifiers"] if c.startswith("Programming"))) == tested
    assert minor(PROJECT["requires-python"]) == [first]
    readme, set_up, resolve = (ROOT / p for p in ("README.md", "scripts/set-up", "scripts/resolve_beside.py"))
    assert minor(re.findall(r"^PYTHONS = (.*)$", resolve.read_text("utf-8"), re.MULTILINE)[0]) == tested
    assert minor(re.findall(r"Python (3\.\d+ to 3\.\d+)", readme.read_text("utf-8"))[0]) == [first, last]
    assert f"(3, {first}) <= sys.version_info < (3, {last + 1})" in set_up.read_text("utf-8")


def test_the_same_systems_are_named_everywhere() -> None:
    systems = {"Linux": "Ubuntu", "MacOS": "macOS", "Windows": "Windows"}
    named = {c.split(" :: ")[-1] for c in PROJECT["classifiers"] if c.startswith("Operating System")}
    assert named == set(systems)
    assert set(re.findall(r"\b(ubuntu|macos|windows)-\d", CI)) == {s.lower() for s in systems.values()}
    readme = (ROOT / "README.md").read_text("utf-8")
    assert all(re.search(rf"\b{system}\b", readme) for system in systems.values())
    # The versions that the README names are those that are tested.
    for system in ("Ubuntu 24.04", "macOS 14"):
        assert system in readme
        assert system.lower().replace(" ", "-") in CI


def test_no_large_file_is_tracked() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing tracked to weigh")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    tracked = [ROOT / name for name in listed.split("\0") if name]
    demo_model = ROOT / "src" / "napari_integrated_cell" / "models" / "demo"
    assert tracked
    assert [
        str(p.relative_to(ROOT))
        for p in tracked
        if p.is_file() and not p.is_relative_to(demo_model) and p.stat().st_size > LARGEST_FILE
    ] == []
