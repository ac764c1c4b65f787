"""CTs painted from vertebra label maps: real shapes with the phantom's bone and fractures.

Of each label map of a folder `painted.variants` CTs are painted in the workdir: every vertebra in
its real shape and place, with drawn tissue, scanner and fractures, all from ranges wider than real
ones (domain randomisation), and more on the device while it trains. A vertebra with a deformity of
its own is painted but not labelled. All CTs of a map stay in one split; at least three patients are
needed. The shapes are those of patients, so the workdir holds patient data.

    python -m vfseg.main --config configs/painted.py --config.painted.label_maps=FOLDER
"""

from pathlib import Path

from ml_collections import ConfigDict

from vfseg.config.derive import derive

QUICKSTART = Path(__file__).with_name("quickstart.py")

RANDOMISED = {
    "phantom.randomised": True,  # where phantoms are added
    "augment.rotation": 10.0,
    "augment.scaling": 0.1,
    "augment.gamma": 0.2,
    "augment.contrast": 0.15,
    "augment.noise": 30.0,
    "augment.blur": 0.8,
    "augment.low_resolution": 1.0,
    "augment.hu_shift": 50.0,
    "augment.thickness": 5.0,
    "augment.sharpness": 1.0,
}


def get_config() -> ConfigDict:
    return derive(QUICKSTART, {"painted.label_maps": "data/label-maps"}, RANDOMISED)
