"""The audit on the terminal."""

from tests.audit.data_set import audit, write_case
from vfseg.audit import audit_text
from vfseg.crops.settings import WindowSettings


def test_the_text_says_everything_and_nothing_is_changed(tmp_path):
    cases = [
        write_case(tmp_path, "a", seed=1, patient="p"),
        write_case(tmp_path, "b", seed=2, patient="p", split="test"),
    ]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    windows = WindowSettings(
        planes=("sagittal",), length=5, stride_mm=2.0, targets=4, batch_size=4, positive_share=0.5
    )
    result = audit(*cases, windows=windows)
    text = audit_text(result)
    severities = [f.severity for f in result.findings]
    order = ["error", "warning", "note"]
    assert severities == sorted(severities, key=order.index)
    for finding in result.findings:
        assert finding.kind in text
    assert "patient p is in test and train" in text
    assert "level  train" in text
    assert "see ±4 mm" in text
    assert text.splitlines()[-1].startswith("2 cases, 2 of them usable: 1 error, ")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
