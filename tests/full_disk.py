"""A disk that is full, in effect, for whoever the tests run as."""

import contextlib
import resource


@contextlib.contextmanager
def no_file_beyond(size):
    """Writing a file beyond so many bytes fails in this process, as OSError: "File too large"."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
