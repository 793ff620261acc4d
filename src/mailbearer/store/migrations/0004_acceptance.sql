-- A message and its content in one statement, which is a transaction by itself: the thread that writes meets the event
-- loop once for all messages that wait, and not once for each of many statements (docs/decisions/0015-bodies.md).
-- PostgreSQL: the trigger calls a function; or two statements in a transaction.

CREATE VIEW acceptances AS
  SELECT messages.id, service, reverse_path, messages.size, message_id, subject, state, created_at, next_try, attempts,
    recipients, code, reply, device, dsn, lease_owner, lease_until, head, bodies.size AS octets, is_ascii, checksum
  FROM messages JOIN bodies ON bodies.id = messages.id;

-- Rows without id fill a statement up that was prepared for more messages; without a head the content is in the spool.
CREATE TRIGGER acceptance INSTEAD OF INSERT ON acceptances WHEN NEW.id IS NOT NULL BEGIN
  INSERT INTO messages (id, position, service, reverse_path, size, message_id, subject, state, created_at, next_try,
      attempts, recipients, code, reply, device, dsn, lease_owner, lease_until)
    VALUES (NEW.id, (SELECT coalesce(max(position), 0) + 1 FROM messages), NEW.service, NEW.reverse_path, NEW.size,
      NEW.message_id, NEW.subject, NEW.state, NEW.created_at, NEW.next_try, NEW.attempts, NEW.recipients, NEW.code,
      NEW.reply, NEW.device, NEW.dsn, NEW.lease_owner, NEW.lease_until);
  INSERT INTO bodies (id, head, size, is_ascii, checksum)
    SELECT NEW.id, NEW.head, NEW.octets, NEW.is_ascii, NEW.checksum WHERE NEW.head IS NOT NULL;
END;
