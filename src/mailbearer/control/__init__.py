"""The Unix socket in the data folder by which commands talk to a running ``serve``.

Framing, the server that performs deeds and a client without asyncio live here; what a deed does lives in ``admin``.
docs/command-line.md.
"""
