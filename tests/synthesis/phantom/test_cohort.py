"""A synthetic cohort on disk: complete, continued, kept or made again."""

import csv
import hashlib
import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.synthesis.made import make_case, make_cohort
from vfseg.data.discovery import find_cases
from vfseg.data.schemes import LEVELS
from vfseg.data.volume import read_ct, read_labels
from vfseg.errors import UserError
from vfseg.synthesis.phantom import PhantomSettings, case_seed, cohort_hash
from vfseg.synthesis.phantom import cohort as cohort_module
from vfseg.synthesis.phantom.plan import draw_plan, random_streams

TINY = {
    "train": 2,
    "validation": 1,
    "test": 1,
    "seed": 3,
    "levels": ("T12", "L2"),
    "levels_per_case": (1, 2),
    "voxel_spacing": 2.5,
    "fracture_probability": 0.8,
}


def contents(directory) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cohort")
    return directory, make_cohort(directory, TINY, progress=False)


def test_the_manifest_lists_files_that_read_back_as_made(made):
    directory, manifest = made
    assert manifest == directory / "manifest.csv"
    cases = find_cases(manifest)[0]
    assert [case.split for case in cases] == ["train", "train", "validation", "test"]
    assert len({case.patient_id for case in cases}) == 4
    settings = PhantomSettings(**TINY)
    expected = make_case(case_seed(settings, "train", 1), settings)
    ct = read_ct(cases[1].ct)
    np.testing.assert_array_equal(ct.array, expected.ct.array)
    np.testing.assert_array_equal(ct.affine, expected.ct.affine)
    np.testing.assert_array_equal(read_labels(cases[1].vertebrae).array, expected.vertebrae.array)
    np.testing.assert_array_equal(read_labels(cases[1].fractures).array, expected.fractures.array)
    with open(cases[1].grades) as file:
        rows = list(csv.DictReader(file))
    assert [row["vertebra"] for row in rows] == [fact.level for fact in expected.facts]
    assert [int(row["genant_grade"]) for row in rows] == [
        fact.spec.grade if fact.spec else 0 for fact in expected.facts
    ]
    facts = json.loads((directory / "cases" / "train_001" / "facts.json").read_text())
    assert [v["instances"] for v in facts["vertebrae"]] == [
        list(f.instances) for f in expected.facts
    ]


def test_a_complete_cohort_is_left_alone(made, monkeypatch):
    directory, _ = made
    before = contents(directory)

    def never(*_):
        raise AssertionError("made a case of a complete cohort")

    monkeypatch.setattr(cohort_module, "make_case", never)
    make_cohort(directory, TINY, progress=False)
    assert contents(directory) == before


def test_an_interrupted_cohort_continues_to_the_same_files(made, tmp_path, monkeypatch):
    directory, _ = made
    write = cohort_module.write_case_files

    def tired(folder, *contents):
        if folder.name.startswith("test"):
            folder.mkdir(parents=True)
            (folder / "ct.nii.gz").write_bytes(b"half a case")
            raise KeyboardInterrupt
        write(folder, *contents)

    monkeypatch.setattr(cohort_module, "write_case_files", tired)
    with pytest.raises(KeyboardInterrupt):
        make_cohort(tmp_path, TINY, progress=False)
    assert not (tmp_path / "manifest.csv").exists()
    monkeypatch.setattr(cohort_module, "write_case_files", write)
    make_cohort(tmp_path, TINY, progress=False)
    assert contents(tmp_path) == contents(directory)


def test_more_cases_keep_the_old_ones_and_other_settings_do_not(tmp_path):
    small = {**TINY, "train": 1, "validation": 0, "test": 0}
    make_cohort(tmp_path, small, progress=False)
    case = tmp_path / "cases" / "train_000"
    written = (case / "facts.json").stat().st_mtime_ns
    before = cohort_hash(tmp_path)
    make_cohort(tmp_path, {**small, "test": 1}, progress=False)
    assert (case / "facts.json").stat().st_mtime_ns == written
    assert len(find_cases(tmp_path / "manifest.csv")[0]) == 2
    make_cohort(tmp_path, {**small, "seed": 4}, progress=False)
    assert (case / "facts.json").stat().st_mtime_ns != written
    assert len(find_cases(tmp_path / "manifest.csv")[0]) == 1
    assert cohort_hash(tmp_path) != before


def test_a_case_of_which_a_file_is_damaged_is_made_again(tmp_path):
    make_cohort(tmp_path, {**TINY, "train": 2, "validation": 0, "test": 0}, progress=False)
    first, second = (tmp_path / "cases" / f"train_00{number}" for number in (0, 1))
    kept = (second / "facts.json").stat().st_mtime_ns
    whole = {path.name: path.read_bytes() for path in first.iterdir()}
    shutil.copy(second / "fractures.nii.gz", first)  # sound by itself
    (first / "grades.csv").unlink()
    make_cohort(tmp_path, {**TINY, "train": 2, "validation": 0, "test": 0}, progress=False)
    assert {path.name: path.read_bytes() for path in first.iterdir()} == whole
    assert (second / "facts.json").stat().st_mtime_ns == kept


def test_splits_and_cases_have_seeds_of_their_own():
    settings = PhantomSettings(**TINY)
    states = {
        tuple(case_seed(settings, split, number).generate_state(4))
        for split in ("train", "validation", "test")
        for number in range(20)
    }
    assert len(states) == 60


@pytest.mark.parametrize("state", [None, "{", "[]", '{"fingerprint": 3}', '{"other": "x"}'])
def test_a_foreign_manifest_is_not_overwritten(tmp_path, state):
    (tmp_path / "manifest.csv").write_text("mine")
    if state is not None:
        (tmp_path / "cohort.json").write_text(state)
    with pytest.raises(UserError, match=r"manifest\.csv"):
        make_cohort(tmp_path, TINY, progress=False)
    assert (tmp_path / "manifest.csv").read_text() == "mine"


# Of the generator's version and the benchmark's settings; and of the label maps and masks of its
# first test and first validation case. The whole cohort is checked by `benchmarks.studies.floors`.
FINGERPRINT = "bcd883ef69d99247"
FIRST_MASKS = "117055e019cbb3daff9f5b2da6afea48a9682c8a73ce43dc0d406c9ebaa47fed"
BENCHMARK = Path(__file__).parents[3] / "configs" / "benchmark_cohort.py"


def benchmark_settings(**changes) -> PhantomSettings:
    config = runpy.run_path(str(BENCHMARK))["get_config"]()
    return PhantomSettings(**{**config.phantom.to_dict(), **changes})


def fractured_levels(settings, split) -> set[str]:
    return {
        level
        for number in range(getattr(settings, split))
        for level, spec in draw_plan(
            random_streams(case_seed(settings, split, number)), settings
        ).specs.items()
        if spec is not None and spec.acute
    }


def test_the_seed_of_the_benchmark_is_the_first_that_fractures_every_level():
    chosen = benchmark_settings().seed
    for seed in range(chosen + 1):
        settings = benchmark_settings(seed=seed)
        complete = all(
            fractured_levels(settings, split) == set(LEVELS) for split in ("train", "test")
        )
        assert complete == (seed == chosen)


def test_the_benchmark_is_what_it_says():
    settings = benchmark_settings()
    assert settings.train + settings.validation + settings.test >= 40
    assert settings.levels_per_case == (14, 14)
    assert max(high for _, high in settings.voxel_spacing) <= 1.25
    assert len(settings.orientations) > 3
    assert settings.oblique_degrees > 0
    assert len(runpy.run_path(str(BENCHMARK))["MASKS_SHA256"]) == 64


def test_the_masks_of_the_benchmark_begin_as_committed():
    settings = benchmark_settings()
    assert settings.fingerprint() == FINGERPRINT
    digest = hashlib.sha256()
    for split in ("test", "validation"):
        case = make_case(case_seed(settings, split, 0), settings)
        digest.update(case.vertebrae.array.tobytes() + case.fractures.array.tobytes())
    assert digest.hexdigest() == FIRST_MASKS
