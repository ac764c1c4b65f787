"""What stands below the pictures of a case, in every language."""

from vfseg.report.foci import Focus
from vfseg.report.texts import by_language, text


def caption_of(picture: str, **values: float) -> dict[str, str]:
    """The caption of a picture of a case.

    Args:
        picture: "midline", "solid" or "solid_nothing".
        values: that it names.
    """
    return by_language(lambda language: text(language, f"caption_{picture}", **values))


def place_caption(
    focus: Focus, level: str, plane: tuple[str, str, int], threshold: float
) -> dict[str, str]:
    """The caption of one plane through a place.

    Args:
        focus: the place.
        level: of the vertebra that holds it; "" where none does.
        plane: "axial", "coronal" or "sagittal", the axis of the CT's file, and the slice along it.
        threshold: of the model.
    """
    name, axis, at = plane

    def say(language: str) -> str:
        plane_words = text(language, name)
        where = "caption_where_level" if level else "caption_where"
        return text(
            language,
            f"caption_{focus.found_by}",
            where=text(language, where, plane=plane_words, axis=axis, at=at, level=level),
            volume=focus.volume_ml or 0.0,  # which only the truth has, and names
            highest=focus.probability,
            threshold=threshold,
        )

    return by_language(say)
