"""An S3 server on this machine, and connections to it that break."""

from __future__ import annotations

import pytest
from s3_server import BadLine, Server


@pytest.fixture(scope="module")
def running():
    started = Server()
    yield started
    started.stop()


@pytest.fixture
def server(running, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    running.fresh()
    return running


@pytest.fixture
def line_to(server):
    lines = []

    def line(**faults):
        lines.append(BadLine(server.address, **faults))
        return lines[-1]

    yield line
    for made in lines:
        made.close()
