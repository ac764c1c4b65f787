"""Pictures, meshes and the offline page."""
