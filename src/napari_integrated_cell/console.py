"""Functions that both command lines share: one-line errors, a progress bar on standard error, summaries as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from tqdm import tqdm


@contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Print an error as one line on standard error and exit with 1, or with 130 after Ctrl-C."""
    try:
        yield
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        typer.echo(f"{program}: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo(f"{program}: stopped; nothing half-written is left behind.", err=True)
        raise typer.Exit(130) from None


@contextmanager
def progress_bar(unit: str = "it") -> Iterator[Callable[[int, int, str], None]]:
    """Show a progress bar on standard error. The yielded function moves it: ``move(done, total, what)``.

    A new ``what`` starts a new bar, so each step of a long command keeps its own line and time. ``unit="B"`` counts
    bytes, in kilo, mega and giga.
    """
    bar: tqdm | None = None
    current = ""

    def move(done: int, total: int, what: str) -> None:
        nonlocal bar, current
        if bar is None and what == current and done >= total:
            return  # this step's bar is already complete and closed
        if bar is None or what != current:
            if bar is not None:
                bar.close()
            current = what
            # `initial` keeps earlier work out of the displayed speed.
            bar = tqdm(
                total=total,
                desc=what,
                unit=unit,
                unit_scale=unit == "B",
                file=sys.stderr,
                mininterval=0.5,
                initial=done,
            )
        bar.total = total
        bar.update(done - bar.n)
        if done >= total > 0:  # close now, so that the displayed time does not run on
            bar.close()
            bar = None

    try:
        yield move
    finally:
        if bar is not None:
            bar.close()


def report(summary: dict[str, Any], as_json: bool, sentence: str) -> None:
    """Print the summary for machines, or the sentence for people."""
    typer.echo(json.dumps(summary, indent=2) if as_json else sentence)
