"""Seals secrets for the store and opens them again, and finds the key that it takes.

It writes nothing but a first key file, knows nothing of tables, and prints no secret and no key.
docs/storage.md tells where keys come from, and docs/decisions/0004-vault.md why it is made so.
"""
