"""Mode `export`: a trained model as one StableHLO file, with a script that needs JAX alone."""

import shlex
from importlib import resources
from pathlib import Path
from string import Template

from jax.export import Exported

from vfseg import RESEARCH_USE
from vfseg.config.model import load_members, model_of
from vfseg.config.recipe import make_slice_function
from vfseg.config.shipped import SHIPPED
from vfseg.data.settings import PLANE_AXES
from vfseg.errors import UserError
from vfseg.files import atomic_file, make_sure_of
from vfseg.inference.model import Model
from vfseg.inference.portable import PLATFORMS, exported_model
from vfseg.inference.views import View

PROGRAM, SCRIPT = "predictor.stablehlo", "run_predictor.py"
_TEMPLATE = resources.files("vfseg.commands") / "templates" / f"{SCRIPT}.template"


def export(path: Path | None, folder: Path, *, overwrite: bool) -> None:
    """Writes program and script.

    Args:
        path: of the model, see `open_model`; None for the one of the package.
        folder: gets `predictor.stablehlo` and `run_predictor.py`.
        overwrite: whether those that stand are replaced.

    Raises:
        UserError: there is no such model; they stand, or cannot be written.
    """
    for name in (PROGRAM, SCRIPT):
        if (folder / name).exists() and not overwrite:
            raise UserError(
                f"{folder / name}: stands already. Name another folder, or give --overwrite."
            )
    make_sure_of(folder)
    path = SHIPPED if path is None else path
    members = load_members(path)
    model = model_of(path, members)
    exported = exported_model(
        lambda: make_slice_function(members[0].config),
        model.members,
        model.predictor.views,
        model.prepare.crop_shape,
    )
    program, script = exported.mlir_module_serialized, _script(model, exported)
    # The script last: where it stands, the program does.
    for name, content in ((PROGRAM, program), (SCRIPT, script.encode())):
        with atomic_file(folder / name) as file:
            file.write(content)
    print(f"{folder / PROGRAM}: {len(program) / 1e6:.1f} MB, for {', '.join(PLATFORMS)}")
    print(f"run by: python {shlex.quote(str(folder / SCRIPT))} crops.npy probabilities.npy")


def _script(model: Model, exported: Exported) -> str:
    axes = {axis: plane for plane, axis in PLANE_AXES.items()}
    views = [_words(view, axes[view.axis]) for view in model.predictor.views]
    if len(model.members) > 1:
        views = [f"{view} by model {n}" for n in range(len(model.members)) for view in views]
    return Template(_TEMPLATE.read_text()).substitute(
        crop=tuple(model.prepare.crop_shape),
        spacing=model.prepare.voxel_spacing,
        views="\n".join(f"    {number}: {view}" for number, view in enumerate(views)),
        predictions=model.predictions,
        fusion=model.fusion,
        slice=f"{model.thresholds.slice:.4f}",
        fused=f"{model.thresholds.fused:.4f}",
        fractures=model.fractures,
        steps=", ".join(map(str, model.steps)),
        platforms=PLATFORMS,
        version=exported.calling_convention_version,
        use=RESEARCH_USE,
    )


def _words(view: View, plane: str) -> str:
    words = [f"{plane} slices"]
    words += ["left and right exchanged"] if view.flipped else []
    words += [f"moved by {view.shift} voxels"] if any(view.shift) else []
    return ", ".join(words)
