"""Is this installation able to give a true number? Versions, weights, and judges on images with known content."""
