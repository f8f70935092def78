ALTER TABLE messages ADD COLUMN inbox {text} NOT NULL DEFAULT '';
UPDATE messages SET inbox = run_id;
DROP INDEX messages_in_order;
DROP INDEX messages_unread;
CREATE UNIQUE INDEX messages_in_order ON messages (inbox, number);
CREATE INDEX messages_unread ON messages (inbox, name, number) WHERE taken_at IS NULL;
