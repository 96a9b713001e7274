#!/usr/bin/env bash
# The speed table on a GPU host without network: unpacks what bench/pack_gpu.sh made, then measures
# every candidate and the stages of a batch.
#
#   bash bench/on_gpu.sh PACK_DIR RESULTS_DIR      RESULTS_DIR/serve.json, breakdown.json, *.log
#
# UNPACKED (default /tmp/bench_gpu) holds what was unpacked; a second run finds it there.
# ONLY=serve or ONLY=breakdown does one of the two. VARIANTS=bench/variants_more.json measures what was
# tried and did not pay, ONLY_CANDIDATES="" leaves the other candidates out.
# KV_CACHE_GB is what each of the four gets (9.5 holds the whole batch of Qwen3-4B's shape in bf16).
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$2"
results=$(cd "$2" && pwd)
at=${UNPACKED:-/tmp/bench_gpu}
if [ ! -f "$at/workload.json" ]; then
  mkdir -p "$at.new"
  cat "$1"/part_* | tar xJ -C "$at.new"
  mv "$at.new" "$at"
fi
# FlashInfer's sampler is not packed. Nothing can be asked of a model hub.
export PYTHONPATH="$at/site-packages" VLLM_USE_FLASHINFER_SAMPLER=0 HF_HUB_OFFLINE=1
shared=("$at/models/shape" --workload "$at/workload.json" --dummy --runs 3)
if [ "${ONLY:-serve}" = serve ]; then
  python3 -m bench.serve "${shared[@]}" --at-once 4 --kv-cache-gb "${KV_CACHE_GB:-9.5}" \
    ${ONLY_CANDIDATES+--only "$ONLY_CANDIDATES"} --variants "${VARIANTS:-bench/variants_gpu.json}" --out "$results/serve.json" | tee "$results/serve.log"
fi
if [ "${ONLY:-breakdown}" = breakdown ]; then
  python3 -m bench.breakdown "${shared[@]}" --out "$results/breakdown.json" | tee "$results/breakdown.log"
fi
cp report/bench_*.log "$results/" 2>/dev/null || true
