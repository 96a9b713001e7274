#!/usr/bin/env bash
# One command for a GPU session: from a book and a test set to the table of what helps a real model.
#
#   BASE=MODEL_DIR BOOK=book.md TESTSET=testset.docx bash bench/tune_recipes_gpu.sh OUT
#
# 1. index and pairs (like TESTSET, which stays excluded), plain and with passages
# 2. train/sweeps/real_weights.yaml on the plain rows, and two runs on the rows with passages
# 3. every dev question is asked with the book at hand; OUT/*/sweep.json holds every number
#
# What lies in OUT/index, OUT/data and OUT/data_passages already (made where there is no GPU) is not
# made again. DEV=questions.jsonl judges every run on these instead of the pairs' own dev split: then
# they choose the recipe, and no score on them is one of unseen questions.
# TEACHER=MODEL_DIR makes the pairs with vLLM instead of rules (the environment then needs it).
# MIX=general.jsonl adds a run with 20 % general rows against forgetting.
# PY and DATA_PY are the pythons of training and of the rest; EXTRA holds more key=value for all
# runs, SWEEP and SWEEP_PASSAGES other sweeps' files. Rehearsed on a CPU with a tiny model
# (tests/test_train_sweep.py); not run on real weights yet.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] && [ -n "${BASE:-}" ] && [ -n "${BOOK:-}" ] && [ -n "${TESTSET:-}" ] || { sed -n '2,20s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1 PY=${PY:-.venv-train/bin/python} DATA_PY=${DATA_PY:-.venv/bin/python} SWEEP=${SWEEP:-train/sweeps/real_weights.yaml}
passages=${SWEEP_PASSAGES:-train/sweeps/passages.yaml}
read -ra extra <<<"${EXTRA:-}"
source=(--rules all); [ -z "${TEACHER:-}" ] || source=(--source vllm --model "$TEACHER")
mkdir -p "$out"

made() { [ -f "$out/$1/manifest.json" ]; }
pairs=("$BOOK" --like "$TESTSET" --dev 0.25 --calibration 0 "${source[@]}")
made index || $DATA_PY -m retrieval build "$BOOK" --out "$out/index"
made data || $DATA_PY -m data build "${pairs[@]}" --out "$out/data"
made data_passages || $DATA_PY -m data build "${pairs[@]}" --out "$out/data_passages" --with-passages "$out/index"

shared=("model_name_or_path=$BASE" "retrieval_dir=$out/index" calibration_file=null drop_long_rows=true)
[ -z "${DEV:-}" ] || shared+=("dev_file=$(realpath "$DEV")")
shared+=("${extra[@]}")
$PY -m train sweep "$SWEEP" "${shared[@]}" "dataset_dir=$out/data" "output_dir=$out/plain"
$PY -m train sweep "$passages" "${shared[@]}" "dataset_dir=$out/data_passages" "output_dir=$out/passages"
if [ -n "${MIX:-}" ]; then
  $PY -m train sweep "$passages" "${shared[@]}" "dataset_dir=$out/data_passages" "output_dir=$out/mixed" "mix_file=$MIX"
fi
