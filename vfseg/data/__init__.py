"""From files to windows of slices: volumes, vertebrae, phantoms, crops, store, feeding."""
