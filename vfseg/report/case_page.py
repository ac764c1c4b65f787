"""The page of one CT: sentences, tables and a viewer, in one file that asks no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from nibabel.affines import apply_affine

from vfseg.data.points import FLAGS
from vfseg.drawing.figures import BONE_WINDOW, Picture
from vfseg.drawing.page import write_html
from vfseg.evaluation.findings import LISTED_ML
from vfseg.evaluation.heights import SITES
from vfseg.evaluation.sentences import answer_of, asks, loss_of
from vfseg.report.case_lists import CaseLists
from vfseg.report.colour_scale import colour_scale
from vfseg.report.figures import PROBABILITY_COLOURS
from vfseg.report.niivue import niivue_module
from vfseg.report.page_content import (
    UNCERTAINTY_COLOURS,
    as_text,
    controls_content,
    viewer_content,
)
from vfseg.report.said_findings import mark_of, said_findings
from vfseg.report.scene import Scene
from vfseg.report.solids import Solids
from vfseg.report.texts import listing, meaning, said, said_listed, word
from vfseg.report.view_grid import (
    HU_STEP,
    LOWEST_HU,
    VIEW_MARGIN_MM,
    ViewVolumes,
    view_volumes,
)

PAGE = "page.html"

_WINDOWS = {"bone": BONE_WINDOW, "soft": (-160.0, 240.0), "wide": (LOWEST_HU, 1500.0)}
_INDEX = ("i", "j", "k")


class About(NamedTuple):
    """What the page says of a case.

    Attributes:
        name: of the case, as the user gave it.
        lists: of its vertebrae and lesions.
        synthetic: whether the model was trained on synthetic fractures.
        outside: what of the CT lies outside the range of training; None where nothing does.
    """

    name: str
    lists: CaseLists
    synthetic: bool
    outside: str | None


class Level(NamedTuple):
    """A vertebra beside the picture along the spine.

    Attributes:
        name: of the level.
        probability: of a fracture, two decimals; "" where it is not known.
        mark: how it is marked, see `mark_of`.
        top: from the upper edge of the picture, per cent.
        mm: where it lies, "x y z" in RAS+ mm.
    """

    name: str
    probability: str
    mark: str
    top: float
    mm: str


def write_case_page(
    scene: Scene, about: About, solids: Solids | None, pictures: Sequence[Picture], path: Path
) -> None:
    """Writes the page of a case; equal cases, equal bytes.

    With the extra `report` the page has a viewer; without it the pictures stand in its place.

    Args:
        scene: of the case.
        about: what is said of it.
        solids: of the case, for the view in 3D; None where there is nothing to show.
        pictures: that stand already, to be shown in the page.
        path: of the page.

    Raises:
        UserError: the page cannot be written.
    """
    module = niivue_module()
    write_html(
        path,
        "vfseg.report",
        "case.html.j2",
        kind="case",
        title=about.name,
        name=about.name,
        about=about,
        said=said,
        said_listed=said_listed,
        meaning=meaning,
        findings=[(_place_of(f.level, scene, about.lists), f) for f in said_findings(about.lists)],
        vertebrae=_vertebra_table(scene, about.lists),
        lesions=_lesion_table(about.lists),
        least=f"{LISTED_ML:g}",
        windows=_WINDOWS,
        has_truth=scene.reference is not None,
        synthetic_truth=scene.reference is not None and scene.reference.synthetic,
        has_uncertainty=scene.uncertainty is not None,
        threshold=scene.threshold,
        pictures=[(_data_url(picture.path), picture) for picture in pictures],
        niivue=None if module is None else Markup(module),
        **({} if module is None else _viewer(scene, about, solids)),
    )


def _viewer(scene: Scene, about: About, solids: Solids | None) -> dict[str, Any]:
    """What only a page with a viewer shows."""
    volumes = view_volumes(scene)
    return {
        "levels": _levels(scene, about.lists, volumes),
        "ratio": _ratio(volumes),
        "scales": {
            "heat": colour_scale(PROBABILITY_COLOURS, 0.0, 1.0),
            # The script shows it from a tenth of its highest value on.
            "uncertainty": colour_scale(
                UNCERTAINTY_COLOURS, volumes.most_uncertain / 10, volumes.most_uncertain
            ),
        },
        "how": _how(volumes),
        "content": controls_content(
            scene, volumes, start=_start(scene, about.lists, volumes), window=_WINDOWS["bone"]
        ),
        "volumes": viewer_content(volumes, solids),
        "has_solid": solids is not None,
    }


def _vertebra_table(scene: Scene, lists: CaseLists) -> dict[str, Any]:
    truth = any("fractured" in row for row in lists.vertebrae)
    head = ["level", "verdict", "probability", "genant", "loss"]
    head += [*(f"height_{site}" for site in SITES), "map_ml", "why", "flags"]
    rows = [
        {
            "level": row["level"],
            "mm": _place_of(row["level"], scene, lists),
            "mark": mark_of(row) or ("missed" if row.get("fractured") else ""),
            "cells": [*_cells(row), *_truth_cell(row)],
        }
        for row in lists.vertebrae
    ]
    calm = sum(not row["mark"] for row in rows)
    return {"head": [*head, *(["truth"] * truth)], "rows": rows, "calm": calm}


def _cells(row: Mapping[str, Any]) -> list[str | Markup]:
    loss, genant = loss_of(row), ""
    if loss is not None:
        genant = f"{row['genant']} ({row['genant_low']}-{row['genant_high']})"
    why_missing, flags = row["heights_missing"], row["flags"].split()
    if why_missing:  # which says what the flags "cut" and "fragment" say
        flags = [why_missing, *(flag for flag in flags if flag in ("transitional", *FLAGS))]
    return [
        word(answer_of(row)),
        _decimals(row["probability"], 2),
        genant,
        "" if loss is None else f"{round(100 * loss)} %",
        *(_decimals(row[f"height_{site}_mm"], 1) for site in SITES),
        f"{row['map_ml']:.2f}",
        word(row["why"]),
        listing(flags),
    ]


def _truth_cell(row: Mapping[str, Any]) -> list[str | Markup]:
    """Of an evaluated vertebra; none where there is no truth."""
    if "fractured" not in row:
        return []
    return [said("fractured") if row["fractured"] else ""]


def _lesion_table(lists: CaseLists) -> list[dict[str, Any]]:
    return [
        {
            "number": row["lesion"],
            "mm": _mm([row[f"{axis}_mm"] for axis in "xyz"]),
            "cells": [
                row["level"] or "",
                f"{row['volume_ml']:.2f}",
                f"{row['max_probability']:.2f}",
                listing(row[key] for key in ("height", "depth", "side") if row[key]),
                *(row[f"voxels_{axis}"] or "" for axis in _INDEX),
            ],
        }
        for row in lists.lesions
    ]


def _levels(scene: Scene, lists: CaseLists, volumes: ViewVolumes) -> list[Level]:
    rows = {row["level"]: row for row in lists.vertebrae}
    depth = volumes.grid.shape[0]
    found = []
    for vertebra in scene.spine.vertebrae:
        row = rows.get(vertebra.level, {})
        from_top = depth - 0.5 - float(volumes.grid.index_of(vertebra.centre)[0])
        found.append(
            Level(
                vertebra.level,
                _decimals(row.get("probability"), 2),
                mark_of(row) if row else "",
                round(100 * from_top / depth, 2),
                _place_of(vertebra.level, scene, lists),
            )
        )
    return found


def _place_of(level: str, scene: Scene, lists: CaseLists) -> str:
    """Where a click on a vertebra leads, "x y z" in RAS+ mm; "" where the spine lacks it."""
    place = _shown_at(level, scene, lists)
    return "" if place is None else _mm(place)


def _shown_at(level: str, scene: Scene, lists: CaseLists) -> np.ndarray | None:
    """What is to be seen of a vertebra, RAS+ mm: its surest lesion where it is to be looked at.

    Otherwise, and without a lesion, it is the middle of its body.
    """
    if any(row["level"] == level and asks(row) for row in lists.vertebrae):
        lesions = [row for row in lists.lesions if row["level"] == level]
        if lesions:
            return _surest(lesions)
    centres = [v.centre for v in scene.spine.vertebrae if v.level == level]
    return apply_affine(scene.ct.affine, centres[0]) if centres else None


def _surest(lesions: Sequence[Mapping[str, Any]]) -> np.ndarray:
    surest = max(lesions, key=lambda row: row["max_probability"])
    return np.array([surest[f"{axis}_mm"] for axis in "xyz"])


def _how(volumes: ViewVolumes) -> Markup:
    steps = volumes.grid.affine[:3, :3]
    return said(
        "how_words",
        margin=f"{VIEW_MARGIN_MM:g}",
        spacing=" × ".join(f"{size:.3g}" for size in np.linalg.norm(steps, axis=0)),
        hu=f"{HU_STEP:g}",
        lowest=f"{LOWEST_HU:g}",
        highest=f"{LOWEST_HU + 255 * HU_STEP:g}",
    )


def _ratio(volumes: ViewVolumes) -> float:
    """Width to height of the picture along the spine."""
    depth, height, _ = volumes.grid.shape
    tall, wide, _ = np.linalg.norm(volumes.grid.affine[:3, :3], axis=0)
    return round(float(height * wide / (depth * tall)), 4)


def _start(scene: Scene, lists: CaseLists, volumes: ViewVolumes) -> np.ndarray:
    """Where the viewer begins, RAS+ mm: the vertebra to be looked at first, at its surest lesion.

    Where none asks for a look it is the surest lesion of all, and without one the middle.
    """
    asked = [row for row in lists.vertebrae if asks(row)]
    if asked:
        worst = max(asked, key=lambda row: row["probability"] or 0.0)["level"]
        place = _shown_at(worst, scene, lists)
        if place is not None:
            return place
    if lists.lesions:
        return _surest(lists.lesions)
    centres = [v.centre for v in scene.spine.vertebrae]
    if centres:
        return apply_affine(scene.ct.affine, centres[len(centres) // 2])
    return apply_affine(volumes.grid.affine, (np.array(volumes.grid.shape) - 1) / 2)


def _decimals(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _mm(point: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{float(at):.2f}" for at in point)


def _data_url(path: Path) -> str:
    return f"data:image/{path.suffix.removeprefix('.')};base64,{as_text(path.read_bytes())}"
