"""The stages: plan, generate, score, summarise. Each is a function over a run folder."""
