"""The process file ``mailbearer.toml``: what must be known before the database is open.

Its schema, its loading, and a sentence for every mistake in it; only ``app`` and ``cli`` may read it.
Everything else that can be set lives in the store. docs/settings.md.
"""
