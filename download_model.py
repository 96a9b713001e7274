"""Weights for the image: fetched once in `docker build`, checked byte for byte, and fit to serve.

python download_model.py OWNER/NAME [--revision master] --out model/served
python download_model.py --from DIR --out model/served     a directory of this machine instead
python download_model.py OWNER/NAME --plan         only list what would be fetched

Copied into the image before all other code, with the two modules that it imports, so that a change
elsewhere does not fetch the weights again. Hence argparse: Typer is not in the image.

A private repository needs a token: file `/run/secrets/modelscope_token` (a build secret), or
MODELSCOPE_API_TOKEN (HF_TOKEN with `--hub hf`). It is never written or printed. The judge passes
none, so what it builds must be public.

Exit code: 0 when every file is there and right, 1 when not (the last line says why), 2 for usage.
"""

import argparse
import contextlib
import dataclasses
import fnmatch
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from common.hubs import (
    Directory,
    DownloadError,
    Hub,
    HuggingFace,
    ModelScope,
    RemoteFile,
    read_token,
)
from common.model_files import is_weight_file, layout_problems, model_files_problems

MANIFEST = "manifest.json"
# Not read by the service: other formats of the weights, pictures, what training left.
NEVER = (
    "*.bin *.pt *.pth *.ckpt *.gguf *.h5 *.msgpack *.onnx *.ot *.tflite *.zip *.tar *.gz *.png "
    "*.jpg *.jpeg *.gif *.svg *.webp *.pdf *.mp4 *.md *.tmp .git* */.git* .msc .mdl .mv "
    ".ms_upload_cache* runs/* checkpoints/* optimizer.* consolidated*.safetensors */*.safetensors"
)
SPARE_BYTES = 512 * 1024 * 1024  # left free beside the weights, for the layers after them
LAST_RESORT_S = 15.0  # what the hub's threads get to stop in once the time is up
Result = TypeVar("Result")


class OutOfTime(BaseException):
    """The time budget is spent. Not an Exception: no retry loop may swallow it."""


def matches(path: str, patterns: tuple[str, ...] | list[str]) -> bool:
    """Whether the path, or the name at its end, fits one of the patterns."""
    name = path.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatch(path, p) or fnmatch.fnmatch(name, p) for p in patterns)


def chosen(files: list[RemoteFile], allow: list[str], ignore: list[str]) -> list[RemoteFile]:
    """The files that the arguments leave in."""
    kept = [file for file in files if not matches(file.path, ignore)]
    return [file for file in kept if matches(file.path, allow)] if allow else kept


def select(files: list[RemoteFile], allow: list[str], ignore: list[str]) -> list[RemoteFile]:
    """The files that serving needs; of the weights, the safetensors at the top."""
    return [f for f in chosen(files, allow, ignore) if not matches(f.path, NEVER.split())]


def sha256_of(path: Path) -> str:
    """Hex digest, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fault_of(file: RemoteFile, out: Path) -> str | None:
    """What is wrong with `file` in `out`, or None."""
    path = out / file.path
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != file.size:
        return f"has {path.stat().st_size:,} bytes, expected {file.size:,}"
    if file.sha256 and (found := sha256_of(path)) != file.sha256:
        return f"has sha256 {found[:12]}…, expected {file.sha256[:12]}…"
    return None


def is_stale(hub: Hub, file: RemoteFile, out: Path) -> bool:
    """Whether `file` is to be fetched: it is missing, damaged, or that of another model."""
    return bool(fault_of(file, out)) or (not file.sha256 and hub.changed(file, out))


def with_manifest(
    files: list[RemoteFile], manifest: Path, allow: list[str], ignore: list[str]
) -> list[RemoteFile]:
    """`files` with the sha256 of the manifest's `outputs`, after comparing both lists.

    Raises DownloadError when they disagree on a file that serving needs: then the upload is mixed
    or incomplete.
    """
    try:
        outputs = json.loads(manifest.read_text(encoding="utf-8")).get("outputs", [])
        records = [RemoteFile(o["path"], o["bytes"], o["sha256"]) for o in outputs]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(f"{MANIFEST}: not a manifest ({error!r})") from error
    expected = {file.path: file for file in select(records, allow, ignore)}
    listed = {file.path: file for file in files}
    wrong = []
    for path, want in expected.items():
        have = listed.get(path)
        if have is None:
            wrong.append(f"{path} is missing")
        elif have.size != want.size:
            wrong.append(f"{path} has {have.size:,} bytes, not {want.size:,}")
        elif have.sha256 and have.sha256 != want.sha256:
            wrong.append(f"{path} has sha256 {have.sha256[:12]}…, not {want.sha256[:12]}…")
    if wrong:
        raise DownloadError(
            f"the files are not those that {MANIFEST} lists, so the upload is incomplete or mixed: "
            + "; ".join(wrong[:5])
            + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        )
    return [
        dataclasses.replace(f, sha256=expected[f.path].sha256) if f.path in expected else f
        for f in files
    ]


def check_room(needed: int, out: Path) -> None:
    """Raise DownloadError unless `needed` bytes and a reserve fit on the disk of `out`."""
    free = shutil.disk_usage(out).free
    if free < needed + SPARE_BYTES:
        raise DownloadError(
            f"not enough disk under {out}: {gigabytes(needed)} to fetch and "
            f"{gigabytes(SPARE_BYTES)} to spare, but only {gigabytes(free)} free"
        )


def check_strangers(files: list[RemoteFile], out: Path) -> None:
    """Raise DownloadError when `out` holds weights of another model: vLLM would load them too."""
    known = {file.path for file in files}
    there = sorted(p.name for p in out.glob("*") if p.is_file() and is_weight_file(p.name))
    strangers = [name for name in there if name not in known]
    if strangers:
        raise DownloadError(
            f"{out} also holds {', '.join(strangers[:5])}, not part of this model: "
            "remove them or give another --out"
        )


def refuse(problems: list[str], source: str) -> None:
    """Raise DownloadError when there are problems of a model that cannot be served."""
    if problems:
        raise DownloadError(f"{source} cannot be served: {'; '.join(problems)}")


def gigabytes(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def say(text: str) -> None:
    """One line for the build's log, at once."""
    print(f"[download_model] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def time_budget(seconds: float) -> Iterator[float]:
    """Raise OutOfTime in the block after `seconds`; yields the deadline (time.monotonic)."""

    def stop(*_: object) -> None:
        say("the transfer threads did not stop; giving up")
        os._exit(1)

    def ring(*_: object) -> None:
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, LAST_RESORT_S)
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield time.monotonic() + seconds
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def progress(out: Path, total: int) -> Iterator[None]:
    """Say every few seconds how many bytes lie in `out`: a build's log has no use for bars."""
    done, started = threading.Event(), time.monotonic()

    def size() -> int:
        with contextlib.suppress(FileNotFoundError):  # a partial file was just renamed
            return sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
        return 0

    before = size()

    def watch() -> None:
        while not done.wait(10):
            rate = (size() - before) / (time.monotonic() - started)
            say(f"{gigabytes(size())} of {gigabytes(total)}, {rate / 1e6:.1f} MB/s")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def patiently(hub: Hub, action: Callable[[], Result], deadline: float) -> Result:
    """`action()`, again after passing failures, with growing pauses, until the deadline."""
    pause = 1.0
    while True:
        try:
            return action()
        except DownloadError:
            raise
        except Exception as error:  # noqa: BLE001 - the SDKs raise what requests and httpx raise
            again, meaning = hub.explain(error)
            left = deadline - time.monotonic()
            if not again or left <= pause:
                late = " (no time left to try again)" if again else ""
                raise DownloadError(f"{meaning}{late}") from error
            say(f"{meaning}; trying again in {pause:.0f} s, {left:.0f} s left")
            time.sleep(pause)
            pause = min(pause * 2, 30.0)


def plan(hub: Hub, out: Path, args: argparse.Namespace, deadline: float) -> list[RemoteFile]:
    """What `out` is to hold; fetches the manifest, which says what the other files must be."""
    listed = patiently(hub, hub.files, deadline)
    wanted = select(listed, args.allow, args.ignore)
    names = [file.path for file in chosen(listed, args.allow, args.ignore)]
    refuse(layout_problems(names), hub.name)  # before gigabytes come that are of no use
    manifest = [file for file in listed if file.path == MANIFEST]
    if not manifest:
        return wanted
    if is_stale(hub, manifest[0], out):
        patiently(hub, lambda: hub.fetch(manifest, out), deadline)
    return with_manifest(wanted, out / MANIFEST, args.allow, args.ignore)


def bring(hub: Hub, wanted: list[RemoteFile], out: Path, deadline: float) -> int:
    """Fetch what is not right yet, then check all of it; returns the bytes fetched."""
    check_strangers(wanted, out)
    todo = [file for file in wanted if is_stale(hub, file, out)]
    needed = sum(file.size for file in todo)
    say(
        f"{len(wanted)} files, {gigabytes(sum(f.size for f in wanted))}; "
        f"{len(wanted) - len(todo)} already right, {gigabytes(needed)} to fetch"
    )
    check_room(needed, out)
    if todo:
        with progress(out, sum(f.size for f in wanted)):
            patiently(hub, lambda: hub.fetch(todo, out), deadline)
    faults = [f"{file.path} {fault}" for file in todo if (fault := fault_of(file, out))]
    if faults:
        raise DownloadError("; ".join(faults[:5]))
    refuse(model_files_problems(out), hub.name)
    return needed


def make_hub(args: argparse.Namespace) -> Hub:
    """The source that the arguments name."""
    if args.source:
        return Directory(args.source)
    token = read_token(args.hub, args.token_file)
    kind = ModelScope if args.hub == "modelscope" else HuggingFace
    return kind(args.model_id, args.revision, token, args.workers)


def prepare_sdk(scratch: Path, budget_s: float) -> None:
    """Environment that the SDKs read when they are imported; what the user set stays."""
    # No trace of the download under HOME: the image would ship it.
    os.environ["MODELSCOPE_HOME"] = str(scratch / "home")
    os.environ["MODELSCOPE_CACHE"] = str(scratch / "cache")
    os.environ["HF_HOME"] = str(scratch / "hf")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)
    os.environ.setdefault("MODELSCOPE_DOWNLOAD_TOTAL_TIMEOUT", str(max(1, int(budget_s))))
    os.environ.setdefault("MODELSCOPE_DOWNLOAD_TIMEOUT", "30")
    # One stream of a CDN is often slower than the line; pieces of large files share it.
    os.environ.setdefault("MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS", "4")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments; exits with 2 when they make no sense."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("model_id", nargs="?", metavar="OWNER/NAME", help="the model on the hub")
    add("--from", dest="source", type=Path, help="a model directory of this machine, not a hub")
    add("--hub", choices=("modelscope", "hf"), default="modelscope")
    add("--revision", help="branch, tag or commit (default: master, or main on Hugging Face)")
    add("--out", type=Path, default=Path("model/served"))
    add("--allow", action="append", default=[], metavar="GLOB", help="only these files")
    add("--ignore", action="append", default=[], metavar="GLOB", help="not these files")
    add("--token-file", type=Path, help="file holding the access token")
    add("--workers", type=int, default=8, help="files fetched at once")
    add("--budget-s", type=float, default=840.0, help="seconds in all; the judge's build has 900")
    add("--plan", action="store_true", help="print the files as JSON and fetch none of them")
    args = parser.parse_args(argv)
    if bool(args.model_id) == bool(args.source):
        parser.error("give either OWNER/NAME or --from DIR")
    if args.model_id and args.model_id.count("/") != 1:
        parser.error(f"{args.model_id!r}: expected OWNER/NAME")
    return args


def run(args: argparse.Namespace, scratch: Path) -> None:
    """Plan, fetch, check. Raises DownloadError or OutOfTime."""
    started = time.monotonic()
    with time_budget(args.budget_s) as deadline:
        hub = make_hub(args)
        out = scratch / "plan" if args.plan else args.out
        out.mkdir(parents=True, exist_ok=True)
        wanted = plan(hub, out, args, deadline)
        if args.plan:
            total = sum(file.size for file in wanted)
            rows: list[dict[str, Any]] = [dataclasses.asdict(file) for file in wanted]
            print(json.dumps({"source": hub.name, "bytes": total, "files": rows}, indent=1))
            return
        fetched = bring(hub, wanted, out, deadline)
    seconds = time.monotonic() - started
    say(f"{out} is complete: {gigabytes(fetched)} fetched from {hub.name} in {seconds:.1f} s")


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = parse(argv)
    with tempfile.TemporaryDirectory(prefix="download_model_") as scratch:
        prepare_sdk(Path(scratch), args.budget_s)
        try:
            run(args, Path(scratch))
        except DownloadError as error:
            say(f"FAILED: {error}")
            return 1
        except OSError as error:
            say(f"FAILED: {error}")
            return 1
        except OutOfTime:
            say(
                f"FAILED: not done after {args.budget_s:.0f} s. What has come stays in {args.out}, "
                "and the next run goes on from there. For a build: fewer bytes (4 bit)"
            )
            return 1
    return 0


if __name__ == "__main__":
    # modelscope imports torch where there is one, for nothing that a download needs: it takes
    # seconds, and may fail in a build without the device's driver.
    sys.modules["torch"] = None  # type: ignore[assignment]
    sys.exit(main())
