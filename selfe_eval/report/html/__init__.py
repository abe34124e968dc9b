"""One self-contained HTML page of one run or several: numbers, curves, pictures with what was seen in them, origins.

The page loads nothing: a content security policy in it forbids the network, and its script and style are named by
their hashes. Everything that comes from a run (prompts, model names, reasons, command lines) is text and never markup.
"""
