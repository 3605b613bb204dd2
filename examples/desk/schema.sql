-- Times are epoch seconds. JSON is text. Every row but an admin token belongs to an organisation.
create table if not exists orgs (
  org text primary key, name text not null, prefix text not null, next_number integer not null
);
create table if not exists users (
  org text not null references orgs, login text not null, name text not null, email text not null,
  role text not null check (role in ('admin', 'agent', 'viewer', 'bot')),
  primary key (org, login)
);
create table if not exists tokens (
  id text primary key, hash text not null unique, org text, login text, name text not null,
  created real not null, revoked real
);
create table if not exists sessions (
  hash text primary key, org text not null, login text not null, csrf text not null, expires real not null
);
create table if not exists tickets (
  org text not null references orgs, key text not null, number integer not null,
  subject text not null, body_html text not null, body_markdown text not null,
  state text not null, priority text not null, labels text not null,
  assignee text, reporter text not null, version integer not null,
  created real not null, updated real not null,
  primary key (org, key)
);
create table if not exists alerts (
  org text not null references orgs, id text not null, number integer not null,
  title text not null, level text not null, status text not null,
  service text not null, environment text not null, release text not null,
  fingerprint text not null, exception text not null, count integer not null,
  acknowledged_by text, ticket text, first_seen real not null, last_seen real not null, updated real not null,
  primary key (org, id)
);
create index if not exists alerts_fingerprint on alerts (org, fingerprint);
create table if not exists designs (
  org text not null references orgs, id text not null, number integer not null,
  title text not null, description_html text not null, description_markdown text not null,
  state text not null, version integer not null, owner text not null, ticket text,
  tokens text not null, document text not null, created real not null, updated real not null,
  primary key (org, id)
);
create table if not exists comments (
  id integer primary key, org text not null, kind text not null, parent text not null,
  author text not null, body_html text not null, body_markdown text not null, created real not null
);
create index if not exists comments_parent on comments (org, kind, parent, id);
create table if not exists webhooks (
  id text primary key, org text not null, url text not null, secret text not null, events text not null,
  created real not null
);
create table if not exists deliveries (
  id text primary key, org text not null, webhook text not null references webhooks on delete cascade,
  event text not null, body text not null, state text not null, attempts integer not null,
  answer text, due real not null, created real not null
);
create index if not exists deliveries_due on deliveries (state, due);
create table if not exists answers (
  org text not null, login text not null, key text not null, asked text not null,
  status integer not null, body text not null, created real not null,
  primary key (org, login, key)
);
