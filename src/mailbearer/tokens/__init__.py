"""Tokens: obtain, renew, give out, remove; the four words of their status.

Nobody else talks to an authorization server or opens a sealed token; nothing here knows of mail, pages or commands.
docs/tokens.md tells what happens when, docs/decisions/0011-one-renewal-at-a-time.md why.
"""
