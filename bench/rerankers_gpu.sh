#!/usr/bin/env bash
# One command for a GPU session: train rerankers on one encoder's body and put them beside BM25 and
# the encoder itself (docs/retrieval.md, the table of methods).
#
#   BASE=ENCODER_DIR BOOK=book.md TESTSET=asked.jsonl bash bench/rerankers_gpu.sh OUT
#
# Per passage size a sweep of learning rate and negatives, then `retrieval compare` with 20 and 30
# passages reranked: OUT/SIZE/result.json, OUT/compare.json. TESTSET names its `evidence`.
# What lies in OUT/data and OUT/SIZE/index already (made where there is no GPU) is not made again.
# CMRC=FILE (cmrc2018_train.json, or the smaller trial file, squad-style) trains the body on these
# questions first, OUT/general/model, and the books' rerankers start from it: a book alone has too
# few questions to teach a bare encoder to rank.
# SIZES (380 1000), RATES (2e-5,1e-4,3e-4), NEGATIVES (2,4) and EXTRA (more key=value) change the
# sweep; PY trains and DATA_PY does the rest (the same python, if it has everything).
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] && [ -n "${BASE:-}" ] && [ -n "${BOOK:-}" ] && [ -n "${TESTSET:-}" ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1 PY=${PY:-.venv-train/bin/python} DATA_PY=${DATA_PY:-.venv/bin/python}
read -ra sizes <<<"${SIZES:-380 1000}"
read -ra extra <<<"${EXTRA:-bf16=true num_train_epochs=3}"
mkdir -p "$out"
[ -f "$out/data/manifest.json" ] ||
  $DATA_PY -m data build "$BOOK" --out "$out/data" --dev 0.2 --exclude "$TESTSET" --rules wide
compared=()
base=$BASE
if [ -n "${CMRC:-}" ]; then
  [ -d "$out/general/data" ] || $DATA_PY -m bench.cmrc_train "$CMRC" "$out/general"
  # A new head stays at chance for a while before it learns: no early stop.
  $PY -m train reranker train/recipes/retrieval/reranker.yaml "model_name_or_path=$BASE" heading_questions=false \
    "dataset_dir=$out/general/data" "index_dir=$out/general/index" "output_dir=$out/general" "${extra[@]}" \
    num_train_epochs=10 early_stopping_patience=null \
    --sweep "learning_rate=${GENERAL_RATES:-5e-5,1e-4,2e-4}"
  base=$out/general/model
fi
for size in "${sizes[@]}"; do
  [ -f "$out/$size/index/manifest.json" ] ||
    $DATA_PY -m retrieval build "$BOOK" --out "$out/$size/index" --min-chars $((size / 2 < 200 ? size / 2 : 200)) --max-chars "$size"
  $PY -m train reranker train/recipes/retrieval/reranker.yaml "model_name_or_path=$base" \
    "dataset_dir=$out/data" "index_dir=$out/$size/index" "output_dir=$out/$size" "${extra[@]}" \
    --sweep "learning_rate=${RATES:-2e-5,1e-4,3e-4}" --sweep "negatives=${NEGATIVES:-2,4}" --testset "$TESTSET"
  compared+=(--max-chars "$size" --reranker "$out/$size/model")
done
[ "$base" = "$BASE" ] || compared+=(--reranker "$base")
$DATA_PY -m retrieval compare "$TESTSET" "$BOOK" "${compared[@]}" --encoder "$BASE" \
  --rerank-first 20 --rerank-first 30 --out "$out/compare.json"
