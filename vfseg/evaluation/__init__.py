"""Metrics of slices, voxels, lesions and vertebrae."""
