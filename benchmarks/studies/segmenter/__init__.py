"""The segmenter's training, and its outlines beside labelled ones."""
