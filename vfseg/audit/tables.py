"""Tables of an audit, the same on the page and on the terminal: a header, and rows of cells."""

from collections.abc import Sequence

from vfseg.audit.cohort import Prevalence, prevalence
from vfseg.audit.findings import Audit, CaseFacts
from vfseg.data.schemes import LEVELS
from vfseg.data.settings import PLANE_AXES, SPLITS

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def prevalence_table(cases: Sequence[CaseFacts]) -> Table:
    """Fractured of all vertebrae, levels by splits; in brackets as the box would count them."""
    splits = [split for split in (*SPLITS, "") if any(case.split == split for case in cases)]
    header = ("level", *(split or "no split" for split in splits), "all")
    rows = []
    for level in (*(x for x in LEVELS if prevalence(cases, x).vertebrae), ""):
        counts = [prevalence(cases, level, split) for split in (*splits, None)]
        if counts[-1].vertebrae:
            rows.append((level or "all", *(_of(count, percent=not level) for count in counts)))
    return header, rows


def lesion_table(cases: Sequence[CaseFacts]) -> Table:
    """One row a lesion."""
    header: tuple[str, ...] = (
        *("case", "lesion", "level", "volume mL", "thickness mm", "voxels"),
        *("parts", "outside vertebrae"),
    )
    rows: list[tuple[str, ...]] = [
        (
            case.case_id,
            str(lesion.number),
            "not known" if lesion.owners is None else _owner(lesion.owners),
            f"{lesion.volume_ml:.2f}",
            f"{lesion.thickness_mm:.1f}",
            str(lesion.voxels),
            str(lesion.components),
            "–" if lesion.outside_fraction is None else f"{lesion.outside_fraction:.0%}",
        )
        for case in cases
        for lesion in case.lesions or ()
    ]
    return header, rows


def spacing_table(audit: Audit) -> Table:
    """One row a case: grid, values, and how many of its own slices a window spans."""
    header: tuple[str, ...] = (
        *("case", "split", "spacing mm (S × A × R)", "shape (S × A × R)", "stored", "HU"),
        *("labels", "levels"),
    )
    header += tuple(f"own {plane} slices seen" for plane in audit.planes)
    rows = []
    for case in audit.cases:
        row: tuple[str, ...] = (
            case.case_id,
            case.split or "–",
            " × ".join(f"{step:.3g}" for step in case.voxel_spacing or ()) or "–",
            " × ".join(map(str, case.shape or ())) or "–",
            case.orientation or "–",
            "{} to {}".format(*case.hounsfield) if case.hounsfield else "–",
            case.scheme or "–",
            _levels([vertebra.level for vertebra in case.vertebrae]),
        )
        for plane in audit.planes:
            step = case.voxel_spacing[PLANE_AXES[plane]] if case.voxel_spacing else 0.0
            row += (f"{2 * audit.reach_mm / step + 1:.1f}" if step else "–",)
        rows.append(row)
    return header, rows


def _of(count: Prevalence, *, percent: bool) -> str:
    if not count.vertebrae:
        return "–"
    words = f"{count.by_mask} of {count.vertebrae}"
    if percent:
        words += f" = {count.by_mask / count.vertebrae:.0%}"
    if count.by_box != count.by_mask:
        box = f"{count.by_box / count.vertebrae:.0%}" if percent else str(count.by_box)
        words += f" (box: {box})"
    return words


def _owner(owners: Sequence[tuple[str, int]]) -> str:
    total = sum(count for _, count in owners)
    shown = [name for name, count in owners if count > 0.1 * total]
    return " + ".join(shown) or "none"


def _levels(levels: Sequence[str]) -> str:
    if not levels:
        return "–"
    complete = list(LEVELS[LEVELS.index(levels[0]) : LEVELS.index(levels[-1]) + 1])
    if len(levels) > 1 and complete == list(levels):
        return f"{levels[0]} to {levels[-1]}"
    return ", ".join(levels)
