CREATE TABLE secrets (
  environment {text} NOT NULL,
  name {text} NOT NULL,
  revision BIGINT NOT NULL,
  description {text} NOT NULL,
  data_key BIGINT NOT NULL,
  sealed {blob} NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (environment, name)
);
CREATE TABLE secret_data_keys (
  environment {text} NOT NULL,
  number BIGINT NOT NULL,
  wrapped {blob} NOT NULL,
  master {text} NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (environment, number)
);
