DELETE FROM secrets WHERE environment = '$webhooks' AND NOT EXISTS (
 SELECT 1 FROM webhook_sources s WHERE secrets.name IN (s.id || '/' || s.secret, s.id || '/' || s.secret_prev));
