-- What the courier has to know across processes: who was told, what an account has sent, which lines it has open.

-- Of what the sender was told: nothing, Delayed, Failed.
ALTER TABLE messages ADD COLUMN told TEXT NOT NULL DEFAULT '';
UPDATE messages SET told = 'Failed' WHERE state = 'Failed';        -- before there were reports

CREATE INDEX messages_untold ON messages (position) WHERE state = 'Failed' AND told <> 'Failed' AND reverse_path <> '';

-- One row for each message handed over for an account that has a limit; 24 hours are kept.
CREATE TABLE sent (
  id         INTEGER PRIMARY KEY,   -- PostgreSQL: BIGINT GENERATED ALWAYS AS IDENTITY
  account    TEXT NOT NULL,
  at         INTEGER NOT NULL,
  recipients INTEGER NOT NULL
) STRICT;

CREATE INDEX sent_by ON sent (account, at);

-- Connections to a provider's servers that are open now; one that ends without a word runs out.
CREATE TABLE lines (
  id      TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  until   INTEGER NOT NULL
) STRICT;

-- Accounts that the provider told to go slower.
CREATE TABLE paces (
  account     TEXT PRIMARY KEY,
  steps       INTEGER NOT NULL,
  slowed_at   INTEGER NOT NULL,
  pause_until INTEGER NOT NULL
) STRICT;
