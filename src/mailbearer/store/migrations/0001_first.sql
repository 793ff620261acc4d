-- Times are whole microseconds since 1970-01-01 UTC. Lists and settings are JSON text.
-- PostgreSQL: INTEGER -> BIGINT, BLOB -> BYTEA; STRICT is SQLite's way to keep the types that it was told.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;

CREATE TABLE services (
  id       TEXT PRIMARY KEY,
  version  INTEGER NOT NULL,
  position INTEGER NOT NULL,        -- the order in which they were added
  title    TEXT NOT NULL,
  places   TEXT NOT NULL,
  kind     TEXT NOT NULL,
  settings TEXT NOT NULL,           -- without the password
  password BLOB                     -- sealed
) STRICT;

CREATE TABLE registrations (
  provider TEXT PRIMARY KEY,
  version  INTEGER NOT NULL,
  values_  TEXT NOT NULL,           -- all but the secret
  secret   BLOB                     -- sealed
) STRICT;

CREATE TABLE custom_providers (
  id   TEXT PRIMARY KEY,
  body TEXT NOT NULL
) STRICT;

-- The highest version that a service's grant ever had. It survives deletion, so a late writer never matches again.
CREATE TABLE grant_epochs (
  service TEXT PRIMARY KEY,
  epoch   INTEGER NOT NULL
) STRICT;

CREATE TABLE grants (
  service           TEXT PRIMARY KEY,
  version           INTEGER NOT NULL,
  sealed            BLOB NOT NULL,  -- the tokens
  access_expires_at INTEGER NOT NULL,
  scope             TEXT NOT NULL,
  provider          TEXT NOT NULL,
  account           TEXT NOT NULL,
  account_confirmed INTEGER NOT NULL,
  flow              TEXT NOT NULL,
  obtained_at       INTEGER NOT NULL,
  refreshed_at      INTEGER NOT NULL,
  invalid           TEXT NOT NULL,
  trouble           TEXT NOT NULL,
  failures          INTEGER NOT NULL,
  next_try          INTEGER,
  lease_owner       TEXT NOT NULL DEFAULT '',
  lease_until       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE pendings (
  service     TEXT PRIMARY KEY,
  id          TEXT NOT NULL,
  flow        TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  started_by  TEXT NOT NULL,
  scopes      TEXT NOT NULL,
  sealed      BLOB NOT NULL,        -- codes, verifier, state, addresses
  interval_   INTEGER NOT NULL,     -- microseconds; slow_down makes it longer
  next_poll   INTEGER,
  lease_owner TEXT NOT NULL DEFAULT '',
  lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE ended_sign_ins (
  service TEXT PRIMARY KEY,
  id      TEXT NOT NULL,
  at      INTEGER NOT NULL,
  trouble TEXT NOT NULL
) STRICT;

CREATE TABLE messages (
  id           TEXT PRIMARY KEY,
  position     INTEGER NOT NULL,    -- the order of acceptance
  service      TEXT NOT NULL,
  reverse_path TEXT NOT NULL,
  size         INTEGER NOT NULL,
  message_id   TEXT NOT NULL,
  subject      TEXT NOT NULL,
  state        TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  next_try     INTEGER,
  attempts     INTEGER NOT NULL,
  recipients   TEXT NOT NULL,       -- [[address, state, reply], …] in the order given
  code         TEXT NOT NULL,
  reply        TEXT NOT NULL,
  lease_owner  TEXT NOT NULL DEFAULT '',
  lease_until  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Only the living part of the queue is looked through, however long the history is.
CREATE INDEX messages_living ON messages (position) WHERE state IN ('Waiting', 'Retrying', 'Held', 'Sending');
CREATE INDEX messages_history ON messages (position);

CREATE TABLE seen (
  service TEXT NOT NULL,
  uidl    TEXT NOT NULL,
  state   TEXT NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (service, uidl)
) STRICT, WITHOUT ROWID;            -- PostgreSQL: leave out WITHOUT ROWID

CREATE TABLE received (
  id           TEXT PRIMARY KEY,
  position     INTEGER NOT NULL,
  service      TEXT NOT NULL,
  uidl         TEXT NOT NULL,
  at           INTEGER NOT NULL,
  size         INTEGER NOT NULL,
  sender       TEXT NOT NULL,
  subject      TEXT NOT NULL,
  destinations TEXT NOT NULL,
  state        TEXT NOT NULL
) STRICT;

CREATE INDEX received_order ON received (position);

CREATE TABLE audit (
  id         INTEGER PRIMARY KEY,   -- PostgreSQL: BIGINT GENERATED ALWAYS AS IDENTITY
  at         INTEGER NOT NULL,
  who        TEXT NOT NULL,
  from_where TEXT NOT NULL,
  what       TEXT NOT NULL,
  subject    TEXT NOT NULL,
  detail     TEXT NOT NULL
) STRICT;
