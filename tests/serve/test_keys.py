"""Keys open the service; the state of the service needs none."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import assert_problem, running

from sonotype.core.errors import OptionsError
from sonotype.inference.load import load
from sonotype.serve import keys
from sonotype.serve.keys import Keys, read_keys

FIRST, SECOND = "first key 1234567", "second-key-1234567"


def test_a_key_is_required(onnx_model: Path, sounds: dict[str, Path]) -> None:
    content = sounds["dog.wav"].read_bytes()
    with running(load(onnx_model), keys=(FIRST, SECOND)) as client:
        for route in ("/v1/classify", "/v1/detect"):
            refused = client.post(route, content=content)
            assert_problem(refused, "key-required")
            assert refused.headers["www-authenticate"] == "Bearer"
        for route in ("/v1/model", "/metrics"):
            assert_problem(client.get(route), "key-required")
        for wrong in ("", "Bearer", f"Bearer {FIRST}x", f"Basic {FIRST}", "Bearer \xff"):
            headers = {"authorization": wrong.encode("latin-1")}
            assert_problem(client.get("/v1/model", headers=headers), "key-required")  # type: ignore[arg-type]
        for headers in (
            {"authorization": f"Bearer {FIRST}"},
            {"authorization": f"bearer {SECOND}"},
            {"x-api-key": SECOND},
        ):
            assert client.get("/v1/model", headers=headers).status_code == 200
            answer = client.post("/v1/classify", content=content, headers=headers)
            assert answer.status_code == 200
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        document = client.get("/openapi.json").json()
        assert document["paths"]["/v1/classify"]["post"]["security"]
        assert "security" not in document["paths"]["/healthz"]["get"]
        assert FIRST not in str(document)


def test_all_keys_are_compared_as_digests_of_one_length(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    known = Keys((FIRST, SECOND))
    assert known.allow({"x-api-key": FIRST})
    assert not known.allow({"x-api-key": "x"})
    assert not known.allow({})
    assert len(compared) == 6, "the first match does not end the comparison"
    assert {len(value) for pair in compared for value in pair} == {32}


def test_without_keys_the_service_is_open() -> None:
    assert Keys().allow({})
    assert not Keys()


def test_keys_come_from_a_file_and_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(
        f"\ufeff# of the lab\n  # an indented comment\n{FIRST}\n\n  {SECOND}  \n", encoding="utf-8"
    )
    assert read_keys(file, "") == (FIRST, SECOND)
    assert read_keys(None, f"{FIRST}, {SECOND},") == (FIRST, SECOND)
    assert read_keys(None, "") == ()


@pytest.mark.parametrize(
    ("content", "variable", "said"),
    [
        ("# none\n", "", "has no key"),
        (None, "", "cannot be read"),
        (None, "short", "fewer than 16"),
        (None, " , ", "has no key"),
        (None, "schl\u00fcssel-1234567890", "ASCII"),
        ("a key\twith a tab 1234\n", "", "ASCII"),
    ],
)
def test_unusable_keys(tmp_path: Path, content: str | None, variable: str, said: str) -> None:
    file = tmp_path / "keys.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OptionsError, match=said):
        read_keys(None if variable else file, variable)
