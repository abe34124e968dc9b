"""``python -m selfe_eval`` is ``selfe-eval``: the form that ``torchrun`` starts several of."""

import sys

from selfe_eval.cli.app import main

sys.argv[0] = "selfe-eval"  # what a run's record and the usage lines call it
main()
