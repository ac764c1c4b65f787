"""Losses, state, the alternating step and the loop around it."""
