"""selfe: Self-E (arXiv 2512.22374), an any-step text-to-image model trained from scratch.

Knows nothing of benchmarks or scores. Symbols follow the paper: x0 clean latent, x_t noisy latent, t = 1 is noise.
"""
