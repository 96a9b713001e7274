#!/usr/bin/env bash
# From a fresh machine to a judged score, in one command.
#
#   bash run.sh [TESTSET.docx …]           install, get the model, serve it, judge it, report
#   bash run.sh serve                      only serve, until Ctrl-C
#   bash run.sh judge URL TESTSET.docx …   only judge a service that is running
#   bash run.sh data build BOOK … --out D  a book's question-answer pairs (python -m data)
#   bash run.sh train run RECIPE.yaml      fine-tune, merge, quantize, check (python -m train)
#   bash run.sh tune --dev DEV.jsonl       the fastest serving settings of equal score (python -m tune)
#   bash run.sh preflight …                would the judge's machine take this? (python -m preflight)
#   bash run.sh submissions …              what was pushed, what came back (preflight.submissions)
#
# Variables: MODEL_DIR (a model directory), MODEL_ID (a model on ModelScope), PORT (8000), PYTHON,
# TORCH_INDEX_URL, and every setting of the service (docs/serving.md).
set -euo pipefail
cd "$(dirname "$0")"
source requirements/install.sh

PORT=${PORT:-8000}
SAMPLES=(data/sample/testset_basic.docx data/sample/testset_bonus.docx)

choose_model() {
  if [ -n "${MODEL_DIR:-}" ]; then
    say "model: MODEL_DIR=$MODEL_DIR"
  elif [ -n "${MODEL_ID:-}" ]; then
    MODEL_DIR=model/served
    say "model: $MODEL_ID from ModelScope into $MODEL_DIR"
    .venv/bin/python download_model.py "$MODEL_ID" --out "$MODEL_DIR"
  else
    MODEL_DIR=model/demo
    if [ -f model/demo/manifest.json ]; then
      say "model: the demo model in model/demo (knows only the sample book)"
    else
      say "model: making the demo model from the sample book, about two minutes"
      .venv/bin/python -m train.demo --out model/demo --untrained model/demo-untrained
    fi
  fi
  [ -f "$MODEL_DIR/config.json" ] || fail "MODEL_DIR=$MODEL_DIR has no config.json: not a model directory."
  export MODEL_DIR
}

check_port() {
  .venv/bin/python - "$PORT" <<'PY'
import socket, sys
import psutil
port = int(sys.argv[1])
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("0.0.0.0", port))
    except OSError as error:
        users = {c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.pid}
        who = ", ".join(f"{psutil.Process(pid).name()} (pid {pid})" for pid in users) or "another process"
        sys.exit(f"Port {port} cannot be used: {error.strerror}; held by {who}. Stop it, or choose another: PORT=8001 bash run.sh")
PY
}

serve_command=(.venv/bin/python -m uvicorn serve:app --host 0.0.0.0 --port "$PORT" --timeout-keep-alive 75 --timeout-graceful-shutdown 5)

start_server() {
  check_port
  mkdir -p report
  say "service: starting on port $PORT (log: report/server.log)"
  # A session of its own, so that stopping it also stops what it started, and nothing else.
  setsid "${serve_command[@]}" >report/server.log 2>&1 &
  server=$!
  trap stop_server EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  local began=$SECONDS
  until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { tail -n 20 report/server.log >&2; fail "The service stopped while starting; its last words are above, all of them in report/server.log."; }
    [ -t 1 ] && printf '\r    loading the model … %3d s ' $((SECONDS - began))
    sleep 0.5
  done
  [ -t 1 ] && printf '\r'
  say "service: ready after $((SECONDS - began)) s"
}

stop_server() {
  [ -n "${server:-}" ] && kill -0 "$server" 2>/dev/null || return 0
  kill -TERM "$server" 2>/dev/null || true
  for _ in $(seq 100); do kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
  kill -KILL -- "-$server" 2>/dev/null || true
}

# Did training help? The same model untrained is judged once beside the demo model; later runs show
# that again. The service has stopped: two models would not fit one GPU.
show_what_training_did() {
  local out=model/demo-comparison report
  if [ ! -f $out/comparison.txt ] || [ model/demo/model.safetensors -nt $out/comparison.txt ]; then
    say "did training help? judging the same model untrained, this once (about 20 s)"
    report=$(ls -dt report/*/summary.json | head -n 1)
    [ -f model/demo-untrained/manifest.json ] || .venv/bin/python -m train.demo --steps 0 --out model/demo-untrained
    # An untrained model never ends an answer by itself: 96 tokens of noise say as much as 640.
    .venv/bin/python -m train compare model/demo-untrained model/demo --judged "${report%/*}" \
      --max-tokens 96 --out $out "${SAMPLES[@]/#/--testset=}" >/dev/null
  else
    say "did training help? (judged in an earlier run; remove $out to judge again)"
  fi
  cat $out/comparison.txt
}

case ${1:-} in
  -h | --help | help)
    sed -n '2,17s/^# \{0,1\}//p' "$0" ;;
  serve)
    prepare_environment; choose_model; check_port
    say "service: port $PORT, Ctrl-C stops it"
    exec "${serve_command[@]}" ;;
  judge)
    [ $# -ge 3 ] || fail "usage: bash run.sh judge URL TESTSET.docx …" 2
    prepare_environment
    exec .venv/bin/python eval_local.py --url "${@:2}" ;;
  data)
    prepare_environment data
    exec .venv/bin/python -m data "${@:2}" ;;
  train)
    prepare_environment  # train's checks serve the model with .venv
    bash train/setup.sh
    exec .venv-train/bin/python -m train "${@:2}" ;;
  tune)
    prepare_environment tune; choose_model
    exec .venv/bin/python -m tune "${@:2}" ;;
  preflight)
    prepare_environment
    exec .venv/bin/python -m preflight "${@:2}" ;;
  submissions)
    prepare_environment
    exec .venv/bin/python -m preflight.submissions "${@:2}" ;;
  *)
    for testset in "$@"; do
      [ -f "$testset" ] || fail "No such test set (and no such command): $testset. See bash run.sh --help" 2
    done
    [ $# -gt 0 ] || { all_samples=yes; set -- "${SAMPLES[@]}"; }
    prepare_environment; choose_model; start_server
    say "judge: $*"
    .venv/bin/python eval_local.py --url "http://127.0.0.1:$PORT" --tokenizer "$MODEL_DIR" "$@"
    if [ -n "${all_samples:-}" ] && [ "$MODEL_DIR" = model/demo ]; then
      stop_server
      show_what_training_did
    fi ;;
esac
