"""What every test may ask for."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


# No test is timed: what it holds must hold on a busy machine too.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    # A shell starts what runs in the background deaf to Ctrl-C, and its children inherit that: the tests' must hear it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that may take longest go first: side by side, none of them is then left over for the end."""
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
