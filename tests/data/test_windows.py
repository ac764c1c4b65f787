"""Order, balance and content of the runs, against what the stored arrays say."""

import numpy as np
import pytest

from tests.data.test_store import AFFINE, SHAPE, make_record
from vfseg.data.prepare import PLANES
from vfseg.data.store import CropRecord, write_case
from vfseg.data.windows import BatchFeed, RunSource, WindowSettings
from vfseg.errors import UserError


def settings(**changes):
    fields = {"plane": "sagittal", "length": 5, "stride_mm": 1.25, "targets": 2}
    fields |= {"batch_size": 4, "positive_share": 0.5}
    return WindowSettings(**{**fields, **changes})


@pytest.fixture
def cohort(tmp_path):
    """Three cases of two crops; voxels tell case, crop and place; the last case is healthy."""
    records, arrays = [], []
    for number in range(3):
        ct = np.arange(2 * np.prod(SHAPE), dtype=np.int16).reshape(2, *SHAPE) + 1000 * number
        fractures = np.zeros((2, *SHAPE), np.uint8)
        if number < 2:
            fractures[0, 1:3, 2, 3] = 1
            fractures[1, 0, 4:6, 6] = 2
        crops = tuple(
            CropRecord(
                "L1",
                20,
                (0, 0, 0),
                int((mask != 0).sum()),
                {
                    plane: np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))).tolist()
                    for plane, axis in PLANES.items()
                },
                affine=AFFINE,
            )
            for mask in fractures
        )
        record = make_record(f"case{number}", crops=2)
        record = type(record)(**{**record.__dict__, "crops": crops})
        content = {"ct": ct, "fractures": fractures, "vertebrae": np.zeros_like(fractures)}
        write_case(tmp_path, record, content)
        records.append(record)
        arrays.append(content)
    return tmp_path, records, arrays


def source(cohort, chosen, seed=0, length=10_000):
    return RunSource(cohort[0], cohort[1], chosen, seed=seed, length=length)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(("targets", "stride_mm"), [(1, 1.25), (1, 2.5), (2, 1.25), (3, 2.5)])
def test_a_sample_holds_the_slices_that_a_loop_would_pick(cohort, plane, targets, stride_mm):
    chosen = settings(plane=plane, targets=targets, stride_mm=stride_mm, length=3)
    runs = source(cohort, chosen)
    axis, stride = PLANES[plane], round(stride_mm / 1.25)
    for index in range(24):
        case, crop, first = runs.locate(index)
        ct = cohort[2][case]["ct"][crop]
        mask = cohort[2][case]["fractures"][crop]
        wanted = []
        needed = {first + t + o * stride for t in range(targets) for o in (-1, 0, 1)}
        span = range(min(needed), max(needed) + 1)
        for position in sorted(needed) if targets == 1 else span:
            clamped = min(max(position, 0), ct.shape[axis] - 1)
            wanted.append(np.take(ct, clamped, axis))
        sample = runs[index]
        np.testing.assert_array_equal(sample["ct"], np.stack(wanted))
        truth = [np.take(mask, first + t, axis) != 0 for t in range(targets)]
        np.testing.assert_array_equal(sample["target"], np.stack(truth))
        assert sample["ct"].dtype == np.int16
        assert sample["target"].dtype == np.uint8


def test_the_share_of_positive_runs_is_fixed_in_every_batch(cohort):
    runs = source(cohort, settings(batch_size=8, positive_share=0.25))
    for batch in range(6):
        positive = [runs[8 * batch + slot]["target"].any() for slot in range(8)]
        assert positive == [True] * 2 + [False] * 6


def test_every_run_is_seen_once_before_any_is_seen_again(cohort):
    chosen = settings(targets=1, batch_size=2)
    runs = source(cohort, chosen)
    # Positive slices along `right`: crop 0 has slice 3, crop 1 slice 6, in two cases: 4 runs.
    # All others: 3 cases x 2 crops x 8 slices - 4 = 44.
    positive = [runs.locate(2 * i) for i in range(8)]
    negative = [runs.locate(2 * i + 1) for i in range(88)]
    for seen, distinct in ((positive, 4), (negative, 44)):
        first, second = seen[:distinct], seen[distinct : 2 * distinct]
        assert len(set(first)) == distinct
        assert set(first) == set(second)
        assert first != second
    assert {case for case, _, _ in negative} == {0, 1, 2}, (
        "negatives of fractured and healthy cases"
    )


def test_order_depends_on_the_seed_and_on_nothing_else(cohort):
    one, again = source(cohort, settings()), source(cohort, settings())
    other = source(cohort, settings(), seed=1)
    order = [one.locate(i) for i in range(40)]
    assert order == [again.locate(i) for i in reversed(range(40))][::-1]
    assert order != [other.locate(i) for i in range(40)]


def _batches(feed, count):
    batches = [next(feed) for _ in range(count)]
    feed.close()
    return batches


def test_batches_continue_exactly_where_they_stopped(cohort):
    chosen = settings()
    straight = _batches(BatchFeed(source(cohort, chosen), 4), 6)
    feed = BatchFeed(source(cohort, chosen), 4)
    for _ in range(3):
        next(feed)
    position = feed.position
    feed.close()
    assert position == 12
    resumed = BatchFeed(source(cohort, chosen), 4)
    resumed.position = position
    for want, got in zip(straight[3:], _batches(resumed, 3), strict=True):
        np.testing.assert_array_equal(got["ct"], want["ct"])
        np.testing.assert_array_equal(got["target"], want["target"])


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_every_batch_without_overlap(cohort, processes):
    chosen = settings()
    whole = _batches(BatchFeed(source(cohort, chosen), 4), 3)
    shares = [
        _batches(BatchFeed(source(cohort, chosen), 4, process=p, processes=processes), 3)
        for p in range(processes)
    ]
    for number, batch in enumerate(whole):
        joined = np.empty_like(batch["ct"])
        for p, share in enumerate(shares):
            joined[p::processes] = share[number]["ct"]
        np.testing.assert_array_equal(joined, batch["ct"])


def test_a_position_means_the_same_for_every_number_of_processes(cohort):
    chosen = settings()
    feed = BatchFeed(source(cohort, chosen), 4, process=1, processes=2)
    next(feed), next(feed)
    position = feed.position
    feed.close()
    assert position == 8
    alone = BatchFeed(source(cohort, chosen), 4)
    alone.position = position
    third = _batches(BatchFeed(source(cohort, chosen), 4), 3)[2]
    np.testing.assert_array_equal(_batches(alone, 1)[0]["ct"], third["ct"])


def test_what_cannot_be_fed_is_named(cohort):
    healthy = (cohort[0], cohort[1][2:])
    with pytest.raises(UserError, match="no sagittal run of the training cases shows a fracture"):
        source(healthy, settings())
    with pytest.raises(UserError, match="does not divide among 3 processes"):
        BatchFeed(source(cohort, settings()), 4, processes=3)
    feed = BatchFeed(source(cohort, settings()), 4)
    with pytest.raises(UserError, match="stopped at sample 6, inside a batch of 4"):
        feed.position = 6
    feed.close()
