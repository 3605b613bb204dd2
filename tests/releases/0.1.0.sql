BEGIN TRANSACTION;
CREATE TABLE accounts (
            tenant text NOT NULL REFERENCES tenants (tenant),
            id text NOT NULL,
            connector text NOT NULL,
            subject text,
            method text NOT NULL,
            state text NOT NULL,
            settings text NOT NULL,
            origins text NOT NULL,
            identity_id text,
            identity_label text,
            sealed blob NOT NULL,
            created double precision NOT NULL,
            updated double precision NOT NULL,
            verified double precision,
            last_error text,
            PRIMARY KEY (tenant, id)
        );
INSERT INTO "accounts" VALUES('acme','acc_ptt2rby7prfx','tracker',NULL,'bearer','active','{"site": "http://tracker.example"}','["http://tracker.example:80"]','acme','bot@acme.example',X'01630DCD296CC83670AD980DBDC18C25CC9AE99431F4516A3A5EE9DB48F94C9B936402D49BCAF89C2E1662B1BCFC8182795B5C68827E1898F29FC363B0CC0834BDEED8CF9569ED6BED9499C8892AD4315E5BB0CC85DF6C013ABA1467D4E15F5955DC5D72AF8CA7DA8FC14A19127690',1700000000.0,1700000000.0,1700000000.0,NULL);
INSERT INTO "accounts" VALUES('globex','acc_tpfve33tvyex','tracker',NULL,'bearer','active','{"site": "http://tracker.example"}','["http://tracker.example:80"]','globex','bot@globex.example',X'01630DCD29432A8A8CAE8CFF87449B7A88D5CF978EE9EA7FCF53081EECF28F810861818A14D4C7EB7B6B787273B53F87B08AE9B443C566B38EF8B17382A9D75969F060745E0DDE0B42246EE8F8F20866070E4FED243FD2A41983507EBE495141BB5FD16ADCD45D5BD016DA922815BC0AFC',1700000000.0,1700000000.0,1700000000.0,NULL);
CREATE TABLE audit (
            id integer PRIMARY KEY AUTOINCREMENT,
            tenant text NOT NULL REFERENCES tenants (tenant),
            time double precision NOT NULL,
            principal_kind text NOT NULL,
            principal_subject text NOT NULL,
            token_id text,
            request_id text NOT NULL,
            via text NOT NULL,
            tool text NOT NULL,
            entity text NOT NULL,
            entity_id text,
            connector text,
            account text,
            upstream_status integer,
            outcome text NOT NULL,
            duration_ms double precision NOT NULL,
            thread_id text,
            turn_id text,
            call_id text
        );
INSERT INTO "audit" VALUES(1,'acme',1700000000.0,'service','codex',NULL,'req-2','mcp','create_ticket','ticket',NULL,'tracker','acc_ptt2rby7prfx',201,'ok',0.0,'thread',NULL,'call');
INSERT INTO "audit" VALUES(2,'globex',1700000000.0,'service','codex',NULL,'req-2','mcp','create_ticket','ticket',NULL,'tracker','acc_tpfve33tvyex',201,'ok',0.0,'thread',NULL,'call');
INSERT INTO "audit" VALUES(3,'acme',1700000000.0,'service','codex',NULL,'req-1','mcp','list_tickets','ticket',NULL,'tracker','acc_ptt2rby7prfx',200,'ok',0.0,NULL,NULL,NULL);
INSERT INTO "audit" VALUES(4,'globex',1700000000.0,'service','codex',NULL,'req-1','mcp','list_tickets','ticket',NULL,'tracker','acc_tpfve33tvyex',200,'ok',0.0,NULL,NULL,NULL);
CREATE TABLE calls (
            tenant text NOT NULL REFERENCES tenants (tenant),
            caller text NOT NULL,
            call text NOT NULL,
            tool text NOT NULL,
            digest text NOT NULL,
            owner text NOT NULL,
            lease double precision NOT NULL,
            answer blob,
            expires double precision NOT NULL,
            PRIMARY KEY (tenant, caller, call)
        );
INSERT INTO "calls" VALUES('acme','service:codex','583eeca2e7fe4912796c6a864c4a57b930b52cef0ff942b1ee9d0e40382ea1e9','create_ticket','4f04dbec8f0adee29b2d54036fab93702d89a8e227609429a011684e75b118f9','76383d32bf6ee87845b3d814',1700000120.0,X'01630DCD29862FC16367B06B6E475F6D2A743C7823D8BF5CA9FB4C3AB83AF8A8BCA13E487CCCEE5268A0D903B938A6DD0E4E84E550889A49AD55CFF3BAA8B7A13CDC672F6169D5F81D12EE7350B36EA9E75122BFAA820E2177A033C1139E04E656241CA6B9C763C273A8CFFCFBA31481019F',1700086400.0);
INSERT INTO "calls" VALUES('globex','service:codex','77b04c3ffaab33c6324d83e02ecf4c92414d90cb9123be34660c5f7a06173a99','create_ticket','5aff29e0df649a7597869bd9465cfbd3c2f6ed9bded259b2c1180517ec0e61a5','1634792c99a290d2b7b29753',1700000120.0,X'01630DCD29CA9955CEB0FF322742D93E825E3878741B28890FFBDFA8E77F18A5AF12F056A7614CB6DA1D0C3CFAF18AB51899C7B3163C4EA48C271F687CB24C725D0115902700EFAD0B635CD9FCFBAEBFC9DE33A91322756CCAA74B39DD615E451486076CAB18F26CE592BC2EADCA81A909390C11',1700086400.0);
CREATE TABLE meta (name text PRIMARY KEY, value blob NOT NULL);
INSERT INTO "meta" VALUES('key_probe',X'01630DCD29DE39309F321B70A85FC811684EB30625E515B817948E9074F1F09BF25F3E08883EB96A04');
CREATE TABLE migrations (number integer PRIMARY KEY);
INSERT INTO "migrations" VALUES(1);
CREATE TABLE tenants (tenant text PRIMARY KEY, created double precision NOT NULL);
INSERT INTO "tenants" VALUES('acme',1700000000.0);
INSERT INTO "tenants" VALUES('globex',1700000000.0);
CREATE TABLE tokens (
            id text PRIMARY KEY,
            tenant text REFERENCES tenants (tenant),
            kind text NOT NULL,
            hash blob NOT NULL,
            principal_kind text NOT NULL,
            subject text NOT NULL,
            scopes text NOT NULL,
            created double precision NOT NULL,
            expires double precision,
            revoked double precision,
            last_used double precision,
            CHECK ((tenant IS NULL) = (kind = 'admin'))
        );
INSERT INTO "tokens" VALUES('1uw7pvpp99j1','acme','tenant',X'E5EA0BE591D04445E88D062E203A3A1BCDC9C83E56BAF1BDA573B88ACE4907FA','service','codex','read ticket.create',1700000000.0,NULL,NULL,NULL);
INSERT INTO "tokens" VALUES('50lnrferyhim','globex','tenant',X'7D625C77FB9642D03012C5AE8984499E220C045B66629F8AEABF2561AC0D202D','service','codex','read ticket.create',1700000000.0,NULL,NULL,NULL);
CREATE INDEX accounts_by_connector ON accounts (tenant, connector);
CREATE INDEX tokens_by_tenant ON tokens (tenant);
CREATE INDEX calls_by_expiry ON calls (tenant, expires);
CREATE INDEX audit_by_tenant ON audit (tenant, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',4);
COMMIT;
