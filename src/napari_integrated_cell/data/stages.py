"""Stage names in tables: the vocabulary's eight stages, and the codes of the public dataset."""

from __future__ import annotations

from napari_integrated_cell.vocabulary import STAGE_NAMES, STAGES, stage

LONE_DAUGHTER = "M6M7_single"
"""The public dataset's code for one daughter cell of a division, cut out without the other one."""

STAGE_CODES: tuple[str, ...] = tuple(dict.fromkeys((*(s.dataset_code for s in STAGES), LONE_DAUGHTER)))
"""Values of the public dataset's column ``cell_stage``."""

_STAGE_OF_CODE = {
    **{s.dataset_code.casefold(): s.name for s in reversed(STAGES)},
    LONE_DAUGHTER.casefold(): STAGES[-1].name,
}


def stage_named(written: str) -> str:
    """Return the vocabulary's stage for a stage name in any spelling, or for a code of the public dataset.

    The codes are coarser than the paper's eight stages (section 3.4.5). ``M1M2``, ``M3`` and ``M4M5`` stand for
    two stages each; the first of the two is returned.

    Raises
    ------
    ValueError
        If it is neither; the message lists all stages and codes.
    """
    code = _STAGE_OF_CODE.get(written.strip().casefold())
    if code is not None:
        return code
    try:
        return stage(written).name
    except ValueError:
        raise ValueError(
            f"No stage is called {written!r}; the stages are {', '.join(STAGE_NAMES)}, and the public dataset's "
            f"codes {', '.join(STAGE_CODES)}."
        ) from None
