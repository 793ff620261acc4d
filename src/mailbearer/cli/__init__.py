"""The command line: one file for each command, and what they share (asking for deeds, painting answers).

Nothing is decided here: a command reads its arguments, asks ``admin`` for a deed and shows what comes back.
docs/command-line.md.
"""
