"""CTs painted from vertebra label maps: real shapes with the phantom's bone, tissue and fractures.

`label_maps` finds the maps of a folder, `source` reads one (bodies, deformities, what to leave
out), `solids` frees its bones of their voxels. For each case `scene` draws fractures and lets the
spine settle over them (`rigid`), `field` draws voxels and field of view, `shape` puts a fracture
into a real bone, and `case` has the phantom's painter, tissue and scanner make a CT of it. `cohort`
writes many.
"""

from vfseg.synthesis.painted.case import paint_case
from vfseg.synthesis.painted.cohort import make_painted_cohort, map_of
from vfseg.synthesis.painted.label_maps import LabelMap, find_label_maps
from vfseg.synthesis.painted.source import Source, read_source
from vfseg.synthesis.settings import PaintedSettings

__all__ = [
    "LabelMap",
    "PaintedSettings",
    "Source",
    "find_label_maps",
    "make_painted_cohort",
    "map_of",
    "paint_case",
    "read_source",
]
