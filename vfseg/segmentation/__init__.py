"""Outlines of the vertebral bodies that somebody, or the localiser, has pointed at."""
