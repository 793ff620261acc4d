"""The numbered steps of the schema, one SQL file each. A step that was released is never edited.

The SQL stays with what SQLite and PostgreSQL share; where they differ a comment says so. docs/storage.md explains.
"""
