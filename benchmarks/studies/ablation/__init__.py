"""What each part of the recipe is worth: `python -m benchmarks.studies.ablation`."""
