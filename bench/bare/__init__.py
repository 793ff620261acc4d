"""What is measured beside our own programs: the least that does a comparable thing with the same libraries.

Nothing of Mailbearer is imported here. docs/figures.md.
"""
