"""The lists of a case, for its page: as they were just made, or as an evaluation wrote them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vfseg.data.points import FOUND
from vfseg.errors import UserError
from vfseg.evaluation.findings import LISTED_ML, Findings
from vfseg.evaluation.lists import LESION_COLUMNS, VERTEBRA_COLUMNS
from vfseg.evaluation.sentences import Rows
from vfseg.evaluation.summary_shape import REMEDY
from vfseg.files import read_table

_WORDS = {
    *("case_id", "level", "verdict", "why", "compared_with", "genant_shape", "flags"),
    *("disagreement", "heights_missing", "outside_training", "height", "depth", "side"),
    *("voxels_i", "voxels_j", "voxels_k", "trained_on", "use", "measured_in"),
}
_WHOLE = {"genant", "genant_low", "genant_high", "genant_published", "lesion"}


class CaseLists(NamedTuple):
    """What the page says of a case.

    Attributes:
        vertebrae: rows of `vertebrae.csv` with `map_ml` and `specks_ml`, cranial to caudal.
        lesions: rows of `lesions.csv` of at least `LISTED_ML`.
    """

    vertebrae: Rows = ()
    lesions: Rows = ()

    @property
    def found(self) -> bool:
        """Whether the program found vertebrae at which nobody looked."""
        return any(FOUND in row["flags"].split() for row in self.vertebrae)


def lists_of(found: Findings) -> CaseLists:
    """The lists of a predicted CT."""
    return CaseLists(found.vertebrae, found.lesions)


def read_lists(folder: Path) -> dict[str, CaseLists]:
    """The lists that an evaluation or a prediction wrote, by case id; none where there are none.

    Args:
        folder: `evaluation` of a run, or the results of a CT.

    Raises:
        UserError: a list is damaged.
    """
    lists: dict[str, CaseLists] = {}
    for row in _rows(folder / "lesions.csv", LESION_COLUMNS):
        if row["volume_ml"] is not None and row["volume_ml"] >= LISTED_ML:
            known = lists.get(row["case_id"], CaseLists())
            lists[row["case_id"]] = known._replace(lesions=[*known.lesions, row])
    for row in _rows(folder / "vertebrae.csv", VERTEBRA_COLUMNS):
        # An evaluation names the volume of the map beside that of the truth.
        map_ml = row.get("map_ml", row.get("predicted_ml")) or 0.0
        specks_ml = row.get("specks_ml") or 0.0  # a list of an older version does not tell
        known = lists.get(row["case_id"], CaseLists())
        whole = row | {"map_ml": map_ml, "specks_ml": specks_ml, "flags": row["flags"] or ""}
        lists[row["case_id"]] = known._replace(vertebrae=[*known.vertebrae, whole])
    return lists


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of a list with every column that it should have; a list of an older version has less."""
    if not path.exists():
        return []
    try:
        return [dict.fromkeys(columns) | _values(row.cells) for row in read_table(path)[1]]
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}). {REMEDY}") from error


def _values(cells: Mapping[str, str]) -> dict[str, Any]:
    return {name: _value(name, cell) for name, cell in cells.items()}


def _value(name: str, cell: str) -> Any:
    """A cell as it was before it was written.

    >>> _value("genant", "2"), _value("suspected", "TRUE"), _value("depth", ""), _value("score", "")
    (2, True, None, None)
    """
    if name in _WORDS:
        return cell or None
    if cell.lower() in ("true", "false", ""):  # a spreadsheet writes TRUE
        return {"true": True, "false": False}.get(cell.lower())
    return int(cell) if name in _WHOLE else float(cell)
