"""Fixtures for all tests, and the order of the test files."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


# Hypothesis sets no time limit: tests must also pass on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    # A shell starts background jobs with SIGINT ignored, and their children inherit this. The tests send SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files with the longest time limits first, so that parallel processes end at about the same time."""
    longest: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0), limit.args[0] if limit else 0)
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real images are not beside the project ({SHARED_DATA.name}/ is absent)")
    return SHARED_DATA
