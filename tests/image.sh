#!/usr/bin/env bash
# The image, built and run for real, without Docker and without the judge's base image.
#
#   bash tests/image.sh        4 minutes, 7 with vfs (2 cores); needs root, 8 GB (vfs 38), and
#                              apt-get install buildah debootstrap
#
# Builds the Dockerfile of the last commit from a stand-in base (tests/image/base.sh), with weights
# from a loopback hub; builds again after a code change, and with a token; looks at what is in it;
# runs it without network, with a read-only model directory and without HOME, on two processors, on
# one, and on two of 24; and judges it in both modes with the judge's limits. INDEX=DIR puts an index
# into the image (`bash run.sh retrieval build`), and the judge must then meet a service that has it.
#
# Variables: MODEL_DIR (model/demo, made by `bash run.sh`), INDEX, VLLM_VENV (.venv), REF (HEAD),
# JUDGE_VENV (as VLLM_VENV), TESTSETS (data/sample/testset_*.docx), LIMIT (questions of each, default
# all), DRIVER (overlay, else vfs), WORK (.cache/image), KEEP_FREE_GB (5).
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mkdir -p "${WORK:-.cache/image}" && cd "${WORK:-.cache/image}" && pwd)
venv=$(cd "${VLLM_VENV:-.venv}" && pwd)
judge=$(cd "${JUDGE_VENV:-$venv}" && pwd)
model=${MODEL_DIR:-model/demo}
KEEP_FREE_GB=${KEEP_FREE_GB:-5}
began=$SECONDS
step() { printf '\033[1m[%4d s] %s\033[0m\n' $((SECONDS - began)) "$*"; }
fail() { printf '\033[31mFAILED: %s\033[0m\n' "$*" >&2; exit 1; }
passed() { printf '         ok: %s\n' "$*"; }
source tests/image/base.sh

[ "$(id -u)" = 0 ] || fail "needs root (chroot, mounts and network namespaces)"
for tool in buildah debootstrap unshare taskset ip; do
  command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install buildah debootstrap util-linux iproute2"
done
[ -f "$model/config.json" ] || fail "no model in $model: make one with bash run.sh, or set MODEL_DIR"
read -r -a testsets <<<"${TESTSETS:-$(echo data/sample/testset_*.docx)}"

# vfs copies every layer whole, overlay does not; vfs works everywhere.
if [ -z "${DRIVER:-}" ]; then
  mkdir -p "$work/probe"/{l,u,w,m}
  if mount -t overlay overlay -o "lowerdir=$work/probe/l,upperdir=$work/probe/u,workdir=$work/probe/w" "$work/probe/m" 2>/dev/null; then
    umount "$work/probe/m"; DRIVER=overlay
  else
    DRIVER=vfs
  fi
fi
storage=$work/storage-$DRIVER  # one store cannot hold layers of both drivers
mkdir -p "$storage"
buildah_() { buildah --storage-driver "$DRIVER" --root "$storage/root" --runroot "$storage/run" "$@"; }

cleanup() {
  [ -z "${hub:-}" ] || kill "$hub" 2>/dev/null || true
  [ -z "${private:-}" ] || kill "$private" 2>/dev/null || true
  rm -f "$work/token"
  remove_answers
}
# Everything but the base: containers first, since an image in use cannot go.
remove_answers() {
  buildah_ rm --all >/dev/null 2>&1 || true
  buildah_ rmi localhost/answers:1 localhost/answers:2 localhost/answers:private >/dev/null 2>&1 || true
  buildah_ rmi --prune >/dev/null 2>&1 || true
}
trap cleanup EXIT
remove_answers  # of a run that was killed
rm -f "$work"/hub.jsonl "$work"/*.endpoint

base=localhost/vllm-standin
step "storage driver: $DRIVER"
# Measured peaks of the whole test, base included, are 36 GB and 6 GB; a full disk would end it
# half-way. With vfs every line of the Dockerfile is a copy of the base, ARG and ENV as well.
need=$([ "$DRIVER" = vfs ] && echo 38 || echo 8)
free=$(df -BG --output=avail "$work" | tail -n 1 | tr -dc 0-9)
[ "$free" -ge $((need + KEEP_FREE_GB)) ] ||
  fail "$free GB free under $work: the test takes up to $need GB with $DRIVER and leaves $KEEP_FREE_GB (KEEP_FREE_GB) alone. Free some, or set WORK to a directory on another disk"
if ! buildah_ images -q "$base" >/dev/null 2>&1; then make_base "$base" "$venv" "$work/debian"; fi

step "hub: serving $model on the loopback"
"$judge/bin/python" -m tests.hub_standin --root "$work/hub" --log "$work/hub.jsonl" \
  --publish "me/answers=$model" >"$work/hub.endpoint" & hub=$!
for _ in $(seq 100); do [ -s "$work/hub.endpoint" ] && break; sleep 0.1; done
endpoint=$(cat "$work/hub.endpoint")

context=$work/context
rm -rf "$context" "$context.private" && mkdir "$context"
git archive "${REF:-HEAD}" | tar -x -C "$context"
[ -z "${INDEX:-}" ] || cp -r "$INDEX/." "$context/index/"
[ -z "$(git status --porcelain)" ] || echo "         note: uncommitted changes are not in this build, as at the judge"

# build TAG [OPTION…]: the Dockerfile in $context, with the hub at $endpoint.
build() {
  buildah_ bud --isolation chroot --build-arg BASE_IMAGE="$base" --build-arg MODEL_ID=me/answers \
    --build-arg MODELSCOPE_ENDPOINT="$endpoint" -t "$1" "${@:2}" "$context" >"$work/build.log" 2>&1 ||
    { tail -n 30 "$work/build.log" >&2; fail "the build failed; all of it in $work/build.log"; }
}
# forget IMAGE: what is no longer needed goes at once; with vfs each layer is as large as the base.
forget() { buildah_ rmi "$1" >/dev/null && buildah_ rmi --prune >/dev/null; }
weight_bytes() {
  "$venv/bin/python" - "$work/hub.jsonl" <<'PY'
import json, pathlib, sys
log = pathlib.Path(sys.argv[1])
rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
print(sum(row["sent"] for row in rows if row["path"].endswith(".safetensors")))
PY
}

step "build 1: from the base, with weights from the hub"
build localhost/answers:1 --layers
grep -h "download_model\]" "$work/build.log" | sed 's/^/         /'
first=$(weight_bytes)
[ "$first" -gt 0 ] || fail "build 1 fetched no weights from the hub"
passed "$first bytes of weights fetched, $((SECONDS - began)) s since the start (the judge's build has 900)"

step "build 2: after a change in serving/ and serve.py"
echo "# changed" >>"$work/context/serving/__init__.py"
echo "# changed" >>"$work/context/serve.py"
second_began=$SECONDS
build localhost/answers:2 --layers
[ "$(weight_bytes)" = "$first" ] || fail "a code change fetched the weights again"
forget localhost/answers:1
passed "no weights fetched again; $((SECONDS - second_began)) s"

step "build 3: a private model, by the build secret that the Dockerfile's comment describes"
token=$("$venv/bin/python" -c 'import secrets; print(secrets.token_hex(20))')
(umask 077; printf '%s' "$token" >"$work/token")
"$judge/bin/python" -m tests.hub_standin --root "$work/hub" --token "$token" >"$work/private.endpoint" & private=$!
for _ in $(seq 100); do [ -s "$work/private.endpoint" ] && break; sleep 0.1; done
cp -r "$work/context" "$work/context.private"
sed -i 's#^RUN python3 -B download_model#RUN --mount=type=secret,id=modelscope_token python3 -B download_model#' "$work/context.private/Dockerfile"
endpoint=$(cat "$work/private.endpoint") context=$work/context.private
build localhost/answers:private --secret "id=modelscope_token,src=$work/token"
container=$(buildah_ from localhost/answers:private)
mount=$(buildah_ mount "$container")
! grep -rqsF "$token" "$mount"/{app,root,tmp,run,etc,home,var} || fail "the token lies in the image"
! buildah_ inspect localhost/answers:private | grep -qF "$token" || fail "the token lies in the image's history"
buildah_ rm "$container" >/dev/null; container=
forget localhost/answers:private
kill "$private"; private=
passed "built with the token, and the token is neither in a file nor in the history of the image"

step "contents"
container=$(buildah_ from localhost/answers:2)
mount=$(buildah_ mount "$container")
(cd "$mount/app" && find . -type f -printf '%10s  %P\n' | sort -k2) >"$work/contents.txt"
sed 's/^/         /' "$work/contents.txt"
strangers=$(awk '{print $2}' "$work/contents.txt" |
  grep -v -E '^(requirements\.txt|download_model\.py|serve\.py|serve\.env|compile_cache\.tar|serving/([a-z_]+/)?[a-z_]+\.py|common/(__init__|before_imports|hubs|manifest|minimum_bayes_risk|model_content|model_files|model_shape|prompting|safetensors_header)\.py|retrieval/([a-z_]+\.py|examples\.jsonl)|index/.+|model/served/.+)$' || true)
[ -z "$strangers" ] || fail "not meant for the image: $strangers"
(cd "$mount/app/model/served" && sha256sum -- *) | awk '{print $2, $1}' | sort >"$work/image.sums"
(cd "$model" && sha256sum -- *) 2>/dev/null | awk '{print $2, $1}' | sort >"$work/source.sums"
[ -z "$(comm -23 "$work/image.sums" "$work/source.sums")" ] || fail "a file of the model is not the source's"
[ -z "$(find "$mount/root" "$mount/home" -type f -path '*modelscope*')" ] || fail "the download left something under HOME"
passed "only code and model; no test, report, data or git file; the model's sha256 are the source's"
touch "$work/stamp"

# run MODE CPUS [REPORTED]: one start of the service in a network of its own, judged from beside it,
# on a machine that says it has so many processors (a container may use fewer than its host has).
run() {
  step "run: SERVE_MODE=$1, processors $2${3:+ of $3 that the machine reports}, no network, no HOME, read-only model"
  MODE=$1 CPUS=$2 REPORTED=${3:-} CONTAINER=$container MOUNT=$mount VENV=$judge LOG="$work/service-$1${3:-}.log" \
    REPORT="$work/report-$1${3:-}" DRIVER=$DRIVER STORAGE=$storage \
    unshare -n -m bash tests/image/run_inside.sh "${testsets[@]}" ||
    { tail -n 25 "$work/service-$1${3:-}.log" >&2; fail "the run in mode $1; log: $work/service-$1${3:-}.log"; }
}
run batch 0,1
run serial 0
run batch 0,1 24

written=$(find "$mount" -xdev -type f -newer "$work/stamp" -not -path "$mount/tmp/*" -not -name '*.pyc' \
  -not -path "$mount/run/*" | sed "s|^$mount||")
[ -z "$written" ] || fail "the service wrote outside /tmp: $written"
passed "nothing was written outside /tmp"
step "passed"
