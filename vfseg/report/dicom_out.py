"""The results of a case as DICOM files, which an archive takes beside the CT series."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vfseg.data.box import bounding_box, box_between, moved, start_of
from vfseg.data.outputs import DICOM_LESIONS, DICOM_MAP, DICOM_REPORT, DICOM_VERTEBRAE
from vfseg.data.probability import score_bin
from vfseg.data.spine import Spine
from vfseg.evaluation.findings import Findings
from vfseg.files import atomic_file, make_sure_of
from vfseg.inference.case import Prediction
from vfseg.report.dicom_maps import (
    Maker,
    Numbered,
    Segment,
    lesion_segmentation,
    probability_map,
    vertebra_segmentation,
)
from vfseg.report.dicom_report import Listed, structured_report
from vfseg.report.dicom_source import Source


def write_dicom(
    source: Source, found: Prediction, listed: Findings, maker: Maker, folder: Path
) -> None:
    """Writes segmentations, the map and, last, the report, which refers to the segmentations.

    There is no segmentation of vertebrae without a label map, none of lesions where none is listed,
    and no map where it is 0 everywhere. The frames of an object are held in memory.

    Args:
        source: the series of the CT.
        found: in it.
        listed: of what was found.
        maker: of the results.
        folder: of the case.

    Raises:
        UserError: a file cannot be written.
    """
    make_sure_of((folder / DICOM_REPORT).parent, stays=True)
    vertebrae = _segments([row["level"] for row in listed.vertebrae], listed.vertebrae)
    lesions = _segments([f"lesion {row['lesion']}" for row in listed.lesions], listed.lesions)
    of_vertebrae = of_lesions = None
    numbered = _numbered_vertebrae(found.spine, vertebrae)
    if numbered is not None:
        of_vertebrae = vertebra_segmentation(source, numbered, maker, outlined=found.spine.outlined)
        _write(of_vertebrae, folder / DICOM_VERTEBRAE)
    if lesions:
        box = bounding_box(listed.numbers)
        there = moved(box, start_of(found.probability.box))
        of_lesions = lesion_segmentation(
            source, Numbered(listed.numbers[box], there, lesions), maker
        )
        _write(of_lesions, folder / DICOM_LESIONS)
    codes = score_bin(found.probability[found.probability.box]).astype(np.uint16)
    if codes.any():
        box = bounding_box(codes)
        there = moved(box, start_of(found.probability.box))
        _write(probability_map(source, codes[box], there, maker), folder / DICOM_MAP)
    report = structured_report(
        source,
        Listed(listed.vertebrae, vertebrae, of_vertebrae),
        Listed(listed.lesions, lesions, of_lesions),
        maker,
    )
    _write(report, folder / DICOM_REPORT)


def _segments(names: Sequence[str], rows: Sequence[Any]) -> list[Segment]:
    from highdicom import UID

    return [Segment(name, row["level"], str(UID())) for name, row in zip(names, rows)]


def _numbered_vertebrae(spine: Spine, segments: Sequence[Segment]) -> Numbered | None:
    """The vertebrae of the label map, numbered from 1, cranial to caudal; None without one."""
    if spine.labels is None:
        return None
    box = box_between(
        np.min([vertebra.start for vertebra in spine.vertebrae], axis=0),
        np.max([vertebra.stop for vertebra in spine.vertebrae], axis=0),
    )
    labels = spine.labels.array[box]
    number = np.zeros(int(labels.max()) + 1, np.uint16)
    for place, vertebra in enumerate(spine.vertebrae, 1):
        number[vertebra.label] = place
    return Numbered(number[labels], box, segments)


def _write(data: Any, path: Path) -> None:
    with atomic_file(path) as file:
        data.save_as(file, enforce_file_format=True)
