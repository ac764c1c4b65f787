"""The localiser's network against plain forms of its parts."""

import jax
import jax.numpy as jnp
import numpy as np

from vfseg.localisation.levels import CLASSES
from vfseg.localisation.network import Conv, Localiser, from_cells, to_cells, windowed


def test_the_convolution_is_a_3d_one():
    x = jax.random.normal(jax.random.key(0), (1, 5, 6, 7, 3))
    conv = Conv(4)
    params = conv.init(jax.random.key(1), x)
    kernel = params["params"]["kernel"].reshape(3, 3, 3, 3, 4).transpose(2, 0, 1, 3, 4)
    plain = jax.lax.conv_general_dilated(
        x, kernel, (1, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )
    mean, variance = plain.mean(-1, keepdims=True), plain.var(-1, keepdims=True)
    expected = jnp.maximum((plain - mean) / jnp.sqrt(variance + 1e-6), 0)
    np.testing.assert_allclose(conv.apply(params, x), expected, atol=1e-4)


def test_cells_hold_their_voxels_and_give_them_back():
    x = jnp.arange(4 * 6 * 8 * 2.0).reshape(1, 4, 6, 8, 2)
    cells = to_cells(x)
    np.testing.assert_array_equal(cells[0, 1, 2, 3], x[0, 2:4, 4:6, 6:8].reshape(-1))
    np.testing.assert_array_equal(from_cells(cells), x)


def test_shapes_and_dtypes_of_what_is_seen():
    seen = jax.eval_shape(
        lambda x: Localiser().init_with_output(jax.random.key(0), x)[0],
        jax.ShapeDtypeStruct((2, 16, 24, 8, 2), jnp.float32),
    )
    assert (seen.heat.shape, seen.heat.dtype) == ((2, 16, 24, 8), jnp.float32)
    assert (seen.level.shape, seen.level.dtype) == ((2, 8, 12, 4, CLASSES), jnp.float32)


def test_windows_are_even_between_minus_and_plus_one():
    hu = jnp.array([-3000.0, -1024, -250, 200, 650, 1500, 3000])
    soft, wide = windowed(hu).T
    np.testing.assert_allclose(soft, [-1, -1, -1, 0, 1, 1, 1])
    np.testing.assert_allclose(wide[jnp.array([0, 1, 5, 6])], [-1, -1, 1, 1], atol=1e-6)
    assert (jnp.diff(wide)[1:5] > 0).all()
