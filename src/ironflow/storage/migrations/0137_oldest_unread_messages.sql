-- The oldest unread message of an inbox, whatever its name, and its unread ones in order. Every number is above 0: the
-- condition keeps PostgreSQL from this index for the next message of a name, where it would walk over those of others.
CREATE INDEX messages_oldest_unread ON messages (inbox, number) WHERE taken_at IS NULL AND number > 0;
