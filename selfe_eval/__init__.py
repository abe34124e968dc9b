"""selfe-eval: how good is a text-to-image model at every step count, and is the difference real?

Importing this package, and every ``--help``, works without importing torch.
"""

__version__ = "0.1.0"
