CREATE TABLE sql_projections (
  environment {text} NOT NULL,
  name {text} NOT NULL,
  description {text} NOT NULL,
  serving BIGINT NOT NULL,
  building BIGINT NOT NULL,
  last_generation BIGINT NOT NULL,
  paused BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (environment, name)
);
CREATE TABLE sql_generations (
  environment {text} NOT NULL,
  name {text} NOT NULL,
  generation BIGINT NOT NULL,
  place {text} NOT NULL,
  definition {text} NOT NULL,
  position BIGINT NOT NULL,
  target BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  retry_at BIGINT NOT NULL,
  failed_position BIGINT NOT NULL,
  error {text} NOT NULL,
  PRIMARY KEY (environment, name, generation)
);
CREATE TABLE sql_projection_tables (
  environment {text} NOT NULL,
  table_name {text} NOT NULL,
  name {text} NOT NULL,
  PRIMARY KEY (environment, table_name)
);
