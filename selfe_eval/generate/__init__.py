"""Generators: prompts and seeds in, RGB images out. One protocol, and the adapter of Self-E checkpoints."""
