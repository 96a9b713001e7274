#!/usr/bin/env bash
# Packs what a GPU host without network needs for the speed table: vLLM with its needs, a model's
# shape (also in 4 and 8 bit), and a workload; in parts of at most 46 MiB.
#
#   bash bench/pack_gpu.sh SHAPE_DIR WORKLOAD.json OUT_DIR      makes OUT_DIR/part_00, part_01, …
#
# SHAPE_DIR holds config.json and the tokenizer's files; weights are made up there. On the host,
# with this repository: bash bench/on_gpu.sh OUT_DIR RESULTS_DIR
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$3"
out=$(cd "$3" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

platforms=()
for name in 1 2010 2014 _2_5 _2_12 _2_17 _2_24 _2_26 _2_27 _2_28 _2_31 _2_34; do
  platforms+=(--platform "manylinux${name}_x86_64")
done
.venv/bin/python -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 \
  --implementation cp --abi cp312 --abi abi3 --abi none "${platforms[@]}" \
  -d "$work/wheels" -r bench/gpu_host.txt
# The folder's name matters: tools that tell installed code by it would take ours for the user's.
mkdir -p "$work/pack/site-packages"
for wheel in "$work"/wheels/*.whl; do unzip -q -o "$wheel" -d "$work/pack/site-packages"; done
# Kernels of other cards and of models of other kinds: two thirds of the size.
(cd "$work/pack/site-packages/vllm" && rm -rf vllm-rs vllm_flash_attn/_vllm_fa2_C.abi3.so \
  _moe_C_stable_libtorch.abi3.so third_party/fmha_sm100 third_party/deep_gemm/include _flashmla* _qutlass*)
rm -rf "$work/pack/site-packages/pycountry/locales"
cp -rL "$1" "$work/shape"
.venv/bin/python -m bench.quantized_shapes "$work/shape" "$work/pack/models"
cp "$2" "$work/pack/workload.json"
rm -f "$out"/part_*
tar c -C "$work/pack" . | xz -T0 -6 | split -b 46m -d - "$out/part_"
ls -l "$out"
