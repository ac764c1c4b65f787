"""Quickstart: the whole job on synthetic spines, in a few minutes on two CPU cores.

A cohort of phantom CTs at 1.25 mm (5 levels each, virtual fractures, unlabelled look-alikes) is
made in the workdir, then prepared, trained on, evaluated and reported. Expect a voxel Dice and a
voxel PR-AUC of about 0.6 on 8 unseen synthetic cases, where a HU threshold reaches 0.01.

    python -m vfseg.main --config configs/quickstart.py

`configs/quickstart.py:tiny` is the same job at a size that only shows that everything runs.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    if variant not in ("", "tiny"):
        raise ValueError(f"no variant {variant!r}; there is 'tiny'")
    config = ConfigDict()
    config.seed = 0
    config.parallel = "jit"
    config.compute_dtype = "auto"
    config.manifest = ""  # empty: make the cohort below
    config.add_phantoms = False  # to train and validate on, beside the cases of the manifest
    config.hu_windows = ((0, 1800), (-100, 500))

    config.phantom = ConfigDict()
    config.phantom.seed = 2024
    config.phantom.train = 30
    config.phantom.validation = 6
    config.phantom.test = 8
    config.phantom.levels_per_case = (5, 5)
    config.phantom.fracture_probability = 0.4
    config.phantom.hard_negatives = 0.0  # of further look-alikes, each
    config.phantom.randomised = False  # tissue, kernel and noise from ranges wider than real ones

    config.virtual_fractures = ConfigDict()
    config.virtual_fractures.variants = 0  # of each CT of the manifest; 0 takes them as they are
    config.virtual_fractures.seed = 0
    config.virtual_fractures.fracture_probability = 0.26
    config.virtual_fractures.fracture_rates = "clinical"
    config.virtual_fractures.fewest = 1
    config.virtual_fractures.hard_negatives = 0.0  # share of the others that get a look-alike
    config.virtual_fractures.vertebra_scheme = ""

    config.painted = ConfigDict()
    config.painted.label_maps = ""  # folder of label maps from which CTs are painted
    config.painted.variants = 8  # of each
    config.painted.seed = 0
    config.painted.fracture_probability = 0.26
    config.painted.fracture_rates = "clinical"
    config.painted.vertebra_scheme = ""

    config.prepare = ConfigDict()
    config.prepare.voxel_spacing = 1.25
    config.prepare.crop_shape = (48, 48, 48)
    config.prepare.vertebra_scheme = "verse"
    config.prepare.boxes_inclusive = False

    config.split = ConfigDict()  # of the patients for whom the manifest names none
    config.split.validation = 0.15
    config.split.test = 0.2
    config.split.folds = 0
    config.split.fold = 0

    config.windows = ConfigDict()
    config.windows.planes = ("sagittal",)
    config.windows.length = 5
    config.windows.stride_mm = 1.25
    config.windows.targets = 4
    config.windows.batch_size = 4
    config.windows.positive_share = 0.5

    config.augment = ConfigDict()
    config.augment.rotation = 0.0
    config.augment.scaling = 0.0
    config.augment.translation = 0.0
    config.augment.elastic = 0.0
    config.augment.left_right_flip = 0.5
    config.augment.gamma = 0.0
    config.augment.contrast = 0.0
    config.augment.noise = 0.0
    config.augment.blur = 0.0
    config.augment.low_resolution = 0.0
    config.augment.hu_shift = 0.0
    config.augment.thickness = 0.0
    config.augment.sharpness = 0.0

    config.network = "attention_unet"
    config.generator = ConfigDict()
    config.generator.encoder = "plain"
    config.generator.features = (16, 32, 64, 128)
    config.generator.attention = True
    config.generator.recurrent_scales = (2, 3)
    config.generator.recurrent_features = 32
    config.generator.bidirectional = False

    config.discriminator = ConfigDict()
    config.discriminator.features = (16, 32, 64)
    config.discriminator.spectral_norm = False

    config.pretrained = ConfigDict()
    config.pretrained.weights = ""  # of the encoder: none; a file; "package" for EfficientNet-Lite0
    config.pretrained.frozen_scales = 0  # until fine-tuning

    config.losses = ConfigDict()
    config.losses.adversarial = 0.05
    config.losses.adversarial_form = "cross_entropy"
    config.losses.adversarial_everywhere = False  # only where a map shows something
    config.losses.r1 = 0.0
    config.losses.l1 = 1.0
    config.losses.dice = 1.0
    config.losses.cross_entropy = 10.0
    config.losses.focal = 0.0
    config.losses.focal_tversky = 0.0

    config.stages = ConfigDict()  # steps of each; 0 leaves it out
    config.stages.attention = 800
    config.stages.recurrent = 250
    config.stages.adversarial = 100
    config.stages.fine_tune = 0

    config.train = ConfigDict()
    config.train.generator_learning_rate = 2e-3
    config.train.fine_tune_rate = 2e-4
    config.train.schedule = "cosine"
    config.train.weight_decay = 0.0
    config.train.gradient_clip = 0.0
    config.train.ema_decay = 0.99
    config.train.discriminator_learning_rate = 1e-3
    config.train.pause_above = 0.9
    config.train.patience = 5  # times log_every steps; 0 never stops
    config.train.log_every = 20
    config.train.save_every = 100
    config.train.validate_every = 1150

    config.inference = ConfigDict()
    config.inference.planes = ()  # empty: those of config.windows
    config.inference.fusion = "mean"
    config.inference.flips = False
    config.inference.shifts = 0

    if variant == "tiny":
        config.phantom.train, config.phantom.validation, config.phantom.test = 2, 1, 1
        config.phantom.levels_per_case = (2, 2)
        config.phantom.fracture_probability = 0.95
        config.prepare.crop_shape = (32, 32, 32)
        config.windows.length, config.windows.batch_size, config.windows.targets = 3, 4, 2
        config.generator.features = (4, 8)
        config.generator.recurrent_scales, config.generator.recurrent_features = (1,), 2
        config.discriminator.features = (4, 8)
        config.stages.attention, config.stages.recurrent, config.stages.adversarial = 0, 2, 2
        config.train.log_every, config.train.save_every, config.train.validate_every = 1, 2, 2
        config.train.patience = 0  # so few steps teach nothing
    return config
