"""Content blocks, questions to the person, declared resources, prompts."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.spec.catalog import ABSENT, Block, Scope

FILE = """\
linkspan: 1
name: acme
instructions: Render designs with render_design.
connectors:
  studio:
    base_url: https://studio.example
    settings: {team: {default: blue}}
    auth: [{type: basic}]
entities:
  design:
    sources:
      studio:
        operations:
          render:
            description: Render a design as a picture, with a caption.
            request: GET /designs/{id}.png
            params: {size: {type: integer}}
            query: {size: $size}
            content:
              - image: {data: "{{ answer.body }}", mime_type: "{{ answer.headers.\\"content-type\\" }}"}
              - "Design {{ id }} of {{ settings.team }} at {{ size }}: {{ answer.status }} {{ nothing_here }}"
              - {text: "{{ answer.headers }}"}
              - resource: {uri: "studio://{{ id }}", mime_type: text/plain, text: "{{ upper(id) }}"}
              - resource: {uri: "studio://logo", mime_type: image/png, data: aGk=}
              - audio: {data: "aGk=\\n", mime_type: audio/wav}
          publish:
            description: Publish a design after asking.
            request: POST /designs/{id}/publish
            body: {note: $elicit.content.note}
            elicit:
              message: "Publish {{ id }}?"
              schema: {type: object, properties: {note: {type: string}}}
              missing: Ask in the studio.
            progress: {steps: [0, 50, 100], total: 100}
          ask:
            description: Ask about a design.
            elicit: {message: Really?, schema: {type: object}}
            content: ["action={{ elicit.action }}, content={{ elicit.content }}"]
          convert:
            description: Convert a design with a schema of its own.
            schema:
              type: object
              properties: {a: {$ref: "#/$defs/x"}}
              $defs: {x: {$anchor: x}}
              allOf: [{required: [a]}]
            content: [ok]
resources:
  style: {uri: "studio://style", text: "Use {{ settings.team }}."}
  logo: {uri: "studio://logo", mime_type: image/png, data: "aGk=", title: Logo, description: The logo.}
  page:
    uri: studio://pages/{page}
    mime_type: application/json
    connector: studio
    request: GET /pages/{page}
  echo: {uri: "studio://echo/{word}", text: '{"word":{{ json(word) }},"is":"{{ word }}"}'}
prompts:
  review:
    title: Review
    description: Review a design.
    arguments: {design: The id, tone: {required: false}, resourceUri: URI}
    messages:
      - Review {{ design }}{{ tone }}.
      - {role: assistant, image: {data: aGk=, mime_type: image/png}}
      - resource: {uri: "{{ resourceUri }}", text: Fixed.}
"""
TEXT = FILE.replace(" {{ nothing_here }}", "")


def blocks(load: Any, tool: str) -> tuple[Block, ...]:
    found: tuple[Block, ...] = load(TEXT).tool(tool).operations["studio"].blocks
    return found


def test_blocks_of_an_answer(load: Any) -> None:
    """Arguments, settings and the answer, whole or in a text."""
    picture, caption, whole, text, data, sound = blocks(load, "render_design")
    answer = {"status": 200, "headers": {"content-type": "image/png"}, "body": b"\x89PNG"}
    scope = Scope({"id": "d/1", "size": 2}, {"team": "red"}, {"answer": answer})
    assert [block.type for block in (picture, caption, whole, text, data, sound)] == [
        "image",
        "text",
        "text",
        "resource",
        "resource",
        "audio",
    ]
    assert picture.data is not None
    assert picture.mime_type is not None
    assert (picture.data(scope), picture.mime_type(scope)) == (b"\x89PNG", "image/png")
    assert caption.text is not None
    assert caption.text(scope) == "Design d/1 of red at 2: 200"
    assert whole.text is not None
    assert whole.text(scope) == {"content-type": "image/png"}
    assert text.uri is not None
    assert text.text is not None
    assert (text.uri(scope), text.text(scope)) == ("studio://d/1", "D/1")
    assert data.data is not None
    assert sound.data is not None
    assert (data.data(scope), sound.data(scope)) == ("aGk=", "aGk=")


def test_what_is_not_there_shows_as_nothing(load: Any) -> None:
    """An absent argument leaves a gap in a text, and is absent alone."""
    _, caption, whole, *_ = blocks(load, "render_design")
    scope = Scope({"id": "1"}, {}, {"answer": {"status": 204}})
    assert caption.text is not None
    assert caption.text(scope) == "Design 1 of  at : 204"
    assert whole.text is not None
    assert whole.text(scope) is ABSENT


def test_values_are_never_read_as_templates(load: Any) -> None:
    """What looks like a placeholder in a value stays what it is."""
    (told,) = blocks(load, "ask_design")
    assert told.text is not None
    scope = Scope({}, {}, {"elicit": {"action": "{{ settings }}", "content": {"a": "{{ id }}"}}})
    assert told.text(scope) == 'action={{ settings }}, content={"a":"{{ id }}"}'


def test_a_tool_with_content_has_no_output_schema(load: Any) -> None:
    """Its answer is blocks; there is no structured result to describe."""
    catalog = load(TEXT)
    render = catalog.tool("render_design")
    assert (render.output_schema, render.operations["studio"].shape) == (None, None)
    assert list(render.input_schema["properties"]) == ["id", "size"]
    assert catalog.tool("ask_design").operations["studio"].plan is None
    assert catalog.tool("ask_design").kind == "read"


def test_a_question_to_the_person(load: Any) -> None:
    """The form as it is, the message with its argument, and what was filled in as a value of the body."""
    publish = load(TEXT).tool("publish_design").operations["studio"]
    assert publish.elicit.schema == {"type": "object", "properties": {"note": {"type": "string"}}}
    assert publish.elicit.message(Scope({"id": "7"})) == "Publish 7?"
    assert publish.elicit.missing == "Ask in the studio."
    scope = Scope({"id": "7"}, {}, {"elicit": {"action": "accept", "content": {"note": "n"}}})
    assert publish.plan.body.value(scope) == {"note": "n"}
    assert (publish.progress.steps, publish.progress.total) == ((0.0, 50.0, 100.0), 100.0)


def test_a_schema_of_ones_own_is_kept_as_it_is(load: Any) -> None:
    """Every keyword of JSON Schema 2020-12, in its order."""
    assert load(TEXT).tool("convert_design").input_schema == {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/x"}},
        "$defs": {"x": {"$anchor": "x"}},
        "allOf": [{"required": ["a"]}],
    }


def test_declared_resources(load: Any) -> None:
    """Text, bytes, read from a connector, with parameters."""
    style, logo, page, echo = load(TEXT).resources
    assert (style.uri, style.name, style.title, style.mime_type) == (
        "studio://style",
        "style",
        "Style",
        "text/plain",
    )
    assert style.text(Scope({}, {"team": "red"})) == "Use red."
    assert (logo.blob(Scope({})), logo.text, logo.title) == ("aGk=", None, "Logo")
    assert (page.connector, page.parameters) == ("studio", ("page",))
    assert page.plan.path.expand(Scope({"page": "a/b"})) == "/pages/a%2Fb"
    assert echo.text(Scope({"word": 'a"b'})) == '{"word":"a\\"b","is":"a"b"}'


def test_prompts(load: Any) -> None:
    """Arguments in texts and URIs, images, and who speaks."""
    (review,) = load(TEXT).prompts
    assert review.arguments == (("design", "The id", True), ("tone", "", False), ("resourceUri", "URI", True))
    first, second, third = review.messages
    assert [message.role for message in review.messages] == ["user", "assistant", "user"]
    scope = Scope({"design": "d1", "resourceUri": "x://y"})
    assert first.block.text(scope) == "Review d1."
    assert (second.block.type, second.block.data(scope)) == ("image", "aGk=")
    assert (third.block.uri(scope), third.block.mime_type(scope)) == ("x://y", "text/plain")


def test_an_unknown_name_in_a_text_is_told(check: Any) -> None:
    """With its place in the text and the nearest right word."""
    spoilt = FILE.replace("nothing_here", "settngs.team")
    (told,) = check(spoilt)
    assert told.startswith(
        "21:92: bad_expression: entities.design.sources.studio.operations.render.content[1]: "
    )
    assert told.endswith(
        "in {{ settngs.team }}: 'settngs' is not known here; there are id, size, settings, elicit, answer"
        " (did you mean 'settings'?)"
    )


@pytest.mark.parametrize("hint", ["destructive", "idempotent"])
def test_a_tool_without_a_request_is_a_read(hint: str, load: Any) -> None:
    """Nothing can be changed by what sends nothing."""
    annotations = load(TEXT).tool("convert_design").annotations
    assert (annotations["readOnlyHint"], annotations["destructiveHint"]) == (True, False)
    assert annotations[f"{hint}Hint"] is (hint == "idempotent")
