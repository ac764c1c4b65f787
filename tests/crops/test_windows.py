"""Order, balance and content of the runs, against what the stored arrays say."""

import collections
import itertools
import sys

import numpy as np
import pytest

from tests.crops.test_store import AFFINE, SHAPE, make_record
from vfseg.crops import windows
from vfseg.crops.settings import WindowSettings
from vfseg.crops.store import CropRecord, write_case
from vfseg.crops.windows import BatchFeed, RunSource
from vfseg.data.settings import PLANE_AXES
from vfseg.errors import UserError


def settings(**changes):
    fields = {"planes": ("sagittal",), "length": 5, "stride_mm": 1.25, "targets": 2}
    fields |= {"batch_size": 4, "positive_share": 0.5}
    return WindowSettings(**{**fields, **changes})


ALL_PLANES = tuple(PLANE_AXES)


@pytest.fixture
def cohort(tmp_path):
    return make_cohort(tmp_path, SHAPE)


def make_cohort(store, shape):
    """Three cases of two crops; voxels tell case, crop and place; the last case is healthy."""
    records, arrays = [], []
    for number in range(3):
        ct = np.arange(2 * np.prod(shape), dtype=np.int16).reshape(2, *shape) + 1000 * number
        fractures = np.zeros((2, *shape), np.uint8)
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
                    for plane, axis in PLANE_AXES.items()
                },
                affine=AFFINE,
            )
            for mask in fractures
        )
        record = make_record(f"case{number}", crops=2)
        record = type(record)(**{**record.__dict__, "crops": crops, "crop_shape": shape})
        content = {"ct": ct, "fractures": fractures, "vertebrae": np.zeros_like(fractures)}
        write_case(store, record, content)
        records.append(record)
        arrays.append(content)
    return store, records, arrays


def source(cohort, chosen, seed=0, length=10_000):
    return RunSource(cohort[0], cohort[1], chosen, seed=seed, length=length)


@pytest.mark.parametrize("plane", PLANE_AXES)
@pytest.mark.parametrize(("targets", "stride_mm"), [(1, 1.25), (1, 2.5), (2, 1.25), (3, 2.5)])
def test_a_sample_holds_the_slices_that_a_loop_would_pick(cohort, plane, targets, stride_mm):
    chosen = settings(planes=(plane,), targets=targets, stride_mm=stride_mm, length=3)
    runs = source(cohort, chosen)
    axis, stride = PLANE_AXES[plane], round(stride_mm / 1.25)
    for index in range(24):
        _, case, crop, first = runs.locate(index)
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
        assert sample["plane"] == axis
        assert sample["plane"].dtype == np.int32


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
    assert {run.case for run in negative} == {0, 1, 2}, "negatives of fractured and healthy cases"


def test_order_depends_on_the_seed_and_on_nothing_else(cohort):
    one, again = source(cohort, settings()), source(cohort, settings())
    other = source(cohort, settings(), seed=1)
    order = [one.locate(i) for i in range(40)]
    assert order == [again.locate(i) for i in reversed(range(40))][::-1]
    assert order != [other.locate(i) for i in range(40)]


def test_a_reader_is_not_disturbed_by_another_one(cohort):
    """Grain reads with two threads. At each line in turn, the other one asks for a later round."""
    chosen, places = settings(targets=1, batch_size=2), range(0, 40, 8)  # 4 positives a round
    interruptions = 0
    for moment in itertools.count():
        runs, lines = source(cohort, chosen, seed=moment), itertools.count()

        def interrupt(frame, event, _):
            inside = frame.f_code.co_filename == windows.__file__
            if inside and event == "line" and next(lines) == moment:  # noqa: B023
                others.extend(runs.locate(place) for place in places)  # noqa: B023
            return interrupt if inside else None

        others, before = [], sys.gettrace()
        sys.settrace(interrupt)
        try:
            found = runs.locate(places[0])
        finally:
            sys.settrace(before)
        alone = source(cohort, chosen, seed=moment)
        assert found == alone.locate(places[0])
        if not others:  # it was over before that moment
            break
        assert others == [alone.locate(place) for place in places]
        interruptions += 1
    assert interruptions > 5


# Several planes


MIXES = [(ALL_PLANES, 6, 0.5), (ALL_PLANES, 4, 0.5), (ALL_PLANES, 8, 0.25), (ALL_PLANES, 2, 1.0)]
MIXES += [(("sagittal", "axial"), 5, 0.4), (("coronal",), 4, 0.25)]


@pytest.mark.parametrize(("planes", "batch_size", "share"), MIXES)
def test_slots_are_dealt_as_by_someone_who_counts(cohort, planes, batch_size, share):
    """The slow twin goes through all slots from the first, with a stack of runs for each kind."""
    runs = source(cohort, settings(planes=planes, batch_size=batch_size, positive_share=share))
    alone = {
        plane: source(cohort, settings(planes=(plane,), batch_size=2)) for plane in planes
    }  # slots 0 and 1 of a batch: its positive and its negative runs, one after the other
    known = {
        (plane, kind): {alone[plane].locate(2 * i + kind)[1:] for i in range(200)}
        for plane in planes
        for kind in (0, 1)
    }
    left = {key: set() for key in known}
    for batch, slot in itertools.product(range(24), range(batch_size)):
        run = runs.locate(batch * batch_size + slot)
        plane = planes[(batch + slot) % len(planes)]
        kind = 0 if slot < round(share * batch_size) else 1
        left[plane, kind] = left[plane, kind] or set(known[plane, kind])  # the next round
        assert planes[run.plane] == plane
        assert run[1:] in left[plane, kind], "every run once before any again"
        left[plane, kind].remove(run[1:])


@pytest.mark.parametrize(("planes", "batch_size", "share"), MIXES)
def test_planes_have_equal_shares_of_positives_and_negatives(cohort, planes, batch_size, share):
    runs = source(cohort, settings(planes=planes, batch_size=batch_size, positive_share=share))
    positives, over_all = round(share * batch_size), collections.Counter()
    for batch in range(2 * len(planes)):
        kinds = {True: collections.Counter(), False: collections.Counter()}
        for slot in range(batch_size):
            sample = runs[batch * batch_size + slot]
            kinds[bool(sample["target"].any())][int(sample["plane"])] += 1
        assert kinds[True].total() == positives
        for counts in (*kinds.values(), kinds[True] + kinds[False]):
            dealt = [counts[PLANE_AXES[plane]] for plane in planes]
            assert max(dealt) - min(dealt) <= 1
        over_all.update((kind, plane) for kind in kinds for plane in kinds[kind].elements())
    for plane in planes:
        assert over_all[True, PLANE_AXES[plane]] == 2 * positives
        assert over_all[False, PLANE_AXES[plane]] == 2 * (batch_size - positives)


def test_planes_go_through_equal_lists_of_runs_in_different_orders(tmp_path):
    store, records, _ = make_cohort(tmp_path, (8, 8, 8))
    chosen = settings(planes=ALL_PLANES, batch_size=3, positive_share=0.0)
    runs = RunSource(store, records[2:], chosen, seed=0, length=100)
    seen = [[], [], []]
    for index in range(42):  # 2 healthy crops of 7 runs in each of 3 planes
        run = runs.locate(index)
        seen[run.plane].append(run[1:])
    assert set(seen[0]) == set(seen[1]) == set(seen[2])
    assert len({tuple(order) for order in seen}) == 3


def test_the_first_plane_goes_on_as_it_would_alone(cohort):
    mixed = source(cohort, settings(planes=("sagittal", "axial", "coronal"), batch_size=6))
    alone = source(cohort, settings(batch_size=2))
    seen = collections.defaultdict(list)
    for index in range(120):
        run = mixed.locate(index)
        seen[run.plane, index % 6 < 3].append(run[1:])
    for kind in (True, False):
        expected = [alone.locate(2 * i + (not kind))[1:] for i in range(20)]
        assert seen[0, kind] == expected


def test_one_plane_has_the_sequence_that_its_seed_gave_from_the_start(cohort):
    """Position n of a kind is place n of its rounds, each a permutation by seed, kind and round."""
    runs = source(cohort, settings(targets=1), seed=7)
    # Along `right`: slice 3 of crop 0 and slice 6 of crop 1 of cases 0 and 1.
    positive = [(0, 0, 3), (0, 1, 6), (1, 0, 3), (1, 1, 6)]
    rounds = [np.random.default_rng([7, 1, number]).permutation(4) for number in range(3)]
    expected = [positive[place] for place in np.concatenate(rounds)]
    found = [runs.locate(4 * batch + slot)[1:] for batch in range(6) for slot in range(2)]
    assert found == expected


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


@pytest.mark.parametrize("planes", [("sagittal",), ALL_PLANES])
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_every_batch_without_overlap(tmp_path, processes, planes):
    cohort = make_cohort(tmp_path, (8, 8, 8))
    chosen = settings(planes=planes)
    whole = _batches(BatchFeed(source(cohort, chosen), 4), 3)
    shares = [
        _batches(BatchFeed(source(cohort, chosen), 4, process=p, processes=processes), 3)
        for p in range(processes)
    ]
    for number, batch in enumerate(whole):
        for name, expected in batch.items():
            joined = np.concatenate([share[number][name] for share in shares])
            np.testing.assert_array_equal(joined, expected)


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


def test_a_crop_that_is_damaged_while_a_run_reads_is_named(tmp_path, cohort):
    """Also by the threads that read ahead."""
    store, records, _ = cohort
    source = RunSource(store, records, settings(), seed=0, length=400)
    for shard in store.rglob("c/0/0/0/0"):
        shard.write_bytes(shard.read_bytes()[:-2])
    feed = BatchFeed(source, 4)
    with pytest.raises(UserError, match=r"these prepared crops are damaged .* Give the same comm"):
        next(feed)
    feed.close()
