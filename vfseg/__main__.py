"""`python -m vfseg`: the `vfseg` command."""

from vfseg.main import entry_point

if __name__ == "__main__":
    entry_point()
