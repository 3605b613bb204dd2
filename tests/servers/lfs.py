"""Git LFS as a forge has it: the Batch API below a repository, and the objects beside it.

It stands in a git server (`GitServer.lfs`), whose people are its people. What it answers of an object can be
bent, as a forge that is broken or hostile would.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
TYPE = "application/vnd.git-lfs+json"


def pointer(data: bytes) -> bytes:
    """Answer the pointer that stands for content in a commit."""
    return pointer_of(hashlib.sha256(data).hexdigest(), len(data))


def pointer_of(oid: str, size: int) -> bytes:
    """Answer a pointer to what need not be anywhere."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()


@dataclass
class Lfs:
    """Its objects by their ids, who asked for what, and what is bent."""

    url: str
    objects: dict[str, bytes] = field(default_factory=dict)
    bend: dict[str, Callable[[dict[str, Any]], object]] = field(default_factory=dict)
    """By the id of an object: changes what is told of it."""
    sent: dict[str, Answer] = field(default_factory=dict)
    """By the last part of a path: what is answered there."""
    busy: dict[str, list[Answer]] = field(default_factory=dict)
    """By the last part of a path: what is answered there first, each once."""
    batch: Answer | None = None
    """What every question is answered with instead."""
    asked: list[list[str]] = field(default_factory=list)
    """The ids of each question that was let in."""
    fetched: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """Path and headers of each request for content."""

    def add(self, data: bytes, bend: Callable[[dict[str, Any]], object] | None = None) -> bytes:
        """Take an object in and answer its pointer."""
        oid = hashlib.sha256(data).hexdigest()
        self.objects[oid] = data
        if bend is not None:
            self.bend[oid] = bend
        return pointer(data)

    def answer(self, path: str, headers: Mapping[str, str], body: bytes, user: str | None) -> Answer | None:
        """Answer a request; None for what is no business of LFS."""
        if first := self.busy.get(path.rpartition("/")[2]):
            return first.pop(0)
        if path.endswith("/info/lfs/objects/batch"):
            if user is None:
                return 401, {"lfs-authenticate": 'Basic realm="forge"'}, b"{}"
            return self.batch or self._batch(headers, json.loads(body))
        if "/lfs-objects/" in path:
            self.fetched.append((path, headers))
            oid = path.rpartition("/")[2]
            if oid in self.sent:
                return self.sent[oid]
            if user is None and headers.get("x-ticket") != "good":
                return 401, {}, b""
            data = self.objects.get(oid)
            return (
                (404, {}, b"") if data is None else (200, {"content-type": "application/octet-stream"}, data)
            )
        return None

    def _batch(self, headers: Mapping[str, str], asked: dict[str, Any]) -> Answer:
        good = asked["operation"] == "download" and "basic" in asked.get("transfers", ["basic"])
        if headers.get("accept") != TYPE or headers.get("content-type") != TYPE or not good:
            return 422, {"content-type": TYPE}, b'{"message": "no question of LFS"}'
        self.asked.append([each["oid"] for each in asked["objects"]])
        if len(asked["objects"]) > 100:
            return 413, {"content-type": TYPE}, b'{"message": "too many"}'
        told = {"transfer": "basic", "objects": [self._one(each) for each in asked["objects"]]}
        return 200, {"content-type": TYPE}, json.dumps(told).encode()

    def _one(self, asked: dict[str, Any]) -> dict[str, Any]:
        oid = asked["oid"]
        if oid not in self.objects:
            return {**asked, "error": {"code": 404, "message": "Object does not exist"}}
        told = {**asked, "actions": {"download": {"href": f"{self.url}/lfs-objects/{oid}"}}}
        if oid in self.bend:
            self.bend[oid](told)
        return told
