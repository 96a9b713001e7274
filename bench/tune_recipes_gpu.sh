#!/usr/bin/env bash
# One command for a GPU session: from a book and a test set to the table of what helps a real model.
#
#   BASE=MODEL_DIR BOOK=book.md TESTSET=testset.docx bash bench/tune_recipes_gpu.sh OUT
#
# 1. index and pairs (like TESTSET, which stays excluded), plain and with passages
# 2. train/sweeps/real_weights.yaml on the plain rows, and two runs on the rows with passages
# 3. every dev question is asked with the book at hand; OUT/*/sweep.json holds every number
#
# TEACHER=MODEL_DIR makes the pairs with vLLM instead of rules (the environment then needs it).
# MIX=general.jsonl adds a run with 20 % general rows against forgetting.
# PY and DATA_PY are the pythons of training and of the rest; EXTRA holds more key=value for all
# runs, SWEEP another sweep's file. Rehearsed on a CPU with a tiny model (tests/test_train_sweep.py);
# not run on real weights yet.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] && [ -n "${BASE:-}" ] && [ -n "${BOOK:-}" ] && [ -n "${TESTSET:-}" ] || { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1 PY=${PY:-.venv-train/bin/python} DATA_PY=${DATA_PY:-.venv/bin/python} SWEEP=${SWEEP:-train/sweeps/real_weights.yaml}
read -ra extra <<<"${EXTRA:-}"
source=(); [ -z "${TEACHER:-}" ] || source=(--source vllm --model "$TEACHER")
mkdir -p "$out"

$DATA_PY -m retrieval build "$BOOK" --out "$out/index"
$DATA_PY -m data build "$BOOK" --out "$out/data" --like "$TESTSET" --dev 0.25 --calibration 0 "${source[@]}"
$DATA_PY -m data build "$BOOK" --out "$out/data_passages" --like "$TESTSET" --dev 0.25 --calibration 0 \
  --with-passages "$out/index" "${source[@]}"

shared=("model_name_or_path=$BASE" "retrieval_dir=$out/index" calibration_file=null drop_long_rows=true "${extra[@]}")
$PY -m train sweep "$SWEEP" "${shared[@]}" "dataset_dir=$out/data" "output_dir=$out/plain"
$PY -m train sweep train/sweeps/passages.yaml "${shared[@]}" "dataset_dir=$out/data_passages" "output_dir=$out/passages"
if [ -n "${MIX:-}" ]; then
  $PY -m train sweep train/sweeps/passages.yaml "${shared[@]}" "dataset_dir=$out/data_passages" "output_dir=$out/mixed" "mix_file=$MIX"
fi
