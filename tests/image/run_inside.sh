# Started by tests/image.sh inside a network namespace of its own: only the loopback, nothing else.
# Starts the container's own command, waits as the judge does, judges with eval_local.py from outside
# the container's files, and stops what it started.
set -euo pipefail
ip link set lo up
if ip route | grep -q .; then echo "this namespace has a route out" >&2; exit 1; fi

buildah_() { buildah --storage-driver "$DRIVER" --root "$STORAGE/root" --runroot "$STORAGE/run" "$@"; }
command=$(buildah_ inspect "$CONTAINER" |
  "$VENV/bin/python" -c 'import json, sys; print(*json.load(sys.stdin)["OCIv1"]["config"]["Cmd"])')
read_only="$MOUNT/app/model:/app/model:ro"
if buildah_ run --isolation chroot --volume "$read_only" "$CONTAINER" -- touch /app/model/probe 2>/dev/null; then
  echo "the model directory is not read-only" >&2; exit 1
fi
threads=()
if [ -n "${REPORTED:-}" ]; then
  # What os.cpu_count(), lscpu and glibc read; and as many OpenMP threads as that machine would take.
  mount --make-rprivate /
  echo "0-$((REPORTED - 1))" >"$STORAGE/processors"
  for list in online possible present; do mount --bind "$STORAGE/processors" "/sys/devices/system/cpu/$list"; done
  [ "$(getconf _NPROCESSORS_ONLN)" = "$REPORTED" ] || { echo "could not report $REPORTED processors" >&2; exit 1; }
  threads=(--env OMP_NUM_THREADS="$REPORTED")
fi
began=$SECONDS
setsid taskset -c "$CPUS" buildah --storage-driver "$DRIVER" --root "$STORAGE/root" --runroot "$STORAGE/run" \
  run --isolation chroot --volume "$read_only" --env SERVE_MODE="$MODE" "${threads[@]}" \
  "$CONTAINER" -- env -u HOME $command >"$LOG" 2>&1 &
service=$!
trap 'kill -TERM -- -$service 2>/dev/null || true; sleep 1; kill -KILL -- -$service 2>/dev/null || true' EXIT

for _ in $(seq 180); do
  if "$VENV/bin/python" -c 'import urllib.request as u; print("        ", u.urlopen("http://127.0.0.1:8000/", timeout=2).read().decode())' 2>/dev/null; then break; fi
  kill -0 "$service" 2>/dev/null || { echo "the service ended while starting" >&2; exit 1; }
  sleep 1
done
echo "         healthy after $((SECONDS - began)) s (limit 180)"
if [ -n "${INDEX:-}" ]; then
  "$VENV/bin/python" - <<'PY'
import json, urllib.request as u
book = json.load(u.urlopen("http://127.0.0.1:8000/info", timeout=5))["retrieval"]
assert book and book["passages"], f"the service has no index: {book}"
print("         the book at hand:", book["books"], "·", book["passages"], "passages ·", book["method"])
PY
fi
"$VENV/bin/python" eval_local.py --url http://127.0.0.1:8000 --out "$REPORT" ${LIMIT:+--limit "$LIMIT"} "$@"
