CREATE TABLE orgs (
  id {text} PRIMARY KEY,
  name {text} NOT NULL,
  timezone {text} NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
INSERT INTO orgs (id, name, timezone, created_at, updated_at) VALUES ('org_default', 'default', '', 0, 0);
CREATE TABLE projects (
  id {text} PRIMARY KEY,
  org_id {text} NOT NULL,
  name {text} NOT NULL,
  description {text} NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
INSERT INTO projects (id, org_id, name, description, created_at, updated_at)
VALUES ('proj_default', 'org_default', 'default', '', 0, 0);
CREATE INDEX projects_by_org ON projects (org_id, id);
CREATE TABLE limits (
  subject {text} PRIMARY KEY,
  requests_per_second DOUBLE PRECISION NOT NULL,
  burst BIGINT NOT NULL,
  connections BIGINT NOT NULL
);
