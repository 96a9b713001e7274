#!/usr/bin/env bash
# The speed table on a GPU host without network: unpacks what bench/pack_gpu.sh made, then measures
# every candidate and the stages of a batch.
#
#   bash bench/on_gpu.sh PACK_DIR RESULTS_DIR      RESULTS_DIR/serve.json, breakdown.json, *.log
#
# UNPACKED (default /tmp/bench_gpu) holds what was unpacked; a second run finds it there.
# VARIANTS=bench/variants_more.json measures what was tried and did not pay, ONLY_CANDIDATES="" leaves
# the other candidates out (and the stages, which the first of them tells).
# KV_CACHE_GB is what each of the four gets (9.5 holds the whole batch of Qwen3-4B's shape in bf16).
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$2"
results=$(cd "$2" && pwd)
at=${UNPACKED:-/tmp/bench_gpu}
if [ ! -f "$at/workload.json" ]; then
  # On a fresh host nobody has read torch's libraries from the disk yet: meanwhile it costs nothing.
  packages=$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')/..
  find "$packages/torch/lib" "$packages"/nvidia* -name '*.so*' -exec cat {} + >/dev/null 2>&1 &
  rm -rf "$at.new"
  mkdir -p "$at.new"
  cat "$1"/part_* | xz -dc -T0 | tar x -C "$at.new"
  # As pip does when it installs: otherwise the first import pays for it, in a start's time. Some
  # packages carry templates that are no Python; pip leaves those out without a word, too.
  python3 -m compileall -q -j 0 "$at.new/site-packages" >/dev/null || true
  mv "$at.new" "$at"
fi
# FlashInfer's sampler is not packed. Nothing can be asked of a model hub.
export PYTHONPATH="$at/site-packages" VLLM_USE_FLASHINFER_SAMPLER=0 HF_HUB_OFFLINE=1
python3 -m bench.serve "$at/models/shape" --workload "$at/workload.json" --dummy --runs 3 \
  --at-once 4 --kv-cache-gb "${KV_CACHE_GB:-9.5}" --transformers-questions 64 \
  ${ONLY_CANDIDATES+--only "$ONLY_CANDIDATES"} --variants "${VARIANTS:-bench/variants_gpu.json}" \
  --breakdown "$results/breakdown.json" --out "$results/serve.json" | tee "$results/serve.log"
