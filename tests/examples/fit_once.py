"""``napari-ic-train fit`` as a program of its own, for tests that send it signals: ``fit_once.py fit --data ...``."""

from __future__ import annotations

import torch
import typer

from napari_ic_train.commands.fit import fit
from napari_ic_train.commands.status import status

torch.set_num_threads(1)
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(fit)
app.command()(status)

if __name__ == "__main__":
    app()
