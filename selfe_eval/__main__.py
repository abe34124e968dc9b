"""``python -m selfe_eval`` is ``selfe-eval``: the form that ``torchrun`` starts several of."""

from selfe_eval.cli.app import main

main()
