"""What resembles a fracture and has no label."""

from tests.synthesis.made import make_case
from tests.synthesis.phantom.measuring import THREE
from vfseg.synthesis.phantom import FractureSpec


def test_look_alikes_and_old_deformities_have_no_label():
    old = FractureSpec("wedge", 0.35, acute=False)
    names = set()
    for seed in range(6):
        case = make_case(seed, {**THREE, "voxel_spacing": 2.0}, {"L2": old})
        assert not case.fractures.array.any()
        assert all(fact.instances == () for fact in case.facts)
        names |= {name for fact in case.facts for name in fact.lookalikes}
    assert {"basivertebral vein", "nutrient foramen", "osteophytes"} <= names
