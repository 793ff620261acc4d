"""POP3 (RFC 1939, 2449, 2595, 5034): the client core, the server core and the answers' grammar.

What is fetched, kept or deleted is decided above; nothing here remembers a mailbox.
docs/rfc-index.md lists the sections that are followed.
"""
