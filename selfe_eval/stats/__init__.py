"""Statistics of paired, clustered image scores: free functions on numpy arrays, no files, no metrics' names.

    panel.py      sums and counts per prompt and step count, and their macro average with its covariance
    estimate.py   one mean with its standard error and interval
    drawdown.py   does quality rise with the step count: monotone, violated or inconclusive
    paired.py     is run B better than run A, and Holm's adjustment over several such questions
    one_sided.py  is a loss shown, is one excluded: the gate's bounds and p-values
    power.py      what a design of so many prompts and images can detect, before compute is spent
    latent_scores.py  how image scores scatter: the model that power rests on
    components.py     where the variance of a real run lies, for that model

The inference target is a new draw of prompts from the suite's population (Miller 2024, arXiv 2411.00640):
prompts are clusters, tasks are strata, and the images of one prompt are never treated as independent.
"""
