"""What the build would copy, start and import, read from a Dockerfile and a commit's files."""

import shutil

import pytest

from preflight.build_context import put_together
from preflight.dockerfile_reader import DockerfileError, read_dockerfile
from preflight.fetched_model import fetch_lines, fetched
from preflight.imports import import_lines
from preflight.packages import RequirementsError, installs_of, names_in
from preflight.served_by import server_of, serving_lines, started
from tests.preflight_repository import config, failing, git, warning

pytest_plugins = ["tests.preflight_repository"]
COMMAND = "uvicorn serve:app --host 0.0.0.0 --port 8000"


def image_of(tmp_path, dockerfile, files, ignore=""):
    """The image's root, the stage, and what is told of files that are not there."""
    context = tmp_path / "context"
    for name, text in {**files, ".dockerignore": ignore}.items():
        path = context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    stage = read_dockerfile(f"FROM image\nWORKDIR /app\n{dockerfile}").stage
    names = [*files, ".dockerignore"]
    lines = put_together(context, names, stage, tmp_path / "image")
    return tmp_path / "image", stage, lines


def inside(image):
    return {p.relative_to(image).as_posix() for p in image.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("copy", "there"),
    [
        ("COPY a.py b.py ./", {"app/a.py", "app/b.py"}),
        ("COPY a.py /app", {"app/a.py"}),
        ("COPY a.py x/c.py", {"app/x/c.py"}),
        ("COPY pkg there", {"app/there/m.py", "app/there/sub/n.py"}),
        ("COPY pkg/sub /there/", {"there/n.py"}),
        ('COPY ["a.py", "b.py", "x/"]', {"app/x/a.py", "app/x/b.py"}),
        ("COPY *.py pkg/s*b none* x/", {"app/x/a.py", "app/x/b.py", "app/x/n.py"}),
        ("COPY --chown=1:1 a.py ./\nCOPY --from=other /z z", {"app/a.py"}),
        ("COPY . .", {f"app/{n}" for n in ("a.py", "b.py", "pkg/m.py", "pkg/sub/n.py")}),
        ("COPY <<EOF settings.env\nA=1\nEOF", {"app/settings.env"}),
    ],
)
def test_files_come_where_docker_puts_them(tmp_path, copy, there):
    files = {name: "" for name in ("a.py", "b.py", "pkg/m.py", "pkg/sub/n.py")}
    image, _, lines = image_of(tmp_path, copy, files, ".dockerignore")
    assert inside(image) == there
    assert lines == []


@pytest.mark.parametrize(
    ("copy", "ignore", "why"),
    [
        ("COPY model/ model/", "", "model/ is not in the commit"),
        ("COPY none*.py ./", "", "none*.py is not in the commit"),
        ("COPY ../x x", "", "outside of the repository"),
        ("COPY a.py ./", "*\n!pkg", "a.py is left out by .dockerignore: add a line !a.py"),
        ("COPY pkg pkg", "**/*.py", "left out by .dockerignore"),
        ("COPY pkg pkg", "pkg\n", "left out by .dockerignore"),
    ],
)
def test_what_is_not_there_to_be_copied(tmp_path, copy, ignore, why):
    _, _, lines = image_of(tmp_path, copy, {"a.py": "", "pkg/m.py": ""}, ignore)
    (line,) = lines
    assert line.state == "fail" and why in line.why


def test_a_pointer_of_git_lfs_is_warned_of(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    _, _, (line,) = image_of(tmp_path, "COPY a.npy ./", {"a.npy": pointer})
    assert line.state == "warn" and "a.npy" in line.why


def told(tmp_path, dockerfile, **files):
    files = {name.replace("_", "."): text for name, text in files.items()}
    copied = f"COPY {' '.join(files)} ./\n"
    image, stage, _ = image_of(tmp_path, copied + dockerfile, {"serve.py": "", **files})
    words = started(stage)
    server = server_of(words, stage, image)
    lines = serving_lines(words, server, image, stage, "8000")
    return {line.what: line for line in lines}


GOOD = [
    f"CMD {COMMAND}",
    'CMD ["uvicorn", "serve:app", "--host=0.0.0.0"]',
    'ENTRYPOINT ["python3", "-m", "uvicorn", "serve:app"]\nCMD ["--host", "0.0.0.0"]',
    "ENV PORT=8000\nCMD exec uvicorn serve:app --host 0.0.0.0 --port ${PORT:-9000}",
    "ENV UVICORN_HOST=0.0.0.0 UVICORN_PORT=8000\nCMD uvicorn serve:app",
    'CMD ["gunicorn", "serve:app", "-b", "0.0.0.0:8000"]',
    'CMD ["bash", "start.sh"]',
    'ENTRYPOINT ["./start.sh"]',
    'CMD ["sh", "-c", "cd /app && ./start.sh"]',
    'CMD ["python3", "run.py"]',
]
SCRIPT = f"#!/bin/bash\n# uvicorn on 9000\nexport PORT=8000\nexec {COMMAND[:-4]}$PORT\n"
PYTHON = "import uvicorn\nuvicorn.run('serve:app', host='0.0.0.0', port=8000)\n"


@pytest.mark.parametrize("dockerfile", GOOD)
def test_commands_that_the_judge_reaches(tmp_path, dockerfile):
    lines = told(tmp_path, dockerfile, serve_py="", start_sh=SCRIPT, run_py=PYTHON)
    assert {line.state for line in lines.values()} == {"ok"}, lines


@pytest.mark.parametrize(
    ("dockerfile", "what", "figure"),
    [
        ('CMD ["uvicorn", "serve:app", "--port", "8000"]', "host of CMD", "127.0.0.1"),
        (f"CMD {COMMAND} --host localhost", "host of CMD", "localhost"),
        ('CMD ["gunicorn", "serve:app"]', "host of CMD", "127.0.0.1"),
        ('ENV PORT=8000\nCMD ["uvicorn", "s:a", "--port", "$PORT"]', "port of CMD", "$PORT"),
        (f"CMD {COMMAND[:-4]}9000", "port of CMD", "9000"),
        ("CMD python3 elsewhere.py", "port of CMD", "not named"),
        ("CMD python3 serve.py", "port of CMD", "none"),
        ("", "port of CMD", "not named"),
        (f"CMD {COMMAND} --workers 2", "workers of CMD", "2"),
        (f"ENV WEB_CONCURRENCY=4\nCMD {COMMAND}", "workers of CMD", "4"),
        (f"CMD {COMMAND.replace('serve:app', 'main:app')}", "module of CMD", "main:app"),
        ('CMD ["bash", "dos.sh"]', "line ends of the script", "dos.sh"),
    ],
)
def test_commands_that_it_does_not_reach(tmp_path, dockerfile, what, figure):
    dos = f"#!/bin/bash\r\n{COMMAND}\r\n"
    line = told(tmp_path, dockerfile, serve_py="", dos_sh=dos)[what]
    assert line.figure == figure
    assert line.state == ("unknown" if "elsewhere" in dockerfile else "fail")


def test_a_list_that_is_none_is_refused():
    """Docker would run ['uvicorn', …] in a shell, which knows no such command."""
    with pytest.raises(DockerfileError, match="double quotes"):
        started(read_dockerfile("FROM x\nCMD ['uvicorn', 'serve:app']\n").stage)


@pytest.mark.parametrize(
    ("lines", "model", "out"),
    [
        ("ARG MODEL_ID=me/a\nRUN python3 download_model.py $MODEL_ID --out m", "me/a", "/app/m"),
        ("ARG MODEL_ID=me/a\nRUN python3 download_model.py me/b", "me/b", "/app/model/served"),
        ("ENV MODEL_ID=me/a\nRUN python3 download_model.py ${MODEL_ID} --hub=hf", "me/a", None),
        ("RUN pip install x && modelscope download --model me/a --local_dir /m", "me/a", "/m"),
        ("RUN modelscope download me/a --local_dir m", "me/a", "/app/m"),
        ("RUN huggingface-cli download me/a --local-dir /m", "me/a", "/m"),
        ("RUN hf download me/a --revision v1", "me/a", ""),
        ("RUN git clone https://www.modelscope.cn/me/a.git m", "me/a", "/app/m"),
        ("RUN git clone --depth 1 https://huggingface.co/me/a", "me/a", "/app/a"),
        ("RUN python3 - <<'E'\nsnapshot_download('me/a', local_dir='/m')\nE", "me/a", "/m"),
        ("ARG MODEL_ID=me/a\nRUN true", "me/a", ""),
        ("RUN M=me/a && cd /w && python3 /app/download_model.py $M --out m", "me/a", "/w/m"),
        ("RUN python3 download_model.py $(cat name.txt) --out $OUT", "", ""),
    ],
)
def test_the_model_that_is_fetched(lines, model, out):
    fetch = fetched(read_dockerfile(f"FROM x\nWORKDIR /app\n{lines}\n"))
    assert fetch.model_id == model
    assert out is None or fetch.out == out


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ARG MODEL_ID=me/a\nFROM x\nRUN python3 download_model.py $MODEL_ID", "ARG MODEL_ID"),
        ("FROM x\nARG MODEL_ID\nRUN python3 download_model.py ${MODEL_ID}", "MODEL_ID"),
        ("FROM x\nRUN python3 download_model.py 用户名/模型名", "MODEL_ID"),
        ("FROM x\nRUN python3 download_model.py https://modelscope.cn/me/a", "MODEL_ID"),
        ("FROM x\nRUN python3 download_model.py me/a --hub huggingface", "model hub"),
        ("FROM x\nRUN python3 download_model.py me/a --out other", "model's place"),
        ("FROM x\nENV MODEL_DIR=/app/m\nWORKDIR /w\nRUN hf download a/b --local-dir m",
         "model's place"),
    ],
)  # fmt: skip
def test_a_model_that_the_build_or_the_service_would_not_find(text, what):
    read = read_dockerfile(text)
    assert {line.what for line in fetch_lines(read, fetched(read))} == {what}


def test_what_a_shell_computes_is_not_called_wrong():
    read = read_dockerfile("FROM x\nRUN python3 download_model.py $(cat name.txt) --out $OUT")
    assert fetch_lines(read, fetched(read)) == []


def test_without_a_fetch_the_model_must_be_copied(preflight, repository, model, tmp_path):
    text = (repository.directory / "Dockerfile").read_text()
    start, end = text.index("RUN python3 -B download_model.py"), text.index("# serve.env")
    (repository.directory / "Dockerfile").write_text(text[:start] + text[end:])
    repository.commit()
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert code == 0 and warning(lines) == {"repository: model"}
    copied = text[:start] + "COPY served/ model/served/\n" + text[end:]
    (repository.directory / "Dockerfile").write_text(copied)
    shutil.copytree(model, repository.directory / "served")
    (repository.directory / ".dockerignore").write_text("")
    repository.commit()
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert code == 0 and lines["repository: model"]["state"] == "note" and not warning(lines)


def test_an_argument_before_from_is_known_where_it_is_asked_for():
    read = read_dockerfile("ARG A=me/a\nFROM x\nARG A\nRUN python3 download_model.py $A")
    assert fetched(read).model_id == "me/a" and fetch_lines(read, fetched(read)) == []


def test_imports_that_the_image_has_not(tmp_path):
    files = {
        "serve.py": "import os\nfrom pkg import a\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import kinds\n",
        "pkg/__init__.py": "",
        "pkg/a.py": "from .b import x\nfrom . import c\nimport mine\ndef f():\n    import late\n",
        **{f"{name}.py": "" for name in ("pkg/b", "pkg/c", "mine", "kinds", "late")},
    }
    image, _, _ = image_of(tmp_path, "COPY serve.py ./\nCOPY pkg pkg", files, "pkg/b.py")
    (line,) = import_lines("serve:app", image / "app", tmp_path / "context")
    assert line.state == "fail" and line.figure.startswith("2 ")
    assert "pkg.b (pkg/a.py)" in line.why and "mine (pkg/a.py)" in line.why


def test_what_pip_installs(tmp_path):
    files = {"r.txt": "fastapi\n-r more.txt\n", "more.txt": "torch==2\n", "wide.txt": ""}
    image, _, _ = image_of(tmp_path, "COPY r.txt more.txt wide.txt ./", files)
    text = (
        "FROM x\nWORKDIR /app\nRUN apt-get install -y git && python3 -m pip install -U -r r.txt "
        "--index-url https://m/simple 'vllm>=0.11' numpy==2\nRUN /opt/conda/bin/pip3 install -e ."
    )
    found = installs_of(read_dockerfile(text), image, tmp_path)
    assert [path.name for path in found.files] == ["r.txt"]
    assert found.named == ["vllm>=0.11", "numpy==2"]
    assert names_in(found.files[0]) == {"fastapi": 1, "torch": 2}
    (image / "app/more.txt").unlink()
    with pytest.raises(RequirementsError, match="line 2 takes in more.txt"):
        names_in(found.files[0])
    wide = image / "app/wide.txt"
    wide.write_text("torch\n", encoding="utf-16")  # PowerShell's `pip freeze >`
    assert names_in(wide) == {"torch": 1}
    wide.write_bytes("# 依赖\ntorch\n".encode("gbk"))
    with pytest.raises(RequirementsError, match="not UTF-8"):
        names_in(wide)


def test_a_clone_is_not_the_working_tree(preflight, repository, tmp_path):
    """Links out of it, nested repositories, and what `git archive` would leave out."""
    folder = repository.directory
    (folder / "weights").symlink_to(tmp_path)
    (folder / ".gitattributes").write_text("serve.py export-ignore\n")
    nested = folder / "vendor"
    nested.mkdir()
    git(nested, "init", "-q")
    (nested / "a.txt").write_text("a")
    git(nested, "add", "-A")
    git(nested, "commit", "-q", "-m", "x")
    repository.commit()
    (folder / "笔记.txt").write_text("x")
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert code == 0 and not failing(lines)
    assert warning(lines) == {
        "repository: submodules", "repository: links out of the repository"
    }  # fmt: skip
    assert "笔记.txt" in lines["repository: uncommitted"]["why"]


def test_a_folder_of_a_larger_repository_is_not_what_is_built(preflight, repository, tmp_path):
    git(repository.directory, "mv", "Dockerfile", "docker.txt")
    (repository.directory / "kit").mkdir()
    git(repository.directory, "mv", "docker.txt", "kit/Dockerfile")
    repository.commit()
    options = ("--offline", "--config", config(tmp_path))
    code, lines = preflight(*options, "--repository", repository.directory / "kit")
    assert code == 1
    assert "there is kit/Dockerfile" in lines["repository: Dockerfile"]["why"]


def test_a_bare_repository_is_looked_at_and_a_missing_one_named(preflight, repository, tmp_path):
    bare = tmp_path / "bare.git"
    git(repository.directory, "clone", "-q", "--bare", ".", str(bare))
    options = ("--offline", "--config", config(tmp_path))
    code, lines = preflight(*options, "--repository", bare)
    assert code == 0 and "repository: base image" in lines
    assert preflight(*options, "--repository", tmp_path / "none") == (2, {})
    assert "none: no such folder" in preflight.said


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_a_commit(preflight, tmp_path, made):
    folder = tmp_path / "empty"
    folder.mkdir()
    if made:
        git(folder, "init", "-q")
    assert preflight("--offline", "--repository", folder) == (2, {})
    assert ("no commit yet" if made else "is no git repository") in preflight.said


def test_the_rehearsal_has_only_what_the_image_has(preflight, repository, model, testset):
    """A module beside serve.py that nothing copies; and a command in the shell's form."""
    folder = repository.directory
    command = 'CMD ["uvicorn", "serve:app", "--host", "0.0.0.0", "--port", "8000", "--timeout-keep'
    text = (folder / "Dockerfile").read_text()
    (folder / "Dockerfile").write_text(
        text[: text.index(command)] + "CMD exec uvicorn serve:app --host 0.0.0.0 --port 8000\n"
    )
    repository.commit()
    code, lines = preflight("--offline", "--model-dir", model, testset)
    assert code == 0 and lines["rehearsal: batch: health"]["state"] == "ok"
    (folder / "mine.py").write_text("x = 1\n")
    service = (folder / "serve.py").read_text()
    (folder / "serve.py").write_text("__import__('mine')\n" + service)
    repository.commit()
    code, lines = preflight("--offline", "--model-dir", model, testset)
    assert code == 1 and "mine" in lines["rehearsal: batch: health"]["why"]
