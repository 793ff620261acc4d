"""The protocols as cores without I/O: bytes and answers in, events and requests out.

No socket, clock, randomness, file or log may live here; ``net`` drives the cores, listeners and ``practice`` too.
Each core names the RFC it follows, and docs/rfc-index.md leads from the RFC to the file.
"""
