"""The shapes of answers: every list alike, single things below `result` or as themselves."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.web.api.models import Page
from linkspan.web.api.routes import ENDPOINTS
from tests.web.api.conftest import Api
from tests.web.api.test_openapi import DESCRIBED

LISTS = [each for each in ENDPOINTS if each.answer is not None and "result" in each.answer.model_fields]
SHAPE = {"result", "next_cursor", "prev_cursor", "result_count", "is_partial_response"}


def test_every_list_is_a_page() -> None:
    """Whatever has `result` is described with all that pages have, and nothing of it can be missing."""
    assert len(LISTS) >= 14
    for endpoint in LISTS:
        assert endpoint.answer is not None
        assert issubclass(endpoint.answer, Page), endpoint.name
        answers = DESCRIBED["paths"][endpoint.path]["get"]["responses"]
        reference = answers["200"]["content"]["application/json"]["schema"]["$ref"]
        schema: dict[str, Any] = DESCRIBED["components"]["schemas"][reference.rpartition("/")[2]]
        assert set(schema["required"]) >= SHAPE


@pytest.mark.parametrize("path", ["/tenant", "/integrated-account", "/recipes?tenant_id=acme", "/webhook"])
async def test_a_list_says_how_many_it_has(path: str, api: Api) -> None:
    """Full or empty, and with either envelope."""
    for envelope in ("result", "none"):
        listed = await api.data("GET", f"{path}{'&' if '?' in path else '?'}envelope={envelope}")
        assert set(listed) == SHAPE
        assert listed["result_count"] == len(listed["result"])
        assert (listed["prev_cursor"], listed["is_partial_response"]) == (None, False)


def test_every_single_thing_is_described_below_result() -> None:
    """Whatever door of the management API it comes from; and nothing beside it."""
    singles = [each for each in ENDPOINTS if each.answer is not None and each not in LISTS]
    assert len(singles) >= 35
    for endpoint in singles:
        answers = DESCRIBED["paths"][endpoint.path][endpoint.method.lower()]["responses"]
        schema = answers[str(endpoint.status)]["content"]["application/json"]["schema"]
        assert list(schema["properties"]) == schema["required"] == ["result"], endpoint.name
        assert schema["additionalProperties"] is False
        assert schema["properties"]["result"]["$ref"].startswith("#/components/schemas/")


async def test_a_single_thing_is_answered_below_result_or_as_itself(api: Api) -> None:
    """Made, read, changed or deleted: `envelope=none` is the very thing, as programs of Truto read it."""
    hook = (await api.data("POST", "/webhook", json={"target_url": "https://hooks.example/x"}))["id"]
    token = (await api.data("POST", "/token", json={"tenant_id": "acme", "subject": "ci"}))["id"]
    for path in ("/tenant/acme", f"/webhook/{hook}"):
        bare = (await api("GET", path, params={"envelope": "none"})).json()
        assert "id" in bare
        for more in ({}, {"envelope": "result"}):
            assert (await api("GET", path, params=more)).json() == {"result": bare}
    off = {"is_active": False}
    changed = (await api("PATCH", f"/webhook/{hook}", json=off)).json()
    assert (list(changed), changed["result"]["is_active"]) == (["result"], False)
    changed = (await api("PATCH", f"/webhook/{hook}", json=off, params={"envelope": "none"})).json()
    assert (changed["id"], changed["is_active"]) == (hook, False)
    made = await api("POST", "/tenant", json={"id": "initech"})
    assert (made.status_code, made.json()["result"]["id"]) == (201, "initech")
    made = await api("POST", "/link-token", json={"tenant_id": "acme"}, params={"envelope": "none"})
    assert set(made.json()) == {"id", "link_token", "url", "expires_at"}
    gone = await api("DELETE", f"/webhook/{hook}")
    assert (gone.status_code, gone.json()) == (200, {"result": {"id": hook}})
    ended = await api("DELETE", f"/token/{token}", params={"tenant_id": "acme", "envelope": "none"})
    assert ended.json() == {"id": token}
    fault = await api.failure(400, "GET", "/tenant/acme?envelope=both")
    assert [each["path"] for each in fault["details"]] == ["envelope"]


async def test_a_cursor_is_good_with_either_envelope(api: Api) -> None:
    """The shape is no filter."""
    first = await api.data("GET", "/tenant?limit=1")
    more = {"limit": 1, "next_cursor": first["next_cursor"], "envelope": "none"}
    assert [each["id"] for each in (await api.data("GET", "/tenant", params=more))["result"]] == ["globex"]
