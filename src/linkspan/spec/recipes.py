"""Compiles recipes: what they name is there, and what they say can be done."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from linkspan.spec import language
from linkspan.spec.catalog import Entity, Tool
from linkspan.spec.events import Event
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.recipe import AFTERMATHS, Recipe, RunsPolicy, backs, settle
from linkspan.spec.schedules import BadScheduleError, check_schedule, check_zone
from linkspan.spec.schemas import check_schema
from linkspan.spec.triggers import TriggerChecks, comments_of
from linkspan.spec.yaml import Path

_SCOPE: Final = re.compile(r"[a-z][a-z0-9_]*\.(?:\*|[a-z][a-z0-9_]*)")
_HOST: Final = re.compile(
    r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?"
)
_SINGLE: Final = ("repository", "repositories", "branch", "people", "author")
"""Settings that mean something to us, so that there is one of each at most."""
_TAKEN: Final = ("settings", "tenant", "run", "pull_request")


class RecipeCompiler:
    """Compiles the recipes of one file; mistakes go to the problems."""

    def __init__(
        self,
        entities: Mapping[str, Entity],
        tools: Sequence[Tool],
        connectors: Mapping[str, Mapping[str, Event]],
        written: Mapping[str, Collection[str] | None],
        leaves: Leaves,
    ) -> None:
        """`connectors` holds the events of each, by name; `written` is that of `TriggerChecks`."""
        self._entities = entities
        self._tools = {tool.key: tool for tool in tools}
        self._triggers = TriggerChecks(written, self._tools.get, connectors, leaves)
        self._leaves = leaves
        self._problems = leaves.problems

    def compile(self, name: str, form: language.Recipe) -> Recipe:
        """Compile one recipe."""
        path: Path = ("recipes", name)
        if not NAME.match(name):
            message = f"the recipe {name!r} must be lower case letters, digits and _"
            self._problems.add(path, "bad_name", message, key=True)
        form = form.model_copy(
            update={
                "title": self._leaves.text((*path, "title"), form.title),
                "description": self._leaves.text((*path, "description"), form.description),
            }
        )
        self._check_entity(form, path)
        self._triggers.check(form, path)
        self._check_mention(form, path)
        self._check_schedule(form, path)
        self._check_settings(form, path)
        self._check_reach(form, path)
        self._check_engine(form, path)
        self._check_output(form, path)
        self._check_texts(form, path)
        self._check_place(form, path)
        self._check_publishing(form, path)
        self._check_follow(form, path)
        return settle(name, form)

    def check_money(self, recipes: Mapping[str, Recipe], policy: RunsPolicy) -> None:
        """Tell of budgets of money that would bound nothing, for want of a price.

        A recipe that names no model is bound all the same: a model without a price is not asked for it.
        """
        add = self._problems.add
        if not policy.prices:
            places: list[Path] = [
                ("recipes", name, "budget", "money")
                for name, recipe in recipes.items()
                if recipe.money is not None
            ]
            if policy.tenant_money is not None:
                places.append(("runs", "budget", "money"))
            for place in places:
                message = (
                    "a budget of money bounds nothing without prices: give runs.prices, or tokens instead"
                )
                add(place, "no_price", message)
            return
        for name, recipe in recipes.items():
            counts = recipe.money is not None or policy.tenant_money is not None
            if counts and recipe.model is not None and policy.price_of(recipe.model) is None:
                message = f"money is counted for its runs, and runs.prices has no price of {recipe.model!r}"
                place = ("recipes", name, "model")
                add(place, "no_price", message, words=list(policy.prices), word=recipe.model)

    def _operation(self, key: str, path: Path, what: str) -> Tool | None:
        tool = self._tools.get(key)
        if tool is None:
            self._problems.add(
                path, "unknown_operation", f"{what} needs {key}, and no entity has it",
                words=list(self._tools), word=key,
            )  # fmt: skip
        return tool

    def _check_entity(self, form: language.Recipe, path: Path) -> None:
        if form.entity is None:
            for word, is_said in (("context", bool(form.context)), ("difference", form.difference)):
                if is_said:
                    message = f"{word} belongs to an entity, and the recipe has none"
                    self._problems.add((*path, word), "missing_key", message, key=True)
            return
        if form.entity not in self._entities:
            message = f"there is no entity {form.entity!r}"
            words = list(self._entities)
            self._problems.add((*path, "entity"), "unknown_entity", message, words=words, word=form.entity)
            return
        publishes = form.publish.as_ if form.publish else "nothing"
        if form.entity in _TAKEN and not (form.entity == "pull_request" and publishes != "pull_request"):
            message = f"an entity of a recipe cannot be called {form.entity}: texts mean something else by it"
            self._problems.add((*path, "entity"), "bad_name", message)
        self._operation(f"{form.entity}.get", (*path, "entity"), "a recipe on it")
        for index, gathered in enumerate(form.context):
            self._check_gathered(form.entity, gathered, (*path, "context", index))

    def _check_gathered(self, on: str, form: language.Gathered, here: Path) -> None:
        """Check what is read for a thing: lists that know what they are of, and operations that only read."""
        if form.operation is not None:
            tool = self._operation(f"{form.entity or on}.{form.operation}", (*here, "operation"), "context")
            needs = [] if tool is None else [n for n in tool.input_schema.get("required", ()) if n != "id"]
            if tool is not None and (tool.kind != "read" or needs):
                why = f"needs {needs[0]!r}, which nothing says" if needs else "does not only read"
                message = f"{tool.name} {why}, so a run cannot begin with it"
                self._problems.add((*here, "operation"), "bad_value", message)
        if form.entity is None:
            if form.operation is None or form.whole:
                word = "operation" if form.operation is None else "entity"
                message = f"says what is read: the word {word!r} is missing"
                self._problems.add(here, "missing_key", message, key=True)
            return
        if form.whole:
            self._operation(f"{form.entity}.get", here, "context with whole")
        elif form.operation is not None:
            message = "of how many of them it is asked is said by 'whole', which is missing"
            self._problems.add((*here, "operation"), "missing_key", message, key=True)
        tool = self._operation(f"{form.entity}.list", here, "context")
        if tool is not None and on not in tool.input_schema.get("properties", {}):
            message = f"{tool.name} takes no argument {on!r}, so it cannot list what belongs to one"
            self._problems.add(here, "bad_value", message)

    def _check_mention(self, form: language.Recipe, path: Path) -> None:
        """Check what a comment has to say: comments can be read, and somebody is meant."""
        mention, here = form.mention, (*path, "mention")
        if mention is None:
            return
        settings = dict.fromkeys(form.settings)
        self._template((*here, "name"), mention.name, {"settings": settings, "tenant": {"name": None}})
        known = form.entity if form.entity in self._entities else None
        if known is not None and comments_of(self._tools.get, known) is None:
            message = f"a comment is read anew: {form.entity} needs the operation comments, or comment a list"
            self._problems.add(here, "unknown_operation", message, key=True)

    def _check_schedule(self, form: language.Recipe, path: Path) -> None:
        if form.every is None:
            if form.zone is not None:
                message = "zone belongs to `every`, which is not there"
                self._problems.add((*path, "zone"), "missing_key", message, key=True)
            return
        if form.entity is not None:
            message = f"a time is about no {form.entity}: a recipe with an entity is started by `on`"
            self._problems.add((*path, "every"), "conflict", message, key=True)
        for word, check, value in (("every", check_schedule, form.every), ("zone", check_zone, form.zone)):
            try:
                if value is not None:
                    check(value)
            except BadScheduleError as error:
                self._problems.add((*path, word), "bad_value", str(error))

    def _check_settings(self, form: language.Recipe, path: Path) -> None:
        seen: dict[str, str] = {}
        for name, setting in form.settings.items():
            here = (*path, "settings", name)
            if not NAME.match(name):
                message = f"the setting {name!r} must be lower case letters, digits and _"
                self._problems.add(here, "bad_name", message, key=True)
            if setting.type in _SINGLE:
                if setting.type in seen:
                    message = f"{seen[setting.type]} is the {setting.type} already; there is one at most"
                    self._problems.add(here, "conflict", message, key=True)
                seen[setting.type] = name
            if (setting.type == "choice") != bool(setting.choices):
                message = "choices and type: choice belong together"
                self._problems.add(here, "conflict", message, key=True)
            elif setting.choices and setting.default is not None and setting.default not in setting.choices:
                message = f"cannot be {setting.default!r}; it is one of {', '.join(setting.choices)}"
                self._problems.add(
                    (*here, "default"), "bad_enum", message, words=setting.choices, word=str(setting.default)
                )

    def _check_reach(self, form: language.Recipe, path: Path) -> None:
        for index, scope in enumerate(form.tools or ()):
            here = (*path, "tools", index)
            if scope in ("read", "write"):
                continue
            if not _SCOPE.fullmatch(scope):
                message = f"{scope!r} is no scope: read, write, ENTITY.OPERATION or ENTITY.*"
                self._problems.add(here, "bad_value", message)
            elif scope.endswith(".*"):
                if scope[:-2] not in self._entities:
                    message = f"there is no entity {scope[:-2]!r}"
                    self._problems.add(
                        here, "unknown_entity", message, words=list(self._entities), word=scope[:-2]
                    )
            else:
                self._operation(scope, here, "this scope")
        for index, host in enumerate(form.network):
            if not _HOST.fullmatch(host):
                message = f"{host!r} is no host: write packages.example, *.example or host.example:8080"
                self._problems.add((*path, "network", index), "bad_value", message)

    def _check_engine(self, form: language.Recipe, path: Path) -> None:
        """What works at OpenAI asks nobody here while it does, and not all of it has a checkout."""
        if form.engine == "app_server":
            return
        if form.model is None:
            message = f"the engine {form.engine} needs a model"
            self._problems.add((*path, "engine"), "missing_key", message)
        has_checkout = form.engine == "agents_api"
        without = "works at OpenAI" if has_checkout else "works at OpenAI, without a checkout"
        publishes = form.publish.as_ if form.publish else "nothing"
        refused = {
            "publish": not has_checkout
            and publishes in ("pull_request", "patch")
            and f"publish a {publishes}",
            "approve": form.approve == "each_command" and "ask for commands",
            "fetch": bool(form.fetch) and "fetch anything beside it",
            "network": bool(form.network) and not has_checkout and "be bound to hosts",
        }
        for key, what in refused.items():
            if what:
                message = f"the engine {form.engine} {without}: it cannot {what}"
                self._problems.add((*path, key), "conflict", message, key=True)
        for index, host in enumerate(form.network if has_checkout else ()):
            if "*" in host or ":" in host:
                message = f"OpenAI bounds its sandbox to whole names of hosts, without a port: not {host!r}"
                self._problems.add((*path, "network", index), "conflict", message)

    def _check_output(self, form: language.Recipe, path: Path) -> None:
        if form.output is None:
            return
        if form.output.get("type") != "object":
            self._problems.add((*path, "output"), "bad_schema", "the schema of an output has type: object")
            return
        check_schema(form.output, self._problems, (*path, "output"))

    def _check_texts(self, form: language.Recipe, path: Path) -> None:
        names, people = self._names(form)
        self._template((*path, "prompt"), form.prompt, names)
        publish = form.publish or language.Publish.model_validate({})
        for word in ("title", "body"):
            if (text := getattr(publish, word)) is not None:
                self._template((*path, "publish", word), text, people)
        for moment, back in backs(form):
            self._check_back(form, back, (*path, "write_back", moment), people)
        for index, notice in enumerate(form.notify):
            here = (*path, "notify", index)
            tool = self._check_given(notice.call, "notify", notice.arguments, (*here, "arguments"), people)
            if tool is not None and tool.kind == "delete":
                message = f"{tool.name} deletes, and whoever is told loses something by it"
                self._problems.add((*here, "call"), "conflict", message)

    def _names(self, form: language.Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
        """Answer what a prompt may name, and what texts for people may."""
        settings = dict.fromkeys(form.settings)
        names: dict[str, Any] = {"settings": settings, "tenant": {"name": None}, "run": {"id": None}}
        run = {"id": None, "url": None, "state": None, "summary": None, "person": None}
        people: dict[str, Any] = {
            "settings": settings,
            "tenant": {"name": None},
            "run": {**run, "error": {"code": None, "message": None}},
            "pull_request": {"url": None, "number": None},
        }
        entity = self._entities.get(form.entity or "")
        if entity is not None and form.entity not in ("settings", "tenant", "run"):
            people[entity.name] = {"id": None, **{each.name: None for each in entity.fields}}
        return names, people

    def _check_back(
        self, form: language.Recipe, back: language.Back, here: Path, people: Mapping[str, Any]
    ) -> None:
        if back.comment is not None:
            place = (*here, "comment") if self._is_there((*here, "comment")) else here
            self._template(place, back.comment, people)
            if self._needs_entity(form, here):
                self._operation(f"{form.entity}.comment", place, "a comment")
        if back.update and self._needs_entity(form, here):
            self._check_given(f"{form.entity}.update", "an update", back.update, (*here, "update"), people)

    def _check_follow(self, form: language.Recipe, path: Path) -> None:
        """Check what becomes of a pull request: the forge tells it, and it can be read there."""
        follow, here = form.follow, (*path, "follow")
        if follow is None:
            return
        if form.publish is None or form.publish.as_ != "pull_request":
            message = "follow is for recipes that publish a pull_request"
            self._problems.add(here, "conflict", message, key=True)
        self._triggers.events("pull_request", follow.on, (*here, "on"))
        self._operation("pull_request.get", here, "follow")
        names, people = self._names(form)
        for moment in AFTERMATHS:
            if (back := getattr(follow, moment)) is not None:
                self._check_back(form, back, (*here, moment), people)
        if follow.prompt is not None or follow.approved is not None:
            self._operation("pull_request.reviews", here, "follow")
        if follow.prompt is not None:
            self._template((*here, "prompt"), follow.prompt, names)
        else:
            for word in ("changes_requested", "when", "rounds"):
                if word in follow.model_fields_set:
                    message = f"{word} is about Codex going on, and the word 'prompt' is missing"
                    self._problems.add((*here, word), "missing_key", message, key=True)
        review = self._triggers.read_by("pull_request.reviews", "review")
        self._triggers.condition(follow.when, (*here, "when"), review)

    def _check_given(
        self, key: str, what: str, given: Mapping[str, Any], path: Path, names: Mapping[str, Any]
    ) -> Tool | None:
        """Check the arguments of a call that a run makes by itself."""
        place = path if what != "notify" else (*path[:-1], "call")
        tool = self._operation(key, place, what)
        known = tool.input_schema.get("properties", {}) if tool else {}
        taken = ("id", "account", "dry_run") if what != "notify" else ("dry_run",)
        for field, value in given.items():
            here = (*path, field)
            if tool is not None and (field not in known or field in taken):
                message = f"{tool.name} takes no {field!r}"
                self._problems.add(here, "unknown_field", message, words=list(known), word=field, key=True)
            elif isinstance(value, str) and "{" in value:
                self._template(here, value, names)
            elif (words := known.get(field, {}).get("enum")) and value not in words:
                message = f"cannot be {value!r}; it is one of {', '.join(map(str, words))}"
                self._problems.add(here, "bad_enum", message, words=map(str, words), word=str(value))
        if tool is not None and what == "notify":
            for name in tool.input_schema.get("required", ()):
                if name not in given:
                    message = f"{tool.name} needs {name!r}"
                    self._problems.add(path[:-1], "missing_key", message, key=True)
        return tool

    def _check_publishing(self, form: language.Recipe, path: Path) -> None:
        publish = form.publish
        if publish is None:
            return
        if form.entity == "pull_request" and publish.as_ == "review":
            # It is where its pull request is; the setting only narrows it.
            for operation in ("files", "review", "reviews"):
                self._operation(f"pull_request.{operation}", (*path, "publish"), "a review")
            return
        kinds = {setting.type for setting in form.settings.values()}
        if publish.as_ != "nothing" and form.repository is None and "repository" not in kinds:
            message = f"publishing a {publish.as_} needs a setting of type repository"
            self._problems.add((*path, "publish"), "missing_key", message, key=True)

    def _check_place(self, form: language.Recipe, path: Path) -> None:
        """Check how the repository follows from the thing: only among those that the tenant names."""
        kinds = {setting.type: name for name, setting in form.settings.items()}
        if form.repository is None:
            if "repositories" in kinds:
                message = "of several repositories the word 'repository' of the recipe chooses one"
                here = (*path, "settings", kinds["repositories"])
                self._problems.add(here, "missing_key", message, key=True)
            return
        here = (*path, "repository")
        self._triggers.condition(
            form.repository, here, self._triggers.read_by(f"{form.entity}.get", form.entity)
        )
        if form.entity is None:
            message = "repository looks at an entity, and the recipe has none"
            self._problems.add(here, "missing_key", message, key=True)
        if "repositories" not in kinds:
            message = "repository chooses among a setting of type repositories, which the tenant is asked for"
            self._problems.add(here, "missing_key", message, key=True)
        if "repository" in kinds:
            message = f"the setting {kinds['repository']} says where the work is done already"
            self._problems.add(here, "conflict", message, key=True)

    def _needs_entity(self, form: language.Recipe, path: Path) -> bool:
        if form.entity is None:
            message = "there is nothing to write back to: the recipe has no entity"
            self._problems.add(path, "missing_key", message, key=True)
        return form.entity in self._entities

    def _is_there(self, path: Path) -> bool:
        return self._problems.root.find(path)[1] == len(path)

    def _template(self, path: Path, text: str, names: Mapping[str, Any]) -> None:
        from linkspan.spec import templates

        try:
            templates.check(text, names)
        except templates.BadTemplateError as error:
            self._problems.add(
                path, "bad_template", error.message, offset=error.column, row=error.row,
                word=error.word, words=error.words or None,
            )  # fmt: skip
