"""GenEval's own arithmetic as pure functions, without torch and without images except for the crops.

Everything here gives the verdicts of djghosh13/geneval at af4902f (MIT); the golden cases in
``tests/reference/geneval`` were made by executing that code.
"""
