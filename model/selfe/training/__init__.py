"""Training: one step of any objective, the loop around it, and several processes at it."""
