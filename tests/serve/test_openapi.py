"""The OpenAPI document: its command lines run, its examples are like real answers, and schemathesis
finds no answer that it does not describe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from sonotype.serve.problems import PROBLEMS
from sonotype.serve.schemas import BASE, EXAMPLES, ClassifyAnswer, DetectAnswer, ModelAnswer, State

MODELS = {"classify": ClassifyAnswer, "detect": DetectAnswer, "model": ModelAnswer,
          "healthz": State, "readyz": State}  # fmt: skip


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: {"path": path, "method": method, **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def curl(client: httpx.Client, line: str, sounds: dict[str, Path]) -> httpx.Response:
    """Send what a command line with curl sends; its files are those of the tests."""
    words = shlex.split(line)
    assert words.pop(0) == "curl"
    address = words.pop()
    assert address.startswith(BASE)
    headers, files, content = {}, [], None
    known = {"dog.wav": "dog.wav", "night.wav": "night.flac", "cat.flac": "cat.mp3"}
    while words:
        flag, value = words.pop(0), words.pop(0)
        if flag == "-H":
            name, _, text = value.partition(": ")
            headers[name] = text
        elif flag == "-F":
            field, _, name = value.partition("=@")
            files.append((field, (name, sounds[known[name]].read_bytes())))
        else:
            assert flag == "--data-binary"
            content = sounds[known[value.removeprefix("@")]].read_bytes()
    method = "POST" if files or content else "GET"
    return client.request(
        method, address.removeprefix(BASE), headers=headers, files=files or None, content=content
    )


def shape(value: Any) -> Any:
    """The keys of JSON values, of the first entry of a list."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


def test_the_examples_can_be_replayed(
    client: httpx.Client, document: dict[str, Any], sounds: dict[str, Path]
) -> None:
    found = operations(document)
    assert set(found) == {"classify", "detect", "model", "metrics", "healthz", "readyz"}
    for name, operation in found.items():
        assert operation["x-codeSamples"]
        for sample in operation["x-codeSamples"]:
            answer = curl(client, sample["source"], sounds)
            assert answer.status_code == 200, (sample, answer.text)
            if name == "metrics":
                continue
            values, example = answer.json(), EXAMPLES[name]
            described = operation["responses"]["200"]["content"]["application/json"]
            assert described["example"] == example
            for one in (values, example):
                MODELS[name].model_validate(one, extra="forbid")
            if name == "detect":
                values["results"][0]["events"] = values["results"][0]["events"] or [dict.fromkeys(
                    example["results"][0]["events"][0])]  # fmt: skip
            assert shape(values) == shape(example)


def test_every_problem_has_an_example(document: dict[str, Any]) -> None:
    shown = {}
    for operation in operations(document).values():
        for status, answer in operation["responses"].items():
            if status == "200":
                continue
            [(media, content)] = answer["content"].items()
            assert media == "application/problem+json"
            for name, example in content["examples"].items():
                kind = PROBLEMS[name]
                assert example["value"]["type"] == f"/problems/{name}"
                assert example["value"]["title"] == kind.title
                assert example["value"]["status"] == kind.status == int(status)
                shown[name] = kind
    assert set(PROBLEMS) - set(shown) == {"not-found", "method-not-allowed"}


def test_schemathesis_finds_nothing(client: httpx.Client) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(str(client.base_url.join("/openapi.json")))
    quick = settings(
        max_examples=25, deadline=None, database=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    tested = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @quick
        @given(case=operation.as_strategy())
        def run(case: Any) -> None:
            nonlocal tested
            tested += 1
            case.call_and_validate(
                base_url=str(client.base_url).rstrip("/"),
                # Bytes that the schema allows need not be a sound.
                excluded_checks=[positive_data_acceptance],
            )

        run()
    assert tested >= 6
