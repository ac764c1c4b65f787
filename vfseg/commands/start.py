"""JAX, loaded and set up before it computes."""

import contextlib
import os

from vfseg.errors import UserError


def prepare_jax(*, alone: bool) -> None:
    """Compiled programs are kept between runs, unless JAX_COMPILATION_CACHE_DIR says where.

    Args:
        alone: this process has its machine to itself, and computes on all of its cores.

    Raises:
        UserError: JAX cannot be loaded, or XLA does not take XLA_FLAGS.
    """
    try:
        import jax
    except Exception as error:  # whatever a library of others raises
        raise UserError(
            f"JAX cannot be loaded ({type(error).__name__}: {error}). Install it anew, all of its "
            "packages of one version: pip install -U jax jaxlib."
        ) from error
    from vfseg.devices import check_flags
    from vfseg.processes import use_cores

    check_flags()
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", _cache())
    if alone:
        use_cores()


def prepare_jax_within_program() -> None:
    """The same in a program of others: what it said to JAX, or already computed with, stays."""
    import jax

    from vfseg.processes import use_cores

    if not jax.config.values["jax_compilation_cache_dir"]:
        jax.config.update("jax_compilation_cache_dir", _cache())
    if jax.config.values["jax_num_cpu_devices"] < 1:
        with contextlib.suppress(RuntimeError):  # the devices were started before
            use_cores()


def _cache() -> str:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "vfseg", "xla")
