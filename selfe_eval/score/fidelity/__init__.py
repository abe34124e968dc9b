"""Distances between two sets of feature vectors, each with the replicates of a delete-a-group jackknife."""
