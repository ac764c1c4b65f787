"""Ids beside the vertebrae: discs, endplates, subregions, what is ignored; and unknown ones."""

import numpy as np
import pytest

from tests.audit.data_set import SETTINGS, audit, write_case
from tests.audit.data_set import bodies as audited_bodies
from tests.data.built_spine import as_volume, ids_of, numbered
from vfseg.crops.prepare import cut_case
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.schemes import LEVELS
from vfseg.data.spine import Spine
from vfseg.data.volume import read_labels, write_labels
from vfseg.errors import UserError
from vfseg.evaluation.regions import vertebra_regions


def shifted(mask, by):
    out = np.zeros_like(mask)
    if by > 0:
        out[by:] = mask[:-by]
    else:
        out[:by] = mask[-by:]
    return out


def with_companions(array, ids=(100, 200), only=None):
    """Discs below and endplates above each vertebra, in the free voxels next to it."""
    found = array.astype(np.uint16)
    for label in np.unique(array)[1:].tolist():
        mask = array == label
        for step in (1, 2):
            below, above = (shifted(mask, s) & (found == 0) for s in (-step, step))
            found[below] = ids[0] + label if only is None else only
            found[above] = ids[1] + label if only is None else only
    return found


KINDS = {
    "discs and endplates": {},
    "subregion": {"only": 49},
    "cord": {"only": 61},
    "ignored": {"only": 255},
}


@pytest.mark.parametrize("scheme", [None, "verse"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_reading_is_that_of_the_vertebrae_alone(kind, scheme, thoracolumbar):
    array = numbered(thoracolumbar[0], ids_of("verse"))
    before = read_vertebrae(as_volume(array), scheme, "m")
    after = read_vertebrae(as_volume(with_companions(array, **KINDS[kind])), scheme, "m")
    assert after.scheme == "verse"
    assert [(v.level, v.start, v.stop, v.voxels) for v in after.vertebrae] == [
        (v.level, v.start, v.stop, v.voxels) for v in before.vertebrae
    ]
    assert after.spine_ids == before.spine_ids
    assert after.left_out == before.left_out
    (note,) = set(after.notes) - set(before.notes)
    number = 28 if kind == "discs and endplates" else 1
    assert note.startswith(f"{number} other id")
    assert "not looked at (" in note


@pytest.mark.parametrize("foreign", [77, 99, 199])
def test_no_companion_is_no_spine_either(foreign, thoracolumbar):
    """An id that the scheme does not know is named, and no bone: regions do not end at it."""
    array = numbered(thoracolumbar[0], ids_of("verse"))
    odd = with_companions(array, only=foreign)
    with pytest.raises(UserError, match="cannot tell the label scheme"):
        read_vertebrae(as_volume(odd), None, "m")
    found = []
    for volume in (as_volume(array), as_volume(odd)):
        reading = read_vertebrae(volume, "verse", "m")
        case = Spine(reading.vertebrae, reading.labels, reading.spine_ids, ())
        found.append([r.inside.sum() for r in vertebra_regions(case, volume.geometry)])
    assert found[0] == found[1]
    assert [item[1] for item in reading.left_out] == ["unknown"]


def test_totalsegmentator_is_still_told_from_verse(thoracolumbar):
    """Its ids of the neck are those of subregions, its ribs those of discs."""
    array = numbered(thoracolumbar[0], ids_of("totalsegmentator")).astype(np.uint16)
    for number, organ in enumerate((*range(42, 51), *range(92, 117))):
        array[5 * number : 5 * number + 4, :4, :5] = organ
    reading = read_vertebrae(as_volume(array), None, "m")
    assert reading.scheme == "totalsegmentator"
    assert tuple(v.level for v in reading.vertebrae) == LEVELS


def test_fracture_voxels_under_an_endplate_count_for_their_vertebra(tmp_path):
    """The sheet lies in the two planes above L2, 2 mm each, that the map calls its endplate."""
    labels = audited_bodies()
    top = int(np.argwhere(labels == 21)[:, 0].max())
    sheet = np.zeros(labels.shape, np.uint8)
    sheet[top + 1, 14:26, 14:26] = 1
    counts = []
    for name, change in (("plain", labels), ("endplates", with_companions(labels))):
        case = write_case(tmp_path, name, fractures=sheet)
        geometry = read_labels(case.vertebrae).geometry
        write_labels(case.vertebrae, change, geometry)
        record, _ = cut_case(case, SETTINGS, "f")
        counts.append({crop.level: crop.fracture_voxels for crop in record.crops})
    assert counts[0] == counts[1]
    assert counts[0]["L2"] == 144
    assert not [f for f in audit(case).findings if f.kind == "outside_vertebra"]
