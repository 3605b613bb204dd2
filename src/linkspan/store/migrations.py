"""The tables, as an ordered list of changes; applied by whoever starts first, whole or not at all.

A migration that was released is never edited: a change is another entry at the end. What engines call
differently stands in braces: `{blob}`, `{serial}` (a primary key that is counted up), `{text}` (sorted by
code point everywhere). Every table but `meta` and `workers` has a tenant; only an
admin token and a webhook that hears of all have none there.
"""

from __future__ import annotations

from collections.abc import Sequence

from linkspan.errors import ConfigurationError
from linkspan.store.database import Database, Transaction

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (name {text} PRIMARY KEY, value {blob} NOT NULL)",
        "CREATE TABLE tenants (tenant {text} PRIMARY KEY, created double precision NOT NULL)",
        """
        CREATE TABLE accounts (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            connector {text} NOT NULL,
            subject {text},
            method {text} NOT NULL,
            state {text} NOT NULL,
            settings {text} NOT NULL,
            origins {text} NOT NULL,
            identity_id {text},
            identity_label {text},
            sealed {blob} NOT NULL,
            created double precision NOT NULL,
            updated double precision NOT NULL,
            verified double precision,
            last_error {text},
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX accounts_by_connector ON accounts (tenant, connector)",
        """
        CREATE TABLE tokens (
            id {text} PRIMARY KEY,
            tenant {text} REFERENCES tenants (tenant),
            kind {text} NOT NULL,
            hash {blob} NOT NULL,
            principal_kind {text} NOT NULL,
            subject {text} NOT NULL,
            scopes {text} NOT NULL,
            created double precision NOT NULL,
            expires double precision,
            revoked double precision,
            last_used double precision,
            CHECK ((tenant IS NULL) = (kind = 'admin'))
        )
        """,
        "CREATE INDEX tokens_by_tenant ON tokens (tenant)",
        """
        CREATE TABLE calls (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            caller {text} NOT NULL,
            call {text} NOT NULL,
            tool {text} NOT NULL,
            digest {text} NOT NULL,
            owner {text} NOT NULL,
            lease double precision NOT NULL,
            answer {blob},
            expires double precision NOT NULL,
            PRIMARY KEY (tenant, caller, call)
        )
        """,
        "CREATE INDEX calls_by_expiry ON calls (tenant, expires)",
        """
        CREATE TABLE audit (
            id {serial},
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            time double precision NOT NULL,
            principal_kind {text} NOT NULL,
            principal_subject {text} NOT NULL,
            token_id {text},
            request_id {text} NOT NULL,
            via {text} NOT NULL,
            tool {text} NOT NULL,
            entity {text} NOT NULL,
            entity_id {text},
            connector {text},
            account {text},
            upstream_status integer,
            outcome {text} NOT NULL,
            duration_ms double precision NOT NULL,
            thread_id {text},
            turn_id {text},
            call_id {text}
        )
        """,
        "CREATE INDEX audit_by_tenant ON audit (tenant, id)",
    ),
    (
        """
        CREATE TABLE people (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            name {text} NOT NULL,
            scopes {text} NOT NULL,
            email {text},
            issuer {text},
            subject {text},
            created double precision NOT NULL,
            signed_in double precision,
            PRIMARY KEY (tenant, name)
        )
        """,
        "CREATE UNIQUE INDEX people_by_email ON people (tenant, email)",
        "CREATE UNIQUE INDEX people_by_subject ON people (tenant, issuer, subject)",
        """
        CREATE TABLE people_domains (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            domain {text} NOT NULL,
            scopes {text} NOT NULL,
            created double precision NOT NULL,
            PRIMARY KEY (tenant, domain)
        )
        """,
        """
        CREATE TABLE invitations (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            person {text} NOT NULL,
            hash {blob} NOT NULL,
            created double precision NOT NULL,
            expires double precision NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
        """
        CREATE TABLE browser_sessions (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            person {text} NOT NULL,
            hash {blob} NOT NULL,
            created double precision NOT NULL,
            expires double precision NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
        """
        CREATE TABLE oauth_clients (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            name {text} NOT NULL,
            redirect_uris {text} NOT NULL,
            created double precision NOT NULL,
            expires double precision NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
        """
        CREATE TABLE grants (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            person {text} NOT NULL,
            client_id {text} NOT NULL,
            client_name {text} NOT NULL,
            redirect_uri {text} NOT NULL,
            scopes {text} NOT NULL,
            audience {text} NOT NULL,
            challenge {text} NOT NULL,
            code_hash {blob} NOT NULL,
            code_expires double precision NOT NULL,
            redeemed double precision,
            generation integer NOT NULL,
            rotated double precision NOT NULL,
            created double precision NOT NULL,
            expires double precision NOT NULL,
            revoked double precision,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX grants_by_person ON grants (tenant, person)",
        """
        CREATE TABLE refresh_tokens (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            grant_id {text} NOT NULL,
            generation integer NOT NULL,
            hash {blob} NOT NULL,
            expires double precision NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (tenant, grant_id)",
        "ALTER TABLE tokens ADD COLUMN grant_id {text}",
        "ALTER TABLE tokens ADD COLUMN audience {text}",
        "CREATE INDEX tokens_by_grant ON tokens (tenant, grant_id)",
    ),
    (
        "ALTER TABLE accounts ADD COLUMN version integer NOT NULL DEFAULT 0",
        "ALTER TABLE accounts ADD COLUMN sandbox integer NOT NULL DEFAULT 0",
        "ALTER TABLE accounts ADD COLUMN scopes {text}",
        "ALTER TABLE accounts ADD COLUMN expires double precision",
        "ALTER TABLE accounts ADD COLUMN renewed double precision",
        "ALTER TABLE accounts ADD COLUMN lease_owner {text}",
        "ALTER TABLE accounts ADD COLUMN lease_until double precision",
        "ALTER TABLE accounts ADD COLUMN retry_after double precision",
        "ALTER TABLE accounts ADD COLUMN tended double precision",
        "ALTER TABLE accounts ADD COLUMN last_forbidden {text}",
    ),
    (
        """
        CREATE TABLE webhooks (
            id {text} PRIMARY KEY,
            tenant {text} REFERENCES tenants (tenant),
            url {text} NOT NULL,
            events {text} NOT NULL,
            truto_signature integer NOT NULL,
            active integer NOT NULL,
            sealed {blob} NOT NULL,
            created double precision NOT NULL,
            updated double precision NOT NULL
        )
        """,
        "CREATE INDEX webhooks_by_tenant ON webhooks (tenant)",
        """
        CREATE TABLE outbox (
            id {serial},
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            webhook {text} NOT NULL,
            event {text} NOT NULL,
            payload {text} NOT NULL,
            created double precision NOT NULL,
            state {text} NOT NULL,
            attempts integer NOT NULL,
            since integer NOT NULL,
            due double precision NOT NULL,
            lease double precision,
            finished double precision,
            last_status integer,
            last_error {text}
        )
        """,
        "CREATE INDEX outbox_by_due ON outbox (state, due)",
        "CREATE INDEX outbox_by_webhook ON outbox (webhook)",
        "CREATE INDEX outbox_by_tenant ON outbox (tenant)",
        "CREATE INDEX accounts_by_creation ON accounts (created, tenant, id)",
        "ALTER TABLE tokens ADD COLUMN account {text}",
    ),
    (
        """
        CREATE TABLE data_keys (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {blob} NOT NULL,
            wrapped {blob} NOT NULL,
            created double precision NOT NULL,
            retired double precision,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE UNIQUE INDEX data_keys_that_seal ON data_keys (tenant) WHERE retired IS NULL",
    ),
    (
        """
        CREATE TABLE runs (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            source {text} NOT NULL,
            asker_kind {text} NOT NULL,
            asker {text} NOT NULL,
            person {text},
            recipe {text} NOT NULL,
            plan {text} NOT NULL,
            state {text} NOT NULL,
            epoch integer NOT NULL,
            worker {text},
            entity {text},
            entity_id {text},
            entity_title {text},
            account {text},
            engine {text} NOT NULL,
            model {text},
            repository {text},
            base_branch {text},
            base_commit {text},
            branch {text},
            thread_id {text},
            turns integer NOT NULL,
            items integer NOT NULL,
            events integer NOT NULL,
            input_tokens integer NOT NULL,
            cached_input_tokens integer NOT NULL,
            output_tokens integer NOT NULL,
            total_tokens integer NOT NULL,
            cost double precision,
            spent_seconds double precision NOT NULL,
            pull_request {text},
            summary {text},
            error_code {text},
            error_message {text},
            versions {text} NOT NULL,
            parent {text},
            parent_how {text},
            stop {text},
            stopped_by {text},
            created double precision NOT NULL,
            updated double precision NOT NULL,
            started double precision,
            finished double precision,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX runs_by_update ON runs (tenant, updated, id)",
        "CREATE INDEX runs_by_entity ON runs (tenant, recipe, entity_id)",
        "CREATE INDEX runs_that_go_on ON runs (state) WHERE finished IS NULL",
        """
        CREATE TABLE run_events (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            run {text} NOT NULL,
            seq integer NOT NULL,
            time double precision NOT NULL,
            kind {text} NOT NULL,
            data {text} NOT NULL,
            PRIMARY KEY (tenant, run, seq)
        )
        """,
        """
        CREATE TABLE run_words (
            id {serial},
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            run {text} NOT NULL,
            kind {text} NOT NULL,
            words {text} NOT NULL,
            who {text} NOT NULL,
            created double precision NOT NULL,
            taken double precision
        )
        """,
        "CREATE INDEX run_words_by_run ON run_words (tenant, run, id)",
        """
        CREATE TABLE approvals (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            run {text} NOT NULL,
            kind {text} NOT NULL,
            reason {text} NOT NULL,
            data {text} NOT NULL,
            created double precision NOT NULL,
            deadline double precision NOT NULL,
            decision {text},
            decided_by_kind {text},
            decided_by {text},
            person {text},
            note {text},
            decided double precision,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX approvals_by_run ON approvals (tenant, run)",
        """
        CREATE TABLE artifacts (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            run {text} NOT NULL,
            name {text} NOT NULL,
            media_type {text} NOT NULL,
            size integer NOT NULL,
            sealed {blob} NOT NULL,
            created double precision NOT NULL,
            updated double precision NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX artifacts_by_run ON artifacts (tenant, run)",
        """
        CREATE TABLE recipe_settings (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            recipe {text} NOT NULL,
            enabled integer NOT NULL,
            settings {text} NOT NULL,
            changed_by_kind {text} NOT NULL,
            changed_by {text} NOT NULL,
            changed double precision NOT NULL,
            PRIMARY KEY (tenant, recipe)
        )
        """,
        """
        CREATE TABLE usage (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            run {text} NOT NULL,
            recipe {text} NOT NULL,
            model {text} NOT NULL,
            calls integer NOT NULL,
            input_tokens integer NOT NULL,
            cached_input_tokens integer NOT NULL,
            output_tokens integer NOT NULL,
            total_tokens integer NOT NULL,
            cost double precision,
            created double precision NOT NULL,
            updated double precision NOT NULL,
            PRIMARY KEY (tenant, run, model)
        )
        """,
        "CREATE INDEX usage_by_time ON usage (tenant, created)",
        """
        CREATE TABLE workers (
            id {text} PRIMARY KEY,
            started double precision NOT NULL,
            seen double precision NOT NULL,
            version {text} NOT NULL
        )
        """,
    ),
    (
        """
        CREATE TABLE link_sessions (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            hash {blob} NOT NULL,
            subject {text},
            connectors {text} NOT NULL,
            scopes {text},
            origins {text} NOT NULL,
            redirect_uri {text},
            settings {text} NOT NULL,
            account {text},
            keep_settings integer NOT NULL,
            allow_identity_change integer NOT NULL,
            sandbox integer,
            created double precision NOT NULL,
            expires double precision NOT NULL,
            browser {blob},
            busy double precision,
            linked {text},
            failure {text},
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE UNIQUE INDEX link_sessions_by_id ON link_sessions (id)",
        """
        CREATE TABLE link_consents (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            session {text} NOT NULL,
            state {blob} NOT NULL,
            ticket {blob},
            browser {blob},
            sealed {blob} NOT NULL,
            expires double precision NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE UNIQUE INDEX link_consents_by_state ON link_consents (state)",
        "CREATE UNIQUE INDEX link_consents_by_ticket ON link_consents (ticket)",
    ),
    ("ALTER TABLE audit ADD COLUMN steps {text}",),
    (
        """
        CREATE TABLE run_terms (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            run {text} NOT NULL,
            term {text} NOT NULL,
            PRIMARY KEY (tenant, run, term)
        )
        """,
        "CREATE INDEX run_terms_by_term ON run_terms (tenant, term, run)",
        "CREATE INDEX audit_by_thread ON audit (tenant, thread_id, id) WHERE thread_id IS NOT NULL",
    ),
    (
        """
        CREATE TABLE hook_secrets (
            id {text} PRIMARY KEY,
            tenant {text} REFERENCES tenants (tenant),
            sealed {blob} NOT NULL,
            created double precision NOT NULL
        )
        """,
        """
        CREATE TABLE arrivals (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            connector {text} NOT NULL,
            account {text} NOT NULL,
            event {text} NOT NULL,
            entity {text} NOT NULL,
            entity_id {text} NOT NULL,
            received double precision NOT NULL,
            state {text} NOT NULL,
            attempts integer NOT NULL,
            due double precision NOT NULL,
            lease double precision,
            finished double precision,
            outcome {text},
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX arrivals_by_due ON arrivals (due) WHERE state = 'pending'",
        "CREATE INDEX arrivals_by_time ON arrivals (tenant, received)",
    ),
    ("ALTER TABLE runs ADD COLUMN tree {text}",),
    (
        # An event is noted for each recipe that waits for it; nothing was kept of them before a release.
        "DELETE FROM arrivals",
        "ALTER TABLE arrivals ADD COLUMN recipe {text} NOT NULL DEFAULT ''",
        "ALTER TABLE arrivals ADD COLUMN does {text} NOT NULL DEFAULT 'start'",
        "ALTER TABLE arrivals ADD COLUMN failures integer NOT NULL DEFAULT 0",
        "ALTER TABLE arrivals ADD COLUMN first double precision",
        "CREATE INDEX arrivals_by_thing ON arrivals (tenant, recipe, entity_id, account)",
        """
        CREATE TABLE schedules (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            recipe {text} NOT NULL,
            every {text} NOT NULL,
            zone {text} NOT NULL,
            since double precision NOT NULL,
            due double precision NOT NULL,
            last double precision,
            outcome {text},
            PRIMARY KEY (tenant, recipe)
        )
        """,
    ),
    (
        "ALTER TABLE runs ADD COLUMN private_to {text}",
        """
        CREATE TABLE run_readers (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            run {text} NOT NULL,
            person {text} NOT NULL,
            PRIMARY KEY (tenant, run, person)
        )
        """,
    ),
    (
        """
        CREATE TABLE watches (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            account {text} NOT NULL,
            name {text} NOT NULL,
            position {text},
            epoch integer NOT NULL,
            lease double precision,
            due double precision NOT NULL,
            failures integer NOT NULL,
            told {text},
            PRIMARY KEY (tenant, account, name)
        )
        """,
    ),
    (
        "DROP INDEX runs_that_go_on",
        "CREATE INDEX runs_by_turn ON runs (state, created) WHERE finished IS NULL",
        "CREATE INDEX runs_by_tenant_and_turn ON runs (tenant, state) WHERE finished IS NULL",
    ),
    (
        """
        CREATE TABLE console_sessions (
            id {text} PRIMARY KEY,
            hash {blob} NOT NULL,
            subject {text} NOT NULL,
            key {text},
            created double precision NOT NULL,
            expires double precision NOT NULL
        )
        """,
    ),
    (
        """
        CREATE TABLE view_tokens (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            hash {blob} NOT NULL,
            minted_by {text},
            subject {text} NOT NULL,
            person {text},
            vouched integer NOT NULL,
            origins {text} NOT NULL,
            run {text},
            recipe {text},
            entity_id {text},
            account {text},
            may {text} NOT NULL,
            created double precision NOT NULL,
            expires double precision NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
    ),
    (
        "ALTER TABLE audit ADD COLUMN bodies {text}",
        """
        CREATE TABLE log_keepings (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            account {text} NOT NULL,
            began double precision NOT NULL,
            until double precision NOT NULL,
            wanted_by {text} NOT NULL,
            PRIMARY KEY (tenant, account)
        )
        """,
        """
        CREATE TABLE log_bodies (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            time double precision NOT NULL,
            sealed {blob} NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX log_bodies_by_time ON log_bodies (time)",
    ),
    (
        """
        CREATE TABLE session_threads (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            id {text} NOT NULL,
            recipe {text} NOT NULL,
            entity_id {text},
            account {text},
            subject {text} NOT NULL,
            person {text} NOT NULL,
            created double precision NOT NULL,
            updated double precision NOT NULL,
            PRIMARY KEY (tenant, id)
        )
        """,
        "CREATE INDEX session_threads_of ON session_threads (tenant, subject, person, recipe, updated)",
        """
        CREATE TABLE session_turns (
            tenant {text} NOT NULL REFERENCES tenants (tenant),
            thread {text} NOT NULL,
            number integer NOT NULL,
            run {text} NOT NULL,
            PRIMARY KEY (tenant, thread, number)
        )
        """,
    ),
    ("ALTER TABLE runs ADD COLUMN entity_url {text}",),
    ("ALTER TABLE arrivals ADD COLUMN comment {text}",),
    ("CREATE TABLE replicas (id {text} PRIMARY KEY, seen double precision NOT NULL)",),
    (
        """
        CREATE TABLE api_calls (
            tenant {text} REFERENCES tenants (tenant),
            caller {text} NOT NULL,
            call {text} NOT NULL,
            tool {text} NOT NULL,
            digest {text} NOT NULL,
            owner {text} NOT NULL,
            lease double precision NOT NULL,
            answer {blob},
            expires double precision NOT NULL,
            PRIMARY KEY (caller, call)
        )
        """,
        "CREATE INDEX api_calls_by_expiry ON api_calls (tenant, expires)",
    ),
    ("ALTER TABLE arrivals ADD COLUMN waits_for {text}",),
)


async def migrate(db: Database, *, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the tables up to date. Safe when several processes start at once: the first does it, others wait.

    Raises `ConfigurationError` for a database that a newer Linkspan has written.
    """

    def work(tx: Transaction) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY)")
        (row,) = tx.query("SELECT coalesce(max(number), 0) AS number FROM migrations")
        applied: int = row["number"]
        if applied > len(migrations):
            raise ConfigurationError(
                f"The database was written by a newer Linkspan: its tables are at version {applied},"
                f" and this program knows version {len(migrations)}",
                hint="Install the newer Linkspan again, or restore the backup from before the upgrade.",
            )
        for number, statements in enumerate(migrations[applied:], start=applied + 1):
            for statement in statements:
                tx.execute(statement.format_map(db.column_types))
            tx.execute("INSERT INTO migrations (number) VALUES (:number)", {"number": number})

    await db.transaction(work, alone=True)
