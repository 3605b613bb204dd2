"""The shapes of answers: every list alike, single things bare or under `result`."""

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


async def test_a_single_thing_answers_itself_or_under_result(api: Api) -> None:
    """As Truto's programs read it, or as /unified shows things; of what is read and of what is made."""
    bare = await api.data("GET", "/tenant/acme")
    assert bare["id"] == "acme"
    assert await api.data("GET", "/tenant/acme?envelope=none") == bare
    assert await api.data("GET", "/tenant/acme?envelope=result") == {"result": bare}
    made = await api("POST", "/tenant?envelope=result", json={"id": "initech"})
    assert (made.status_code, made.json()["result"]["id"]) == (201, "initech")
    fault = await api.failure(400, "GET", "/tenant/acme?envelope=both")
    assert [each["path"] for each in fault["details"]] == ["envelope"]


async def test_a_cursor_is_good_with_either_envelope(api: Api) -> None:
    """The shape is no filter."""
    first = await api.data("GET", "/tenant?limit=1")
    more = {"limit": 1, "next_cursor": first["next_cursor"], "envelope": "result"}
    assert [each["id"] for each in (await api.data("GET", "/tenant", params=more))["result"]] == ["globex"]
