"""Virtual fractures in real bone: healthy labelled CT becomes training data with truth.

`body` finds the vertebral body in the label map, `collapse` maps its columns onto shorter ones
without folding and leaves all else in place, `render` resamples the CT and paints the signs,
`fracture` joins them for one vertebra, `lookalikes` gives whole vertebrae what resembles a fracture
(`canvas` holds the voxels that it paints), `cohort` writes variants of whole cases with a manifest.
Fractures are drawn as in the phantom; `site` measures the vertebra where something is to happen.
"""

from vfseg.synthesis.phantom.fractures import FractureSpec
from vfseg.synthesis.settings import VirtualFractureSettings
from vfseg.synthesis.virtual_fractures.cohort import make_virtual_cohort
from vfseg.synthesis.virtual_fractures.fracture import FractureFacts, fracture_vertebra
from vfseg.synthesis.virtual_fractures.site import LabelledCT, breakable_levels

__all__ = [
    "FractureFacts",
    "FractureSpec",
    "LabelledCT",
    "VirtualFractureSettings",
    "breakable_levels",
    "fracture_vertebra",
    "make_virtual_cohort",
]
