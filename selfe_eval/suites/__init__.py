"""What is asked: GenEval's 553 prompts made by our own code, and the ``openmoji`` suite built on them.

Torch-free. Knows nothing of images, models or scores.
"""
