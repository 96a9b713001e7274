#!/usr/bin/env bash
# One command for a GPU session: from a book and a test set to the table of what helps a real model.
#
#   BASE=MODEL_DIR BOOK=book.md TESTSET=testset.docx bash bench/tune_recipes_gpu.sh OUT
#
# 1. index, questions about the book (TESTSET stays excluded), their answers composed with the book at
#    hand: rows with passages, as runs/submit.sh makes them
# 2. train/sweeps/composed.yaml on them
#
# Every dev question is asked with the book at hand. OUT/sweep/sweep.json has every run and its score of
# each question, OUT/sweep.log what was said.
#
# What lies in OUT/index, OUT/asked and OUT/composed already is not made again (made elsewhere, say).
# TEACHER=MODEL_DIR asks and answers (BASE); vLLM has to be in DATA_PY's environment.
# DEV=questions.jsonl judges every run on these instead of the pairs' own dev split: then they choose
# the recipe, and no score on them is one of unseen questions.
# MIX=general.jsonl adds runs with 20 % general rows against forgetting.
# PY and DATA_PY are the pythons of training and of the rest; EXTRA holds more key=value for all runs,
# AT_ONCE how many are side by side, SWEEP another sweep's file, SWEEP_LIMIT the longest time in seconds.
# The same command goes on where it stopped. On a card of a host of four H100: bench/results/tuning_h100.json;
# tests/test_train_sweep.py rehearses it.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] && [ -n "${BASE:-}" ] && [ -n "${BOOK:-}" ] && [ -n "${TESTSET:-}" ] || { sed -n '2,23s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1 PY=${PY:-.venv-train/bin/python} DATA_PY=${DATA_PY:-.venv/bin/python} TEACHER=${TEACHER:-$BASE}
read -ra extra <<<"${EXTRA:-}"
mkdir -p "$out"

made() { [ -f "$out/$1/manifest.json" ]; }
made index || $DATA_PY -m retrieval build "$BOOK" --out "$out/index"
made composed || made asked || $DATA_PY -m data build "$BOOK" --out "$out/asked" --exclude "$TESTSET" --dev 0.2 \
  --with-passages "$out/index" --no-passages 0 --wrong-passages 0 --source vllm --model "$TEACHER" --to-compose
made composed || $DATA_PY -m data compose "$out/asked" --out "$out/composed" --model "$TEACHER" --index "$out/index"

cp "${SWEEP:-train/sweeps/composed.yaml}" "$out/sweep.yaml"
if [ -n "${MIX:-}" ]; then  # `runs` is the file's last list
  printf '  - {mix_file: "%s"}\n  - {mix_file: "%s", seed: 1}\n' "$MIX" "$MIX" >>"$out/sweep.yaml"
fi
given=("model_name_or_path=$BASE" "retrieval_dir=$out/index" "dataset_dir=$out/composed" "output_dir=$out/sweep")
[ -z "${DEV:-}" ] || given+=("dev_file=$(realpath "$DEV")")
timeout "${SWEEP_LIMIT:-0}" $PY -m train sweep "$out/sweep.yaml" "${given[@]}" "${extra[@]}" ${AT_ONCE:+--at-once "$AT_ONCE"} 2>&1 |
  tee "$out/sweep.log"
