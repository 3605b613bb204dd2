"""What a page is looked at for is found where people see it: also in the shadow of an element."""

from __future__ import annotations

import pytest

from tests.servers.browser import Person, violations, wider

pytestmark = pytest.mark.e2e
_PAGE = """<!doctype html><html lang="en"><title>A page</title><main style="width: 300px"><h1>A page</h1>
<my-element style="display: block"></my-element></main></html>"""
_SHADOW = """(html) => {
  const host = document.querySelector("my-element");
  (host.shadowRoot ?? host.attachShadow({ mode: "open" })).innerHTML = html;
}"""


def test_a_shadow_is_looked_into(anna: Person) -> None:
    """What is wider than its element, has no name or is too pale there is told; what is right is not."""
    page = anna.open("about:blank")
    page.set_content(_PAGE)
    frame = page.main_frame
    for inside, stands_out, rule in (
        (
            "<p>It is right</p><dialog open style='width: 320px; right: auto'>It lies over it</dialog>",
            False,
            "",
        ),
        ("<p style='width: 310px'>It is wide</p>", True, ""),
        (f"<p style='width: 200px'>It{'a' * 60}</p>", True, ""),
        ("<button></button>", False, "button-name"),
        ("<p style='color: #aaa; background: #fff'>It is pale</p>", False, "color-contrast"),
    ):
        page.evaluate(_SHADOW, inside)
        assert bool(wider(frame)) is stands_out, inside
        assert [each.partition(":")[0] for each in violations(frame)] == [rule] * bool(rule), inside
