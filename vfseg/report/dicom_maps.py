"""Vertebrae, lesions and the heat map as DICOM: segmentations, and a parametric map.

Their frames are those slices of the CT series that show something, pixel for pixel, so every viewer
lays them over the CT; each refers to its slice.

References:
    DICOM PS3.3, A.51 (Segmentation), A.75 (Parametric Map).
    Bridge et al. (2022), "Highdicom: a Python library for standardized encoding of image
    annotations and machine learning model outputs in pathology and radiology", J. Digit. Imaging
    35.
"""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vfseg.data.box import Box, box_between, part_of
from vfseg.data.geometry import Geometry
from vfseg.data.probability import BINS, SLOPE
from vfseg.report.dicom_codes import (
    ALGORITHM,
    FRACTURE,
    LESION,
    NO_UNITS,
    PROBABILITY,
    STRUCTURE,
    coded,
    vertebra,
)
from vfseg.report.dicom_source import Source

PROGRAM = "vfseg"
_SERIES = {"report": 9001, "lesions": 9002, "vertebrae": 9003, "probability": 9004}
_BODY_PART = "SPINE"  # without it a checker asks on which side of a pair it is
_LONG_STRING = 64  # characters of a value of "LO"
_LESIONS_BY = PROGRAM, "AUTOMATIC"
_GIVEN_BY = "label map given with the CT", "SEMIAUTOMATIC"
_OUTLINED_BY = f"{PROGRAM}, outlines", "AUTOMATIC"


class Maker(NamedTuple):
    """What made the objects.

    Attributes:
        version: of the program.
        steps: of the model, or of each member of an ensemble.
        remarks: with which they must be read.
    """

    version: str
    steps: tuple[int, ...]
    remarks: tuple[str, ...]

    @property
    def model(self) -> str:
        """The model in words, as far as a DICOM attribute has room for them."""
        return f"model step {', '.join(map(str, self.steps))}"[:_LONG_STRING]

    @property
    def described(self) -> str:
        """The remarks without their details, in whole words; the series says for what use it is."""
        short = "; ".join(remark.partition(":")[0] for remark in self.remarks)
        return textwrap.shorten(short, _LONG_STRING, placeholder=" ...")


class Segment(NamedTuple):
    """A vertebra or a lesion, as a segmentation and a report name it.

    Attributes:
        name: that people read.
        level: of the vertebra; None where a lesion belongs to none.
        uid: under which it is followed.
    """

    name: str
    level: str | None
    uid: str


class Numbered(NamedTuple):
    """The voxels of a segmentation.

    Attributes:
        numbers: uint16 `d h w`, in the box: n in the n-th segment, from 1, and 0 in none.
        box: of the grid, with starts and stops; not empty.
        segments: one for each number; every one has voxels.
    """

    numbers: np.ndarray
    box: Box
    segments: Sequence[Segment]


def frames_of(array: np.ndarray, box: Box, geometry: Geometry) -> tuple[np.ndarray, int]:
    """The slices of a series that a box meets, `[slice, row, column]`, and which one is the first.

    Args:
        array: `d h w`, the values in the box; outside of it they are 0.
        box: of the grid, with starts and stops; not empty.
        geometry: of the grid, stored as `[column, row, slice]`.
    """
    along, count = geometry.axes.index(2), geometry.stored_shape[2]
    start, stop = [0, 0, 0], list(geometry.shape)
    start[along], stop[along] = box[along].start, box[along].stop
    slab = part_of(array, box, box_between(start, stop))
    first = count - box[along].stop if geometry.flips[along] else box[along].start
    return np.ascontiguousarray(geometry.slab_to_stored(slab).transpose(2, 1, 0)), first


def made_by(maker: Maker, what: str) -> dict[str, Any]:
    """Series, instance and equipment of a new object, for highdicom.

    Args:
        maker: of the object.
        what: it is, one of "report", "lesions", "vertebrae" and "probability".
    """
    from highdicom import UID

    return {
        "series_instance_uid": str(UID()),
        "series_number": _SERIES[what],
        "sop_instance_uid": str(UID()),
        "instance_number": 1,
        "manufacturer": PROGRAM,
        "manufacturer_model_name": PROGRAM,
        "software_versions": maker.version,
        "device_serial_number": maker.model,
        "series_description": f"{PROGRAM}: {what}, research use only",
    }


def lesion_segmentation(source: Source, lesions: Numbered, maker: Maker) -> Any:
    """The lesions of a map as a segmentation."""
    return _segmentation(source, lesions, "lesions", maker, _LESIONS_BY)


def vertebra_segmentation(
    source: Source, vertebrae: Numbered, maker: Maker, *, outlined: bool
) -> Any:
    """The vertebrae of a label map, which the program may have outlined, as a segmentation."""
    by = _OUTLINED_BY if outlined else _GIVEN_BY
    return _segmentation(source, vertebrae, "vertebrae", maker, by)


def _segmentation(
    source: Source, found: Numbered, what: str, maker: Maker, by: tuple[str, str]
) -> Any:
    import highdicom as hd

    frames, first = frames_of(found.numbers, found.box, source.geometry)
    lesions = what == "lesions"
    name, algorithm_type = by
    algorithm = hd.AlgorithmIdentificationSequence(
        name=name, family=coded(ALGORITHM), version=maker.version
    )
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment.name,
            segmented_property_category=coded(LESION if lesions else STRUCTURE),
            segmented_property_type=coded(FRACTURE if lesions else vertebra(segment.level or "")),
            algorithm_type=algorithm_type,
            algorithm_identification=algorithm,
            tracking_uid=segment.uid,
            tracking_id=segment.name,
            anatomic_regions=[coded(vertebra(segment.level))] if segment.level else None,
        )
        for number, segment in enumerate(found.segments, 1)
    ]
    made = hd.seg.Segmentation(
        source_images=source.images[first : first + len(frames)],
        pixel_array=frames,
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        content_label=what.upper(),
        content_description=maker.described,
        **made_by(maker, what),
    )
    made.BodyPartExamined = _BODY_PART
    return made


def probability_map(source: Source, codes: np.ndarray, box: Box, maker: Maker) -> Any:
    """The heat map as a parametric map, in the steps in which `probability.nii.gz` has it.

    Args:
        source: the series of the CT.
        codes: uint16 `d h w`, see `score_bin`, in the box.
        box: of the grid, with starts and stops; not empty.
        maker: of the map.
    """
    import highdicom as hd
    from pydicom.uid import RLELossless

    frames, first = frames_of(codes, box, source.geometry)
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="probability",
        lut_explanation="probability of a vertebral fracture",
        unit=coded(NO_UNITS),
        value_range=(0, BINS - 1),
        slope=float(SLOPE),
        intercept=0.0,
        quantity_definition=coded(PROBABILITY),
    )
    made = hd.pm.ParametricMap(
        source_images=source.images[first : first + len(frames)],
        pixel_array=frames,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(BINS / 2, BINS)],
        transfer_syntax_uid=RLELossless,
        content_label="PROBABILITY",
        content_description=maker.described,
        **made_by(maker, "probability"),
    )
    made.BodyPartExamined = _BODY_PART
    return made
