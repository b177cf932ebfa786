"""Section 3.4.6, Figure S9: all structures along a walk through the stages of mitosis."""

from __future__ import annotations

from napari_ic_train.bundle.landmarks import stage_landmarks
from napari_ic_train.data.subsets import stages_of
from napari_ic_train.evaluation.experiment import Context, Experiment
from napari_ic_train.evaluation.findings import Figure, Findings, Table, Value
from napari_integrated_cell.picture import png_bytes
from napari_integrated_cell.vocabulary import STAGE_NAMES, stage
from napari_integrated_cell.walk.pictures import contact_sheet
from napari_integrated_cell.walk.traversal import Stop, Traversal, walk

STEPS = 3
"""Frames from one stage to the next. The paper has ten and shows some of them."""


class MitoticWalk(Experiment):
    """The walk from landmark to landmark as a contact sheet."""

    name = "mitotic-walk"
    title = "A walk through mitosis"
    section = "3.4.6, Figure S9"

    def needs(self, context: Context) -> str | None:
        """Require landmarks of two stages, or cells of two stages to find landmarks."""
        if len(context.model.landmarks) > 1 or len({s for s in stages_of(context.store) if s}) > 1:
            return None
        return "The bundle has no landmarks, and the store does not have cells of two stages."

    def run(self, context: Context) -> Findings:
        """Decode the walk from landmark to landmark."""
        own = len(context.model.landmarks) > 1
        found = context.model.landmarks
        if not own:
            found = stage_landmarks(context.model, context.store, progress=context.progress)
        landmarks = sorted(found, key=lambda mark: STAGE_NAMES.index(mark.stage))
        stops = [Stop(mark.stage, stage(mark.stage).label, mark.z_ref) for mark in landmarks]
        path = walk(stops, STEPS * (len(stops) - 1) + 1)
        traversal = Traversal(context.model, path)
        sheet = contact_sheet(traversal, cancel=context.cancel, progress=context.progress)
        norms, turned = path.norm, path.turned
        rows: list[list[Value]] = [
            [frame, path.title(frame), float(norms[frame]), float(turned[frame])]
            for frame in range(len(path))
        ]
        return Findings(
            tables=(
                Table("Along the walk", ("frame", "where", "|z^r|", "turned so far, degrees"), rows),
                Table(
                    "Landmarks",
                    ("stage", "cell", "held-out cells", "all cells", "chosen among"),
                    [[stage(m.stage).label, m.cell_id, m.n_held_out, m.n_cells, m.among] for m in landmarks],
                    "The landmark of a stage is the medoid of its z^r.",
                ),
            ),
            figures=(
                Figure("Contact sheet (Figure S9)", png_bytes(sheet.to_rgb(), optimize=True, colours=256)),
            ),
            notes="Rows are frames, columns are structures. The path from medoid to medoid is linear in radial "
            "coordinates. Each structure is decoded from the centre of its own latent space. No frame is an observed "
            "cell. "
            + ("The landmarks are those of the bundle." if own else "The landmarks come from this store."),
        )
