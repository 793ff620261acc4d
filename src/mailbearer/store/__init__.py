"""Everything that outlives the process: settings, grants, the queue, what was seen, the audit log, and mail.

No ORM object and no SQL leaves this room, nothing in it is ever unsealed here, and it opens no connection to anywhere.
docs/storage.md explains the files, and docs/decisions/0003-sqlite-through-apsw.md the engine.
"""
