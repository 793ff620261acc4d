"""Mailbearer: OAuth 2.0 mail for every machine.

Start with ARCHITECTURE.md; every room has a sign on its door.
"""

__version__ = "0.1.0"
