-- An idempotency key of an emit counts for its event's name: keys that are still within their window go on to be known.
UPDATE idempotency_keys SET scope = 'emit:' || COALESCE(
  (SELECT events.name FROM events WHERE events.id = idempotency_keys.event_id), '')
WHERE scope = 'emit';
