"""OAuth 2.0 without I/O: every request is made as a value, every response is read into an outcome.

Nothing here opens a connection, reads a clock or draws a random number: ``now``, ``state`` and verifiers are arguments.
The RFCs obeyed are listed in docs/rfc-index.md.
"""
