"""Recipes: how the bundled models and the judge are trained on the openmoji world (``selfe-eval train``)."""
