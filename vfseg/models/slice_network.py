"""What training and inference ask of a network that looks for fractures in slices."""

from typing import Any, Protocol


class SliceNetwork(Protocol):
    """Maps runs of slices to fracture logits of the slices that have a whole window around them.

    `Generator` and `SliceClassifier` are the two there are; both are `flax.linen` modules.
    """

    @property
    def window(self) -> int:
        """Slices of a window, T, odd."""
        ...

    @property
    def judges_slices(self) -> bool:
        """Whether it answers for a slice as a whole: any fracture there?"""
        ...

    def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any:
        """As `flax.linen.Module.init`, for the arguments of `apply`."""
        ...

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
        """As `flax.linen.Module.apply`: `apply({"params": params}, run, dilation, recurrent=True)`.

        `run` is `b r h w c`, each channel an HU window scaled to -1..1; `dilation` is the step
        between the slices of a window, in slices of the run; `recurrent=False` answers from the
        target slices alone. The logits are float32 `b k h w`, k = r - (T - 1) * dilation.
        """
        ...
