"""The figures of docs/figures.md, measured on this machine: whole processes, or CPU time and memory from /proc.

One module for each figure, and in ``bare`` the programs that are measured beside ours. Nothing here is imported by the
product; ``tests/test_bench.py`` runs each once in its smallest size. ``python -m bench --help``.
"""
