"""Sending: composing a message, taking it into the durable queue, one attempt at delivering it, and when to try again.

Sockets are opened in ``net`` and tokens come from ``tokens``; nothing here knows who asked. docs/sending.md.
"""
