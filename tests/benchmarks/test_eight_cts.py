"""Eight CTs to what a training reads: each competitor makes all of it; its bytes are counted."""

import numpy as np
import pytest

from benchmarks import eight_cts, workers
from benchmarks.environment import installed
from vfseg.crops.store import read_record
from vfseg.data.cases import check_manifest
from vfseg.data.schemes import LEVELS
from vfseg.data.volume import read_geometry, read_labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The cases of a quick run."""
    folder = tmp_path_factory.mktemp("eight")
    made = eight_cts.make_folder(str(folder), True)
    assert made == [f"cases/case_{number}" for number in range(eight_cts.QUICK_CASES)]
    return folder


def on_disk(folder):
    return sum(len(path.read_bytes()) for path in folder.rglob("*") if path.is_file())


def test_the_cases_are_whole_spines_with_two_fractures(folder):
    cases, problems = check_manifest(folder / "manifest.csv")
    assert not problems
    assert [case.split for case in cases] == ["train", "validation"]
    cts = {case.ct.read_bytes() for case in cases}
    assert len(cts) == len(cases), "their noise differs"
    for case in cases:
        assert read_geometry(case.ct).shape == eight_cts.QUICK_SHAPE[::-1]
        assert set(np.unique(read_labels(case.vertebrae).array)) == {0, *range(11, 25)}
        assert len(np.unique(read_labels(case.fractures).array)) == 3


def test_the_program_stores_every_vertebra_of_every_case(folder):
    found = workers.call("benchmarks.eight_cts", "vfseg", str(folder))
    for name in ("case_0", "case_1"):
        record = read_record(folder / "vfseg" / "store", name).record
        assert [crop.level for crop in record.crops] == list(LEVELS)
    assert found["stored"] == on_disk(folder / "vfseg")
    assert found["bytes"] > 2 * 2 * 14 * 48**3, "the crops of two cases, int16"
    assert found["seconds"] > 0


@pytest.mark.skipif(installed("monai") is None, reason="needs the extra bench")
def test_monai_keeps_every_case_at_the_spacing_of_the_crops(folder):
    found = workers.call("benchmarks.eight_cts", "monai", str(folder), 2)
    sizes = np.array(eight_cts.QUICK_SHAPE) * eight_cts.QUICK_SPACING / 1.25
    kept = 2 * eight_cts.QUICK_CASES * 4 * sizes.prod()  # CT and mask, float32
    assert found["stored"] == on_disk(folder / "monai")
    assert kept * 0.98 < found["stored"] < kept * 1.02
