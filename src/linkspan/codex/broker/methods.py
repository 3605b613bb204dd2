"""What of the app-server's protocol is open to products, decided for every method, parameter and input type.

A method that is not in `OPEN` does not exist here, nor does a parameter that its row does not take. The rest
is written down as well, so that a new version of Codex cannot bring something that nobody has thought of:
`tests/codex/broker/test_methods.py` holds these tables against the schema that the binary itself writes.

Nothing of a request is ever handed on to a Codex: what is taken is answered from runs (runs/threads.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs

from linkspan.errors import InvalidArgument, NotFound

Json = dict[str, Any]
_ID: Final[Json] = {"type": "string", "minLength": 1, "maxLength": 100}
_COUNT: Final[Json] = {"type": ["integer", "null"], "minimum": 1, "maximum": 100}
_PLACE: Final[Json] = {"type": ["string", "null"], "maxLength": 200}
_NAME: Final[Json] = {"type": "string", "maxLength": 200}
_FLAG: Final[Json] = {"type": ["boolean", "null"]}
_WORDS: Final[Json] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 20,
    "items": {
        "type": "object",
        "properties": {
            "type": {"const": "text"},
            "text": {"type": "string", "maxLength": 20_000},
            "text_elements": {"type": "array", "maxItems": 0},
        },
        "required": ["type", "text"],
        "additionalProperties": False,
    },
}
INPUTS: Final[Mapping[str, bool]] = {
    "text": True,
    "image": False,
    "localImage": False,
    "audio": False,
    "localAudio": False,
    "skill": False,
    "mention": False,
}
"""Which types of input are taken. Local files and skills are of our machine, and so are paths of mentions."""


class MethodNotOpen(NotFound):
    """A method of the protocol that is not open here, or none at all."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method that is open."""

    takes: Mapping[str, Json]
    """Its parameters, each as JSON Schema."""
    needs: tuple[str, ...] = ()
    refuses: frozenset[str] = frozenset()
    """Parameters of Codex's that are refused, unless they are null: that says nothing."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SETTLED: Final = (
    "approvalPolicy approvalsReviewer baseInstructions config cwd developerInstructions model modelProvider"
    " permissions personality runtimeWorkspaceRoots serviceTier"
)
"""What a thread is worked with is the recipe's to say: sandbox, folder, model, instructions."""

OPEN: Final[Mapping[str, Method]] = {
    "initialize": Method(
        {
            "clientInfo": {
                "type": "object",
                "properties": {"name": _NAME, "version": _NAME, "title": {"type": ["string", "null"]}},
                "required": ["name", "version"],
            },
            "capabilities": {
                "type": ["object", "null"],
                "properties": {
                    "optOutNotificationMethods": {
                        "type": ["array", "null"],
                        "items": _NAME,
                        "maxItems": 200,
                    }
                },
            },
        },
        ("clientInfo",),
    ),
    "thread/start": Method(
        {},
        refuses=_names(
            f"{_SETTLED} allowProviderModelFallback daybreakEnabled dynamicTools environments ephemeral"
            " experimentalRawEvents historyMode mockExperimentalField multiAgentMode projectId sandbox"
            " selectedCapabilityRoots serviceName sessionStartSource threadSource"
        ),
    ),
    "thread/resume": Method(
        {"threadId": _ID, "excludeTurns": _FLAG},
        ("threadId",),
        _names(f"{_SETTLED} history initialTurnsPage path sandbox"),
    ),
    "thread/read": Method({"threadId": _ID, "includeTurns": _FLAG}, ("threadId",)),
    "thread/list": Method(
        {"limit": _COUNT, "cursor": _PLACE},
        refuses=_names(
            "ancestorThreadId archived attachedToThreadId currentAccountOnly cwd excludedThreadIds"
            " includeAttachedThreads modelProviders originators parentThreadId projectId searchTerm sectionId"
            " sortDirection sortKey sourceKinds useStateDbOnly"
        ),
    ),
    "thread/turns/list": Method(
        {
            "threadId": _ID,
            "limit": _COUNT,
            "cursor": _PLACE,
            "sortDirection": {"enum": ["asc", "desc", None]},
        },
        ("threadId",),
        _names("itemsView"),
    ),
    "thread/unsubscribe": Method({"threadId": _ID}, ("threadId",)),
    "turn/start": Method(
        {"threadId": _ID, "input": _WORDS, "clientUserMessageId": _PLACE},
        ("threadId", "input"),
        _names(
            "additionalContext approvalPolicy approvalsReviewer collaborationMode cwd cyberAccessProgram"
            " disabledPluginIds effort environments model multiAgentMode outputSchema parentTurnId"
            " permissions personality responsesapiClientMetadata responsesapiClientMetadataPatch rootTurnId"
            " runtimeWorkspaceRoots sandboxPolicy serviceTier serviceTierForTurn summary toolOutput"
            " turnTrigger"
        ),
    ),
    "turn/steer": Method(
        {"threadId": _ID, "expectedTurnId": _ID, "input": _WORDS, "clientUserMessageId": _PLACE},
        ("threadId", "expectedTurnId", "input"),
        _names("additionalContext responsesapiClientMetadata responsesapiClientMetadataPatch"),
    ),
    "turn/interrupt": Method({"threadId": _ID, "turnId": _ID}, ("threadId", "turnId")),
    "model/list": Method(
        {"limit": _COUNT, "cursor": _PLACE, "includeHidden": _FLAG}, refuses=_names("modelProvider")
    ),
}
"""Every method that is open, and every parameter that Codex has for it, taken or refused."""

CLOSED: Final[Mapping[str, frozenset[str]]] = {
    "They read, write and run things on our machine, outside of any sandbox.": _names(
        "command/exec command/exec/resize command/exec/terminate command/exec/write environment/add"
        " environment/info environment/status fs/copy fs/createDirectory fs/getMetadata fs/readDirectory"
        " fs/readFile fs/remove fs/unwatch fs/watch fs/writeFile fuzzyFileSearch fuzzyFileSearch/sessionStart"
        " fuzzyFileSearch/sessionStop fuzzyFileSearch/sessionUpdate process/kill process/resizePty"
        " process/spawn process/writeStdin thread/backgroundTerminals/clean thread/backgroundTerminals/list"
        " thread/backgroundTerminals/terminate thread/shellCommand windowsSandbox/readiness"
        " windowsSandbox/setupStart"
    ),
    "They read and change how Codex is set up, which the operator and the recipe say.": _names(
        "collaborationMode/list config/batchWrite config/mcpServer/reload config/read config/value/write"
        " configRequirements/read experimentalFeature/enablement/set experimentalFeature/list"
        " externalAgentConfig/detect externalAgentConfig/import externalAgentConfig/import/readHistories"
        " externalAgentConfig/import/recordHistory hooks/list modelProvider/capabilities/read"
        " modelProvider/config/write modelProvider/list permissionProfile/list skills/config/write"
        " skills/extraRoots/set skills/list thread/memoryMode/set thread/settings/update turn/settings/update"
    ),
    "They are about the account that pays, or about who sits at a computer of their own.": _names(
        "account/bedrock/checkGovCloudRequirements account/bedrock/discover account/bedrock/setup"
        " account/gatewayOAuth/cancel account/gatewayOAuth/login account/gatewayOAuth/read account/gcp/setup"
        " account/login/cancel account/login/start account/logout account/rateLimitResetCredit/consume"
        " account/rateLimits/read account/read account/securitySetup/read account/sendAddCreditsNudgeEmail"
        " account/usage/read account/workspaceMessages/read accountSession/list accountSession/switch"
        " userVerification/cancel userVerification/delete userVerification/enroll userVerification/status"
        " userVerification/verify"
    ),
    "They would bring other tools than the recipe's, or use its tools past Codex.": _names(
        "app/installed app/list app/read marketplace/add marketplace/remove marketplace/upgrade"
        " mcpServer/event/stream/start mcpServer/event/stream/stop mcpServer/oauth/login"
        " mcpServer/resource/read mcpServer/tool/call mcpServerStatus/list plugin/install plugin/installed"
        " plugin/list plugin/read plugin/reconcile plugin/search plugin/share/checkout plugin/share/delete"
        " plugin/share/list plugin/share/save plugin/share/updateTargets plugin/skill/read plugin/uninstall"
    ),
    "They tell others of this machine, or let others drive it.": _names(
        "feedback/save feedback/upload remoteControl/client/list remoteControl/client/revoke"
        " remoteControl/disable remoteControl/enable remoteControl/pairing/start remoteControl/pairing/status"
        " remoteControl/status/read server/diagnostics"
    ),
    "They go around what a turn is here: a person's words, a limit, a row in the history.": _names(
        "review/start thread/approveGuardianDeniedAction thread/compact/start thread/decrement_elicitation"
        " thread/fork thread/goal/clear thread/goal/get thread/goal/set thread/guardianReview"
        " thread/increment_elicitation thread/inject_items thread/prediction/request"
        " thread/prepareApprovedPlan thread/queue/add thread/queue/delete thread/queue/list"
        " thread/queue/reorder thread/queue/start thread/queue/update thread/realtime/appendAudio"
        " thread/realtime/appendSpeech thread/realtime/appendText thread/realtime/listVoices"
        " thread/realtime/start thread/realtime/stop thread/revert thread/sample thread/sample/cancel"
    ),
    "They order threads for one person's own Codex; here a thread is part of the history.": _names(
        "memory/reset memory/status project/create project/delete project/import project/list project/move"
        " project/read project/update rollout/compress thread/archive thread/attachment/add"
        " thread/attachment/list thread/attachment/remove thread/attachmentOwner/list thread/delete"
        " thread/items/list thread/items/read thread/loaded/list thread/memory/read thread/metadata/update"
        " thread/name/set thread/readState/update thread/search thread/searchOccurrences thread/section/move"
        " thread/timeline/list thread/unarchive threadSection/create threadSection/delete threadSection/list"
        " threadSection/update"
    ),
    "They are for tests of Codex's own.": _names("mock/experimentalMethod"),
}
"""Every other method, with why it is closed."""

ASKED: Final[Mapping[str, bool]] = {
    "item/commandExecution/requestApproval": True,
    "item/fileChange/requestApproval": True,
    "item/permissions/requestApproval": True,
    "item/tool/requestUserInput": False,
    "item/tool/call": False,
    "mcpServer/elicitation/request": False,
    "account/chatgptAuthTokens/refresh": False,
    "attestation/generate": False,
    "currentTime/read": False,
    "applyPatchApproval": False,
    "execCommandApproval": False,
}
"""Which of Codex's questions reach a product: those that are for a person to decide."""

TOLD: Final = frozenset(
    {
        "error",
        "item/agentMessage/delta",
        "item/commandExecution/outputDelta",
        "item/completed",
        "item/reasoning/summaryTextDelta",
        "item/started",
        "serverRequest/resolved",
        "thread/started",
        "thread/status/changed",
        "turn/completed",
        "turn/diff/updated",
        "turn/plan/updated",
        "turn/started",
        "warning",
    }
)
"""What products are told without asking; a session sends nothing else."""

_CHECKS: Final = {
    name: jsonschema_rs.validator_for(
        {
            "type": "object",
            "properties": dict(method.takes),
            "required": list(method.needs),
            "additionalProperties": False,
        }
    )
    for name, method in OPEN.items()
}


def params_of(name: str, params: Any) -> Json:
    """Answer the parameters of a request, judged.

    Raises `MethodNotOpen`, and `InvalidArgument` for what the table does not take.
    """
    method = OPEN.get(name)
    if method is None:
        raise MethodNotOpen(
            f"the method {name[:100]!r} is not open here", hint=f"There are {', '.join(OPEN)}."
        )
    given = {} if params is None else params
    if not isinstance(given, dict):
        raise InvalidArgument(f"{name}: params must be an object")
    taken = {key: value for key, value in given.items() if key not in method.refuses or value is not None}
    closed = sorted(method.refuses & taken.keys())
    if closed:
        raise InvalidArgument(
            f"{name} does not take {', '.join(closed)} here", hint="The recipe says that; leave it away."
        )
    for fault in _CHECKS[name].iter_errors(taken):
        where = ".".join(map(str, fault.instance_path)) or "params"
        raise InvalidArgument(f"{name}: {where}: {fault.message[:300]}")
    # JSON Schema counts 2.0 among the integers (2020-12, §4.2.2); no number that the table takes is another.
    return {key: int(value) if isinstance(value, float) else value for key, value in taken.items()}


def words_of(given: list[Json]) -> str:
    """Answer what a person says with an input."""
    return "\n\n".join(str(part["text"]) for part in given)
