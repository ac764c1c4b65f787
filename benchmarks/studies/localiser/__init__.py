"""How well vertebrae are found from the CT alone: `python -m benchmarks.studies.localiser`."""
