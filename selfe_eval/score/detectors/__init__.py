"""Detectors: RGB images in, boxes with class, score and mask out; one protocol, one visible table."""
