"""Doors for machines: listeners that speak the mail protocols with devices, and who may come in.

Nothing here decides what becomes of a message: that is ``sending``; nor how bytes are read: that is ``protocol``.
See docs/gateway.md.
"""
