"""`vfseg.predict`: a CT in a program of others, through a trained model."""

import dataclasses
import functools
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np

from vfseg.api.inputs import POINT_AXES, Image, Places, image_file, named_as_given, table_file
from vfseg.commands.case_result import (
    TAKES_LESS,
    CaseResult,
    finish,
    predict_maps,
    refused_for,
)
from vfseg.commands.find import (
    OUTLINES,
    PICTURE,
    POINTS,
    draw_found,
    with_outlines,
    write_found,
)
from vfseg.commands.request import AUTO, FIND
from vfseg.commands.start import prepare_jax_within_program
from vfseg.commands.workdir import alone_in
from vfseg.config.model import open_model
from vfseg.config.shipped import SHIPPED
from vfseg.data.boxes import BOX_EDGES
from vfseg.data.discovery import case_of_ct
from vfseg.data.outputs import DICOM_FILES, is_own_file
from vfseg.data.settings import SpineReading
from vfseg.data.spine import check_grid
from vfseg.data.vertebra_labels import segment_vertebrae
from vfseg.data.volume import read_geometry
from vfseg.devices import enough_memory
from vfseg.errors import UserError
from vfseg.evaluation.sentences import sentences, table
from vfseg.files import atomic_file, make_sure_of
from vfseg.inference.case import LESION_MAP, LESIONS, MASK, PROBABILITY, UNCERTAINTY, VERTEBRAE
from vfseg.inference.model import Model
from vfseg.localisation.levels import NAMES
from vfseg.settings import one_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(SpineReading):
    """How a CT is read and what its maps show.

    Attributes:
        vertebra_scheme: label scheme of the label map; "" lets the anatomy decide.
        boxes_inclusive: boxes name the last voxel, not the one after it.
        everywhere: maps show also what lies away from the vertebrae.
        lowest: level of the lowest vertebra, such as "L3", where they are to be found; "" where it
            is not known.
    """

    everywhere: bool = False
    lowest: Annotated[str, one_of(("", *NAMES[:-1]))] = ""


_DEFAULT = Options()


def load_model(path: str | os.PathLike | None = None) -> Model:
    """A trained model, for `predict`.

    Args:
        path: a workdir, its checkpoints, or a model that was passed on; the workdir of a
            cross-validation, whose models are an ensemble; None is the model that comes with the
            package.

    Raises:
        UserError: there is none, it is damaged or of another version, or was not evaluated.
    """
    prepare_jax_within_program()
    return open_model(SHIPPED if path is None else Path(path))


def predict(
    ct: Image,
    vertebrae: Image | None = None,
    *,
    boxes: Places | None = None,
    points: Places | None = None,
    model: Model | str | os.PathLike | None = None,
    options: Options = _DEFAULT,
) -> "CasePrediction":
    """Predicts where the vertebrae of a CT are fractured. Research use only.

    One of `vertebrae`, `boxes` and `points` says where they are; without any they are found.

    Args:
        ct: in Hounsfield units.
        vertebrae: label map on the grid of the CT; "auto" asks TotalSegmentator; "find", or nothing
            at all, looks for them (experimental): see what `notes` says of it.
        boxes: (x0, x1, y0, y1, z0, z1) of each level, voxel indices of the array, half-open.
        points: (x, y, z) of the middle of each body, mm in RAS+; or a file, see
            `vertebrae_from_points`. Without a label map no heights are measured.
        model: from `load_model`, or what that takes.
        options: see `Options`.

    Raises:
        UserError: whatever is wrong with CT, vertebrae or model.
    """
    known = {"vertebrae": vertebrae, "boxes": boxes, "points": points}
    given = [name for name, value in known.items() if value is not None]
    if len(given) > 1:
        raise UserError(f"vfseg.predict: got {' and '.join(given)}. Give one of them.")
    way = Path(vertebrae) if isinstance(vertebrae, str) else None if given else FIND
    if options.lowest and way != FIND:
        raise UserError("vfseg.predict: lowest is for vertebrae that are found. Leave it out.")
    model = model if isinstance(model, Model) else load_model(model)
    folder = Path(tempfile.mkdtemp(prefix="vfseg-"))
    try:
        with named_as_given(folder):
            case = case_of_ct(image_file(ct, folder / "case.nii"))
            files: dict[str, Path] = {}
            notes: list[str] = []
            if way == AUTO:
                files["vertebrae"] = folder / OUTLINES
                segment_vertebrae(case.ct, files["vertebrae"])
            elif way == FIND:
                files["points"] = folder / POINTS
                notes += write_found(case, options.lowest or None, folder / POINTS)
            elif vertebrae is not None:
                files["vertebrae"] = image_file(vertebrae, folder / "vertebrae.nii")
            if boxes is not None:
                files["boxes"] = table_file(boxes, BOX_EDGES, folder / "boxes.csv")
            if points is not None:
                files["points"] = table_file(points, POINT_AXES, folder / "points.csv")
            case = dataclasses.replace(case, **files)  # type: ignore[arg-type]
            check_grid(case, read_geometry(case.ct))
            if way == FIND:
                case, more = with_outlines(case, folder / OUTLINES)
                notes += more
            with enough_memory(TAKES_LESS):
                result = predict_maps(case, model, options, folder, everywhere=options.everywhere)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return CasePrediction(result, folder, notes, found=way == FIND)


class CasePrediction:
    """What a model says of one CT.

    Attributes:
        case_id: name of the case: of the file of the CT, "case" where it came from memory.
        vertebrae: records as in `vertebrae.csv`, cranial to caudal; None is an empty cell.
        lesions: records as in `lesions.csv`.
        notes: how the vertebrae were found or read, and what is odd or left out.
        threshold: probability from which a voxel belongs to the mask, 0..1.
        fractures: that the model was trained on, "synthetic" or "the user's".
        result: all that was found, for `vfseg.evaluate`.
    """

    def __init__(
        self, result: CaseResult, folder: Path, notes: Sequence[str] = (), *, found: bool = False
    ):
        """Takes over a folder with the maps; it goes when this object does.

        Args:
            result: of `predict_maps`.
            folder: that it wrote to.
            notes: how the vertebrae were found.
            found: whether they were; points and outlines then stand in the folder, too.
        """
        self.result = result
        self.case_id: str = result.case.case_id
        self.vertebrae: list[dict[str, Any]] = result.listed.vertebrae
        self.lesions: list[dict[str, Any]] = result.listed.lesions
        self.notes: tuple[str, ...] = (*notes, *result.found.spine.notes)
        self.threshold: float = result.model.thresholds.fused
        self.fractures: str = result.model.fractures
        self._folder, self._found = folder, found
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def __str__(self) -> str:
        """The sentences and the table that the command prints."""
        return "\n".join([*sentences(self.result.listed), "", *table(self.vertebrae)])

    @functools.cached_property
    def probability(self) -> nib.Nifti1Image:
        """Map of the probability of fracture, float32 in 0..1 on the grid of the CT."""
        return self._image(PROBABILITY, np.float32)

    @functools.cached_property
    def mask(self) -> nib.Nifti1Image:
        """1 where the map reaches the threshold, uint8."""
        return self._image(MASK, np.uint8)

    @functools.cached_property
    def uncertainty(self) -> nib.Nifti1Image | None:
        """Standard deviation over all views and models, float32; None where there is but one."""
        return self._image(UNCERTAINTY, np.float32) if self.result.found.predictions > 1 else None

    @functools.cached_property
    def lesion_map(self) -> nib.Nifti1Image:
        """Numbers of the lesions as in `lesions`, uint16; 0 is none."""
        return self._image(LESION_MAP, np.uint16)

    def save(self, folder: str | os.PathLike) -> Path:
        """Writes maps, lists and pictures, the files of `vfseg predict`; replaces such as stand.

        Returns:
            The folder.

        Raises:
            UserError: it cannot be written, another run works there, or a file that is no result
                would be replaced, or points that may have been corrected.
        """
        folder = Path(folder)
        found, points = (POINTS, OUTLINES) if self._found else (), folder / POINTS
        if why := refused_for(folder) or refused_for(folder, found[1:]):
            raise UserError(why)
        if (
            found
            and points.exists()
            and points.read_bytes() != (self._folder / POINTS).read_bytes()
        ):
            raise UserError(
                f"{points}: stands already, and may have been corrected. Name another folder, or "
                "delete it."
            )
        make_sure_of(folder, stays=True)
        with alone_in(folder):
            stale = (VERTEBRAE, LESIONS, LESION_MAP, UNCERTAINTY, PICTURE, *DICOM_FILES)
            for name in (*stale, *([OUTLINES] if is_own_file(folder / OUTLINES) else [])):
                (folder / name).unlink(missing_ok=True)
            # The lists after the maps, of which one more is there with several predictions.
            for name in (*found, UNCERTAINTY, MASK, PROBABILITY, LESION_MAP, LESIONS):
                if (self._folder / name).exists():
                    with atomic_file(folder / name) as file, open(self._folder / name, "rb") as own:
                        shutil.copyfileobj(own, file)
            if found:
                draw_found(self.result, folder / PICTURE)
            finish(self.result, folder)
        return folder

    def _image(self, name: str, dtype: type) -> nib.Nifti1Image:
        stored = nib.load(self._folder / name)
        assert isinstance(stored, nib.Nifti1Image)
        array: np.ndarray = np.asarray(stored.dataobj).astype(dtype)
        return nib.Nifti1Image(array, stored.affine, dtype=dtype)
