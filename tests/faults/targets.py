"""Every reader of a user's file, or of one that a run left, by a name for the command line."""

from tests.faults import targets_text as text
from tests.faults import targets_volumes as volumes
from tests.faults import targets_weights as weights

TARGETS = {
    make.__name__: make
    for make in (
        *(volumes.nifti, volumes.nifti_gz, volumes.packed),
        *(volumes.dicom, volumes.dicom_deflated, volumes.dicom_jpeg, volumes.dicom_jpeg_ls),
        *(weights.states_npz, weights.states_array, weights.model_config, weights.model_parameters),
        *(weights.safetensors, weights.safetensors_header),
        *(weights.pth, weights.pth_pickle, weights.pth_legacy),
        *(text.boxes, text.grades, text.manifest, text.another_table),
        *(text.thresholds_json, text.summary_json, text.metrics_jsonl, text.workdir_config),
        *(text.facts_json, text.record_json, text.digests_json, text.zarr_json),
    )
}
"""Name -> function that makes the `Target` in an empty folder."""
