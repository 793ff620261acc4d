-- Contents of queued messages, and devices. Contents of older messages stay files of the spool until they are sent.

-- What comes before the pieces: a small message entirely, of a large one the header fields that were added.
CREATE TABLE bodies (
  id        TEXT PRIMARY KEY,       -- the message
  head      BLOB NOT NULL,
  size      INTEGER NOT NULL,       -- of head and pieces, octets
  is_ascii  INTEGER NOT NULL,
  checksum  INTEGER NOT NULL        -- CRC-32 of the pieces
) STRICT;

-- Where in the segment files the pieces of large messages lie. No place is given twice: the key sees to that too.
CREATE TABLE pieces (
  segment INTEGER NOT NULL,
  start   INTEGER NOT NULL,
  length  INTEGER NOT NULL,
  message TEXT NOT NULL,
  number  INTEGER NOT NULL,         -- the order within the message
  PRIMARY KEY (segment, start)
) STRICT, WITHOUT ROWID;            -- PostgreSQL: leave out WITHOUT ROWID

CREATE INDEX pieces_of ON pieces (message, number);

ALTER TABLE messages ADD COLUMN device TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN dsn TEXT NOT NULL DEFAULT '';       -- JSON; RFC 3461
CREATE INDEX messages_of_device ON messages (device, position) WHERE device <> '';

CREATE TABLE devices (
  id              TEXT PRIMARY KEY,
  version         INTEGER NOT NULL,
  position        INTEGER NOT NULL, -- the order in which they were added
  title           TEXT NOT NULL,
  service         TEXT NOT NULL,
  networks        TEXT NOT NULL,
  by_address      INTEGER NOT NULL,
  allowed_senders TEXT NOT NULL,
  from_policy     TEXT NOT NULL,
  per_hour        INTEGER NOT NULL,
  size_max        INTEGER NOT NULL,
  enabled         INTEGER NOT NULL
) STRICT;

CREATE TABLE credentials (
  id         TEXT PRIMARY KEY,
  device     TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
  user_      TEXT NOT NULL,         -- in small letters
  kind       TEXT NOT NULL,
  kept       BLOB NOT NULL,         -- a keyed hash, or an argon2id string
  created_at INTEGER NOT NULL,
  last_used  INTEGER
) STRICT;

CREATE INDEX credentials_of_user ON credentials (user_);
CREATE INDEX credentials_of_device ON credentials (device);
