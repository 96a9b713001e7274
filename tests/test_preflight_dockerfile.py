"""Dockerfiles in their many forms, read as Docker reads them."""

from pathlib import Path

import pytest

from preflight.dockerfile_reader import DockerfileError, decode_dockerfile, read_dockerfile

ROOT = Path(__file__).parents[1]


def test_the_kits_own():
    read = read_dockerfile((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    stage, arguments = read.stage, read.arguments
    assert stage.base == arguments["BASE_IMAGE"] and stage.base.startswith("cr.metax-tech.com/")
    assert arguments["MODEL_ID"] == "Qwen/Qwen3-4B"
    assert stage.environment["PYTHONUNBUFFERED"] == "1"
    assert stage.environment["MODEL_DIR"] == "/app/model/served"
    assert stage.ports == ["8000"] and '"--port", "8000"' in stage.command


def test_values_in_all_their_forms():
    read = read_dockerfile(
        """# syntax=docker/dockerfile:1
ARG BASE=registry/image:1 OTHER="two words"
FROM --platform=linux/amd64 ${BASE}
arg BASE OTHER
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
    stage, arguments = read.stage, read.arguments
    assert (stage.base, arguments["BASE"]) == ("registry/image:1", "registry/image:1")
    assert stage.environment == {
        **{"A": "1", "B": "two words", "C": "x", "D": "given", "E": "a b", "F": "set"},
        "OLD": "all of this",
    }  # C: values of the same line are not yet there
    assert stage.ports == ["8000"]
    assert stage.entrypoint == '["uvicorn",    "serve:app"]'


def test_the_final_stage_counts_with_what_it_builds_on():
    read = read_dockerfile(
        "FROM python:3.10 AS fetch\nARG MODEL_ID=me/book\nENV PORT=1\nEXPOSE 1\n"
        "FROM image AS base\nENV A=1\nEXPOSE 8000\nCMD first\n"
        "FROM Base\nENV B=$A\nCMD last\n"
    )
    stage, arguments = read.stage, read.arguments
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
        ("FROM x\nRUM pip\n", "did you mean RUN"),
        ("FROM $IMAGE\n", "no image"),
        ("FROM x\nRUN <<E\ntrue\n", "no E ends it"),
        ("FROM x\nCOPY a\n", "a source and a target"),
    ],
)
def test_what_docker_refuses(text, message):
    with pytest.raises(DockerfileError, match=message):
        read_dockerfile(text)


def test_bytes_as_docker_takes_them():
    text = decode_dockerfile(b"\xef\xbb\xbf" + "# 我的\nFROM x\n".encode("gbk"))
    assert read_dockerfile(text).stage.base == "x"
    with pytest.raises(DockerfileError, match="UTF-16"):
        decode_dockerfile("FROM x\n".encode("utf-16"))


def test_lines_that_only_look_like_a_heredoc():
    read = read_dockerfile(
        '# escape=`\nFROM\tx\nRUN cat <<<"EOF"\nRUN echo $((1<<3)) `\n  && true\nCMD run `\n'
    )
    assert read.stage.command == "run" and read.buildkit == []
    assert len(read.runs) == 2


def test_what_an_older_builder_would_refuse():
    read = read_dockerfile("FROM x\nRUN --mount=type=cache,target=/c pip\nCOPY --link a b\n")
    assert read.buildkit == ["RUN --mount", "COPY --link"]
