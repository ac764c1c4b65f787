"""vfseg: 3D maps of vertebral fracture probability from CT, in JAX/Flax.

Research use only. Not a medical device.
"""

RESEARCH_USE = "Research use only. Not a medical device, not for diagnosis."
"""Said in every output."""
