#!/usr/bin/env bash
# Makes .venv-train, the environment of `python -m train`. A second run skips what is done.
#
#   bash train/setup.sh
#   bash train/setup.sh retrieval   also what `train retriever` and `train reranker` need
#   bash train/setup.sh ability     also what `judging ability` and `train run --guard` need
#
# Variables: PYTHON (3.11 or 3.12), TORCH_INDEX_URL (where pip finds torch's CPU build),
# VENV (default .venv-train).
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=${VENV:-.venv-train}
TORCH=2.13.0
python=${PYTHON:-$(command -v python3.11 || command -v python3.12 || command -v python3)}
# say ZH EN, as common/language.py chooses
say() { [ "${KIT_LANGUAGE:-zh}" != en ] || shift; printf '\033[1m==> %s\033[0m\n' "$1"; }

"$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' || {
  echo "$python is older than 3.11 or has no venv module: set PYTHON=… to one that fits" >&2
  exit 2
}
stamp="$("$python" -V) $(sha256sum <requirements/train.txt | cut -c1-16)"

# What only some commands need, each set once: requirements/retrieval.txt, requirements/ability.txt.
install_extra() {
  local wanted
  case $1 in
    retrieval) say "训练环境：sentence-transformers 和 FAISS" "training environment: sentence-transformers and FAISS" ;;
    ability) say "训练环境：lm-evaluation-harness" "training environment: lm-evaluation-harness" ;;
    *) return ;;
  esac
  wanted=$(sha256sum <"requirements/$1.txt" | cut -c1-16)
  if [ "$(cat "$VENV/stamp-$1" 2>/dev/null)" = "$wanted" ]; then return; fi
  "$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-deps -r "requirements/$1.txt"
  echo "$wanted" >"$VENV/stamp-$1"
}

if [ "$(cat "$VENV/stamp" 2>/dev/null)" = "$stamp" ]; then
  install_extra "${1:-}"
  say "训练环境：$VENV 已就绪" "training environment: $VENV is ready"
  exit 0
fi

gpu=false
if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then gpu=true; fi
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  say "训练环境：用 $python 的 torch" "training environment: with the torch of $python"
  "$python" -m venv --system-site-packages "$VENV"
else
  "$python" -m venv "$VENV"
  # First, and alone: whatever needs torch then finds it, and pulls no CUDA packages.
  say "训练环境：torch $TORCH" "training environment: torch $TORCH"
  index=()
  if [ -n "${TORCH_INDEX_URL:-}" ]; then index=(--extra-index-url "$TORCH_INDEX_URL"); fi
  "$VENV/bin/python" -m pip install -q --disable-pip-version-check "torch==$TORCH" "${index[@]}"
fi
count=$(grep -c '==' requirements/train.txt)
say "训练环境：$count 个包" "training environment: $count packages"
"$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-deps -r requirements/train.txt
if $gpu; then
  # Fused kernels: of use on a GPU only.
  "$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-deps liger-kernel==0.8.5
fi
"$VENV/bin/python" -c 'import torch, trl, peft, llmcompressor; print("torch", torch.__version__, "GPU" if torch.cuda.is_available() else "CPU")'
echo "$stamp" >"$VENV/stamp"
install_extra "${1:-}"
say "就绪：$VENV/bin/python -m train run train/recipes/demo.yaml" "ready: $VENV/bin/python -m train run train/recipes/demo.yaml"
