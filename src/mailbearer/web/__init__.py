"""The web listener: health, readiness, metrics, and the address to which providers send a browser back.

Pages, panel and REST come into this room; they show what ``admin`` and ``tokens`` know and decide nothing themselves.
docs/web.md.
"""
