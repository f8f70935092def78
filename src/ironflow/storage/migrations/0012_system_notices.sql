CREATE TABLE system_notices (
  node {text} NOT NULL,
  number BIGINT NOT NULL,
  environment {text} NOT NULL,
  parts {text} NOT NULL,
  data {text} NOT NULL,
  told_at BIGINT NOT NULL,
  PRIMARY KEY (node, number)
);
CREATE INDEX system_notices_by_age ON system_notices (told_at);
