"""``napari-ic-train fit``: fit a model on a training store."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_ic_train.commands import PROGRAM, DeviceOption, name_option
from napari_integrated_cell.console import one_line_errors, progress_bar

if TYPE_CHECKING:
    from napari_ic_train.config import TrainingConfig


def fit(
    data: Annotated[Path, typer.Option(help="The training store.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run. A stopped run in it is continued.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="BUNDLE",
            help="Adapt a bundle (a name, or its path) to few cells of your own, instead of a preset. "
            "See docs/own-cells.md.",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="paper, paper-code, wtc11, demo or tiny; paper if left out.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file with the configuration, instead of a preset.")
    ] = None,
    phase: Annotated[
        str, typer.Option(help="reference (Algorithm 1), conditional (Algorithm 2) or both.")
    ] = "both",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue a run; fail if there is none. Its own configuration is used unless you give another.",
        ),
    ] = False,
    device: DeviceOption = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32 (or 32), or bf16 if the hardware has it.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Number of cells per step, over all processes.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs of each phase.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Set a field of the configuration, for example learning_rate=1e-3 or model.n_ref=32. Repeatable.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the memory, the speed on this machine and the time that the fit will take; write nothing.",
        ),
    ] = False,
) -> None:
    """Fit the reference model, then the conditional model, on one device or, with torchrun, on several.

    On SIGTERM or Ctrl-C the run finishes the current step, saves a checkpoint and prints the command that continues it.
    """
    rank = int(os.environ.get("RANK", "0"))
    with one_line_errors(PROGRAM):
        from napari_ic_train.commands.overrides import overridden
        from napari_ic_train.config import preset as training_preset
        from napari_ic_train.config import read_config
        from napari_ic_train.data.store import CellStore
        from napari_ic_train.fit.adapting import adapting_config
        from napari_ic_train.fit.distributed import leave
        from napari_ic_train.fit.fit_store import StructuresDiffer, continue_command, fit_store
        from napari_ic_train.run.folder import CONFIG, PHASES
        from napari_integrated_cell.model.runtime import Cancelled, is_out_of_memory

        if out is None and not dry_run:
            raise ValueError("There is no folder for the run: give one with --out, or use --dry-run.")
        if preset is not None and config is not None:
            raise ValueError("Give --preset or --config, not both.")
        if start is not None and (preset is not None or config is not None):
            raise ValueError("Give --from without --preset and --config: a bundle has its own configuration.")
        if start is not None:
            chosen = adapting_config(start, CellStore(data, "train"))
        elif config is not None:
            chosen = read_config(config)
        elif resume and preset is None and out is not None and (out / CONFIG).is_file():
            chosen = read_config(out / CONFIG)
        else:
            chosen = training_preset(preset or "paper")
        fields = []
        if precision is not None:
            fields.append(f"precision={'fp32' if precision == '32' else precision}")
        if batch_size is not None:
            fields.append(f"batch_size={batch_size}")
        if epochs is not None:
            fields += [f"{name}.epochs={epochs}" for name in (PHASES if phase == "both" else (phase,))]
        chosen = overridden(chosen, [*fields, *(settings or [])])
        if out is None or dry_run:
            _forecast(data, chosen, phase, device)
            return
        try:
            with warnings.catch_warnings(), name_option(StructuresDiffer, "--set 'model.structures=[...]'"):
                warnings.showwarning = _print_warning
                if rank > 0:  # the first process prints the warnings of all
                    warnings.simplefilter("ignore")
                fit_store(data, chosen, out, phase=phase, device=device, resume=resume, command=sys.argv)
        except Cancelled as stopped:
            if rank == 0:
                again = continue_command(data, out, phase, device)
                typer.echo(f"{stopped}\nContinue with: {again}", err=True)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise OSError(
                    "There is not enough memory for a batch: use --set accumulate=2 (or 4, ...) and --resume."
                ) from error
            raise
        else:
            if rank == 0:
                typer.echo(
                    f"Fitted. Next: napari-ic-train landmarks {out}; napari-ic-train export {out} --out BUNDLE"
                )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        leave()


def _forecast(data: Path, config: TrainingConfig, phase: str, device: str) -> None:
    """Print what a fit will need."""
    from napari_ic_train.fit.fit_store import StructuresDiffer
    from napari_ic_train.fit.forecast import forecast

    with progress_bar() as move, name_option(StructuresDiffer, "--set 'model.structures=[...]'"):
        found = forecast(data, config, phase=phase, device=device, progress=move)
    for one in found:
        typer.echo(
            f"{one.phase} phase: {one.parameters:,} weights. Estimated memory {one.bytes / 1e9:.2f} GB: "
            f"{one.training_bytes / 1e9:.2f} GB for weights, gradients and Adam, and "
            f"{one.activation_bytes / 1e9:.2f} GB for what a pass of {one.cells} cells keeps."
        )
        if one.cells_per_second is None or one.hours is None:
            typer.echo(
                f"{one.phase} phase: no step was timed, because the memory of this machine is too small."
            )
        else:
            typer.echo(
                f"{one.phase} phase: {one.cells_per_second:.3g} cells a second on this machine, from steps of "
                f"{one.measured_with} cells; {_duration(one.hours)} for the whole phase."
            )
    if all(one.hours is not None for one in found):
        typer.echo(
            f"The whole fit takes about {_duration(sum(one.hours or 0 for one in found))}. Nothing was written."
        )
    else:
        typer.echo("The time of the whole fit is not known. Nothing was written.")


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.2g} minutes"
    return f"{hours:.3g} hours" if hours < 48 else f"{hours / 24:.3g} days"


def _print_warning(message: Warning | str, *where: Any, **details: Any) -> None:
    """Print a warning as a sentence, without its line of code."""
    typer.echo(f"{PROGRAM}: {message}", err=True)
