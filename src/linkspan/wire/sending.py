"""Sending one request of a plan as an account, and understanding what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from linkspan import errors
from linkspan.net import bodies
from linkspan.net.client import Client, LimitRule, SpentRule, limit_of
from linkspan.net.kept import Kept
from linkspan.net.limits import RateLimit, TooMany, limit_of_queries
from linkspan.net.messages import Request, Response
from linkspan.net.pacing import Pace
from linkspan.refusals import is_quota_spent, refusal
from linkspan.spec.catalog import AuthMethod, Connector, Paging, RequestPlan, Scope
from linkspan.vault.credential import Credential
from linkspan.wire.credentials import authorized, check_destination, method_of, sensitive, without_secrets
from linkspan.wire.requests import Outgoing, Position, build

LONGEST_FAILURE: Final = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """An understood answer. `body` is decoded: JSON data, text, bytes or None."""

    status: int
    headers: Mapping[str, str]
    body: Any
    url: str
    rate_limit: RateLimit | None = None

    @property
    def root(self) -> dict[str, Any]:
        """What expressions rooted at the answer see."""
        return {"status": self.status, "headers": self.headers, "body": self.body}


async def send(
    plan: RequestPlan,
    scope: Scope,
    connector: Connector,
    credential: Credential,
    client: Client,
    *,
    page: Paging | None = None,
    position: Position | None = None,
    timeout: float | None = None,
    kept: Kept | None = None,
    tenant: str = "",
    watch: Callable[[Outgoing, AuthMethod, Response], None] | None = None,
    pace: Callable[[str], Pace] | None = None,
) -> Answer:
    """Send one request as an account and answer what came back, if it was a success; `watch` sees both.

    `kept` has the tenant's earlier answers, for plans that ask after what has changed. `timeout` is in
    seconds for one exchange, the connector's by default; `pace` answers when the turn of a request to a path
    is. Raises `NeedsReauth` before anything is sent when
    the request would leave the origins the account was linked to; afterwards what `refusals` makes of a
    status, and everything that `Client.send` raises.
    """
    connector = connector.through(credential.method)
    method = method_of(connector, credential)
    if plan.if_match:
        plan = await _with_etag(plan, scope, connector, credential, client, timeout, pace)
    outgoing = build(plan, scope, connector, page=page, position=position)
    if check_destination(outgoing, connector, credential):
        request = authorized(outgoing, method, lambda name: credential.secrets[name].reveal())
    else:
        request = Request(outgoing.method, outgoing.url, outgoing.headers, None, outgoing.ca, outgoing.use)
    reaches_hosts = outgoing.is_told or plan.max_bytes is not None
    key = (tenant, credential.account, request.url)
    if plan.is_conditional and kept is not None and (etag := kept.etag(key)) is not None:
        request = replace(request, headers={**request.headers, "If-None-Match": etag})
    turns = pace(outgoing.url.removeprefix(outgoing.base)) if pace is not None else None
    reply = await client.send(
        request,
        repeatable=outgoing.repeatable,
        origins=(*credential.origins, *connector.hosts) if reaches_hosts else credential.origins,
        sensitive_headers=sensitive(method),
        timeout=timeout or connector.timeout,
        budget=connector.rate_budget,
        rate_limited=_rate_rule(connector),
        is_spent=_spent_rule(connector),
        max_bytes=plan.max_bytes,
        pace=turns,
    )
    response = reply.response
    if plan.is_conditional and kept is not None:
        response = kept.settle(key, response)
    response = without_secrets(response, credential)
    if watch is not None:
        watch(outgoing, method, response)
    answer = _understood(response, reply.rate_limit, connector, plan)
    if plan.is_graphql and turns is not None:
        now = client.now()
        if (points := limit_of_queries(answer.body, now)) is not None:
            turns.learn("points", points, now)
            answer = replace(answer, rate_limit=answer.rate_limit or points)
    return answer


async def _with_etag(
    plan: RequestPlan,
    scope: Scope,
    connector: Connector,
    credential: Credential,
    client: Client,
    timeout: float | None,
    pace: Callable[[str], Pace] | None,
) -> RequestPlan:
    read = RequestPlan("GET", plan.path, repeatable=True)
    answer = await send(read, scope, connector, credential, client, timeout=timeout, pace=pace)
    etag = answer.headers.get("etag")
    if not etag:
        raise errors.UpstreamError(
            f"{connector.title} gave no ETag, so a change could overwrite somebody else's",
            upstream_status=answer.status,
        )
    return replace(plan, if_match=False, headers=(*plan.headers, ("If-Match", lambda _scope: etag)))


def limit_in(response: Response, connector: Connector, now: float) -> TooMany | None:
    """Answer what a whole answer says that refuses more calls, by the rule of requests of ours.

    None where it says something else. `now` is in epoch seconds.
    """
    return limit_of(response, _rate_rule(connector), now)


def _rate_rule(connector: Connector) -> LimitRule | None:
    """Answer the connector's own rule: False = no limit, None = one without a time, else the time."""
    when, wait = connector.rate.when, connector.rate.retry_after
    if when is None:
        return None

    def rule(response: Response) -> float | str | bool | None:
        root = as_root(response)
        if not when(root):
            return False
        value = wait(root) if wait else None
        return value if isinstance(value, int | float | str) and not isinstance(value, bool) else None

    return rule


def _spent_rule(connector: Connector) -> SpentRule | None:
    """Answer the rule for spent quotas; None where the product has no declared word for it."""
    if "quota_exceeded" not in connector.failure.codes.values():
        return None
    return lambda response: is_quota_spent(as_root(response), connector)


def as_root(response: Response) -> dict[str, Any]:
    """Answer what expressions rooted at the answer see, also where its body cannot be read."""
    try:
        body = bodies.decode(response)
    except errors.LinkspanError:
        body = None
    return {"status": response.status, "headers": response.headers, "body": body}


def _understood(
    response: Response, rate_limit: RateLimit | None, connector: Connector, plan: RequestPlan
) -> Answer:
    failed = response.status >= 300
    if plan.max_bytes is not None and not failed:
        return Answer(response.status, response.headers, response.body, response.url, rate_limit)
    try:
        body = bodies.decode(response)
    except errors.LinkspanError as error:
        if not failed:
            error.upstream_status = response.status
            error.message = f"{connector.title}: {error.message}"
            raise
        body = None
    answer = Answer(response.status, response.headers, body, response.url, rate_limit)
    if failed or (connector.failure.when is not None and connector.failure.when(answer.root)):
        raise _refused(answer, response, connector)
    if plan.is_graphql and isinstance(body, dict) and body.get("errors"):
        raise _refused(answer, response, connector)
    return answer


def _refused(answer: Answer, response: Response, connector: Connector) -> errors.LinkspanError:
    error = refusal(answer.root, connector)
    error.rate_limit = answer.rate_limit
    if len(response.body) > LONGEST_FAILURE:
        error.raw_response = None
    return error
