"""Virtual fractures in real bone: healthy labelled CTs become training data with truth.

Of each CT of the manifest `virtual_fractures.variants` variants are made in the workdir, with one
vertebra or more collapsed and the CT signs of a fracture added; the variants of a CT share its
patient and stay in one split. The manifest needs `ct`, `vertebrae` and, with few CTs, `split`.
The truth is synthetic; the bone is real, so the workdir holds patient data.

    python -m vfseg.main --config configs/virtual_fractures.py --config.manifest=DATA/manifest.csv
"""

from pathlib import Path

from ml_collections import ConfigDict

from vfseg.config.derive import derive

QUICKSTART = Path(__file__).with_name("quickstart.py")


def get_config() -> ConfigDict:
    return derive(
        QUICKSTART,
        {
            "manifest": "data/manifest.csv",
            "virtual_fractures.variants": 8,
            "prepare.vertebra_scheme": "",
        },
    )
