"""The lists of a case as a DICOM structured report: vertebrae and lesions, with their figures.

References:
    DICOM PS3.16, TID 1500 (Measurement Report), TID 1411 and TID 1501 (its groups).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vfseg.evaluation.heights import SITES
from vfseg.evaluation.sentences import Rows, answer_of
from vfseg.report.dicom_codes import (
    ALGORITHM,
    DEVICE,
    FRACTURE,
    LESION,
    MILLILITRE,
    MILLIMETRE,
    NO_UNITS,
    PERCENT,
    PROBABILITY,
    PROCEDURE,
    SPINE,
    STRUCTURE,
    VOLUME,
    Concept,
    coded,
    own,
    vertebra,
)
from vfseg.report.dicom_maps import PROGRAM, Maker, Segment, made_by
from vfseg.report.dicom_source import Source

_DIGITS = 6  # significant ones; a decimal string has room for 16 characters
_Figures = Sequence[tuple[str, Concept, Concept, float]]  # column, name, unit, factor
_OF_VERTEBRA: _Figures = (
    ("probability", PROBABILITY, NO_UNITS, 1),
    *((f"height_{site}_mm", own(f"{site} height"), MILLIMETRE, 1) for site in SITES),
    *((f"loss_{site}", own(f"{site} loss"), PERCENT, 100) for site in SITES),
    ("map_ml", own("volume of map"), MILLILITRE, 1),
)
_OF_LESION: _Figures = (
    ("volume_ml", VOLUME, MILLILITRE, 1),
    ("max_probability", own("highest probability"), NO_UNITS, 1),
    ("mean_probability", own("mean probability"), NO_UNITS, 1),
)
_GRADES = {
    "genant": "Genant grade",
    "genant_low": "lowest Genant grade",
    "genant_high": "highest Genant grade",
}


class Listed(NamedTuple):
    """Rows of a list and what stands for each of them in the images.

    Attributes:
        rows: of `vertebrae.csv` or `lesions.csv`.
        segments: one for each row.
        segmentation: in which segment n is of row n; None where there is none.
    """

    rows: Rows
    segments: Sequence[Segment]
    segmentation: Any | None


def structured_report(source: Source, vertebrae: Listed, lesions: Listed, maker: Maker) -> Any:
    """The report on a case, unverified and preliminary; it refers to the series and all segments.

    Args:
        source: the series of the CT.
        vertebrae: cranial to caudal.
        lesions: numbered as in `lesions.csv`.
        maker: of the findings.
    """
    import highdicom as hd

    algorithm = hd.sr.AlgorithmIdentification(
        name=PROGRAM,
        version=maker.version,
        parameters=[maker.model, *maker.remarks],
        family=coded(ALGORITHM),
    )
    groups = [
        _group(vertebrae, index, (STRUCTURE, _type_of(segment)), _OF_VERTEBRA, algorithm)
        for index, segment in enumerate(vertebrae.segments)
    ]
    groups += [
        _group(lesions, index, (LESION, FRACTURE), _OF_LESION, algorithm)
        for index in range(len(lesions.segments))
    ]
    series = made_by(maker, "report")
    observer = hd.sr.ObserverContext(
        observer_type=coded(DEVICE),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=str(hd.UID()), name=PROGRAM, manufacturer_name=PROGRAM, model_name=PROGRAM
        ),
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=coded(PROCEDURE),
        imaging_measurements=groups,
    )
    segmentations = (vertebrae.segmentation, lesions.segmentation)
    return hd.sr.ComprehensiveSR(
        evidence=[*source.images, *(part for part in segmentations if part is not None)],
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        **series,
    )


def _type_of(segment: Segment) -> Concept:
    return vertebra(segment.level or "")


def _group(
    listed: Listed, index: int, kind: tuple[Concept, Concept], figures: _Figures, algorithm: Any
) -> Any:
    """The figures of one vertebra or lesion, with its segment where there is one."""
    import highdicom as hd

    row, segment = listed.rows[index], listed.segments[index]
    category, finding = kind
    site = vertebra(segment.level) if segment.level else SPINE
    known: dict[str, Any] = {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=segment.uid, identifier=segment.name),
        "finding_category": coded(category),
        "finding_type": coded(finding),
        "finding_sites": [hd.sr.FindingSite(coded(site))],
        "algorithm_id": algorithm,
        "measurements": [
            hd.sr.Measurement(
                coded(name), float(f"{factor * row[column]:.{_DIGITS}g}"), coded(unit)
            )
            for column, name, unit, factor in figures
            if row.get(column) is not None
        ],
        "qualitative_evaluations": _answers(row),
    }
    if listed.segmentation is None:
        return hd.sr.MeasurementsAndQualitativeEvaluations(**known)
    (series,) = listed.segmentation.ReferencedSeriesSequence
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=listed.segmentation.SOPClassUID,
            sop_instance_uid=listed.segmentation.SOPInstanceUID,
            segment_number=index + 1,
            source_series=hd.sr.SourceSeriesForSegmentation(series.SeriesInstanceUID),
        ),
        **known,
    )


def _answers(row: Mapping[str, Any]) -> list[Any]:
    """Verdict and grades of a vertebra; nothing for a lesion, which has none."""
    import highdicom as hd

    if "verdict" not in row:
        return []
    said = [("verdict", answer_of(row))]
    said += [(name, f"Genant {row[key]}") for key, name in _GRADES.items() if row[key] is not None]
    return [
        hd.sr.QualitativeEvaluation(coded(own(name)), coded(own(value))) for name, value in said
    ]
