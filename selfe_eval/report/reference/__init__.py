"""The report of the reference results, ``results/REPORT.md``: prose by hand, every number from a committed file."""
