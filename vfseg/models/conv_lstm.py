"""Convolutional LSTM over the slices of a window, as a scan.

Reference:
    Shi et al., 2015, NeurIPS: Convolutional LSTM network (without peepholes, as in flax).
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vfseg.models import cpu_forms


class ConvLSTMCell(nn.Module):
    """One step of the recurrence, its input half already convolved.

    ``i, g, f, o = split(x + W_h * h)``,
    ``c' = sigmoid(f + 1) c + sigmoid(i) tanh(g)``, ``h' = sigmoid(o) tanh(c')``.

    The cell state `c` stays float32, since it sums over the slices; the hidden state `h` has the
    compute dtype, since it only feeds a convolution.

    Attributes:
        features: channels of `c` and `h`.
        dtype: compute dtype of the convolution and of `h`.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, carry: tuple[jax.Array, jax.Array], x: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """Advances `(c, h)`, each `n h w f`, by an input half `n h w 4f`; returns `h` too."""
        c, h = carry
        hidden = nn.Conv(4 * self.features, (3, 3), use_bias=False, dtype=self.dtype, name="hidden")
        i, g, f, o = jnp.split((x + hidden(h)).astype(jnp.float32), 4, axis=-1)
        c = nn.sigmoid(f + 1) * c + nn.sigmoid(i) * jnp.tanh(g)
        h = (nn.sigmoid(o) * jnp.tanh(c)).astype(self.dtype)
        return (c, h), h


class ConvLSTM(nn.Module):
    """Runs the cell over the slices of windows cut from a run of slices.

    The input half of the gates is convolved once for every slice of the run, outside the scan;
    the windows are static slices of the result. On a CPU the scan is unrolled, see
    `vfseg.models.cpu_forms`.

    Attributes:
        features: channels of the hidden state.
        window: slices of a window, T.
        dilation: step between the slices of a window, in slices of the run.
        bidirectional: two cells start at the two ends and meet at the middle slice; both states are
            returned side by side. Otherwise one cell runs over all T slices and its last state
            counts.
        dtype: compute dtype.
    """

    features: int
    window: int
    dilation: int = 1
    _: dataclasses.KW_ONLY
    bidirectional: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, run: jax.Array) -> jax.Array:
        """Maps features of a run `b r h w c` to states of its windows `b k h w f`.

        Twice as many features if bidirectional. k = r - (T - 1) * dilation; window j holds the
        slices j, j + dilation, ... of the run.
        """
        if not self.bidirectional:
            return self._last_state(run, "forward", range(self.window))
        middle = self.window // 2
        ahead = self._last_state(run, "forward", range(middle + 1))
        back = self._last_state(run, "backward", range(self.window - 1, middle - 1, -1))
        return jnp.concatenate([ahead, back], axis=-1)

    def _last_state(self, run: jax.Array, name: str, order: range) -> jax.Array:
        """State `b k h w f` after the window's slices were seen in the given order."""
        b, r, h, w, _ = run.shape
        k = r - (self.window - 1) * self.dilation
        gates = nn.Conv(4 * self.features, (3, 3), dtype=self.dtype, name=f"{name}_input")(run)
        # b r h w 4f -> t (b k) h w 4f
        windows = jnp.stack([gates[:, i * self.dilation :][:, :k] for i in order])
        windows = windows.reshape(len(order), b * k, h, w, 4 * self.features)
        scan = nn.scan(
            ConvLSTMCell,
            variable_broadcast="params",
            split_rngs={"params": False},
            unroll=cpu_forms.unrolled(len(order)),
        )
        shape = (b * k, h, w, self.features)
        start = (jnp.zeros(shape, jnp.float32), jnp.zeros(shape, self.dtype))
        (_, last), _ = scan(self.features, self.dtype, name=name)(start, windows)
        return last.reshape(b, k, h, w, self.features)
