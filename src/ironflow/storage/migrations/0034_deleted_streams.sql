ALTER TABLE streams ADD COLUMN deleted_at BIGINT;
