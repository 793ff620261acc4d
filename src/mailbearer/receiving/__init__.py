"""Receiving: when to look into which mailbox, fetching what is new, and handing it over durably.

A message is deleted on the server only after it was handed over; nothing here prints or forwards by itself.
docs/receiving.md.
"""
