-- Imported events keep their times, which need not follow their positions: they are looked for apart.
CREATE INDEX events_imported ON events (position) WHERE imported_at IS NOT NULL;
