"""From a CT to its 3D fracture-probability map."""
