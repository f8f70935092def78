CREATE TABLE topic_subscribers (
  node {text} NOT NULL,
  environment {text} NOT NULL,
  pattern {text} NOT NULL,
  subscribers BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (node, environment, pattern)
);
