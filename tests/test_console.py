"""Errors and progress of both command lines."""

from __future__ import annotations

import pytest
from tqdm import tqdm

from napari_integrated_cell.console import progress_bar


def test_the_bar_of_a_step_that_is_done_stands_still(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as move:
        move(0, 2, "posing")
        move(2, 2, "posing")
        before = capsys.readouterr().err
        tqdm.write("an epoch is done")
        assert "posing" not in capsys.readouterr().err
        move(1, 2, "scoring")
    assert "posing: 100%" in before
    assert "scoring:  50%" in capsys.readouterr().err


def test_a_step_may_be_done_again(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as move:
        move(2, 2, "encoding")
        move(3, 3, "encoding")  # more work than expected
        move(1, 3, "encoding")
        move(3, 3, "encoding")
    said = capsys.readouterr().err
    assert said.count("\n") == 2, "one line each time"
    assert "2/2" in said
    assert "3/3" in said
