"""Files that appear complete or not at all."""

import pytest

from vfseg.files import atomic_file


def test_atomic_file_keeps_the_old_one_on_failure(tmp_path):
    (tmp_path / "f").write_text("old")

    def fail_half_way():
        with atomic_file(tmp_path / "f") as file:
            file.write(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "old"
