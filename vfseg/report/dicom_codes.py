"""The codes that DICOM results are written in: of the standard where it has one, else our own."""

from typing import Any, NamedTuple


class Concept(NamedTuple):
    """A coded concept: its value (up to 16 characters), the scheme, and what it means."""

    value: str
    scheme: str
    meaning: str


OWN = "99VFSEG"
"""Our own scheme; "99" marks the schemes that a program defines for itself."""

STRUCTURE = Concept("91723000", "SCT", "Anatomical Structure")
LESION = Concept("49755003", "SCT", "Morphologically Abnormal Structure")
FRACTURE = Concept("72704001", "SCT", "Fracture")
SPINE = Concept("421060004", "SCT", "Spine")
VOLUME = Concept("118565006", "SCT", "Volume")
PROBABILITY = Concept("122157", "DCM", "Probability")
ALGORITHM = Concept("123110", "DCM", "Artificial Intelligence")
PROCEDURE = Concept("25045-6", "LN", "CT unspecified body region")
DEVICE = Concept("121007", "DCM", "Device")
NO_UNITS = Concept("1", "UCUM", "no units")
MILLIMETRE = Concept("mm", "UCUM", "mm")
MILLILITRE = Concept("mL", "UCUM", "mL")
PERCENT = Concept("%", "UCUM", "Percent")

_VERTEBRAE = {
    **{"T4": "73071006", "T5": "56401006", "T6": "45296009", "T7": "62487009", "T8": "11068009"},
    **{"T9": "82687006", "T10": "7610001", "T11": "12989004", "T12": "23215003"},
    **{"L1": "66794005", "L2": "14293000", "L3": "36470004", "L4": "11994002", "L5": "49668003"},
}


def vertebra(level: str) -> Concept:
    """The code of a vertebra.

    >>> vertebra("L1")
    Concept(value='66794005', scheme='SCT', meaning='L1 vertebra')
    """
    return Concept(_VERTEBRAE[level], "SCT", f"{level} vertebra")


def own(meaning: str) -> Concept:
    """A concept of our own, whose value is its meaning in short.

    >>> own("fracture likely").value
    'FRACTURE_LIKELY'
    """
    return Concept(meaning.upper().replace(" ", "_")[:16], OWN, meaning)


def coded(concept: Concept) -> Any:
    """A concept as highdicom takes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(
        value=concept.value, scheme_designator=concept.scheme, meaning=concept.meaning
    )
