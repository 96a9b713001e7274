"""Dockerfiles in their many forms, read as Docker reads them."""

from pathlib import Path

import pytest

from preflight.dockerfile_reader import DockerfileError, read_dockerfile

ROOT = Path(__file__).parents[1]


def test_the_kits_own():
    stage, arguments = read_dockerfile((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert stage.base == arguments["BASE_IMAGE"] and stage.base.startswith("cr.metax-tech.com/")
    assert arguments["MODEL_ID"] == "Qwen/Qwen3-4B"
    assert stage.environment["PYTHONUNBUFFERED"] == "1"
    assert stage.environment["MODEL_DIR"] == "/app/model/served"
    assert stage.ports == ["8000"] and '"--port", "8000"' in stage.command


def test_values_in_all_their_forms():
    stage, arguments = read_dockerfile(
        """# syntax=docker/dockerfile:1
ARG BASE=registry/image:1 OTHER="two words"
FROM --platform=linux/amd64 ${BASE}
arg BASE
env A=1 B="two words" \\
    # a comment in between

    C=${A}x D=${NONE:-given} E=a\\ b \\
    F=${OTHER:+set}
ENV OLD  all of this
RUN <<EOF
ENV NOT=1
EOF
EXPOSE 8000/tcp
ENTRYPOINT ["uvicorn", \\
  "serve:app"]
CMD ["--port", "8000"]
"""
    )
    assert (stage.base, arguments["BASE"]) == ("registry/image:1", "registry/image:1")
    assert stage.environment == {
        **{"A": "1", "B": "two words", "C": "x", "D": "given", "E": "a b", "F": "set"},
        "OLD": "all of this",
    }  # C: values of the same line are not yet there
    assert stage.ports == ["8000"]
    assert stage.entrypoint == '["uvicorn",    "serve:app"]'


def test_the_final_stage_counts_with_what_it_builds_on():
    stage, arguments = read_dockerfile(
        "FROM python:3.10 AS fetch\nARG MODEL_ID=me/book\nENV PORT=1\nEXPOSE 1\n"
        "FROM image AS base\nENV A=1\nEXPOSE 8000\nCMD first\n"
        "FROM Base\nENV B=$A\nCMD last\n"
    )
    assert stage.base == "image" and stage.environment == {"A": "1", "B": "1"}
    assert (stage.ports, stage.command) == (["8000"], "last")
    assert arguments == {"MODEL_ID": "me/book"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "no FROM"),
        ("ENV A=1\nFROM x\n", "before the first FROM"),
        ("FROM x\nENV A=1 B\n", "'B' has no value"),
        ("FROM x\nENV A\n", "NAME=value"),
        ('FROM x\nENV A="1\n', "ENV A"),
    ],
)
def test_what_docker_refuses(text, message):
    with pytest.raises(DockerfileError, match=message):
        read_dockerfile(text)
