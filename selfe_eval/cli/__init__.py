"""The command line. ``app.py`` holds the table of verbs; each other file is a verb or a family of verbs."""
