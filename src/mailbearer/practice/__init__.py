"""The practice provider: OAuth 2.0 server, SMTP submission and POP3 mailboxes in one process, to try and to test with.

It listens on 127.0.0.1 only, knows no password, and is never the proof that Mailbearer works: only ``app``, ``cli`` and
tests import it, and it imports nothing above ``protocol`` and ``model``. docs/practice.md tells how to use it and how
to order faults.
"""
