"""SMTP (RFC 5321) and its extensions for submission: the client core, the server core, replies and extensions.

No policy may live here: who may send, where to and how often is decided by whoever drives the cores.
docs/rfc-index.md lists the sections that are followed.
"""
