"""Outgoing connections: streams, TLS, HTTP, and the SMTP and POP3 sessions that drive the protocol cores.

Nothing here decides what to send or what a refusal means, and nothing here stores anything.
docs/connection-test.md walks along these modules in order; docs/decisions/0007 and 0008 say why they are our own.
"""
