"""The openmoji world: small scenes with known truth, composed of OpenMoji pictures.

Its classes, colours, counts and relations are GenEval's: 80 classes, ten colours, up to four objects.
"""
