"""Recipes: how the bundled models and judges are trained on the openmoji world. Each can be rerun by ``selfe-eval train``."""
